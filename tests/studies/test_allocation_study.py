"""The study of allocations: its plan can be run and decided, what is chosen is chosen on other tasks, it goes on."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "studies" / "allocation"
sys.path.insert(0, str(FOLDER))
spec = importlib.util.spec_from_file_location("allocation_study", FOLDER / "study.py")
study = importlib.util.module_from_spec(spec)
spec.loader.exec_module(study)
PLAN = json.loads((FOLDER / "plan.json").read_text())


def loss_of(run):
    """Made up: spectral is best on e2e_nlg, threshold on wikisql; 0.01 is the best learning rate."""
    best = {"e2e_nlg": "spectral", "wikisql": "threshold"}.get(run["task"])
    gain = 0.2 if run["arm"] == best else 0.1 if run["arm"] in ("chosen", "gora") else 0.0
    noise = 0.001 * (run["seed"] * len(run["arm"]) % 5)
    return 2.0 - gain + abs(np.log10(run["lr"] / 0.01)) + 0.001 * run["seed"] + noise


def rows_of(stage, rows=()):
    return [{"plan": "x", **run, "loss": loss_of(run)} for run in study.runs_of(PLAN, stage, rows)]


@pytest.fixture(scope="module")
def rows():
    every = [*rows_of("screen"), *rows_of("lrs")]
    return [*every, *rows_of("confirm", every), *rows_of("second", every)]


def test_the_stages_are_as_many_runs_as_the_time_allows(rows):
    count = {stage: sum(row["stage"] == stage for row in rows) for stage in study.STAGES}
    assert count["screen"] == 10 * 2 * 2 * 2
    assert count["lrs"] == 4 * 3 * (6 + 3)
    assert count["confirm"] == 6 * 4 * 8
    assert count["second"] == 3 * 4 * 8
    assert len(study.runs_of(PLAN, "prediction", ())) == 2 * (1 + 28)
    fresh = {row["seed"] for row in rows if row["stage"] == "confirm"}
    assert fresh.isdisjoint({*PLAN["screen"]["seeds"], PLAN["confirm"]["lr_seed"]})
    assert len(PLAN["contrasts"]) <= 6
    train = PLAN["common"]["data"]["num_samples"] * (1 - PLAN["common"]["data"]["validation_split"])
    assert train >= 80 * PLAN["common"]["training"]["batch_size"]  # no row twice


def test_an_arm_is_chosen_on_the_other_tasks_and_its_learning_rate_on_validation_rows(rows):
    assert study.chosen(PLAN, rows, "wikisql", "ours") == "spectral"
    assert study.chosen(PLAN, rows, "e2e_nlg", "ours") == "threshold"
    assert study.chosen(PLAN, rows, "samsum", "ours") in ("spectral", "threshold")
    assert study.chosen(PLAN, rows, "samsum", "peer") == "gora"
    assert study.best_lr(rows, "samsum", "main", "chosen") == (0.01, False)
    with pytest.raises(SystemExit, match="screen has not all rows"):
        study.chosen(PLAN, rows[:5], "wikisql", "ours")
    lrs = [row for row in rows if row["stage"] == "lrs"]
    for there in ((), lrs[1:], lrs[:-1]):  # two of three learning rates are no choice
        with pytest.raises(SystemExit, match="lrs has not all rows of"):
            [study.runs_of(PLAN, stage, there) for stage in ("confirm", "second")]


def test_after_the_plan_uniform_gets_mlps_learning_rate_where_it_had_another(rows):
    assert study.runs_of(PLAN, "same_rate", rows) == []
    moved = [dict(row) for row in rows]
    for row in moved:
        if (row["stage"], row["task"], row["arm"], row["lr"]) == ("lrs", "samsum", "mlp_only", 0.003):
            row["loss"] = 0.0
    runs = study.runs_of(PLAN, "same_rate", moved)
    assert [(run["task"], run["arm"], run["lr"]) for run in runs] == [("samsum", "uniform", 0.003)] * 8
    even = {r["seed"]: r["loss"] for r in rows if (r["stage"], r["task"], r["arm"]) == ("confirm", "samsum", "uniform")}
    again = [{**run, "plan": "x", "loss": even[run["seed"]] - 0.4} for run in runs]
    before, after = study.contrasts(PLAN, rows), study.contrasts(PLAN, [*rows, *again])
    assert study.contrasts(PLAN, [*rows, *again[:-1]]) == before  # not all seeds yet
    assert after[:-1] == before
    said = next(line for line in before if line.startswith("| mlp_only - uniform |"))
    assert after[-1].startswith("| mlp_only - uniform at the same learning rates | 8 |")
    assert after[-1].endswith("(not in the plan) |")
    shift = [float(line.split("|")[3]) for line in (said, after[-1])]
    assert shift[1] - shift[0] == pytest.approx(0.1)  # 0.4 in one of four tasks


def test_contrasts_are_over_seeds_and_come_when_all_rows_are_there(rows):
    assert "not all rows" in study.contrasts(PLAN, rows[:-97])[0]
    lines = study.contrasts(PLAN, rows)
    assert lines[2].startswith("| chosen - uniform | 8 | -0.1001 | -0.101")
    assert lines[2].endswith("| 0.0078 (primary) |")  # 2 of 2^8 signs
    assert len(lines) == 2 + 1 + len(PLAN["contrasts"])
    assert "| peer - uniform | 8 | +0.000" in lines[5]
    text = "\n".join(study.table(PLAN, rows))
    assert "| chosen | 0.01 | 8 |" in text
    assert "(edge)" not in text


def test_runs_go_on_where_they_were_and_a_line_that_was_cut_is_dropped(tmp_path):
    seen, file = [], tmp_path / "rows.jsonl"
    runs = study.runs_of(PLAN, "screen", ())[:4]

    def measure(run):
        seen.append(run["arm"])
        return {"loss": 1.0}

    def go_on(**more):
        return study.records.go_on(PLAN, file, runs, measure, root=tmp_path, **more)

    assert go_on(limit=1) == 3
    assert go_on(part=(0, 2)) == 0  # the third; the first is there
    assert seen == [runs[0]["arm"], runs[2]["arm"]]
    with file.open("a") as out:
        out.write('{"plan": "half')
    assert go_on() == 0
    assert sorted(seen) == sorted(run["arm"] for run in runs)
    assert go_on(deadline=0.0) == 0
    with pytest.raises(SystemExit, match="another plan"):
        study.records.read_rows({**PLAN, "test": "other"}, file)


def test_correlations_by_hand():
    from predictions import correlated, correlations

    plan = {**PLAN["prediction"], "tasks": ["t"], "kinds": ["q"], "bands": 4}
    scores = {f"model.layers.{i}.self_attn.q_proj": float(i) for i in range(8)}
    weights = {path: 2.0 if i < 6 else 20.0 for i, path in enumerate(scores)}
    every = {"signal": scores, "bad": dict.fromkeys(scores, float("nan")), "weights": weights}
    made = {"t": {"main": {"scores": every}}}
    uniform = {"untrained": 3.0, "loss": 1.0, "without": {f"q.{b}": 1.0 + b for b in range(4)}}
    rows = [{"stage": "prediction", "task": "t", "arm": "uniform", **uniform}]
    rows += [{"stage": "prediction", "task": "t", "arm": f"q.{b}", "loss": 2.0 + b} for b in range(4)]
    found = {(v["score"], v["per"]): v for v in correlated(plan, rows, made)}
    assert set(found) == {("signal", "sum"), ("signal", "weight"), ("weights", "sum")}
    assert (found["signal", "sum"]["gain"], found["signal", "sum"]["knock_out"]) == pytest.approx((-1, 1))
    # Per weight 1/4, 5/4, 9/4, 13/40: ranks 1, 3, 4, 2 against 4, 3, 2, 1, so 1 - 6 (9 + 0 + 4 + 1) / 60.
    assert found["signal", "weight"]["gain"] == pytest.approx(-0.4)
    low, high = found["signal", "weight"]["gain_interval"]
    assert -1 <= low < -0.4 < high <= 1
    assert correlations(plan, rows, made)[2].startswith("| t | signal | sum | -1.00 [-1.00, ")


@pytest.mark.slow
def test_a_screen_and_a_placement_of_a_few_steps(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(study.records, "ROOT", tmp_path)
    monkeypatch.setattr(study, "ROWS", tmp_path / "rows.jsonl")  # the committed rows belong to the committed plan
    plan = {
        **PLAN,
        "tasks": ["e2e_nlg"],
        "budgets": {"main": PLAN["budgets"]["main"]},
        "held_out": {"validation": 8, "test": 8},
    }
    plan["probe"] = {**PLAN["probe"], "batches": 4, "batch_size": 2}
    plan["common"] = {**PLAN["common"], "data": {"num_samples": 60, "validation_split": 0.2}}
    plan["arms"] = {name: PLAN["arms"][name] for name in ("uniform", "mlp_only", "spectral", "eva", "threshold")}
    plan["screen"] = {**PLAN["screen"], "tasks": ["e2e_nlg"], "lrs": [0.01], "seeds": [1], "steps": 2}
    plan["prediction"] = {**PLAN["prediction"], "tasks": ["e2e_nlg"], "steps": 2}
    made = study.make_ranks(plan, lab, tmp_path / "allocations.json")
    used = {found["used_params"] for found in made["e2e_nlg"]["main"]["allocations"].values()}
    assert used == {int(PLAN["budgets"]["main"].removeprefix("params="))}
    runs = [*study.runs_of(plan, "screen", ()), *study.runs_of(plan, "prediction", ())[:3]]
    losses = []
    for run in runs:
        found = study.measure(plan, lab, made, (), run)
        losses.append(found["loss"])
        assert found["params"] <= made["e2e_nlg"]["main"]["allocations"]["uniform"]["used_params"]
    assert len(set(losses)) == len(losses)
    uniform = study.measure(plan, lab, made, (), runs[5])
    assert set(uniform["without"]) == {f"{kind}.{band}" for kind in plan["prediction"]["kinds"] for band in range(4)}
    assert study.measure(plan, lab, made, (), runs[0])["loss"] == losses[0]  # the base model is as it was
