"""Data sets on the hub: the same rows as from the official files, the commit recorded, and every no said in time."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download
from official_hub import load, offline, refused, within

import hub
from lorascope.config.experiment import DataConfig
from lorascope.errors import DataError
from lorascope.tasks import TASKS, e2e_nlg
from lorascope.tasks.base import Task
from lorascope.tasks.hub import fetch
from lorascope.tasks.split import load_evaluation, load_training

E2E, SAMSUM = TASKS["e2e_nlg"], TASKS["samsum"]


# The rows

FOUR = [(task, split) for task in TASKS.values() if task.hub for split in task.files]


@pytest.mark.parametrize(("task", "split"), FOUR, ids=[f"{task.name}/{split}" for task, split in FOUR])
def test_the_hub_gives_the_rows_of_the_official_files(
    task: Task, split: str, full_hub: hub.FakeHub, official_files: Path
) -> None:
    local = load(task, split, data_dir=str(official_files))
    ours = load(task, split)
    assert task.hub is not None
    assert ours.rows == local.rows
    assert (ours.sha256, ours.source, local.source) == (local.sha256, f"hub:{task.hub.repo}", "local")
    repo = full_hub.repos[task.hub.repo]
    assert ours.revision in (repo.commit("main"), hub.PARQUET in repo.branches and repo.commit(hub.PARQUET))


def test_cleaned_e2e_is_a_task_of_its_own_with_a_row_for_every_reference(full_hub: hub.FakeHub) -> None:
    task = e2e_nlg.CLEANED
    assert task.name == DataConfig(dataset="GEM/e2e_nlg").task_name
    assert [row["ref"] for row in load(task).rows] == ["A pub.", "Zizzi is here."]
    (wildwood, giraffe) = task.to_evaluation(load(task, "test").rows)
    assert wildwood.references == ("Wildwood.", "The Wildwood.", "It is Wildwood.")
    assert giraffe.references == ("Giraffe.",)
    assert wildwood.prompt == e2e_nlg.prompt("name[Wildwood]")


def test_the_cleaned_official_files_have_more_columns(tmp_path: Path) -> None:
    (tmp_path / "test-fixed.csv").write_text(
        'mr,ref,fixed,orig_mr\nname[A],"A, here.",True,name[B]\nname[A],That is A.,False,name[A]\n'
    )
    rows = load(e2e_nlg.CLEANED, "test", data_dir=str(tmp_path)).rows
    assert rows == [{"id": "0", "mr": "name[A]", "ref": "A, here."}, {"id": "1", "mr": "name[A]", "ref": "That is A."}]


def test_provenance_says_where_rows_are_from_and_of_which_commit(full_hub: hub.FakeHub) -> None:
    data = DataConfig(dataset="samsum", num_samples=0, validation_split=0.3)
    commit = full_hub.repos["knkarthick/samsum"].commit("main")
    training = load_training(SAMSUM, data)
    facts = training.provenance
    assert (facts["source"], facts["revision"], facts["files"]) == ("hub:knkarthick/samsum", commit, ["train.csv"])
    assert (facts["rows"], facts["official_rows"]) == (3, 14_732)
    assert f"in knkarthick/samsum on the hub, commit {commit[:12]}" in training.describe()
    facts = load_evaluation(TASKS["wikisql"], DataConfig(dataset="wikisql"), 0).provenance
    assert facts["files"] == ["default/test/0000.parquet"]


def test_shards_are_read_in_their_order(fake_hub: hub.FakeHub) -> None:
    names = [f"data/train-{i:05d}-of-00012.parquet" for i in range(12)]
    fake_hub.repos["some/e2e"] = hub.Repo({"main": {name: hub.e2e([(f"name[{name}]", "x")]) for name in names}})
    files = fetch("some/e2e").files["train"]
    assert [file.name for file in files] == [name.removeprefix("data/") for name in names]


def test_any_data_set_gives_the_splits_it_has(fake_hub: hub.FakeHub) -> None:
    for names, splits in {
        ("train.jsonl", "dev.jsonl", "notes.jsonl"): {"train", "validation"},
        ("my_data.json", "README.json.txt"): {"train"},
        ("a/train.csv.gz", "a/test.csv.gz"): {"train", "test"},
    }.items():
        fake_hub.repos["some/data"] = hub.Repo({"main": dict.fromkeys(names, b"x" * len(splits))})
        hub.forget()
        assert set(fetch("some/data").files) == splits


# One question


def test_the_hub_is_asked_once_for_all_splits(full_hub: hub.FakeHub) -> None:
    first = load(E2E)
    for split in ("validation", "test", "train"):
        assert load(E2E, split).revision == first.revision
    name = "/api/datasets/tuetschek/e2e_nlg"
    assert full_hub.questions() == [f"GET {name}", f"GET {name}/revision/{hub.PARQUET}"]
    assert len(full_hub.downloads()) == 3


def test_a_second_process_downloads_nothing(full_hub: hub.FakeHub) -> None:
    first = load(SAMSUM)
    hub.forget()
    full_hub.asked.clear()
    assert load(SAMSUM) == first
    assert full_hub.asked == ["GET /api/datasets/knkarthick/samsum"]


def test_a_split_is_downloaded_when_it_is_read(full_hub: hub.FakeHub) -> None:
    load(SAMSUM, "test")
    assert full_hub.downloads() == ["test.csv"]


# Revisions


@pytest.fixture
def two_states(full_hub: hub.FakeHub) -> hub.Repo:
    """SAMSum with an older state: another first summary."""
    repo = full_hub.repos["knkarthick/samsum"]
    old = {name: body.replace(b"Ann has cake.", b"Ann bakes.") for name, body in repo.branches["main"].items()}
    repo.branches["v1"] = old
    return repo


def test_a_revision_pins_the_rows(two_states: hub.Repo) -> None:
    for revision in ("v1", two_states.commit("v1")):
        loaded = load(SAMSUM, data_revision=revision)
        assert loaded.rows[0]["summary"] == "Ann bakes."
        assert loaded.revision == two_states.commit("v1")
    assert load(SAMSUM).rows[0]["summary"] == "Ann has cake."


def test_a_commit_that_the_cache_has_is_not_asked_for(two_states: hub.Repo, full_hub: hub.FakeHub) -> None:
    commit = two_states.commit("v1")
    first = load(SAMSUM, data_revision=commit)
    hub.forget()
    full_hub.asked.clear()
    assert load(SAMSUM, data_revision=commit) == first
    assert full_hub.asked == []


def test_another_split_of_a_commit_that_the_cache_has_is_downloaded(
    two_states: hub.Repo, full_hub: hub.FakeHub
) -> None:
    commit = two_states.commit("v1")
    load(SAMSUM, data_revision=commit)
    hub.forget()
    assert len(load(SAMSUM, "test", data_revision=commit).rows) == 2
    assert set(fetch("knkarthick/samsum", commit).files) == {"train", "validation", "test"}


def test_what_a_broken_download_left_of_a_commit_is_completed(fake_hub: hub.FakeHub) -> None:
    fake_hub.repos["some/data"] = repo = hub.Repo({"main": {f"{split}.csv": b"a\n" for split in ("train", "test")}})
    files = fetch("some/data", repo.commit("main")).files
    files["train"][0].unlink()  # the last one that is fetched
    hub.forget()
    assert fetch("some/data", repo.commit("main")).files == files


def test_a_revision_that_is_not_there_is_said(full_hub: hub.FakeHub) -> None:
    error = refused("knkarthick/samsum", "v9")
    assert error.code == "no-revision"
    assert "knkarthick/samsum" in error.what
    assert "'v9'" in error.what


def test_a_script_at_a_revision_is_not_exchanged_for_the_newest_copy(full_hub: hub.FakeHub) -> None:
    repo = full_hub.repos["tuetschek/e2e_nlg"]
    error = refused("tuetschek/e2e_nlg", repo.commit("main"))
    assert error.code == "script-only"
    assert error.tries[0].startswith(f"--data_revision {hub.PARQUET} ")
    hub.forget()
    assert fetch("tuetschek/e2e_nlg", hub.PARQUET).revision == repo.commit(hub.PARQUET)


# Without an answer


def test_without_network_the_cache_serves_and_names_the_commit(
    full_hub: hub.FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in (E2E, SAMSUM):  # a script with a copy in Parquet, and files in main
        first = load(task)
        with offline(monkeypatch):
            again = load(task)
        assert (again.rows, again.revision, again.source) == (first.rows, first.revision, first.source)
        assert task.hub is not None
        assert again.notes[0] == (
            "the hub is switched off (HF_HUB_OFFLINE); "
            f"{task.hub.repo} is taken from the cache, commit {first.revision}"
        )


def test_the_cache_never_gives_another_revision(two_states: hub.Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    load(SAMSUM)
    with offline(monkeypatch), pytest.raises(DataError, match="knkarthick/samsum at v1 is not in the cache"):
        load(SAMSUM, data_revision="v1")
    newest = load(SAMSUM, data_revision="v1").revision
    with offline(monkeypatch):
        assert load(SAMSUM, data_revision="v1").revision == newest != load(SAMSUM).revision


def test_the_cache_gives_the_state_that_the_hub_named_last(
    two_states: hub.Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(SAMSUM)
    two_states.branches["main"] = two_states.branches["v1"]  # a new commit
    hub.forget()
    load(SAMSUM)
    with offline(monkeypatch):
        assert load(SAMSUM).rows[0]["summary"] == "Ann bakes."


def test_a_split_that_the_cache_lacks_is_said(full_hub: hub.FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    load(SAMSUM)
    with offline(monkeypatch):
        error = refused("knkarthick/samsum", splits=("test",))
    assert error.code == "hub-unreachable"
    assert error.what.endswith("the cache has no whole split test; it has: train.csv")


@pytest.mark.parametrize("layout", ["data/train-{i:05d}-of-00003.parquet", "default/train/{i:04d}.parquet"])
def test_some_of_the_shards_in_the_cache_are_none(
    layout: str, fake_hub: hub.FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [layout.format(i=i) for i in range(3)]
    fake_hub.repos["some/e2e"] = hub.Repo({"main": {name: hub.e2e([("name[A]", name)]) for name in names}})
    folder = fetch("some/e2e").files["train"][0].parent
    (folder / Path(names[0]).name).unlink()  # the download goes backwards: what was broken off lacks the first
    with offline(monkeypatch):
        error = refused("some/e2e")
    assert error.code == "hub-unreachable"
    assert "the cache has no whole split train; it has: " in error.what


def test_a_cache_that_other_tools_filled_serves(full_hub: hub.FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot_download("knkarthick/samsum", repo_type="dataset", max_workers=1)
    with offline(monkeypatch):
        assert len(load(SAMSUM, "test").rows) == 2


def test_an_empty_cache_without_network_names_what_works(
    fake_hub: hub.FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with offline(monkeypatch), pytest.raises(DataError) as caught:
        load(E2E)
    assert str(caught.value) == (
        "[hub-unreachable]: the hub is switched off (HF_HUB_OFFLINE); tuetschek/e2e_nlg is not in the cache\n"
        "  try: --data_dir FOLDER   (with trainset.csv, devset.csv, testset_w_refs.csv)\n"
        "  try: --data_source builtin --model embedded   (generated data and a tiny model, both inside lorascope)"
    )


def test_a_refused_connection_is_said_at_once(
    fake_hub: hub.FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.point_to("http://127.0.0.1:1", tmp_path / "other", monkeypatch)
    with within(5):
        error = refused("some/data")
    assert (error.code, error.what) == (
        "hub-unreachable", "127.0.0.1:1 cannot be reached (ConnectError); some/data is not in the cache",
    )  # fmt: skip
    assert error.tries == (
        "hf download some/data --repo-type dataset --local-dir FOLDER   (elsewhere), then --dataset FOLDER",
    )


def test_a_hub_that_never_answers_is_given_up(
    full_hub: hub.FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(SAMSUM)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub.point_to(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path / "hf", monkeypatch)
        monkeypatch.setattr("lorascope.hub.TIMEOUT", 0.5)
        with within(5):
            assert load(SAMSUM).rows == first.rows
        with within(5):
            error = refused("some/data")
    assert error.code == "hub-unreachable"
    assert "did not answer in 0.5 s" in error.what or "cannot be reached (ReadTimeout)" in error.what


def test_a_hub_in_trouble_counts_as_away(full_hub: hub.FakeHub) -> None:
    first = load(SAMSUM)
    hub.forget()
    full_hub.down = 503
    again = load(SAMSUM)
    assert again.rows == first.rows
    assert "has no answer (HTTP 503); knkarthick/samsum is taken from the cache" in again.notes[0]
    assert "HTTP 503" in refused("some/data").what
