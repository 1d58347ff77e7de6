"""Studies with real workers and real runs of a toy model, on this machine and on a small Ray cluster."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lorascope.evaluation.answer_loss import answer_losses
from lorascope.models.adapters import load_adapter
from lorascope.models.base import load_base
from lorascope.models.knockout import without
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.studies.design import Choices, main_trials
from lorascope.studies.reading import find_study
from lorascope.studies.work import work
from lorascope.tasks import find_task
from lorascope.tasks.split import load_evaluation
from lorascope.training.encoding import encode
from toy import save_toy

pytestmark = pytest.mark.slow

YAML = """
title: Which placement?
common:
  {{model: {base}, data_source: builtin, r: 2, lora_alpha: 4, lora_dropout: 0, batch_size: 2, grad_accum: 1,
    max_steps: 10, lr: 1e-2, max_length: 400, num_samples: 60, eval: no, eval_samples: 5, weight_every: 0}}
tasks: {{e2e_nlg: }}
arms: {{attention: {{target: attention_only}}, mlp: {{target: mlp_only}}, mixed: {{allocation: mixed:both}},
  both: {{target: both}}}}
seeds: [1, 2]
contrasts: [{{measure: test_loss, first: mlp, second: attention, expect: lower}}]
"""
"""Nine runs, one of which gives the mixed arm its ranks."""


@pytest.fixture
def file(tmp_path):
    save_toy(tmp_path / "base")
    path = tmp_path / "placement.yaml"
    path.write_text(YAML.format(base=tmp_path / "base"))
    return path


def command(file, home, *more):
    return [sys.executable, "-m", "lorascope", "study", str(file), "--output_dir", str(home), *more]


def study(file, home, *more):
    done = subprocess.run(command(file, home, *more), capture_output=True, text=True, cwd=file.parent, timeout=1500)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(2400)
def test_killed_at_ten_moments_a_study_ends_in_the_same_parquet(file):
    out = study(file, "results", "--jobs", "2")
    assert "undecided" in out
    whole = (file.parent / "results" / "placement" / "results.parquet").read_bytes()
    (file.parent / "results").rename(file.parent / "whole")
    moments = random.Random(1)
    for _ in range(10):
        with subprocess.Popen(
            command(file, "results", "--jobs", "2"), cwd=file.parent, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as going:  # fmt: skip
            begun = time.monotonic()
            before = len(list(file.parent.glob("results/placement/runs/*/checkpoints/gradients.journal")))
            while going.poll() is None and time.monotonic() - begun < 120:
                now = len(list(file.parent.glob("results/placement/runs/*/checkpoints/gradients.journal")))
                if now > before:
                    break
                time.sleep(0.05)
            time.sleep(moments.uniform(0, 1.5))
            going.send_signal(signal.SIGKILL)
    study(file, "results", "--jobs", "2")
    assert (file.parent / "results" / "placement" / "results.parquet").read_bytes() == whole


def test_the_steps_of_a_run_that_ends_early_are_those_of_the_whole_run(file, tmp_path):
    whole = replace(find_study(str(file)), arms={"both": {"target": "both"}, "mlp": {"target": "mlp_only"}}, seeds=(1,))
    whole = replace(whole, common={**whole.common, "max_steps": "20"}, hypotheses=())
    tables = []
    for study in (whole, replace(whole, early_only=tuple(whole.tasks))):
        trial = main_trials(study, tmp_path / f"{len(study.early_only)}", Choices())[0]
        work(trial.config, console=Console(quiet=True))
        table = pd.read_parquet(trial.folder / rundir.GRADIENT_TABLE)
        tables.append(table[(table["score"] == "grad_sq") & (table["step"] <= trial.early)].reset_index(drop=True))
    assert sorted(tables[0]["step"].unique()) == [1, 2]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_losses_on_test_rows_with_and_without_the_adapters_of_each_group(file, tmp_path):
    study = replace(find_study(str(file)), arms={"both": {"target": "both"}, "mlp": {"target": "mlp_only"}}, seeds=(1,))
    for trial in main_trials(replace(study, hypotheses=()), tmp_path, Choices()):
        work(trial.config, console=Console(quiet=True))
        found = rundir.read_json(trial.folder / rundir.HELD_OUT)
        adapted = load_adapter(load_base(trial.config.model), trial.folder / rundir.FINAL_MODEL)
        task = find_task(trial.config.data)
        examples = load_evaluation(task, trial.config.data, trial.config.evaluation.eval_samples).examples
        rows, _ = encode(examples, adapted.tokenizer, 400)

        def loss(adapted=adapted, rows=rows):
            nats, tokens = answer_losses(adapted.model, rows, pad_id=0)
            return pytest.approx(nats.sum() / tokens.sum())

        assert found["rows"] == 5
        assert found["tuned"] == loss()
        with adapted.model.disable_adapter():
            assert found["base"] == loss()
        assert set(found["without"]) == set(found["parameters"]) == {target.group for target in adapted.targets}
        for group in found["without"]:
            with without(adapted, [group]):
                assert found["without"][group] == loss()


@pytest.mark.timeout(1200)
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_on_a_cluster_of_two_nodes_a_workers_death_costs_nothing_but_time(file, monkeypatch):
    import ray
    from ray.cluster_utils import Cluster

    from lorascope.studies.experiment import run_study
    from lorascope.studies.on_ray import run_on_ray

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(file.parent)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    killed = []

    def execute(trials, logs, progress):
        tick = progress.tick

        def kill_once():
            tick()
            going = list(Path("results/placement/runs").glob("*/checkpoints/gradients.journal"))
            if going and not killed:
                killed.extend(kill_a_worker())

        progress.tick = kill_once
        return run_on_ray(trials, 2, logs, progress)

    try:
        record = run_study(find_study(str(file)), Path("results/placement"), execute, Console(quiet=True))
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert killed
    assert len(record.table) == 9
    assert all(rundir.state(path) == "finished" for path in Path("results/placement/runs").iterdir() if path.is_dir())


def kill_a_worker():
    """End a process that is making a run; its number, none where there is none at this moment."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if words.startswith(b"ray::_task"):
            pid = int(path.parent.name)
            os.kill(pid, signal.SIGKILL)
            return [pid]
    return []
