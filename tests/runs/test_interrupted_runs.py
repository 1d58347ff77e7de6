"""Stopped and killed runs: they say how to go on, and end in the digits of a run that nobody disturbed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from children import measured_steps, offered, until
from running import flags, lorascope, printed, read

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


@pytest.fixture
def start(nursery, home, tmp_path, no_pictures):
    """Start the run of `undisturbed` in tmp_path, in its own process."""
    argv = ["run", *flags(home), *CADENCE, "--output_dir", tmp_path]
    return lambda meet="nothing": nursery.start(argv, tmp_path, tmp_path / NAME, meet=meet)


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
    folder = tmp_path / NAME
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        until(lambda: measured_steps(folder) >= 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopping after this step (again: now)" in err
    assert "Traceback" not in err + out
    (step, _), *_ = reversed(checkpoints(folder / "checkpoints"))
    assert 2 <= step < STEPS
    assert err[err.index("error[") :].splitlines() == [
        f"error[interrupted]: stopped after step {step} of {STEPS}, saved",
        f"  try: lorascope run --resume {folder}",
    ]
    assert rundir.state(folder) == "unfinished"
    assert printed(offered(err)).code == 0
    check_same(folder, undisturbed)
    assert read(folder / rundir.RESULTS)["resumed_after_step"] == step


def test_sigterm_is_ctrl_c(start, undisturbed):
    run = start(meet="slow_steps")
    run.until(lambda: run.steps() >= 4)
    os.kill(run.pids[0], signal.SIGTERM)
    assert run.ended() == [130]
    (step, _), *_ = reversed(checkpoints(run.folder / "checkpoints"))
    assert f"stopped after step {step} of {STEPS}, saved" in run.err()
    assert printed(run.resume_command()).code == 0
    check_same(run.folder, undisturbed)


def test_a_second_signal_means_now(start, undisturbed):
    run = start(meet="long_step")
    run.until(lambda: run.steps() >= 2)
    os.kill(run.pids[0], signal.SIGINT)
    run.until(lambda: "stopping after this step" in run.err())
    begun = time.monotonic()
    os.kill(run.pids[0], signal.SIGINT)
    assert run.ended() == [130]
    assert time.monotonic() - begun < 1
    assert lorascope("run", "--resume", run.folder).code == 0
    check_same(run.folder, undisturbed)


def test_ctrl_c_after_the_training_can_be_resumed_as_well(start, undisturbed):
    run = start(meet="long_evaluation")
    run.until(lambda: (run.folder / "final_model" / "tokenizer.json").exists())
    time.sleep(0.3)
    os.kill(run.pids[0], signal.SIGINT)
    assert run.ended() == [130]
    assert printed(run.resume_command()).code == 0
    check_same(run.folder, undisturbed)


# ---- killed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 2, 4, 5, 6, 7, 8, 9))])
def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(start, undisturbed, steps):
    run = start(meet="slow_steps")
    run.until(lambda: (run.folder / rundir.GRADIENT_JOURNAL).exists() and run.steps() >= steps)
    time.sleep(random.Random(steps).uniform(0, 0.1))
    os.kill(run.pids[0], signal.SIGKILL)
    assert run.ended() == [-signal.SIGKILL]
    assert rundir.state(run.folder) == "unfinished"
    assert lorascope("run", "--resume", run.folder).code == 0
    check_same(run.folder, undisturbed)


def test_a_run_killed_in_its_evaluation_goes_on(start, undisturbed):
    run = start(meet="death_in_evaluation")
    assert run.ended() == [-signal.SIGKILL]
    assert (run.folder / "final_model").is_dir()
    assert lorascope("run", "--resume", run.folder).code == 0
    check_same(run.folder, undisturbed)


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
    losses = iter([9.0, 5.0, 3.0, 4.0, 6.0])  # before the first step, and after each
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
    shutil.rmtree(folder / "final_model")
    assert lorascope("run", "--resume", folder).code == 0
    assert read(folder / rundir.RESULTS)["resumed_after_step"] == 4
    assert (folder / "final_model" / "adapter_model.safetensors").read_bytes() == adapter
