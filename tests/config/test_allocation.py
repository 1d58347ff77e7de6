"""Budgets and allocations as they are written down."""

from __future__ import annotations

import json

import pytest

from lorascope.config.allocation import allocation_of, constant_alphas, read_allocation
from lorascope.config.budget import parse_budget
from lorascope.config.experiment import TARGETS, DynamicLoRAConfig, ExperimentConfig, LoRAConfig
from lorascope.errors import ConfigError

GOOD = {
    "ranks": {"a": 2, "b": 0, "c": 4},
    "alphas": {"a": 8, "c": 16},
    "budget_params": 100,
    "used_params": 96,
    "method": "spectral",
    "base_model": "toy",
}


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("params=2.25M", "params", 2_250_000),
        ("params=2534400", "params", 2_534_400),
        ("params=2,534_400", "params", 2_534_400),
        ("params=60k", "params", 60_000),
        ("params=1B", "params", 10**9),
        (" r=8 ", "rank", 8),
        ("like=attention_only:r=16", "like", 16),
        ("like=attention-only:r=16", "like", 16),
        ("like=attention_only+mlp_only:r=16", "like", 16),
        ("0.2%", "share", 0.002),
        ("100 %", "share", 1.0),
    ],
)
def test_a_budget_is_read(text, kind, amount):
    budget = parse_budget(text, TARGETS)
    assert (budget.kind, budget.amount) == (kind, pytest.approx(amount))


@pytest.mark.parametrize(
    "text",
    ["", "2.25", "8", "r=0", "r=", "r=1.5", "params=0", "params=1.0001k", "params=-5", "0%", "101%", "like=mlp_only",
     "like=mlp_only:r=0", "like=all_linear:r=8", "like=r=8", "like=mlp_only+:r=8", "params=2.25X", "r=8 params=3"],
)  # fmt: skip
def test_what_is_no_budget_is_refused_with_something_to_type(text):
    with pytest.raises(ConfigError, match="budget must be") as caught:
        LoRAConfig(budget=text)
    assert caught.value.tries[0].startswith("--budget ")


def test_a_bare_number_is_taken_for_parameters_in_the_hint():
    with pytest.raises(ConfigError) as caught:
        LoRAConfig(budget="60k")
    assert caught.value.tries == ("--budget params=60k",)


def test_budget_and_allocation_exclude_each_other_and_phases_an_allocation():
    with pytest.raises(ConfigError, match="exclude each other"):
        LoRAConfig(budget="r=8", allocation="x.json")
    with pytest.raises(ConfigError, match="exclude each other"):
        ExperimentConfig(lora=LoRAConfig(allocation="x.json"), dynamic_lora=DynamicLoRAConfig(enabled=True))


@pytest.mark.parametrize(
    ("lora", "name"),
    [
        (LoRAConfig(), "e2e_nlg_attention_only_r8_s42"),
        (LoRAConfig(budget="params=2.25M"), "e2e_nlg_attention_only_params_2.25M_s42"),
        (LoRAConfig(budget="0.2%"), "e2e_nlg_attention_only_0.2_percent_s42"),
        (LoRAConfig(allocation="out/spectral/allocation.json"), "e2e_nlg_spectral_allocation_s42"),
        (LoRAConfig(allocation="spectral.json"), "e2e_nlg_spectral_s42"),
    ],
)
def test_a_runs_name_tells_its_ranks(lora, name):
    assert ExperimentConfig(lora=lora).run_name == name


def test_an_allocation_comes_back_from_its_file_as_it_was(tmp_path):
    allocation = allocation_of(GOOD, "x")
    assert allocation.to_dict() == GOOD
    assert allocation.adapted == {"a": 2, "c": 4}
    assert allocation.top == (4, 16)
    (tmp_path / "allocation.json").write_text(allocation.to_json())
    assert read_allocation(tmp_path / "allocation.json") == allocation
    assert list(json.loads(allocation.to_json())) == list(GOOD)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ranks": {"a": -1}}, "whole numbers"),
        ({"ranks": {"a": 2.0}}, "whole numbers"),
        ({"ranks": {"a": True}}, "whole numbers"),
        ({"ranks": {"a": 0}}, "no module a rank"),
        ({"ranks": {"a": 2}}, "without a rank: c"),
        ({"alphas": {"a": 8}}, "without one: c"),
        ({"alphas": {"a": 8, "c": 0}}, "positive"),
        ({"alphas": {"a": 8, "c": float("inf")}}, "positive"),
        ({"used_params": "96"}, "used_params must be a whole number"),
        ({"used_params": 101}, "used_params 101 are above budget_params 100"),
        ({"method": ""}, "method must be a text"),
        ({"note": 1}, "must be an object with"),
    ],
)
def test_a_broken_allocation_is_refused_with_its_name(change, says):
    with pytest.raises(ConfigError, match=says) as caught:
        allocation_of(GOOD | change, "mine.json")
    assert caught.value.code == "allocation-file"
    assert "mine.json" in caught.value.what


def test_a_file_that_is_not_there_or_no_json_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no allocation"):
        read_allocation(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_allocation(tmp_path / "a.json")


def test_alphas_keep_the_scaling_and_whole_numbers():
    assert constant_alphas({"a": 3, "b": 0, "c": 7}, 4.0) == {"a": 12, "c": 28}
    assert constant_alphas({"a": 3}, 32 / 12) == {"a": 8}
    assert constant_alphas({"a": 1}, 32 / 12) == {"a": pytest.approx(8 / 3)}
