"""Real data in the hub's own columns: the digest of the rows is that of the official files."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hub
from lorascope.config.experiment import DataConfig
from lorascope.tasks import TASKS
from lorascope.tasks.sources import load_rows


def pairs(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["mr"], row["ref"]) for row in csv.DictReader(file)]


def json_lines(path: Path) -> list[dict[str, Any]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


CASES: dict[tuple[str, str], tuple[str, str, Callable[[Path], bytes]]] = {
    ("e2e_nlg", "test"): (
        "tuetschek/e2e_nlg", "default/test/0000.parquet", lambda d: hub.e2e(pairs(d / "testset_w_refs.csv")),
    ),
    ("e2e_nlg", "train"): (
        "tuetschek/e2e_nlg", "default/train/0000.parquet", lambda d: hub.e2e(pairs(d / "trainset.csv")),
    ),
    ("samsum", "test"): (
        "knkarthick/samsum", "test.csv", lambda d: hub.csv_text(json.loads((d / "test.json").read_text())),
    ),
    ("samsum", "validation"): (
        "knkarthick/samsum", "validation.csv", lambda d: hub.csv_text(json.loads((d / "val.json").read_text())),
    ),
    ("wikisql", "test"): (
        "Salesforce/wikisql", "default/test/0000.parquet",
        lambda d: hub.wikisql(json_lines(d / "test.jsonl"), json_lines(d / "test.tables.jsonl.gz")),
    ),
    ("multi_nli", "validation"): (
        "nyu-mll/multi_nli", "data/validation_matched-00000-of-00001.parquet",
        lambda d: hub.multi_nli(json_lines(d / "multinli_1.0_dev_matched.jsonl")),
    ),
    ("multi_nli", "train"): (
        "nyu-mll/multi_nli", "data/train-00000-of-00001.parquet",
        lambda d: hub.multi_nli(json_lines(d / "multinli_1.0_train_sample20k.jsonl")),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("task", "split"), CASES, ids=map("/".join, CASES))
def test_real_rows_are_the_same_from_the_hub(task: str, split: str, lab: Path, fake_hub: hub.FakeHub) -> None:
    repo, file, write = CASES[task, split]
    fake_hub.repos[repo] = hub.Repo({"main": {file: write(lab / "data" / task)}})
    ours = load_rows(TASKS[task], DataConfig(dataset=task), split)
    official = load_rows(TASKS[task], DataConfig(dataset=task, data_dir=str(lab / "data" / task)), split)
    assert ours.sha256 == official.sha256
    assert len(ours.rows) == len(official.rows)
    assert ours.source == f"hub:{repo}"
