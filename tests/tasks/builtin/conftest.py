"""For the tests of generated rows: the same rows in another process, and the trivial baselines."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
HASHES = """
import json, sys, zlib
from importlib import import_module
module = import_module(sys.argv[1])
print(json.dumps({split: zlib.crc32(json.dumps(module.rows(split)).encode()) for split in module.SIZES}))
"""


@pytest.fixture(scope="session")
def checksums():
    """Checksums by split of the rows that a module makes in a process of its own, with another order of sets."""

    def of(module: str) -> str:
        command = [sys.executable, "-c", HASHES, module]
        return subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
        ).stdout

    return of


@pytest.fixture(scope="session")
def baselines() -> ModuleType:
    """tools/baselines.py as a module."""
    spec = importlib.util.spec_from_file_location("baselines", ROOT / "tools" / "baselines.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
