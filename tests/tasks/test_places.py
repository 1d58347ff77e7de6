"""Where rows are looked for, what is said where they are not, and their number beside the published one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import official
import pytest

from lorascope.config.experiment import DataConfig
from lorascope.errors import DataError
from lorascope.tasks import TASKS
from lorascope.tasks.base import Reading
from lorascope.tasks.sources import Loaded, load_rows, place


def load(folder: Path, task: str, split: str = "train") -> Loaded:
    return load_rows(TASKS[task], DataConfig(dataset=task, data_dir=str(folder / task)), split)


def test_a_whole_file_has_no_note_but_on_its_number_of_rows(official_files: Path) -> None:
    assert load(official_files, "e2e_nlg").notes == ("4 of the official 42,061 train rows",)
    assert load(official_files, "samsum").notes == ("3 of the official 14,732 train rows",)


def test_the_number_of_rows_is_compared_with_the_published_one(official_files: Path) -> None:
    """Three rows and one without a label: some published numbers count such rows, and some do not."""
    data = DataConfig(dataset="multi_nli", data_dir=str(official_files))
    for published, says in {
        2: ("3 train rows, of which there are 2 officially",),
        3: (),
        4: (),
        5: ("3 of the official 5 train rows",),
    }.items():
        loaded = load_rows(replace(TASKS["multi_nli"], official_counts={"train": published}), data, "train")
        assert loaded.official_rows == published
        assert loaded.notes[1:] == says
    assert load_rows(replace(TASKS["multi_nli"], official_counts={}), data, "train").official_rows is None


# What is not there


def test_no_folder_given_names_the_flag_and_the_official_files() -> None:
    with pytest.raises(DataError) as caught:
        load_rows(TASKS["e2e_nlg"], DataConfig(data_source="local"), "train")
    assert str(caught.value) == (
        "[no-data]: e2e_nlg needs its official files, and no folder is given\n"
        "  try: --data_dir FOLDER   (with trainset.csv, devset.csv, testset_w_refs.csv)\n"
        "  try: --data_source builtin --model embedded   (generated data and a tiny model, both inside lorascope)"
    )


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({}, "hub"),
        ({"data_dir": "x"}, "local"),
        ({"data_source": "local", "data_dir": "x"}, "local"),
        ({"data_source": "hub"}, "hub"),
        ({"data_source": "builtin"}, "builtin"),
        ({"data_revision": "v1"}, "hub"),
    ],
)
def test_rows_come_from_a_folder_if_one_is_given_else_from_the_hub(settings: dict[str, str], where: str) -> None:
    assert place(TASKS["e2e_nlg"], DataConfig(**settings)) == where


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"data_source": "hub", "data_dir": "x"}, "--data_source hub takes the data set on the hub"),
        ({"data_source": "builtin", "data_dir": "x"}, "--data_source builtin generates its rows"),
        (
            {"data_revision": "v1", "data_dir": "x"},
            "is of a data set on the hub, and the rows are in --data_dir",
        ),
        ({"data_revision": "v1", "data_source": "builtin"}, "and the rows are generated"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, str], says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        load_rows(TASKS["e2e_nlg"], DataConfig(**settings), "train")
    assert caught.value.code == "flags-exclude"


def test_a_task_that_is_nowhere_says_what_works() -> None:
    nowhere = replace(TASKS["e2e_nlg"], hub=None, builtin=None)
    with pytest.raises(DataError, match="e2e_nlg is not on the hub") as caught:
        load_rows(nowhere, DataConfig(), "train")
    assert caught.value.tries == ("--data_dir FOLDER   (with trainset.csv, devset.csv, testset_w_refs.csv)",)
    with pytest.raises(DataError, match="there is no generator for e2e_nlg"):
        load_rows(nowhere, DataConfig(data_source="builtin"), "train")


def test_a_mistyped_folder_is_met_with_the_near_one(official_files: Path) -> None:
    data = DataConfig(data_dir=str(official_files / "e2e_nlgg"))
    with pytest.raises(DataError, match="holds: e2e_nlg, multi_nli, samsum, wikisql") as caught:
        load_rows(TASKS["e2e_nlg"], data, "train")
    assert caught.value.tries == (f"--data_dir {official_files / 'e2e_nlg'}",)


def test_a_folder_that_is_nowhere_near_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither it nor .*nowhere is there"):
        load_rows(TASKS["e2e_nlg"], DataConfig(data_dir=str(tmp_path / "nowhere" / "deep")), "train")


def test_a_file_for_a_folder_is_met_with_its_folder(official_files: Path) -> None:
    folder = official_files / "e2e_nlg"
    with pytest.raises(DataError, match="is a file, not a folder") as caught:
        load_rows(TASKS["e2e_nlg"], DataConfig(data_dir=str(folder / "trainset.csv")), "train")
    assert caught.value.tries == (f"--data_dir {folder}",)


def test_the_folder_above_is_met_with_the_one_that_holds_the_file(official_files: Path) -> None:
    (official_files / "samsum").rename(official_files / "chats")
    with pytest.raises(DataError, match=r"has no train\.json") as caught:
        load_rows(TASKS["samsum"], DataConfig(dataset="samsum", data_dir=str(official_files)), "train")
    assert caught.value.tries == (f"--data_dir {official_files / 'chats'}",)


def test_another_tasks_folder_is_refused_with_what_it_holds(official_files: Path) -> None:
    with pytest.raises(
        DataError, match=r"has no val\.json .*it holds: devset\.csv, testset_w_refs\.csv, trainset\.csv"
    ):
        load_rows(TASKS["samsum"], DataConfig(data_dir=str(official_files / "e2e_nlg")), "validation")


def test_two_samples_that_could_stand_for_a_file_are_refused(official_files: Path) -> None:
    folder = official_files / "multi_nli"
    (folder / "multinli_1.0_train.jsonl").rename(folder / "multinli_1.0_train_a.jsonl")
    official.write_jsonl(folder / "multinli_1.0_train_b.jsonl", official.NLI)
    with pytest.raises(DataError, match=r"multinli_1\.0_train_a\.jsonl, multinli_1\.0_train_b\.jsonl"):
        load(official_files, "multi_nli")


def test_a_split_without_labels_is_refused(official_files: Path) -> None:
    with pytest.raises(
        DataError, match="multi_nli has no split 'test'; it has: train, validation, validation_mismatched"
    ):
        load(official_files, "multi_nli", "test")


def test_a_file_that_may_not_be_read_is_refused(official_files: Path) -> None:
    def read(folder: Path, split: str) -> Reading:
        raise PermissionError(13, "Permission denied", str(folder / "trainset.csv"))

    task = replace(TASKS["e2e_nlg"], read=read)
    with pytest.raises(DataError, match=r"trainset\.csv cannot be read: Permission denied"):
        load_rows(task, DataConfig(data_dir=str(official_files / "e2e_nlg")), "train")


def test_a_folder_of_all_tasks_is_entered_by_the_tasks_name(tmp_path):
    inner = tmp_path / "e2e_nlg"
    inner.mkdir()
    (inner / "trainset.csv").write_text("mr,ref\nname[A],A is here.\n", encoding="utf-8")
    outer = load_rows(TASKS["e2e_nlg"], DataConfig(data_dir=str(tmp_path)), "train")
    assert outer == load_rows(TASKS["e2e_nlg"], DataConfig(data_dir=str(inner)), "train")
    assert len(outer.rows) == 1
