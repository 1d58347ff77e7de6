"""AdaLoRA and EVA as PEFT runs them, the study of allocations in small, and its pictures."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lorascope.models.adapters import wrap

FOLDER = Path(__file__).resolve().parents[2] / "studies" / "allocation"
sys.path.insert(0, str(FOLDER))

import peers  # noqa: E402  (of the folder of the study, which is no package)
import plots  # noqa: E402
import small  # noqa: E402
import study  # noqa: E402

STUDY = json.loads((FOLDER / "plan.json").read_text())
PLAN = json.loads((FOLDER / "peers.json").read_text())
SMALL = small.small(STUDY)
LOSS = {"uniform": 2.0, "adalora": 2.3, "eva": 1.9, "chosen": 1.8, "peer": 2.1}


def rows_of(plan, stage, rows=()):
    """Made up: an arm has its own loss, 0.01 is the best learning rate, a seed adds the same to all arms."""
    return [
        {**run, "loss": LOSS.get(run["arm"], 2.2) + abs(np.log10(run["lr"] / 0.01)) + 0.01 * run["seed"]}
        for run in study.runs_of(plan, stage, rows)
    ]


@pytest.fixture(scope="module")
def rows():
    lrs = rows_of(PLAN, "lrs")
    confirm = rows_of(PLAN, "confirm", lrs)
    for row in confirm:  # both are a little uneven over seeds
        row["loss"] += 0.001 * (row["seed"] % 4) * (row["arm"] != "uniform")
    return [*lrs, *confirm]


def test_the_plan_of_the_peers_has_66_runs_beside_those_of_the_study(rows):
    assert len(rows) == 2 * 3 * 3 + 2 * 3 * 8 == 66
    assert set(PLAN["confirm"]["arms"]) == set(peers.ARMS)
    assert PLAN["common"] == STUDY["common"]
    assert PLAN["held_out"] == STUDY["held_out"]
    assert PLAN["budgets"]["main"] == STUDY["budgets"]["main"]
    assert PLAN["confirm"]["steps"] == STUDY["confirm"]["steps"]
    seen = {*STUDY["screen"]["seeds"], STUDY["confirm"]["lr_seed"], *STUDY["confirm"]["seeds"]}
    assert seen.isdisjoint({PLAN["confirm"]["lr_seed"], *PLAN["confirm"]["seeds"]})
    assert PLAN["confirm"]["lr_seed"] not in PLAN["confirm"]["seeds"]
    asked, same = PLAN["peers"]["adalora"], STUDY["common"]["lora"]
    assert asked["init_r"] == 1.5 * asked["target_r"]
    assert 0 < asked["tinit"] < PLAN["confirm"]["steps"] - asked["tfinal"]
    alphas = asked["lora_alpha"] / asked["init_r"], PLAN["peers"]["eva"]["lora_alpha"] / PLAN["peers"]["eva"]["r"]
    assert alphas == (same["lora_alpha"] / same["r"],) * 2


def test_two_contrasts_without_a_primary_one_are_both_corrected(rows):
    lines = study.contrasts(PLAN, rows)
    assert len(lines) == 4
    assert lines[2].startswith("| adalora - uniform | 8 | +0.301")
    assert lines[3].startswith("| eva - uniform | 8 | -0.098")
    assert all(line.endswith("| 0.0156 (Holm) |") for line in lines[2:])  # 2 of 2^8 signs, twice
    assert "(primary)" not in "".join(lines)
    assert "not all rows" in study.contrasts(PLAN, rows[:-1])[0]


def test_a_gap_is_paired_by_seed_and_by_learning_rate_where_uniform_has_it(rows):
    screen = [
        {"arm": arm, "lr": lr, "seed": seed, "loss": loss}
        for arm, lr, seed, loss in (
            ("uniform", 0.01, 1, 2.0), ("uniform", 0.01, 2, 3.0), ("uniform", 0.003, 1, 4.0),
            ("eva", 0.01, 1, 2.5), ("eva", 0.01, 2, 3.25), ("eva", 0.003, 1, 3.5), ("eva", 0.003, 2, 9.0),
        )
    ]  # fmt: skip
    assert study.gaps(screen, "eva", 0.01) == [0.5, 0.25]
    assert study.gaps(screen, "eva", 0.003) == [-0.5]  # uniform has no second seed there
    own = [row for row in screen if row["arm"] == "eva" or row["lr"] == 0.01]
    assert study.gaps(own, "eva", 0.003) == [1.5, 6.0]  # uniform has one learning rate, its own best
    assert study.gaps(screen, "uniform", 0.01) == []


def test_adalora_allocates_with_the_number_of_the_step_that_was_just_made():
    seen = []
    model = SimpleNamespace(base_model=SimpleNamespace(update_and_allocate=seen.append))
    peers.Allocate(model).on_optimizer_step(None, SimpleNamespace(global_step=7), None)
    assert seen == [7]


def test_the_study_in_small_is_the_study_with_other_sizes():
    assert json.loads((FOLDER / "plan.json").read_text()) == STUDY  # nothing of the plan was changed in place
    lrs, screen = rows_of(SMALL, "lrs"), study.runs_of(SMALL, "screen", ())
    assert (len(screen), len(lrs), len(study.runs_of(SMALL, "confirm", lrs))) == (10 * 2, 6 * 2 * 3, 6 * 2 * 3)
    assert SMALL["arms"] == STUDY["arms"]
    assert SMALL["primary"] == STUDY["primary"]
    config = study.configure(SMALL, Path("nowhere"), "wikisql", lr=0.01, seed=1, steps=2)
    assert (config.model.model_id, config.data.data_source, config.data.data_dir) == ("embedded", "builtin", None)
    assert config.data.num_samples * 0.8 >= small.STEPS * config.training.batch_size  # no row twice
    other = study.configure(STUDY, Path("nowhere"), "wikisql", lr=0.01, seed=1, steps=2)
    assert (other.model.model_id, other.data.data_dir) == ("nowhere/base", "nowhere/data/wikisql")


def test_a_picture_has_a_panel_for_each_task_and_the_mean_and_interval_of_every_arm(rows):
    figure = plots.arms(PLAN, rows, "confirm", "Peers")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["E2E NLG", "WikiSQL"]
    first = figure.axes[0]
    assert [label.get_text() for label in first.get_yticklabels()] == ["adalora", "eva"]
    drawn = {round(float(np.atleast_1d(line.get_xdata())[0]), 6) for line in first.lines}
    d = study.gaps([r for r in rows if (r["stage"], r["task"]) == ("confirm", "e2e_nlg")], "adalora", 0.01)
    low, _ = plots.interval(np.array(d))
    assert {round(float(np.mean(d)), 6), round(low, 6)} <= drawn
    assert f"{np.mean(d):+.3f}  at 0.01" in [text.get_text() for text in first.texts]


def test_the_screen_has_both_learning_rates_and_no_interval_of_two_seeds():
    screen = rows_of(STUDY, "screen")
    figure = plots.arms(STUDY, screen, "screen", "Screen")
    lines = figure.axes[1].lines
    arms = len(STUDY["arms"]) - 1
    assert len(lines) == arms * 2 * 2 + 1  # of each arm and learning rate the seeds and their mean; the line at 0
    assert "two seeds have no interval" in figure.texts[-1].get_text()


def test_the_picture_of_prediction_has_dots_for_every_score_and_for_the_number_of_weights():
    plan = {**STUDY, "prediction": {**STUDY["prediction"], "tasks": ["wikisql"], "kinds": ["q"]}}
    scores = {f"model.layers.{i}.self_attn.q_proj": float(i) for i in range(8)}
    weights = {path: 2.0 if i < 6 else 20.0 for i, path in enumerate(scores)}
    every = {"signal": scores, "bad": dict.fromkeys(scores, float("nan")), "weights": weights}
    made = {"wikisql": {"main": {"scores": every}}}
    uniform = {"untrained": 3.0, "loss": 1.0, "without": {f"q.{b}": 1.0 + b for b in range(4)}}
    rows = [{"stage": "prediction", "task": "wikisql", "arm": "uniform", **uniform}]
    rows += [{"stage": "prediction", "task": "wikisql", "arm": f"q.{b}", "loss": 2.0 + b} for b in range(4)]
    (ax,) = plots.prediction(plan, rows, made).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["signal", "number of weights"]
    # Of the number of weights the tied ranks 2, 2, 2, 4 against 4, 3, 2, 1; by hand in test_correlations_by_hand.
    assert [np.round(line.get_xdata(), 3).tolist() for line in ax.lines[:2]] == [[-1.0, -0.775], [-0.4]]


@pytest.mark.slow
def test_every_arm_trains_at_its_budget_and_leaves_the_base_model_as_it_was(lab):
    plan = {**PLAN, "held_out": {"validation": 8, "test": 8}, "confirm": {**PLAN["confirm"], "steps": 2}}
    plan["common"] = {**PLAN["common"], "data": {"num_samples": 60, "validation_split": 0.2}}
    plan["peers"] = {**PLAN["peers"], "adalora": {**PLAN["peers"]["adalora"], "tinit": 0, "tfinal": 1}}
    bench = study.bench_of(json.dumps(plan), lab, "e2e_nlg")
    before = {name: value.clone() for name, value in bench.base.model.state_dict().items()}
    run = {"stage": "lrs", "task": "e2e_nlg", "budget": "main", "lr": 0.01, "seed": 1}
    found = {arm: peers.measure(plan, lab, {**run, "arm": arm}) for arm in ("adalora", "eva", "uniform")}
    after = bench.base.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not hasattr(bench.base.model, "peft_config")

    modules, rank_1 = 56, 27_136
    for arm in ("adalora", "eva"):
        assert found[arm]["planned"] == 4 * rank_1
        assert found[arm]["ranks_kept"] == 4 * modules
    assert found["adalora"]["params"] == 6 * (rank_1 + modules)
    assert found["adalora"]["effective"] < found["adalora"]["params"]
    assert found["eva"]["effective"] == found["eva"]["params"]
    assert found["uniform"]["params"] == found["uniform"]["effective"] == found["uniform"]["planned"] == 108_416
    assert len({row["loss"] for row in found.values()}) == 3

    # The plain Trainer, which AdaLoRA needs, ends where ours does; and PEFT's regularisation is in its loss.
    config = study.configure(plan, lab, "e2e_nlg", lr=0.01, seed=1, steps=2)
    targets, asked = peers.targets_of(plan, config, bench)
    even = peers.allocation_for(targets, asked, "uniform", peers.Evidence(), scaling=4.0, base_model="lab base")
    plain = wrap(bench.base, config.lora, targets, seed=1, allocation=even)
    try:
        peers.train_plainly(config, bench, plain)
        assert peers.losses(bench, plain, "validation").mean == pytest.approx(found["uniform"]["loss"], abs=1e-5)
    finally:
        peers.take_off(bench.base.model)
    free = {**plan, "peers": {**plan["peers"], "adalora": {**plan["peers"]["adalora"], "orth_reg_weight": 0.0}}}
    loose = peers.measure(free, lab, {**run, "arm": "adalora"})
    assert loose["first_loss"] < found["adalora"]["first_loss"] - 0.1


@pytest.mark.slow
def test_the_study_in_small_goes_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(study.records, "FileLock", lambda file: nullcontext())  # the tests themselves may hold it
    plan = small.small(STUDY, steps=1)
    plan["arms"] = {name: STUDY["arms"][name] for name in ("uniform", "spectral", "gora")}
    plan["confirm"] = {**plan["confirm"], "arms": ["uniform", "chosen"], "lrs": [0.01]}
    plan["contrasts"] = []
    lines = small.repeat({**plan, "held_out": {"validation": 8, "test": 8}}, tmp_path)
    assert lines[-1].startswith("| chosen - uniform | 3 |")
    assert lines[-1].endswith("(primary) |")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {row["allocation"] for row in rows if row["arm"] == "chosen"} == {"spectral"}
    assert len({row["params"] for row in rows}) == 1
