"""The tiny official rows on the fake hub, each data set laid out as the real one is; and how tests take them there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import official
import pytest
from huggingface_hub import constants

import hub
from lorascope.config.experiment import DataConfig
from lorascope.errors import DataError
from lorascope.tasks.base import Task
from lorascope.tasks.hub import fetch
from lorascope.tasks.sources import Loaded, load_rows


def fill(fake: hub.FakeHub) -> None:
    """The four tasks and the cleaned E2E."""
    splits = ("train", "validation", "test")
    script = {"e2e_nlg.py": b"import datasets\n"}
    fake.repos["tuetschek/e2e_nlg"] = hub.Repo({
        "main": script,
        hub.PARQUET: {f"default/{split}/0000.parquet": hub.e2e(official.E2E[split]) for split in splits},
    })  # fmt: skip
    fake.repos["GEM/e2e_nlg"] = hub.Repo({
        "main": script | {"e2e_nlg.json": b'{"overview": {}}', "dataset_infos.json": b"{}"},
        hub.PARQUET: {f"default/{split}/0000.parquet": hub.parquet(rows) for split, rows in CLEANED.items()},
    })  # fmt: skip
    fake.repos["knkarthick/samsum"] = hub.Repo(
        {"main": {f"{split}.csv": hub.csv_text(official.SAMSUM[split]) for split in splits}}
    )
    fake.repos["Salesforce/wikisql"] = hub.Repo({
        "main": {"wikisql.py": b"import datasets\n"},
        hub.PARQUET: {
            f"default/{split}/0000.parquet": hub.wikisql(official.QUESTIONS, official.TABLES) for split in splits
        },
    })  # fmt: skip
    fake.repos["nyu-mll/multi_nli"] = hub.Repo({
        "main": {
            f"data/{split}-00000-of-00001.parquet": hub.multi_nli(official.NLI)
            for split in ("train", "validation_matched", "validation_mismatched")
        }
    })  # fmt: skip


def _gem(split: str, number: int, mr: str, target: str, *references: str) -> dict[str, object]:
    id = f"e2e_nlg-{split}-{number}"
    return {"gem_id": id, "gem_parent_id": id, "meaning_representation": mr, "target": target,
            "references": list(references)}  # fmt: skip


CLEANED = {
    "train": [
        _gem("train", 0, "name[Zizzi], eatType[pub]", "A pub."),
        _gem("train", 1, "name[Zizzi]", "Zizzi is here."),
    ],
    "validation": [_gem("validation", 0, "name[Aromi]", "Aromi.", "Aromi.", "It is Aromi.")],
    "test": [
        _gem("test", 0, "name[Wildwood]", "Wildwood.", "Wildwood.", "The Wildwood.", "It is Wildwood."),
        _gem("test", 1, "name[Giraffe]", "Giraffe.", "Giraffe."),
    ],
}
"""GEM's rows: a target to train on, and in validation and test all references of a meaning representation."""


def load(task: Task, split: str = "train", **settings: object) -> Loaded:
    return load_rows(task, DataConfig(dataset=task.name, **settings), split)


def refused(repo: str, revision: str | None = None, **settings: object) -> DataError:
    with pytest.raises(DataError) as caught:
        fetch(repo, revision, **settings)
    return caught.value


@contextmanager
def within(seconds: float) -> Iterator[None]:
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < seconds


@contextmanager
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A later process without network."""
    hub.forget()
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        yield
    hub.forget()
