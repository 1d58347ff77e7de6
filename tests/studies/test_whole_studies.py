"""Studies with real workers and real runs of a toy model, on this machine and on a small Ray cluster."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lorascope.runs import rundir
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


@pytest.mark.timeout(1200)
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_on_a_cluster_of_two_nodes_a_workers_death_costs_nothing_but_time(file, monkeypatch):
    import ray
    from ray.cluster_utils import Cluster

    from lorascope.report.terminal import Console
    from lorascope.studies.experiment import run_study
    from lorascope.studies.on_ray import run_on_ray
    from lorascope.studies.reading import find_study

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
                killed.append(kill_a_worker())

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
    """End a process that is making a run; its number."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if words.startswith(b"ray::_task"):
            pid = int(path.parent.name)
            os.kill(pid, signal.SIGKILL)
            return pid
    return None
