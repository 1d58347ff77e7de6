"""Two processes probe as one: the same numbers on both, whatever is asked for, and one of them writes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from probe_processes import SCORES
from probed import batches, toy

from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.cli import main
from lorascope.measure.probing.collect import Collected, ProbeSettings, collect
from toy import save_toy

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have left behind."""
    target = tmp_path_factory.mktemp("probes")
    save_toy(target / "model")
    rows = ({"prompt": f"{chr(97 + i % 20)}{i}", "target": chr(98 + i % 20)} for i in range(60))
    (target / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port]
    path = os.pathsep.join([str(HERE), str(HERE.parent), str(HERE.parent / "models")])
    done = subprocess.run(
        [*launch, str(HERE / "probe_processes.py"), str(target)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count("Saved") == 1
    return target


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[list[Collected]]:
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in (0, 1)]


def facts(found: Collected) -> dict[str, np.ndarray]:
    """All that a probe found, by name."""
    named = {name: getattr(found, name) for name in ("nats", "tokens", "total_sq", "squares", "gram")}
    named |= found.scores | found.fixed
    for name, modules in found.spectra.items():
        for path, (values, noise) in modules.items():
            named |= {f"{name} {path}": values, f"{name} noise {path}": noise}
    return named


def agree(one: Collected, other: Collected, rel: float) -> None:
    right = facts(other)
    assert facts(one).keys() == right.keys()
    for name, values in facts(one).items():
        scale = np.nanmax(np.abs(right[name])) if not np.isnan(right[name]).all() else 1.0
        assert np.allclose(values, right[name], rtol=0, atol=rel * scale, equal_nan=True), name


def test_both_processes_know_the_same(ranks) -> None:
    for one, other in zip(*ranks, strict=True):
        agree(one, other, 0.0)


def test_nine_batches_on_two_processes_are_nine_batches_on_one(ranks) -> None:
    model, weights = toy("phi3")
    alone = collect(model, weights, batches(9, micro=2), ProbeSettings(blocks=4, scores=SCORES, directions=5))
    agree(ranks[0][0], alone, 2e-5)
    assert len(facts(alone)) > 30


def test_who_has_enough_stops_the_other_too(ranks) -> None:
    model, weights = toy("phi3")
    settings = ProbeSettings(blocks=4, scores=SCORES, directions=5)
    agree(ranks[0][1], collect(model, weights, batches(9)[:4], settings), 2e-5)
    early = ranks[1][2]
    assert len(early.nats) == 2


def test_the_command_writes_one_profile_and_it_is_that_of_one_process(folder) -> None:
    line = ["probe", "--model", str(folder / "model"), "--dataset", str(folder / "letters.jsonl"), "--batches", "5"]
    more = ["--batch_size", "2", "--output_dir", str(folder / "profiles"), "--experiment_name", "one", "--quiet"]
    assert main([*line, *more]) == 0
    one, two = (SensitivityProfile.load(folder / "profiles" / name) for name in ("one", "two"))
    assert one.n == two.n == 5
    for name in ("signal", "grad_sq", "adam_step"):
        assert two.scores[name].value == pytest.approx(one.scores[name].value, rel=1e-3, abs=1e-9)
