"""Successive halving with losses that are known beforehand, and trainings that are found again."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from lorascope.config.allocation import Allocation
from lorascope.config.experiment import ExperimentConfig
from lorascope.errors import RunError, TrainingError
from lorascope.report.terminal import Console
from lorascope.runs import proving
from lorascope.runs.proving import Arm, measured, prove

EIGHT = ["uniform", "attention_only", "mlp_only", "a", "b", "c", "d", "e"]
DEPTH = dict(zip(EIGHT, (0.5, 0.9, 0.8, 0.1, 0.2, 0.3, 0.4, 0.6), strict=True))


def bowl(gain=0.0, best=3e-3, noise=0.0):
    """Losses: a depth for each candidate, a parabola in log lr around `best`, less with more steps; what was asked."""
    asked = []

    def measure(arm, steps, seed, on):
        asked.append((arm.candidate, arm.lr, steps, seed, on))
        wiggle = noise * np.random.default_rng([seed, len(arm.candidate)]).normal()
        depth = DEPTH[arm.candidate] if on == "validation" else gain * (arm.candidate == "a")
        return 2.0 + depth + math.log10(arm.lr / best) ** 2 - steps / 1e4 + wiggle

    return measure, asked


def test_every_round_halves_the_arms_and_doubles_the_steps_until_one_is_left_beside_uniform():
    measure, asked = bowl(gain=-0.2)
    proof = prove(EIGHT, measure, lr=1e-3, seed=7)
    assert [(len(r["arms"]), r["steps"]) for r in proof.rounds] == [(16, 20), (8, 40), (4, 80)]
    assert proof.winner.candidate == "a"  # the lowest on validation rows
    assert proof.steps == 160
    assert {seed for *_, seed, on in asked if on == "validation"} == {7}
    assert proof.seeds == (8, 9, 10, 11, 12)
    assert {(name, steps) for name, _, steps, _, on in asked if on == "test"} == {("a", 160), ("uniform", 160)}


def test_learning_rates_move_on_until_both_neighbours_are_worse():
    measure, _ = bowl(best=3e-2, gain=-0.2)
    proof = prove(EIGHT, measure, lr=1e-3, seed=0)
    assert proof.winner.lr == proof.uniform.lr == pytest.approx(2.7e-2)  # 1e-3 x 3^3, the nearest in log to 3e-2
    assert proof.at_edge == ()
    measure, _ = bowl(best=1e3, gain=-0.2)
    proof = prove(EIGHT, measure, lr=1e-3, seed=0)
    assert len(proof.at_edge) == 2
    assert "is the last one that was tried" in proof.words()[-1]


@pytest.mark.parametrize(("gain", "verdict"), [(-0.2, "better"), (0.2, "worse"), (0.0, "undecided")])
def test_fresh_seeds_decide_by_their_interval(gain, verdict):
    measure, _ = bowl(gain=gain, noise=0.02)
    proof = prove(EIGHT, measure, lr=1e-3, seed=3)
    assert proof.verdict == verdict
    assert proof.ci_low < proof.effect < proof.ci_high
    assert proof.effect == pytest.approx(np.mean(proof.differences))
    assert verdict in proof.words()[0]
    json.dumps(proof.to_dict())


def test_two_candidates_need_no_halving_and_uniform_is_never_dropped():
    measure, _ = bowl()
    proof = prove(["uniform", "a"], measure, lr=1e-3, seed=0)
    assert len(proof.rounds) == 1
    assert {arm["candidate"] for arm in proof.rounds[0]["arms"]} == {"uniform", "a"}


@pytest.fixture
def trainings(monkeypatch):
    """Trainings that take no time, and which there were."""
    seen = []

    def trial(config, bench, allocation, *, on):
        seen.append((allocation.method, config.training.lr, config.training.max_steps, config.training.seed, on))
        if config.training.lr > 1:
            raise TrainingError("nan-loss", "the loss is nan")
        return SimpleNamespace(mean=1.0 + config.training.lr)

    monkeypatch.setattr(proving, "trial", trial)
    return seen


def allocation(name, rank=2):
    return Allocation(ranks={"m": rank}, alphas={"m": 4}, budget_params=9, used_params=8, method=name, base_model="x")


def test_a_training_is_found_again_by_all_that_it_depends_on(trainings, tmp_path):
    rows = tmp_path / "proof.jsonl"
    bench = SimpleNamespace(held_out={"validation": [0] * 3, "test": [0] * 4})
    both = {"uniform": allocation("uniform"), "a": allocation("a", 3)}

    def again(config=None, made=both):
        return measured(config or ExperimentConfig(), bench, made, rows, Console(quiet=True))

    arm = Arm(candidate="a", lr=1e-3)
    assert again()(arm, 20, 0, "validation") == again()(arm, 20, 0, "validation") == 1.001
    assert trainings == [("a", 1e-3, 20, 0, "validation")]
    again()(arm, 40, 0, "validation")
    again()(arm, 20, 1, "validation")
    again()(arm, 20, 0, "test")
    again(made={"a": allocation("a", 4)})(arm, 20, 0, "validation")
    assert len(trainings) == 5
    assert again()(Arm(candidate="a", lr=2.0), 20, 0, "test") == math.inf  # diverged: kept as such
    assert again()(Arm(candidate="a", lr=2.0), 20, 0, "test") == math.inf
    assert len(trainings) == 6
    with rows.open("a") as file:
        file.write('{"key": "abc", "lo')  # killed while writing
    assert again()(arm, 20, 0, "validation") == 1.001
    assert len(rows.read_text().splitlines()) == 6
    rows.write_text("{}\n")
    with pytest.raises(RunError, match="cannot be read"):
        again()
