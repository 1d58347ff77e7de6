"""Any data set on the hub as data of one's own."""

from __future__ import annotations

import pytest

import hub
from lorascope.config.experiment import DataConfig
from lorascope.errors import DataError
from lorascope.tasks import find_task, glance
from lorascope.tasks.base import Origin
from lorascope.tasks.split import load_evaluation, load_training

ROWS = [{"question": f"What is {i}?", "answer": f"{i}"} for i in range(30)]
COLUMNS = {"prompt_column": "question", "target_column": "answer"}


@pytest.fixture
def data_set(fake_hub: hub.FakeHub) -> hub.Repo:
    """Two shards to train on, validation rows, no test rows."""
    files = {
        "data/train-00000-of-00002.parquet": hub.parquet(ROWS[:10]),
        "data/train-00001-of-00002.parquet": hub.parquet(ROWS[10:20]),
        "data/validation-00000-of-00001.parquet": hub.parquet(ROWS[20:]),
        "README.md": b"x",
    }
    fake_hub.repos["some/questions"] = repo = hub.Repo({"main": files})
    return repo


def test_its_splits_are_read_and_its_commit_is_recorded(data_set: hub.Repo) -> None:
    data = DataConfig(dataset="some/questions", num_samples=0, **COLUMNS)
    task = find_task(data)
    commit = data_set.commit("main")
    assert task.origin == Origin(source="hub:some/questions", revision=commit)
    assert (task.name, task.title) == ("some_questions", "some/questions: column answer answers question")
    training = load_training(task, data)
    held_out = load_evaluation(task, data, 0, training=training)
    asked = {e.prompt.strip() for e in (*training.train, *training.validation)}
    assert asked == {row["question"] for row in ROWS[:20]}
    assert (held_out.split, [e.target for e in held_out.examples]) == ("validation", [str(i) for i in range(20, 30)])
    for provenance in (training.provenance, held_out.provenance):
        assert (provenance["source"], provenance["revision"]) == ("hub:some/questions", commit)


def test_a_revision_pins_it(data_set: hub.Repo, fake_hub: hub.FakeHub) -> None:
    old = data_set.commit("main")
    data_set.branches["old"] = data_set.branches["main"]
    pinned = data_set.commit("old")
    data_set.branches["main"] = {"train.jsonl": hub.jsonl([{"question": "New?", "answer": "n"}] * 3 + ROWS)}
    hub.forget()
    assert old != pinned
    data = DataConfig(dataset="some/questions", data_revision=pinned, **COLUMNS)
    task = find_task(data)
    assert task.origin == Origin(source="hub:some/questions", revision=pinned)
    assert list(task.files) == ["train", "validation"]
    newest = find_task(DataConfig(dataset="some/questions", **COLUMNS))
    assert list(newest.files) == ["train", "test", "all"]


def test_a_plan_asks_the_hub_nothing(data_set: hub.Repo, fake_hub: hub.FakeHub) -> None:
    assert glance(DataConfig(dataset="some/questions")).evaluation_split is None
    assert fake_hub.asked == []


def test_a_data_set_without_training_rows_is_refused(fake_hub: hub.FakeHub) -> None:
    fake_hub.repos["some/test"] = hub.Repo({"main": {"test.jsonl": hub.jsonl(ROWS)}})
    with pytest.raises(DataError, match="some/test has no training split; it has: test"):
        find_task(DataConfig(dataset="some/test"))


def test_one_that_is_not_there_is_said(fake_hub: hub.FakeHub) -> None:
    with pytest.raises(DataError, match="nobody/nothing"):
        find_task(DataConfig(dataset="nobody/nothing"))
