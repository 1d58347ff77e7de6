"""One run in two processes: one folder, the numbers of one process, and no process that waits for another forever."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from children import port
from filelock import FileLock
from running import flags, lorascope, read, snapshot

from lorascope.runs import rundir
from lorascope.training.checkpoints import checkpoints

NAME = "run"
QUIET = ["--lora_dropout", "0", "--experiment_name", NAME]
SAME_ROWS = ["--batch_size", "2", "--grad_accum", "1"]  # of two processes: as 2 x 2 of one
TORCH = "[rank"  # begins what PyTorch prints of its own


@pytest.fixture
def argv(home, tmp_path) -> list[object]:
    return ["run", *flags(home), *SAME_ROWS, *QUIET, "--output_dir", tmp_path]


@pytest.fixture(scope="module")
def two(nursery, home, tmp_path_factory):
    """A finished run of two processes."""
    out = tmp_path_factory.mktemp("two")
    run = nursery.start(
        ["run", *flags(home), *SAME_ROWS, *QUIET, "--output_dir", out, "--json"], out, out / NAME, processes=2
    )
    assert run.ended() == [0, 0], run.err() + run.err(1)
    return run


def own(text: str) -> str:
    """What lorascope said."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(TORCH))


def test_two_processes_measure_what_one_measures_on_the_same_rows(two, home, tmp_path, no_pictures):
    assert lorascope(*flags(home), *QUIET, "--output_dir", tmp_path).code == 0
    for name in (rundir.GROUP_NORMS, rundir.LAYER_NORMS):
        ours, one = (pd.read_csv(folder / name) for folder in (two.folder, tmp_path / NAME))
        np.testing.assert_allclose(ours, one, rtol=1e-5)
    ours, one = (read(folder / rundir.RESULTS) for folder in (two.folder, tmp_path / NAME))
    for name in ("training_loss", "validation_loss", "best_validation_loss"):
        np.testing.assert_allclose(ours[name], one[name], rtol=1e-5)
    for name in ("tokens", "rows", "parameters", "best_step"):
        assert ours[name] == one[name]


def test_only_the_first_process_speaks_and_writes(two):
    document = json.loads(two.out())
    assert document["files"] == [str(two.folder)]
    assert own(two.out(1) + two.err(1)) == ""
    assert read(two.folder / rundir.ENVIRONMENT)["processes"] == 2
    assert {path.name for path in (two.folder / "checkpoints" / "checkpoint-4").glob("rng*")} == {
        "rng_state_0.pth", "rng_state_1.pth"
    }  # fmt: skip
    assert [path.name for path in two.folder.parent.iterdir() if path.is_dir()] == [NAME]


def test_a_finished_run_is_left_alone_by_both(two, nursery, argv, tmp_path):
    shutil.copytree(two.folder, tmp_path / NAME)
    before = snapshot(tmp_path / NAME)
    run = nursery.start(argv, tmp_path, tmp_path / NAME, processes=2)
    assert run.ended() == [0, 0]
    assert run.out().endswith("is finished with this configuration; nothing was changed\n")
    assert snapshot(tmp_path / NAME) == before


@pytest.mark.slow
def test_a_stop_of_one_process_stops_both_after_the_same_step(nursery, argv, tmp_path):
    longer = [*argv, "--max_steps", "10", "--eval_every", "5", "--lora_dropout", "0.1"]
    (tmp_path / "whole").mkdir()
    whole = nursery.start([*longer, "--output_dir", tmp_path / "whole"], tmp_path / "whole", tmp_path, processes=2)
    assert whole.ended() == [0, 0]
    run = nursery.start(longer, tmp_path, tmp_path / NAME, meet="slow_steps", processes=2)
    run.until(lambda: run.steps() >= 2)
    os.kill(run.pids[1], signal.SIGTERM)
    assert run.ended() == [130, 130]
    ((step, _),) = checkpoints(tmp_path / NAME / "checkpoints")
    assert f"error[interrupted]: stopped after step {step} of 10, saved" in run.err()
    again = nursery.start(["run", "--resume", tmp_path / NAME], tmp_path, tmp_path / NAME, processes=2)
    assert again.ended() == [0, 0], again.err()
    for name in (rundir.GROUP_NORMS, rundir.GRADIENT_SUMMARY, "final_model/adapter_model.safetensors"):
        assert (tmp_path / NAME / name).read_bytes() == (tmp_path / "whole" / NAME / name).read_bytes()


@pytest.mark.parametrize(
    ("more", "meet", "codes"),
    [
        (["--lr", "1e30"], "nothing", ["nan-loss", "nan-loss"]),
        (["--model", "missing/folder/here"], "nothing", ["no-model", "no-model"]),
        ([], "locked", ["run-locked", "process-lost"]),
        ([], "no_memory_in_the_second_process", ["process-lost", "out-of-memory"]),
    ],
    ids=["both fail", "both refuse", "the first is locked out", "the second fails"],
)
def test_an_error_ends_both_processes(nursery, argv, tmp_path, more, meet, codes):
    lock = FileLock(tmp_path / f".{NAME}.lock")
    if meet == "locked":
        lock.acquire()
        meet = "nothing"
    begun = time.monotonic()
    run = nursery.start([*argv, *more], tmp_path, tmp_path / NAME, meet=meet, processes=2)
    assert run.ended() == [2, 2], run.err() + run.err(1)
    assert time.monotonic() - begun < 60
    lock.release()
    assert own(run.err()).split("error[")[1].startswith(f"{codes[0]}]: ")
    assert own(run.err(1)).startswith(f"process 1: error[{codes[1]}]: ")


@pytest.mark.slow
def test_accelerate_launch_runs_the_package(home, tmp_path):
    launch = shlex.split("--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no")
    argv = [sys.executable, "-m", "accelerate.commands.launch", *launch, "--main_process_port", str(port())]
    words = ["-m", "lorascope", "run", *flags(home), *SAME_ROWS, *QUIET, "--output_dir", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*argv, *words], env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Saved ") == 1
    assert rundir.state(tmp_path / NAME) == "finished"
    assert read(tmp_path / NAME / rundir.ENVIRONMENT)["processes"] == 2
