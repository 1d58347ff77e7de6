"""The page of methods names functions and tests that exist."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "METHODS.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "`tests/" in line]
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_the_page_has_its_rows():
    assert len(ROWS) > 25
    assert len(TESTS) > len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_row_names_a_function_that_exists(row):
    names = [name for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", row) if not name.startswith("tests")]
    assert len(names) == 1
    module, _, attribute = names[0].rpartition(".")
    assert callable(getattr(import_module(f"lorascope.{module}"), attribute))


@pytest.mark.parametrize(("file", "name"), TESTS, ids=lambda text: text)
def test_every_test_that_is_named_exists(file, name):
    assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8")
