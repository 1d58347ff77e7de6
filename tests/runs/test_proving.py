"""Successive halving with losses that are known beforehand, and trainings that are found again."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lorascope.config.allocation import Allocation
from lorascope.config.experiment import ExperimentConfig
from lorascope.errors import RunError, TrainingError
from lorascope.report.terminal import Console
from lorascope.runs import proving
from lorascope.runs.proving import Arm, measured, prove
from lorascope.training.encoding import Encoded

EIGHT = ["uniform", "attention_only", "mlp_only", "a", "b", "c", "d", "e"]
PARAMS = dict.fromkeys(EIGHT, 120)
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
    proof = prove(PARAMS, measure, lr=1e-3, seed=7)
    assert [(len(r["arms"]), r["steps"]) for r in proof.rounds] == [(16, 20), (8, 40), (4, 80)]
    assert proof.winner.candidate == "a"  # the lowest on validation rows
    assert proof.steps == 160
    assert {seed for *_, seed, on in asked if on == "validation"} == {7}
    assert proof.seeds == (8, 9, 10, 11, 12)
    assert {(name, steps) for name, _, steps, _, on in asked if on == "test"} == {("a", 160), ("uniform", 160)}


def test_learning_rates_move_on_until_both_neighbours_are_worse():
    measure, _ = bowl(best=3e-2, gain=-0.2)
    proof = prove(PARAMS, measure, lr=1e-3, seed=0)
    assert proof.winner.lr == proof.uniform.lr == pytest.approx(2.7e-2)  # 1e-3 x 3^3, the nearest in log to 3e-2
    assert proof.at_edge == ()
    measure, _ = bowl(best=1e3, gain=-0.2)
    proof = prove(PARAMS, measure, lr=1e-3, seed=0)
    assert len(proof.at_edge) == 2
    assert "is the last one that was tried" in proof.words()[-1]


@pytest.mark.parametrize(("gain", "verdict"), [(-0.2, "better"), (0.2, "worse"), (0.0, "undecided")])
def test_fresh_seeds_decide_by_their_interval(gain, verdict):
    measure, _ = bowl(gain=gain, noise=0.02)
    proof = prove(PARAMS, measure, lr=1e-3, seed=3)
    assert proof.verdict == verdict
    assert proof.ci_low < proof.effect < proof.ci_high
    assert proof.effect == pytest.approx(np.mean(proof.differences))
    assert verdict in proof.words()[0]
    json.dumps(proof.to_dict())


def test_two_candidates_need_no_halving_and_uniform_is_never_dropped():
    measure, _ = bowl()
    proof = prove({"uniform": 120, "a": 120}, measure, lr=1e-3, seed=0)
    assert len(proof.rounds) == 1
    assert {arm["candidate"] for arm in proof.rounds[0]["arms"]} == {"uniform", "a"}


def test_parameters_are_called_the_same_only_where_they_are():
    measure, _ = bowl(gain=-0.2, noise=0.02)
    assert "), same parameters; learning rates " in prove(PARAMS, measure, lr=1e-3, seed=3).words()[1]
    said = prove(PARAMS | {"a": 16_320, "uniform": 16_384}, measure, lr=1e-3, seed=3).words()[1]
    assert "), 16,320 and 16,384 parameters; learning rates " in said


def test_a_fresh_seed_that_diverges_is_named_and_nothing_is_decided():
    inner, _ = bowl(gain=-0.2, noise=0.02)

    def measure(arm, steps, seed, on):
        lost = on == "test" and (arm.candidate, seed) in {("a", 5), ("uniform", 7), ("a", 7)}
        return math.inf if lost else inner(arm, steps, seed, on)

    proof = prove(PARAMS, measure, lr=1e-3, seed=3)  # a warning of numpy would be an error here
    assert proof.verdict == "undecided"
    assert [one is None for one in proof.differences] == [False, True, False, True, False]
    assert proof.words()[0] == (
        "a against uniform: undecided, since a at 0.003 diverged at seed 5 and a at 0.003 diverged at seed 7 and "
        "uniform at 0.003 diverged at seed 7"
    )
    assert "(no test)" in proof.words()[1]
    told = json.loads(json.dumps(proof.to_dict(), allow_nan=False))
    assert told["effect"] is told["ci_low"] is told["ci_high"] is None


def test_where_no_learning_rate_trains_smaller_ones_are_tried_and_then_that_is_said():
    inner, asked = bowl()

    def measure(arm, steps, seed, on):
        loss = inner(arm, steps, seed, on)
        return math.inf if arm.candidate == "uniform" else loss

    proof = prove(PARAMS, measure, lr=1e-3, seed=3)
    assert proof.words() == ["a against uniform: undecided, since uniform trained at no learning rate that was tried"]
    assert min(lr for name, lr, *_ in asked if name == "uniform") < 2e-5
    assert not [on for *_, on in asked if on == "test"]
    json.dumps(proof.to_dict(), allow_nan=False)

    def from_below(arm, steps, seed, on):
        return math.inf if arm.lr > 2e-4 else inner(arm, steps, seed, on)

    assert prove(PARAMS, from_below, lr=1e-3, seed=3).uniform.lr == pytest.approx(1e-3 / 9)


def test_an_interval_of_too_few_seeds_is_null_in_json():
    measure, _ = bowl()
    told = json.loads(json.dumps(prove(PARAMS, measure, lr=1e-3, seed=3, seeds=2).to_dict(), allow_nan=False))
    assert told["ci_low"] is told["ci_high"] is None
    assert told["effect"] == 0


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


def row(*ids, end=3):
    return Encoded("row", list(ids), ((1, end),), 0)


TRAIN, VALIDATION, TEST = (row(1, 2, 3),), (row(1, 2, 4),), (row(1, 2, 5),)


def made_bench(train=TRAIN, validation=VALIDATION, test=TEST, weight=1.0, revision=None):
    """Rows and a base model of one weight."""
    model = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.constant_(model.weight, weight)
    base = SimpleNamespace(model=model, revision=revision, dtype=torch.float32)
    held_out = {"validation": list(validation), "test": list(test)}
    return SimpleNamespace(base=base, rows=SimpleNamespace(train=list(train)), held_out=held_out)


@pytest.mark.parametrize(
    "other",
    [
        {"train": (row(1, 2, 9),)},
        {"train": (row(1, 2, 3, end=2),)},
        {"validation": (row(1, 2, 9),)},
        {"weight": 2.0},
        {"revision": "abc"},
    ],
    ids=str,
)
def test_rows_or_a_model_of_the_same_name_that_changed_are_trained_anew(trainings, tmp_path, other):
    rows, arm = tmp_path / "proof.jsonl", Arm(candidate="a", lr=1e-3)

    def once(bench):
        made = {"a": allocation("a", 3)}
        return measured(ExperimentConfig(), bench, made, rows, Console(quiet=True))(arm, 20, 0, "validation")

    once(made_bench())
    once(made_bench())
    once(made_bench(test=(row(1, 2, 9),)))  # not what is measured on
    assert len(trainings) == 1
    once(made_bench(**other))
    assert len(trainings) == 2
    once(made_bench())
    assert len(trainings) == 2


def test_a_held_out_loss_that_is_no_number_counts_as_diverged(monkeypatch, tmp_path):
    monkeypatch.setattr(proving, "trial", lambda *args, **kwargs: SimpleNamespace(mean=math.nan))
    made = {"a": allocation("a", 3)}
    measure = measured(ExperimentConfig(), made_bench(), made, tmp_path / "proof.jsonl", Console(quiet=True))
    assert measure(Arm(candidate="a", lr=1e-3), 20, 0, "test") == math.inf


def test_a_training_is_found_again_by_all_that_it_depends_on(trainings, tmp_path):
    rows = tmp_path / "proof.jsonl"
    bench = made_bench()
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
