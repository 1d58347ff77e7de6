"""The tiny official rows on the fake hub, each data set laid out as the real one is."""

from __future__ import annotations

import official

import hub


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
