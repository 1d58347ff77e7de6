"""Stopped and killed runs: they say how to go on, and end in the digits of a run that nobody disturbed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
import pytest
from running import flags, lorascope, printed, read

from lorascope.measure import journal
from lorascope.runs import rundir
from lorascope.training.checkpoints import checkpoints

ROOT = Path(__file__).resolve().parents[2]
NAME = "e2e_nlg_both_r2_s42"
STEPS = 10
CADENCE = ["--max_steps", str(STEPS), "--eval_every", "3"]  # checkpoints at 3, 6, 9 and 10; weights at 10
EXACT = (
    rundir.GROUP_NORMS, rundir.LAYER_NORMS, rundir.GRADIENT_SUMMARY, rundir.SAMPLES, "e2e_nlg_evaluation.json",
    "final_model/adapter_model.safetensors", f"checkpoints/checkpoint-{STEPS}/adapter_model.safetensors",
)  # fmt: skip
OF_THE_PROCESS = ("seconds", "peak_memory_bytes", "resumed_after_step", "warnings")


@pytest.fixture(scope="module")
def undisturbed(home, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lorascope.runs.experiment.draw_run", lambda *args, **kwargs: {})
        assert lorascope(*flags(home), *CADENCE, "--output_dir", out).code == 0
    return out / NAME


@dataclass
class Child:
    """A run in a process of its own."""

    pid: int
    folder: Path
    answers: TextIO
    err: Path

    def ended(self) -> int:
        """Its exit code; negative for the signal that ended it."""
        return int(self.answers.readline())

    def steps(self) -> int:
        """The steps that it has measured so far."""
        path = self.folder / rundir.GRADIENT_JOURNAL
        return len(journal.read(path)[1]) if path.exists() else 0

    def until(self, there: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not there():
            assert time.monotonic() < end, self.err.read_text()
            time.sleep(0.002)

    def resume_command(self) -> str:
        """The command that its error offers."""
        lines = [line.strip() for line in self.err.read_text().splitlines()]
        (command,) = (line.removeprefix("try: ") for line in lines if line.startswith("try: lorascope run --resume"))
        return command


@pytest.fixture(scope="module")
def nursery() -> Iterator[subprocess.Popen]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    script = Path(__file__).with_name("nursery.py")
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


@pytest.fixture
def start(nursery, home, tmp_path, no_pictures):
    """Start the run of `undisturbed` in tmp_path, in its own process."""

    def begin(meet: str = "nothing") -> Child:
        argv = ["run", *flags(home), *CADENCE, "--output_dir", str(tmp_path)]
        asked = {"argv": argv, "out": str(tmp_path / "out.txt"), "err": str(tmp_path / "err.txt"), "meet": meet}
        print(json.dumps(asked), file=nursery.stdin, flush=True)
        return Child(int(nursery.stdout.readline()), tmp_path / NAME, nursery.stdout, tmp_path / "err.txt")

    return begin


def check_same(folder: Path, undisturbed: Path) -> None:
    for name in EXACT:
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name
    tables = [pd.read_parquet(run / rundir.GRADIENT_TABLE) for run in (folder, undisturbed)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    ours, theirs = (read(run / rundir.RESULTS) for run in (folder, undisturbed))
    assert {k: v for k, v in ours.items() if k not in OF_THE_PROCESS} == {
        k: v for k, v in theirs.items() if k not in OF_THE_PROCESS
    }


# ---- asked to stop --------------------------------------------------------------------------------------------------


def test_ctrl_c_in_the_seeds_own_command_ends_the_step_and_says_how_to_go_on(home, tmp_path, undisturbed, no_pictures):
    argv = [sys.executable, ROOT / "run_experiment.py", *flags(home), *CADENCE, "--output_dir", tmp_path]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        child = Child(process.pid, tmp_path / NAME, process.stdout, tmp_path / "err.txt")
        child.err.touch()
        child.until(lambda: child.steps() >= 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    child.err.write_text(err)
    assert process.returncode == 130, err
    assert "stopping after this step (again: now)" in err
    assert "Traceback" not in err + out
    last = err[err.index("error[") :].splitlines()
    (step, _), *_ = reversed(checkpoints(child.folder / "checkpoints"))
    assert last == [
        f"error[interrupted]: stopped after step {step} of {STEPS}, saved",
        f"  try: lorascope run --resume {child.folder}",
    ]
    assert 2 <= step < STEPS
    assert rundir.state(child.folder) == "unfinished"
    assert printed(child.resume_command()).code == 0
    check_same(child.folder, undisturbed)
    assert read(child.folder / rundir.RESULTS)["resumed_after_step"] == step


def test_sigterm_is_ctrl_c(start, undisturbed):
    child = start()
    child.until(lambda: child.steps() >= 4)
    os.kill(child.pid, signal.SIGTERM)
    assert child.ended() == 130
    assert printed(child.resume_command()).code == 0
    check_same(child.folder, undisturbed)


def test_a_second_signal_means_now(start, undisturbed):
    child = start(meet="long_step")
    child.until(lambda: child.steps() >= 2)
    os.kill(child.pid, signal.SIGINT)
    child.until(lambda: "stopping after this step" in child.err.read_text())
    begun = time.monotonic()
    os.kill(child.pid, signal.SIGINT)
    assert child.ended() == 130
    assert time.monotonic() - begun < 1
    assert lorascope("run", "--resume", child.folder).code == 0
    check_same(child.folder, undisturbed)


def test_ctrl_c_after_the_training_can_be_resumed_as_well(start, undisturbed):
    child = start(meet="long_evaluation")
    child.until(lambda: (child.folder / "final_model" / "tokenizer.json").exists())
    time.sleep(0.3)
    os.kill(child.pid, signal.SIGINT)
    assert child.ended() == 130
    assert printed(child.resume_command()).code == 0
    check_same(child.folder, undisturbed)


# ---- killed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "steps",
    [0, 3, pytest.param(1, marks=pytest.mark.slow), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 10))],
)
def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(start, undisturbed, steps):
    child = start()
    child.until(lambda: (child.folder / rundir.GRADIENT_JOURNAL).exists() and child.steps() >= steps)
    time.sleep(random.Random(steps).uniform(0, 0.1))
    os.kill(child.pid, signal.SIGKILL)
    assert child.ended() == -signal.SIGKILL
    assert rundir.state(child.folder) == "unfinished"
    assert lorascope("run", "--resume", child.folder).code == 0
    check_same(child.folder, undisturbed)


def test_a_run_killed_in_its_evaluation_goes_on(start, undisturbed):
    child = start(meet="death_in_evaluation")
    assert child.ended() == -signal.SIGKILL
    assert (child.folder / "final_model").is_dir()
    assert lorascope("run", "--resume", child.folder).code == 0
    check_same(child.folder, undisturbed)


@pytest.mark.parametrize(("torn", "from_step"), [([10], 9), ([10, 9, 6], 3), ([10, 9, 6, 3], None)])
def test_torn_checkpoints_are_passed_over(undisturbed, tmp_path, no_pictures, torn, from_step):
    folder = shutil.copytree(undisturbed, tmp_path / NAME)
    (folder / rundir.RESULTS).unlink()
    for step in torn:
        file = folder / "checkpoints" / f"checkpoint-{step}" / "optimizer.pt"
        file.write_bytes(file.read_bytes()[:100])
    assert lorascope("run", "--resume", folder).code == 0
    assert read(folder / rundir.RESULTS)["resumed_after_step"] == from_step
    check_same(folder, undisturbed)


def test_the_best_checkpoint_is_kept_and_found_again_where_the_folder_was_moved(
    home, tmp_path, no_pictures, monkeypatch
):
    losses = iter([9.0, 5.0, 3.0, 4.0, 6.0, *[4.0, 6.0]])  # before the first step, after each; again after 3 and 4
    monkeypatch.setattr(
        "lorascope.training.trainer.answer_losses", lambda *args, **kwargs: (np.array([next(losses)]), np.array([1]))
    )
    seldom = ["--eval_every", "1", "--save_every", "4", "--no_eval"]
    assert lorascope(*flags(home), *seldom, "--output_dir", tmp_path / "here").code == 0
    folder = tmp_path / "there" / NAME
    shutil.move(tmp_path / "here", folder.parent)
    assert read(folder / rundir.RESULTS)["best_step"] == 2
    assert [step for step, _ in checkpoints(folder / "checkpoints")] == [1, 2, 4]  # the best so far, and the cadence
    adapter = (folder / "final_model" / "adapter_model.safetensors").read_bytes()
    assert adapter == (folder / "checkpoints" / "checkpoint-2" / "adapter_model.safetensors").read_bytes()
    (folder / rundir.RESULTS).unlink()
    shutil.rmtree(folder / "checkpoints" / "checkpoint-4")
    shutil.rmtree(folder / "final_model")
    assert lorascope("run", "--resume", folder).code == 0
    assert read(folder / rundir.RESULTS)["resumed_after_step"] == 2
    assert (folder / "final_model" / "adapter_model.safetensors").read_bytes() == adapter
