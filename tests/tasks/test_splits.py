"""Which files are which split, told by their names as they are found on the hub."""

from __future__ import annotations

import pytest

from lorascope.errors import DataError
from lorascope.tasks.splits import by_split, whole

SEEN = {
    "files in main": (
        [".gitattributes", "README.md", "test.csv", "train.csv", "validation.csv"],
        {"train": ("train.csv",), "validation": ("validation.csv",), "test": ("test.csv",)},
    ),
    "the hub's copy in Parquet": (
        ["default/test/0000.parquet", "default/train/0001.parquet", "default/train/0000.parquet"],
        {"train": ("default/train/0000.parquet", "default/train/0001.parquet"), "test": ("default/test/0000.parquet",)},
    ),
    "an older copy in Parquet": (
        ["default/e2e_nlg-train.parquet", "default/e2e_nlg-test.parquet", "default/train/index.duckdb"],
        {"train": ("default/e2e_nlg-train.parquet",), "test": ("default/e2e_nlg-test.parquet",)},
    ),
    "shards with a digest": (
        ["data/train-00000-of-00001-cc68c46868e3e05c.parquet", "data/valid-00000-of-00001.parquet"],
        {"train": ("data/train-00000-of-00001-cc68c46868e3e05c.parquet",),
         "validation": ("data/valid-00000-of-00001.parquet",)},
    ),
    "a split that is more than a word": (
        ["challenge_train_sample/0000.parquet", "train/0000.parquet", "partial-test/0000.parquet"],
        {"train": ("train/0000.parquet",)},
    ),
    "two kinds": (
        ["train.csv", "train.jsonl", "train.parquet", "dev.csv.gz", "dev.json.gz"],
        {"train": ("train.parquet",), "validation": ("dev.json.gz",)},
    ),
    "a word of the name": (
        ["samsum20-train.csv", "samsum20-train.jsonl", "samsum20-validation.csv", "contest.csv"],
        {"train": ("samsum20-train.jsonl",), "validation": ("samsum20-validation.csv",)},
    ),
    "nothing": (["model.safetensors", "a.parquet.gz", ".hidden/train.csv", "trains.csv"], {}),
}  # fmt: skip


@pytest.mark.parametrize("place", SEEN)
def test_files_are_told_by_their_names(place: str) -> None:
    names, splits = SEEN[place]
    assert by_split(names) == splits
    assert by_split(reversed(names)) == splits


def test_a_split_may_be_asked_for_by_the_places_own_name() -> None:
    names = [f"data/{split}-00000-of-00001.parquet" for split in ("train", "validation_matched", "validation_other")]
    assert by_split(names, ["validation_matched"]) == {"validation_matched": (names[1],)}
    assert by_split(names, ["test"]) == {}


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (["en/train-00000-of-00001.parquet", "de/train-00000-of-00001.parquet"], "de, en"),
        (["en/train/0000.parquet", "de/train/0000.parquet"], "de/train, en/train"),
        (["train_sft.jsonl", "train_gen.jsonl"], "train_gen, train_sft"),
        (["my_train.csv", "training_args.json"], "my_train, training_args"),
    ],
)
def test_several_sets_are_named_and_none_is_taken(names: list[str], listed: str) -> None:
    with pytest.raises(DataError) as caught:
        by_split(names, place="some/data")
    assert caught.value.what == f"some/data has the split train 2 times: {listed}"


def test_missing_shards_show_in_the_names() -> None:
    assert whole(["a/train-00000-of-00002.parquet", "a/train-00001-of-00002.parquet"])
    assert not whole(["a/train-00001-of-00002.parquet"])
    assert whole(["0000.parquet", "0001.parquet"])
    assert not whole(["0001.parquet", "0002.parquet"])
    assert whole(["train.csv"])
    assert whole(["train.jsonl.gz"])
