"""Two processes: what is measured is the gradient of both processes' rows, and the whole of sharded tensors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from measuring import Snapshots, brute_force, lora_toy, measured, rows, to_batch, worst

from lorascope import GradientNormLog
from lorascope.measure import meter
from lorascope.measure.callback import clip
from lorascope.models.adapters import adapter_tensors

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder after two processes have trained."""
    target = tmp_path_factory.mktemp("run")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # With --cpu accelerate starts a single process, whatever --num_processes says; the script itself stays on the CPU.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    quiet = [
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        str(port),
    ]
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    done = subprocess.run(
        [*launch, *quiet, str(HERE / "two_processes.py"), str(target)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return target


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in (0, 1)]


def test_under_accelerate_launch_every_norm_is_that_of_the_whole_batch(
    folder: Path, ranks: list[dict[str, Any]]
) -> None:
    assert [rank["kind"] for rank in ranks] == ["MULTI_CPU"] * 2
    assert [rank["steps"] for rank in ranks] == [[1, 2, 3], []]  # the main process alone records
    log = GradientNormLog.load(folder)
    assert log.steps == [1, 2, 3]
    assert log.weights.steps.tolist() == [2, 3]
    for one, other in zip(*(rank["states"] for rank in ranks), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)  # both clip alike
    seen, data = Snapshots(), rows(24)
    seen.states = ranks[0]["states"]
    for step, model in enumerate(seen.models):
        # two processes x two micro-batches x two rows, however they were dealt out
        batches = [to_batch(data[i : i + 2]) for i in range(8 * step, 8 * step + 8, 2)]
        assert worst(measured(log, step + 1), brute_force(model, batches)) < 1e-5


def test_of_a_sharded_model_the_whole_tensors_are_measured_on_every_process(ranks: list[dict[str, Any]]) -> None:
    model = lora_toy(trained_b=True)
    tensors = adapter_tensors(model)
    weights, base = meter.weight_row(tensors), meter.base_row(tensors)
    model(**to_batch(rows(4))).loss.backward()
    norms = meter.squared_norms([t.parameter.grad for t in tensors])
    factor = clip(list(model.parameters()), 0.05)
    for found in (rank["sharded"] for rank in ranks):
        np.testing.assert_allclose(found["weights"], weights, rtol=1e-5)
        np.testing.assert_allclose(found["base"], base, rtol=1e-5)
        np.testing.assert_allclose(found["norms"], norms, rtol=1e-4)
        assert float(found["factor"]) == pytest.approx(float(factor), rel=1e-5)
        np.testing.assert_allclose(found["after"], norms * float(factor) ** 2, rtol=1e-4)
