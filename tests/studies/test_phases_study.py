"""The study of phases: its plan can be run and decided, its statistics are right, and it goes on where it was."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "studies" / "phases"
spec = importlib.util.spec_from_file_location("phases_study", FOLDER / "study.py")
study = importlib.util.module_from_spec(spec)
spec.loader.exec_module(study)
PLAN = json.loads((FOLDER / "plan.json").read_text())


def test_the_sign_flip_test_counts_all_signs():
    assert study.sign_flip([1.0, 1.0, 1.0]) == 2 / 8
    assert study.sign_flip([1.0, 2.0, -3.0]) == 1.0
    # sums over the signs of 1, 2, 3: 6, 0, 2, 4, and their opposites; |2| is reached by 2, 4, 6 on both sides
    assert study.sign_flip([1.0, -2.0, 3.0]) == 6 / 8
    assert study.sign_flip([0.1] * 8) == 2 / 256


def test_holm_by_hand():
    assert study.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert study.holm([0.5, 0.9]) == [1.0, 1.0]
    assert study.holm([]) == []


def test_every_contrast_can_be_decided_at_all():
    smallest = study.sign_flip([1.0] * len(PLAN["tasks"]["e2e_nlg"]["seeds"]))
    assert max(study.holm([smallest] * len(PLAN["contrasts"]))) < 0.05
    assert max(study.holm([smallest] * (len(PLAN["contrasts"]) + 1))) > 0.05  # why late-early is not tested
    assert {PLAN["against"], *PLAN["contrasts"], "late-early"} == set(PLAN["arms"])


def test_the_plan_is_a_configuration_for_every_arm():
    configs = {(t, arm): study.configure(PLAN, Path("lab"), t, arm, 1) for t in PLAN["tasks"] for arm in PLAN["arms"]}
    assert len({config.hash for config in configs.values()}) == 16
    for (_, arm), config in configs.items():
        assert config.dynamic_lora.enabled == (arm != "static")
        assert config.dynamic_lora.phase_strategy == (None if arm == "static" else arm)
        assert config.training.max_steps * config.training.batch_size == 640
        rows = config.data.num_samples * (1 - config.data.validation_split)
        assert rows >= 640  # no row twice


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A study of two seeds whose runs take no time."""
    plan = {**PLAN, "tasks": {"e2e_nlg": {**PLAN["tasks"]["e2e_nlg"], "seeds": [1, 2]}}}
    seen = []

    def measure(config, rows, test):
        seen.append((config.dynamic_lora.phase_strategy or "static", config.training.seed))
        loss = 2.0 + config.training.seed - 0.1 * (config.dynamic_lora.phase_strategy == "lisa")
        return {"test_loss": loss, "seconds": 0.0, "active_steps": {"attention": 80}}

    monkeypatch.setattr(study, "load", lambda *args: (None, None))
    monkeypatch.setattr(study, "measure", measure)
    monkeypatch.setattr(study, "ROOT", tmp_path)
    return plan, tmp_path / "rows.jsonl", seen


def test_it_goes_on_where_it_was_seed_after_seed(small, tmp_path):
    plan, rows, seen = small
    study.study(plan, tmp_path, rows, minutes=None, limit=3)
    assert seen == [("static", 1), ("both-mlp-attn", 1), ("attn-mlp-both", 1)]
    study.study(plan, tmp_path, rows, minutes=0.0)  # no time: nothing begins
    assert len(seen) == 3
    study.study(plan, tmp_path, rows, minutes=None)
    assert len(seen) == len(set(seen)) == 16
    study.study(plan, tmp_path, rows, minutes=None)
    assert len(seen) == 16


def test_the_table_has_paired_differences_and_no_p_before_all_are_there(small, tmp_path):
    plan, rows, _ = small
    study.study(plan, tmp_path, rows, minutes=None, limit=15)
    assert "0.5000" not in "\n".join(study.table(plan, study.read_rows(plan, rows)))
    study.study(plan, tmp_path, rows, minutes=None)
    lines = study.table(plan, study.read_rows(plan, rows))
    assert "| static | 2 | 3.5000 | - | - | - | attention 80 |" in lines
    assert (
        "| lisa | 2 | 3.4000 | -0.1000 | -0.1000 to -0.1000 | 1.0000 | attention 80 |" in lines
    )  # 2 seeds: 2/4 times 6


def test_rows_of_another_plan_are_refused(small, tmp_path):
    plan, rows, _ = small
    study.study(plan, tmp_path, rows, minutes=None, limit=1)
    with pytest.raises(SystemExit, match="rows of another plan"):
        study.read_rows({**plan, "test": "another one"}, rows)


def test_committed_rows_belong_to_the_plan():
    rows = study.read_rows(PLAN, FOLDER / "rows.jsonl")
    assert all(row["arm"] in PLAN["arms"] for row in rows)
    assert len({(row["task"], row["arm"], row["seed"]) for row in rows}) == len(rows)


@pytest.mark.slow
def test_two_real_runs_of_a_few_steps(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "ROOT", tmp_path)  # the lock of the checkout is held by whoever runs the long tests
    few = {"max_steps": 9, "eval_every": 9, "batch_size": 2}
    common = {**PLAN["common"], "training": {**PLAN["common"]["training"], **few}}
    own = {**PLAN["tasks"]["e2e_nlg"], "seeds": [1], "data": {"num_samples": 40}, "test_examples": 8}
    plan = {**PLAN, "common": common, "tasks": {"e2e_nlg": own}}
    plan["arms"] = {"static": None, "sensitivity": {"phase_strategy": "sensitivity", "phase_every": 3}}
    study.study(plan, lab, tmp_path / "rows.jsonl", minutes=None)
    static, phased = study.read_rows(plan, tmp_path / "rows.jsonl")
    assert static["active_steps"] == {"attention": 9, "mlp": 9}
    assert len(phased["phases"]) == 3
    assert max(phased["active_steps"].values()) < 9
    assert static["test_tokens"] == phased["test_tokens"] > 0
    assert static["test_loss"] != phased["test_loss"]
    assert min(static["test_loss"], phased["test_loss"]) < static["validation_loss"][0]
