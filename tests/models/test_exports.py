"""Every exported form is read by its own tool or schema, and gives the ranks, alphas and parameters back."""

from __future__ import annotations

import json
import runpy
import sys

import pytest
import torch
import yaml
from peft import LoraConfig, PeftModel, get_peft_model
from pydantic import BaseModel, ConfigDict
from test_adapters import _base, _logits, _shake
from test_allocated import adapt, allocation_for

from lorascope.config.experiment import LoRAConfig
from lorascope.models.adapters import adapter_tensors
from lorascope.models.exports import AXOLOTL, PLAIN, PYTHON, TRL, nearest_plain, write_exports
from lorascope.models.modules import find_modules
from lorascope.models.uniform import export_uniform
from toy import save_toy, toy_model

LORA = LoRAConfig(lora_dropout=0.0)


class Axolotl(BaseModel):
    """What axolotl's own schema has of these fields (src/axolotl/utils/schemas/peft.py, docs/lora.qmd)."""

    model_config = ConfigDict(extra="forbid", strict=True)
    base_model: str
    adapter: str
    lora_r: int
    lora_alpha: int
    lora_dropout: float
    lora_target_modules: list[str]
    lora_rank_pattern: dict[str, int]
    lora_alpha_pattern: dict[str, int]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    model = toy_model()
    allocation = allocation_for([m for m in find_modules(model) if m.group in ("attention", "mlp")])
    return folder, allocation, write_exports(_base(model), LORA, allocation, folder)


def check(config, allocation):
    """The configuration, applied by PEFT to a fresh model."""
    model = get_peft_model(toy_model(), config)
    tensors = adapter_tensors(model)
    assert {t.module.path: t.r for t in tensors} == allocation.adapted
    assert {t.module.path: t.scaling * t.r for t in tensors} == allocation.alphas
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == allocation.used_params


def test_peft_reads_adapter_config_json(exported):
    folder, allocation, _ = exported
    config = LoraConfig.from_pretrained(str(folder))
    assert config.base_model_name_or_path == "toy"
    config.inference_mode, config.base_model_name_or_path = False, None  # the toy has no name
    check(config, allocation)


def test_the_python_file_makes_the_same(exported):
    folder, allocation, _ = exported
    check(runpy.run_path(str(folder / PYTHON))["lora_config"], allocation)


def test_axolotls_schema_takes_the_yaml(exported):
    folder, allocation, _ = exported
    read = Axolotl(**yaml.safe_load((folder / AXOLOTL).read_text()))
    config = LoraConfig(
        r=read.lora_r, lora_alpha=read.lora_alpha, target_modules=read.lora_target_modules,
        rank_pattern=read.lora_rank_pattern, alpha_pattern=read.lora_alpha_pattern, task_type="CAUSAL_LM",
    )  # fmt: skip
    check(config, allocation)


def test_the_trl_script_holds_the_same_and_compiles(exported):
    pytest.importorskip("trl")
    folder, allocation, _ = exported
    check(runpy.run_path(str(folder / TRL))["lora_config"], allocation)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_trl_script_trains(exported, tmp_path, monkeypatch):
    pytest.importorskip("trl")
    _, allocation, _ = exported
    base = save_toy(tmp_path / "toy")
    model = toy_model()
    there = type(allocation)(**(allocation.to_dict() | {"base_model": str(base)}))
    write_exports(_base(model, str(base)), LORA, there, tmp_path / "out")
    rows = [{"prompt": f"{i} plus {i} is", "completion": f" {2 * i}"} for i in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train_trl.py", "rows.jsonl"])
    runpy.run_path(str(tmp_path / "out" / TRL), run_name="__main__")
    saved = LoraConfig.from_pretrained(str(tmp_path / "trained"))
    assert sorted(saved.rank_pattern.values()) == sorted(allocation.adapted.values())


def test_the_plain_list_says_what_it_loses(exported):
    folder, allocation, written = exported
    plain = json.loads((folder / PLAIN).read_text())
    model = get_peft_model(
        toy_model(),
        LoraConfig(**{name: plain[name] for name in ("target_modules", "r", "lora_alpha")}, task_type="CAUSAL_LM"),
    )
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == plain["params"]
    assert plain["params"] <= allocation.budget_params
    assert 0 < plain["overlap"] <= 1
    assert plain["loses"] in written.notes[-1]


def test_a_plain_allocation_loses_nothing():
    modules = find_modules(toy_model())
    attention = [m for m in modules if m.group == "attention"]
    allocation = allocation_for(attention, "uniform", share=0.25)
    cost = sum(m.cost_per_rank for m in attention)
    even = type(allocation)(
        **(
            allocation.to_dict()
            | {"ranks": {m.path: 3 for m in attention}, "alphas": {m.path: 6 for m in attention}}
            | {"budget_params": 3 * cost, "used_params": 3 * cost}
        )
    )
    plain = nearest_plain(modules, even)
    assert plain.target_modules == ("k_proj", "o_proj", "q_proj", "v_proj")
    assert (plain.r, plain.lora_alpha, plain.params, plain.overlap) == (3, 6, 3 * cost, 1.0)


def test_alphas_that_are_not_whole_leave_axolotl_out_and_say_so(tmp_path):
    model = toy_model()
    allocation = allocation_for([m for m in find_modules(model) if m.group == "mlp"], scaling=8 / 3)
    written = write_exports(_base(model), LORA, allocation, tmp_path)
    assert not (tmp_path / AXOLOTL).exists()
    assert "whole alphas" in written.notes[0]


def test_a_trained_allocation_at_one_rank_has_the_same_logits(tmp_path):
    model = toy_model()
    allocation = allocation_for([m for m in find_modules(model) if m.group in ("attention", "mlp")])
    adapted = adapt(model, allocation)
    _shake(adapted.model)
    want = _logits(adapted.model)
    adapted.model.save_pretrained(str(tmp_path / "maps"))
    padded = export_uniform(tmp_path / "maps", tmp_path / "uniform")
    assert padded.r == max(allocation.ranks.values())
    again = PeftModel.from_pretrained(toy_model(), str(tmp_path / "uniform")).eval()
    assert len({t.r for t in adapter_tensors(again)}) == 1
    torch.testing.assert_close(_logits(again), want, rtol=0, atol=1e-5)
