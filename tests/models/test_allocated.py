"""Allocations on models: every family trains one, PEFT reads it back, other models refuse it."""

from __future__ import annotations

import warnings

import families
import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel
from test_adapters import _base, _logits, _shake

from lorascope.analysis.allocating.methods import Evidence, allot
from lorascope.analysis.budgets import capacity, used_params
from lorascope.config.allocation import Allocation, constant_alphas
from lorascope.config.budget import parse_budget
from lorascope.config.experiment import TARGETS, LoRAConfig
from lorascope.errors import ModelError
from lorascope.models.adapters import adapter_tensors, wrap
from lorascope.models.allocated import allocated_modules
from lorascope.models.budgets import budget_params
from lorascope.models.modules import find_modules
from toy import toy_model

LORA = LoRAConfig(lora_dropout=0.0)


def allocation_for(modules, method="random", share=0.2, seed=0, scaling=2.0):
    budget = int(share * capacity(modules))
    scores = {m.path: float(s) for m, s in zip(modules, np.random.default_rng(seed).random(len(modules)), strict=True)}
    ranks = allot(modules, budget, method, Evidence(scores=scores), seed=seed)
    return Allocation(
        ranks=ranks, alphas=constant_alphas(ranks, scaling), budget_params=budget,
        used_params=used_params(modules, ranks), method=method, base_model="toy",
    )  # fmt: skip


def adapt(model, allocation):
    base = _base(model)
    targets = allocated_modules(allocation, find_modules(model), model_id="toy", tied=base.tied)
    return wrap(base, LORA, targets, seed=0, allocation=allocation)


@pytest.mark.parametrize("name", families.FAMILIES)
def test_every_family_trains_an_allocation_of_two_steps_with_exactly_its_parameters(name):
    model = families.build(name)
    modules = [m for m in find_modules(model) if m.group in ("attention", "mlp")] or [
        m for m in find_modules(model) if m.projection == "in_proj"
    ]
    allocation = allocation_for(modules)
    adapted = adapt(model, allocation)
    tensors = adapter_tensors(adapted.model)
    assert {t.module.path: t.r for t in tensors} == allocation.adapted
    assert all(t.scaling == pytest.approx(2.0) for t in tensors)
    trained = [p for p in adapted.model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == allocation.used_params
    optimizer = torch.optim.SGD(trained, lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        families.loss(adapted.model, seed=step).backward()
        optimizer.step()
    moved = {t.module.path for t in tensors if t.matrix == "B" and t.parameter.abs().sum() > 0}
    assert moved


@pytest.mark.parametrize("name", ["llama", "gpt2", "phi3", "mixtral", "qwen3_moe"])
def test_plain_peft_loads_what_was_saved_with_the_same_ranks_alphas_and_logits(name, tmp_path):
    model = families.build(name)
    modules = [m for m in find_modules(model) if m.group in ("attention", "mlp")]
    allocation = allocation_for(modules, "proportional")
    adapted = adapt(model, allocation)
    _shake(adapted.model)
    want = _logits(adapted.model)
    adapted.model.save_pretrained(str(tmp_path))
    config = LoraConfig.from_pretrained(str(tmp_path))
    assert (config.r, config.lora_alpha) == allocation.top
    assert len(config.rank_pattern) == len(config.alpha_pattern) == len(allocation.adapted)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        warnings.filterwarnings("ignore", message="The following (rank|alpha)_pattern keys did not match")
        again = PeftModel.from_pretrained(families.build(name), str(tmp_path)).eval()
    assert {t.module.path: t.r for t in adapter_tensors(again)} == allocation.adapted
    torch.testing.assert_close(_logits(again), want, rtol=0, atol=0)


def toy_allocation(**changes):
    ranks = {"model.layers.0.self_attn.q_proj": 3, "model.layers.1.mlp.up_proj": 2}
    plain = {"ranks": ranks, "alphas": dict.fromkeys(ranks, 4), "budget_params": 400, "used_params": 3 * 64 + 2 * 96}
    return Allocation(**(plain | {"method": "uniform", "base_model": "other"} | changes))


def test_an_allocation_of_another_model_is_refused_with_the_model_that_it_is_of():
    modules = find_modules(toy_model())
    assert len(allocated_modules(toy_allocation(), modules, model_id="toy", tied=False)) == 2
    cases = [
        (toy_allocation(ranks={"model.layers.7.mlp.up_proj": 3}), "1 of the 1 modules"),
        (toy_allocation(used_params=400), "says 400"),
        (toy_allocation(ranks={"model.layers.1.mlp.up_proj": 33}, used_params=33 * 96), "smaller side"),
    ]
    for allocation, says in cases:
        with pytest.raises(ModelError, match=says):
            allocated_modules(allocation, modules, model_id="toy", tied=False)


def test_a_tied_embedding_gets_no_rank():
    allocation = toy_allocation(ranks={"model.embed_tokens": 1}, used_params=259 + 32)
    with pytest.raises(ModelError, match="one matrix as embedding and as head"):
        allocated_modules(allocation, find_modules(toy_model(tied=True)), model_id="toy", tied=True)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("params=1k", 1000),
        ("r=2", 2 * 2 * (3 * 96)),  # two layers of gate, up, down: 32 + 64 each
        ("like=attention_only:r=2", 2 * 2 * (64 + 48 + 48 + 64)),
        ("10%", 2500),
        ("0.7%", 175),  # 0.7 / 100 * 25_000 is 174.99... in floats
    ],
)
def test_a_budget_is_a_number_of_parameters_of_this_model(text, asked):
    modules = find_modules(toy_model())
    mlp = [m for m in modules if m.group == "mlp"]
    budget = parse_budget(text, TARGETS)
    assert budget_params(budget, modules, mlp, total=25_000, tied=False, model_id="toy") == asked


def test_a_budget_below_the_smallest_adapter_is_refused():
    modules = find_modules(toy_model())
    with pytest.raises(ModelError, match="the smallest adapter in toy has 48"):
        budget_params(parse_budget("params=40", TARGETS), modules, modules, total=1, tied=False, model_id="toy")
