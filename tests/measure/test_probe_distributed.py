"""Two processes probe as one: the same numbers on both, whatever is asked for, and one of them writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from probe_processes import SCORES
from probed import batches, toy

from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.cli import main
from lorascope.measure.probing.collect import Collected, ProbeSettings, collect


@pytest.fixture(scope="module")
def ranks(two_probes: Path) -> list[list[Collected]]:
    return [torch.load(two_probes / f"rank{rank}.pt", weights_only=False) for rank in (0, 1)]


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


def test_the_command_writes_one_profile_and_it_is_that_of_one_process(two_probes) -> None:
    folder = two_probes
    line = ["probe", "--model", str(folder / "model"), "--dataset", str(folder / "letters.jsonl"), "--batches", "5"]
    more = ["--batch_size", "2", "--output_dir", str(folder / "profiles"), "--experiment_name", "one", "--quiet"]
    assert main([*line, *more]) == 0
    one, two = (SensitivityProfile.load(folder / "profiles" / name) for name in ("one", "two"))
    assert one.n == two.n == 5
    for name in ("signal", "grad_sq", "adam_step"):
        assert two.scores[name].value == pytest.approx(one.scores[name].value, rel=1e-3, abs=1e-9)
