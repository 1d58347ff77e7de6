"""Budgets of a study's arms, in each of their forms: asked, used and trained side by side."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from lorascope.config.experiment import LoRAConfig
from lorascope.config.load import resolve
from lorascope.errors import ModelError
from lorascope.models.base import load_config_only
from lorascope.models.modules import find_modules
from lorascope.models.selection import select
from lorascope.report.terminal import Console
from lorascope.runs.adapting import budget_of
from lorascope.studies.builtin import STUDIES
from lorascope.studies.design import with_settings
from lorascope.studies.planning import plan_study


@pytest.fixture(scope="module")
def costs():
    """Target -> parameters per rank; and those of the embedded model."""
    base = load_config_only(resolve({"model": "embedded"}).config.model)
    modules = find_modules(base.model)
    found = {
        name: sum(m.cost_per_rank for m in select(modules, name, tied=base.tied, model_id="embedded"))
        for name in ("attention_only", "mlp_only")
    }
    return found, sum(parameter.numel() for parameter in base.model.parameters())


def test_every_form_of_a_budget_is_met_in_a_study_and_shown_beside_what_trains(grid, tmp_path, capsys, costs):
    attention, mlp = costs[0]["attention_only"], costs[0]["mlp_only"]
    asked = {"like": 3 * attention, "params": 20_000, "rank": 5 * mlp, "share": int(0.01 * costs[1])}
    arms = {
        "like": {"target": "mlp_only", "budget": "like=attention_only:r=3"},
        "params": {"target": "mlp_only", "budget": "params=20k"},
        "rank": {"target": "mlp_only", "budget": "r=5"},
        "share": {"target": "attention_only", "budget": "1%"},
        "plain": {"target": "mlp_only", "r": "2"},
    }
    plan = plan_study(replace(grid, arms=arms, hypotheses=()), tmp_path / "study", 1, Console())
    lines = {words[0]: words for line in capsys.readouterr().out.splitlines() if (words := line.split())}
    for arm, parameters in asked.items():
        numbers = [int(word.replace(",", "")) for word in lines[arm][-3:]]
        assert numbers == [parameters, plan["parameters"][arm], plan["parameters"][arm]]
        assert 0 <= parameters - plan["parameters"][arm] < 600, arm  # a module's rank costs 256 to 576 here
    assert plan["parameters"]["rank"] == 5 * mlp
    assert lines["plain"][-3:] == ["-", "-", f"{2 * mlp:,}"]
    assert re.search(r"asked +used +trained", " ".join(lines["arm"]))


def test_a_budget_from_the_command_line_makes_the_groups_equal_too(tmp_path):
    study = with_settings(STUDIES["lora_sensitivity"](), {"budget": "like=attention_only+mlp_only:r=3"}, None)
    counts = set(plan_study(study, tmp_path / "study", 1, Console(quiet=True))["parameters"].values())
    before = plan_study(STUDIES["lora_sensitivity"](), tmp_path / "other", 1, Console(quiet=True))["parameters"]
    assert len(counts) == 1
    assert 0.3 < counts.pop() / before["mlp"] < 0.4  # 3 of 8


@pytest.mark.parametrize("name", ["lora_sensitivity", "hypothesis_3", "controlled_pair"])
def test_the_arms_of_a_study_train_exactly_as_many_parameters(name, tmp_path, costs):
    plan = plan_study(STUDIES[name](), tmp_path / "study", 1, Console(quiet=True))
    counts = {arm: n for arm, n in plan["parameters"].items() if arm != "mixed"}
    assert len(set(counts.values())) == 1
    assert 0.9 * 8 * costs[0]["attention_only"] < counts["mlp"] <= 8 * costs[0]["attention_only"]


def test_targets_without_a_number_in_common_are_refused():
    config = LlamaConfig(
        hidden_size=64, intermediate_size=997, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=4,
        vocab_size=99,
    )  # fmt: skip
    base = SimpleNamespace(model=LlamaForCausalLM(config), tied=False, model_id="primes")
    lora = LoRAConfig(target="attention_only", budget="like=attention_only+mlp_only:r=1")
    with pytest.raises(ModelError, match=r"no number of parameters up to 512 .* all targets .* can use exactly"):
        budget_of(base, lora, find_modules(base.model))


def test_a_budget_that_no_adapter_meets_stops_the_plan(grid, tmp_path):
    arms = {"small": {"target": "mlp_only", "budget": "params=100"}}
    with pytest.raises(ModelError, match="the smallest adapter in embedded has"):
        plan_study(replace(grid, arms=arms, hypotheses=()), tmp_path / "study", 1, Console(quiet=True))
