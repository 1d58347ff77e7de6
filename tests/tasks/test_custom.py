"""Data of one's own: where it is found, how it is divided, what is read off its rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lorascope.config.experiment import DataConfig
from lorascope.errors import ConfigError, DataError, LorascopeError, UnknownName
from lorascope.evaluation.metrics import with_metrics
from lorascope.tasks import TASKS, find_task, glance
from lorascope.tasks.base import Reading
from lorascope.tasks.split import load_evaluation, load_training

PAIRS = [{"prompt": f"What is {i}?", "target": f"It is number {i} of all."} for i in range(40)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(path: Path | str, **settings: Any) -> DataConfig:
    return DataConfig(dataset=str(path), **settings)


def refused(path: Path | str, **settings: Any) -> LorascopeError:
    with pytest.raises(LorascopeError) as caught:
        find_task(config(path, **settings))
    return caught.value


def prompts(reading: Reading) -> list[str]:
    return [row["prompt"] for row in reading.rows]


# where it is


def test_a_name_is_a_task_even_where_a_folder_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("samsum/train.jsonl"), PAIRS)
    assert find_task(config("samsum")) is TASKS["samsum"]
    assert find_task(config("./samsum")).name == "samsum"
    assert find_task(config("./samsum")).origin is not None


def test_a_tasks_hub_id_is_the_task() -> None:
    assert find_task(config("tuetschek/e2e_nlg")) is TASKS["e2e_nlg"]
    assert find_task(config("knkarthick/samsum")) is TASKS["samsum"]
    assert find_task(config("Salesforce/wikisql")) is TASKS["wikisql"]
    assert find_task(config("nyu-mll/multi_nli")) is TASKS["multi_nli"]
    assert find_task(config("GEM/e2e_nlg")).name == "GEM_e2e_nlg"


def test_a_misspelt_task_meets_the_near_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = refused("samsun")
    assert isinstance(error, UnknownName)
    assert error.code == "unknown-task"
    assert error.what.startswith("no task 'samsun'; known: e2e_nlg, multi_nli, samsum, wikisql; nor is it a file (")
    assert error.tries == ("did you mean: samsum",)


def test_a_misspelt_file_meets_the_near_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "support.jsonl", PAIRS)
    write(tmp_path / "data" / "chats.csv", PAIRS)
    assert refused("support.jsnl").tries[0] == "did you mean: support.jsonl"
    assert refused("suport").tries[0] == "did you mean: support.jsonl"
    assert refused("./suport.jsonl").tries[0] == "did you mean: support.jsonl"
    error = refused("data/chat.csv")
    assert (error.code, error.tries[0]) == ("no-file", "did you mean: data/chats.csv")
    assert error.what.startswith("there is no data/chat.csv; data of your own is a file (")
    assert refused("data/chats").code == "no-file", "a folder of that name is here: it is not asked for on the hub"
    assert refused("nowhere/data/chats.csv").code == "no-file"


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_text("x")
    error = refused(tmp_path / "a.xlsx")
    assert (error.code, error.what.partition(" is none of ")[0]) == ("bad-file", str(tmp_path / "a.xlsx"))


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n")
    assert refused(tmp_path / "a.jsonl").code == "no-rows"
    (tmp_path / "a.csv").write_text("prompt,target\n")
    assert refused(tmp_path / "a.csv").code == "no-rows"


@pytest.mark.parametrize(
    "settings", [{"data_dir": "d"}, {"data_source": "hub"}, {"data_source": "builtin"}, {"data_revision": "main"}]
)
def test_settings_that_would_do_nothing_beside_a_file_are_refused(tmp_path: Path, settings: dict[str, str]) -> None:
    error = refused(write(tmp_path / "a.jsonl", PAIRS), **settings)
    (name,) = settings
    assert (error.code, f"--{name}" in error.what) == ("flags-exclude", True)


@pytest.mark.parametrize("settings", [{"data_dir": "d"}, {"data_source": "local"}, {"data_source": "builtin"}])
def test_settings_that_would_do_nothing_beside_a_hub_id_are_refused(settings: dict[str, str]) -> None:
    assert refused("some/thing", **settings).code == "flags-exclude"


@pytest.mark.parametrize("name", ["prompt_column", "target_column", "prompt_template"])
def test_columns_of_a_known_task_cannot_be_named(name: str) -> None:
    error = refused("e2e_nlg", **{name: "{mr}"})
    assert (error.code, error.what) == (
        "flags-exclude", f"{name} is for data of your own: e2e_nlg has its own prompt and answer",
    )  # fmt: skip


# a folder


@pytest.mark.parametrize("word", ["validation", "valid", "val", "dev", "eval"])
def test_a_folder_has_a_file_for_each_split(tmp_path: Path, word: str) -> None:
    write(tmp_path / "d" / "train.jsonl", PAIRS[:20])
    write(tmp_path / "d" / f"{word}.jsonl", PAIRS[20:30])
    write(tmp_path / "d" / "notes.txt", [])
    task = find_task(config(tmp_path / "d"))
    assert (list(task.files), task.evaluation_split) == (["train", "validation"], "validation")
    write(tmp_path / "d" / "test.jsonl", PAIRS[30:])
    task = find_task(config(tmp_path / "d"))
    assert (task.name, task.evaluation_split) == ("d", "test")
    assert {split: prompts(task.read(Path(), split)) for split in task.files} == {
        "train": [row["prompt"] for row in PAIRS[:20]],
        "validation": [row["prompt"] for row in PAIRS[20:30]],
        "test": [row["prompt"] for row in PAIRS[30:]],
    }


def test_a_folder_may_hold_a_data_sets_own_layout(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "data").mkdir(exist_ok=True)
        part = pa.Table.from_pylist(PAIRS[number * 20 : number * 20 + 20])
        pq.write_table(part, tmp_path / "data" / f"train-0000{number}-of-00002.parquet")
    task = find_task(config(tmp_path))
    assert prompts(task.read(Path(), "all")) == [row["prompt"] for row in PAIRS]
    (tmp_path / "data" / "train-00001-of-00002.parquet").unlink()
    assert "some parts of data/train-00000-of-00002.parquet are missing" in refused(tmp_path).what


def test_a_folder_with_two_files_for_a_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", PAIRS)
    write(tmp_path / "dev.jsonl", PAIRS)
    write(tmp_path / "val.jsonl", PAIRS)
    assert refused(tmp_path).code == "two-files"
    for name in ("train.json", "train.jsonl.gz"):
        (tmp_path / "val.jsonl").rename(tmp_path / name)
        error = refused(tmp_path)
        assert (error.code, "which is the split train? " in error.what) == ("two-files", True)
        (tmp_path / name).rename(tmp_path / "val.jsonl")


def test_a_folder_without_training_rows_says_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "support.jsonl", PAIRS)
    error = refused(tmp_path)
    assert (error.code, error.what) == (
        "no-file", f"{tmp_path} has no training file, as train.jsonl would be; it holds: support.jsonl",
    )  # fmt: skip
    assert error.tries[0] == f"--dataset {tmp_path / 'support.jsonl'}"


def test_all_splits_have_rows_of_the_same_kind(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", PAIRS)
    write(tmp_path / "test.jsonl", [{"question": "a", "answer": "b"}])
    task = find_task(config(tmp_path))
    with pytest.raises(DataError, match=r"test\.jsonl:1: no column 'prompt', which the first row has"):
        load_evaluation(task, config(tmp_path), 0)


# one file: its test rows


def test_a_file_gives_training_and_test_rows_without_a_common_prompt(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is {i // 3}?", "target": f"{i}"} for i in range(300)]
    path = write(tmp_path / "a.jsonl", rows)
    task = find_task(config(path))
    train, test, everything = (prompts(task.read(Path(), split)) for split in ("train", "test", "all"))
    assert len(test) == 30
    assert not set(train) & set(test)
    assert sorted(train + test) == sorted(everything) == sorted(row["prompt"] for row in rows)
    assert train == sorted(train, key=everything.index)
    note = "a.jsonl has no test rows of its own: 30 of its 300 rows are held out as the test split"
    assert f"{note}, the same ones in every run" in task.read(Path(), "train").notes
    assert (task.evaluation_split, list(task.files)) == ("test", ["train", "test", "all"])


def test_the_held_out_rows_depend_on_the_file_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", PAIRS)
    held = {
        tuple(prompts(find_task(config(path, data_seed=seed, num_samples=n)).read(Path(), "test")))
        for seed in range(4)
        for n in (0, 10)
    }
    assert len(held) == 1
    draws = {
        tuple(e.id for e in load_training(find_task(c), c).validation)
        for c in (config(path, data_seed=seed) for seed in range(4))
    }
    assert len(draws) > 1, "the validation rows follow the seed"


@pytest.mark.parametrize(
    ("rows", "test"),
    [(10, 2), (14, 3), (40, 8), (100, 20), (150, 20), (200, 20), (400, 40), (9_999, 1000), (30_000, 1000)],
)
def test_a_tenth_is_held_out_and_more_of_a_small_file(tmp_path: Path, rows: int, test: int) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": str(i), "target": "x"} for i in range(rows)])
    assert len(find_task(config(path)).read(Path(), "test").rows) == test


def test_two_rows_with_two_prompts_are_the_least(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "A", "target": "x"}, {"prompt": "a ", "target": "y"}])
    error = refused(path)
    assert (error.code, "two different prompts, and all 2 share one" in error.what) == ("too-few", True)


def test_training_and_evaluation_of_a_file_share_no_row(tmp_path: Path) -> None:
    data = config(write(tmp_path / "a.jsonl", PAIRS), num_samples=0)
    task = find_task(data)
    training = load_training(task, data)
    held_out = load_evaluation(task, data, 0, training=training)
    assert (len(training.train), len(training.validation), len(held_out.examples)) == (29, 3, 8)
    assert set(held_out.provenance["overlap"].values()) == {0}
    everything = load_evaluation(task, data, 0, split="all")
    assert [e.id for e in everything.examples] == [str(i) for i in range(40)]
    by_id = {e.id: e for e in everything.examples}
    assert all(by_id[e.id] == e for e in held_out.examples), "an id names the same row in both"


# what is read off the rows


def facts(tmp_path: Path, targets: list[Any]) -> Any:
    return find_task(
        config(write(tmp_path / "a.jsonl", [{"prompt": str(i), "target": t} for i, t in enumerate(targets)]))
    )


def test_few_different_answers_are_labels(tmp_path: Path) -> None:
    task = facts(tmp_path, ["yes", "no "] * 10)
    assert (task.metrics, task.labels, task.stop) == (
        ("accuracy", "accuracy_likelihood"),
        ("no", "yes"),
        "\n",
    )
    assert task.max_new_tokens == 5, "three bytes, a blank, the end of sequence"
    assert (
        task.metrics_note == "evaluated by accuracy: 16 training rows have 2 different answers (--metrics takes others)"
    )


def test_short_answers_are_matched_and_long_ones_compared(tmp_path: Path) -> None:
    task = facts(tmp_path, [f"answer number {i}" for i in range(120)])
    assert (task.metrics, len(task.labels)) == (("exact_match",), 100)
    assert "answers are short (median length in words: 3)" in task.metrics_note
    task = facts(tmp_path, [f"this is the answer number {i}" for i in range(130)])
    assert (task.metrics, task.labels) == (("rouge",), ()), "104 different ones are no closed set"
    assert "answers are long (median length in words: 6)" in task.metrics_note


def test_an_answer_ends_at_a_line_end_unless_answers_hold_one(tmp_path: Path) -> None:
    assert facts(tmp_path, [f"{i}\n" for i in range(20)]).stop == "\n"
    assert facts(tmp_path, [f"{i}\nx" for i in range(20)]).stop is None


def test_the_longest_answer_bounds_what_is_generated(tmp_path: Path) -> None:
    task = facts(tmp_path, ["é" * 50 + str(i) for i in range(20)])
    assert task.max_new_tokens == 104
    task = facts(tmp_path, ["word " * 200 + str(i) for i in range(20)])
    assert task.max_new_tokens == 128
    assert any("the longest answer has 1,00" in note for note in task.read(Path(), "train").notes)


def test_metrics_can_be_chosen(tmp_path: Path) -> None:
    task = facts(tmp_path, ["yes", "no"] * 10)
    chosen = with_metrics(task, "rouge, bleu,rouge")
    assert (chosen.metrics, chosen.metrics_note) == (("rouge", "bleu"), None)
    assert with_metrics(task, None) is task
    assert with_metrics(TASKS["e2e_nlg"], "exact_match").metrics == ("exact_match",)


def test_metrics_that_do_not_fit_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no metric 'rogue'; known: accuracy, accuracy_likelihood, bleu") as unknown:
        with_metrics(TASKS["e2e_nlg"], "bleu,rogue")
    assert unknown.value.tries == ("did you mean: rouge",)
    with pytest.raises(ConfigError, match="accuracy needs a closed set of answers, and e2e_nlg has none"):
        with_metrics(TASKS["e2e_nlg"], "accuracy")
    with pytest.raises(ConfigError, match="metrics names none"):
        with_metrics(TASKS["e2e_nlg"], " , ")
    texts = find_task(config(write(tmp_path / "t.jsonl", [{"text": str(i)} for i in range(9)])))
    with pytest.raises(ConfigError, match="t is plain text without answers"):
        with_metrics(texts, "bleu")


# a glance


def test_a_glance_reads_the_first_row_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", PAIRS)
    path.write_text(path.read_text() + "no JSON\n")
    seen = glance(config(path))
    assert (seen.title, seen.evaluation_split) == ("a.jsonl: column target answers prompt", "test")
    assert seen.first is not None
    assert (seen.first.prompt, seen.first.target) == ("What is 0?\n", "It is number 0 of all.")
    with pytest.raises(DataError, match=r"a\.jsonl:41: not JSON"):
        find_task(config(path))


def test_a_glance_at_the_hub_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = glance(config("some/thing"))
    assert (seen.evaluation_split, seen.first) == (None, None)
    assert seen.title.startswith("data set some/thing on the hub")
    assert glance(config("e2e_nlg")).title == TASKS["e2e_nlg"].title
