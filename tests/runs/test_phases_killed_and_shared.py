"""Runs in phases that are killed at any moment, or shared by two processes, end in the numbers of one left alone."""

from __future__ import annotations

import shlex
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from running import flags, lorascope, read

from lorascope.runs import rundir

STEPS = 8
CHOOSING = shlex.split(
    "--dynamic_lora --phase_strategy sensitivity --phase_every 3 --phase_explore 0.4 --on_thaw reset --phase_warmup 1 "
    f"--max_steps {STEPS} --eval_every 2 --no_eval --experiment_name run"
)
"""Choices after 3 and 6 updates, checkpoints after every second."""
EXACT = (
    rundir.GROUP_NORMS, rundir.LAYER_NORMS, rundir.GRADIENT_SUMMARY, rundir.DECISIONS,
    "final_model/adapter_model.safetensors",
)  # fmt: skip
OF_THE_PROCESS = ("seconds", "peak_memory_bytes", "resumed_after_step", "warnings")
MOMENTS = ("on_step_begin", "on_pre_optimizer_step", "on_optimizer_step", "on_step_end")
POINTS = [f"{moment} {updates}" for moment in MOMENTS for updates in (2, 3, 5, 6)] + [
    f"on_save {updates}" for updates in (2, 4, 6, 8)
]
"""Twenty; the beginning of the steps after 3 and 6 updates is where a choice has just been written down."""
FAST = ("on_step_begin 6", "on_optimizer_step 3")


@pytest.fixture(scope="module")
def undisturbed(home, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lorascope.runs.experiment.draw_run", lambda *args, **kwargs: {})
        typed = lorascope(*flags(home), *CHOOSING, "--output_dir", out)
    assert typed.code == 0, typed.err
    return out / "run"


def test_the_run_records_what_it_chose(undisturbed):
    results = read(undisturbed / rundir.RESULTS)
    assert [(p["start_step"], p["end_step"]) for p in results["phases"]] == [(0, 3), (3, 6), (6, 8)]
    assert results["phases"][0]["name"] == "both"
    chosen = [phase["modules"] for phase in results["phases"][1:]]
    assert all(0 < len(modules) < 14 for modules in chosen)
    assert all(3 <= updates < 8 for updates in results["active_steps"].values())
    norms = pd.read_csv(undisturbed / rundir.LAYER_NORMS)
    assert norms.iloc[:3].notna().all(axis=None)


@pytest.mark.parametrize("point", [p if p in FAST else pytest.param(p, marks=pytest.mark.slow) for p in POINTS])
def test_a_run_killed_at_any_point_around_its_choices_goes_on_bit_for_bit(
    nursery, home, tmp_path, undisturbed, no_pictures, point
):
    argv = ["run", *flags(home), *CHOOSING, "--output_dir", tmp_path]
    run = nursery.start(argv, tmp_path, tmp_path / "run", meet=f"death {point}")
    assert run.ended() == [-signal.SIGKILL], run.err()
    typed = lorascope("run", "--resume", run.folder)
    assert typed.code == 0, typed.err
    for name in EXACT:
        assert (run.folder / name).read_bytes() == (undisturbed / name).read_bytes(), name
    file = f"{rundir.CHECKPOINTS}/checkpoint-{STEPS}/optimizer.pt"
    one, other = (torch.load(at / file, weights_only=True) for at in (undisturbed, run.folder))
    assert one["param_groups"] == other["param_groups"]
    assert one["state"].keys() == other["state"].keys()
    for index, state in one["state"].items():
        assert all(torch.equal(value, other["state"][index][key]) for key, value in state.items())
    ours, theirs = (read(folder / rundir.RESULTS) for folder in (run.folder, undisturbed))
    assert {k: v for k, v in ours.items() if k not in OF_THE_PROCESS} == {
        k: v for k, v in theirs.items() if k not in OF_THE_PROCESS
    }


@pytest.mark.parametrize(
    "strategy",
    [
        "sensitivity --phase_every 3",
        pytest.param("early-late --phase1_end 3", marks=pytest.mark.slow),
        pytest.param("both-mlp-attn --inactive measure", marks=pytest.mark.slow),
        pytest.param("lisa --phase_every 2 --phase_layers 1 --phase_warmup 1", marks=pytest.mark.slow),
    ],
)
def test_two_processes_switch_alike_and_measure_what_one_measures(nursery, home, tmp_path, no_pictures, strategy):
    rows = ["--batch_size", "2", "--grad_accum", "1"]  # of two processes: as 2 x 2 of one
    words = shlex.split(f"--dynamic_lora --phase_strategy {strategy} --max_steps 6 --lora_dropout 0 --no_eval")
    words += ["--experiment_name", "run"]
    (tmp_path / "two").mkdir()
    argv = ["run", *flags(home), *rows, *words, "--output_dir", tmp_path / "two"]
    run = nursery.start(argv, tmp_path, tmp_path / "two" / "run", meet=f"keepsake {tmp_path}", processes=2)
    assert run.ended() == [0, 0], run.err() + run.err(1)
    for step in range(1, 7):
        one, other = (torch.load(tmp_path / f"{step}-{rank}.pt", weights_only=True) for rank in (0, 1))
        assert len(one) == 28
        assert all(torch.equal(value, other[name]) for name, value in one.items()), step
    typed = lorascope(*flags(home), *words, "--output_dir", tmp_path / "one")
    assert typed.code == 0, typed.err
    ours, alone = (tmp_path / folder / "run" for folder in ("two", "one"))
    for name in (rundir.GROUP_NORMS, rundir.LAYER_NORMS):
        np.testing.assert_allclose(pd.read_csv(ours / name), pd.read_csv(alone / name), rtol=1e-5)
    for name in ("phases", "active_steps"):
        assert read(ours / rundir.RESULTS)[name] == read(alone / rundir.RESULTS)[name]
