"""What the hub does not give, and downloads that break off: one error each, in time."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from huggingface_hub import constants
from official_hub import load, offline, refused, within

import hub
from lorascope.errors import DataError
from lorascope.tasks import TASKS
from lorascope.tasks import hub as tasks_hub

E2E, SAMSUM = TASKS["e2e_nlg"], TASKS["samsum"]


# What the hub says no to


def test_a_data_set_that_is_not_there_is_said(full_hub: hub.FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused("nobody/nothing", tries=("--data_dir FOLDER",))
    assert error.code == "no-dataset"
    assert "has no data set 'nobody/nothing' (or it is private)" in error.what
    assert error.tries == ("hf auth login   (if it is private)", "--data_dir FOLDER")
    assert refused("a b/c").code == "no-dataset"  # a name that none can have
    with offline(monkeypatch):
        for revision in (None, "v1", "0" * 40):
            assert refused("a b/c", revision).code == "hub-unreachable"


@pytest.mark.parametrize("what", ["info", "files"])
def test_a_gated_one_says_how_to_log_in(what: str, full_hub: hub.FakeHub) -> None:
    full_hub.repos["knkarthick/samsum"].gated = what
    with within(5), pytest.raises(DataError, match="knkarthick/samsum is gated") as caught:
        load(SAMSUM)
    assert caught.value.code == "gated-data"
    assert "hf auth login" in caught.value.tries


def test_a_script_without_a_copy_in_parquet_is_refused(full_hub: hub.FakeHub) -> None:
    del full_hub.repos["tuetschek/e2e_nlg"].branches[hub.PARQUET]
    with pytest.raises(DataError, match="is a Python script, which is not run, and holds no data files") as caught:
        load(E2E)
    assert caught.value.code == "script-only"
    assert caught.value.tries[0].startswith("--data_dir FOLDER ")


def test_several_configurations_are_named_and_none_is_taken(fake_hub: hub.FakeHub) -> None:
    table = hub.e2e([("name[A]", "x")])
    names = [
        f"{config}/{split}-00000-of-00001.parquet" for config in ("main", "socratic") for split in ("train", "test")
    ]
    fake_hub.repos["some/math"] = hub.Repo({"main": dict.fromkeys(names, table)})
    error = refused("some/math")
    assert error.code == "two-files"
    assert error.what.endswith("has the split train 2 times: main, socratic")
    assert error.tries == (
        'hf download some/math --repo-type dataset --include "NAME/*" --local-dir FOLDER, then --dataset FOLDER/NAME',
    )


def test_a_data_set_without_files_that_are_read_says_what_it_holds(fake_hub: hub.FakeHub) -> None:
    fake_hub.repos["some/pictures"] = hub.Repo({"main": {"a.png": b"x", "train.zip": b"x"}})
    error = refused("some/pictures")
    assert error.code == "no-split"
    assert "it holds: .gitattributes, README.md, a.png, train.zip" in error.what


# Downloads


def test_a_download_that_is_cut_goes_on(full_hub: hub.FakeHub, official_files: Path) -> None:
    full_hub.repos["knkarthick/samsum"].cut = 1
    assert load(SAMSUM).sha256 == load(SAMSUM, data_dir=str(official_files)).sha256
    assert full_hub.downloads() == ["train.csv"] * 2


def test_a_download_that_is_always_cut_is_one_error(full_hub: hub.FakeHub) -> None:
    full_hub.repos["knkarthick/samsum"].cut = 100
    with (
        within(12),
        pytest.raises(DataError, match=r"train\.csv of knkarthick/samsum cannot be downloaded: ") as caught,
    ):
        load(SAMSUM)
    assert caught.value.code == "download"
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete"))


def test_a_download_that_stands_still_is_one_error(full_hub: hub.FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    full_hub.repos["knkarthick/samsum"].silent = True
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    with within(12), pytest.raises(DataError, match=r"train\.csv of knkarthick/samsum cannot be downloaded: "):
        load(SAMSUM)


def test_a_chunk_store_that_is_silent_is_given_up(full_hub: hub.FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        full_hub.repos["knkarthick/samsum"].xet = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(tasks_hub, "STALL", 1.0)
        with within(10), pytest.raises(DataError, match="chunk store sends nothing for 1 s") as caught:
            load(SAMSUM)
    assert caught.value.tries[0].startswith("HF_HUB_DISABLE_XET=1 ")


def test_files_that_lie_damaged_in_the_cache_are_named(full_hub: hub.FakeHub) -> None:
    (path,) = load(E2E).files
    folder = tasks_hub.cache_folder("tuetschek/e2e_nlg")
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"0000\.parquet: no whole Parquet file") as caught:
        load(E2E)
    assert caught.value.tries == (f"rm -r {folder}   (it is then downloaded again)",)
    shutil.rmtree(folder)
    assert len(load(E2E).rows) == 4
