"""A data set's name typed at the command line: fetched, or one message in time."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import official_hub
import pytest
from huggingface_hub import constants

import hub
from lorascope import cli
from toy import save_toy


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Call the command line here, with a toy model: (exit code, stdout, stderr)."""
    model = save_toy(tmp_path / "toy")

    def call(*words: str) -> tuple[int, str, str]:
        hub.forget()
        code = cli.main([*words, "--model", str(model), "--batch_size", "1"])
        return code, *capsys.readouterr()

    return call


def test_check_takes_a_task_from_the_hub_and_the_next_one_does_without(
    fake_hub: hub.FakeHub, typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    official_hub.fill(fake_hub)
    code, out, err = typed("check", "--dataset", "e2e_nlg")
    assert code == 0
    assert "2 of 2 test examples to evaluate" in out
    assert "4 of the official 42,061 train rows" in err
    for name in ("tuetschek/e2e_nlg", "GEM/e2e_nlg"):
        assert typed("check", "--dataset", name)[0] == 0
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    code, out, err = typed("check", "--dataset", "e2e_nlg")
    commit = fake_hub.repos["tuetschek/e2e_nlg"].commit(hub.PARQUET)
    assert code == 0
    assert f"tuetschek/e2e_nlg is taken from the cache, commit {commit}" in err


def test_a_hub_that_never_answers_ends_check_with_what_works(
    tmp_path: Path, typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub.point_to(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path / "hf", monkeypatch)
        typed("check", "--data_source", "local")  # what is imported on the way is not timed
        start = time.perf_counter()
        code, _, err = typed("check", "--dataset", "samsum")
        seconds = time.perf_counter() - start
    assert code == 2
    assert seconds < 10
    assert err.count("[hub-unreachable]") == 1
    assert "knkarthick/samsum is not in the cache" in err
    assert "--data_dir FOLDER   (with train.json, val.json, test.json)" in err
    assert "--data_source builtin --model embedded" in err


@pytest.mark.slow
def test_a_process_ends_when_the_chunk_store_is_silent(fake_hub: hub.FakeHub) -> None:
    """Threads of a download that stands still must not keep the program from ending."""
    official_hub.fill(fake_hub)
    code = (
        "import time\nfrom lorascope.tasks import TASKS, hub\nfrom lorascope.tasks.sources import load_rows\n"
        "from lorascope.config.experiment import DataConfig\nfrom lorascope.errors import DataError\nhub.STALL = 1.0\n"
        "try:\n    load_rows(TASKS['samsum'], DataConfig(dataset='samsum'), 'train')\n"
        "except DataError as error:\n    print(error.code, time.time())\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fake_hub.repos["knkarthick/samsum"].xet = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        ended = time.time()
    kind, said = done.stdout.split()
    assert kind == "download"
    assert ended - float(said) < 5
