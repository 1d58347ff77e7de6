"""LoRA on exactly the chosen modules, read back, saved, loaded and found again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import families
import pytest
import torch
from peft import AdaLoraConfig, LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from torch import Tensor, nn

from lorascope.config.experiment import LoRAConfig
from lorascope.errors import ModelError
from lorascope.models.adapters import (
    AdaptedModel,
    AdapterTensor,
    adapter_tensors,
    load_adapter,
    parameter_counts,
    select,
    wrap,
)
from lorascope.models.base import BaseModel
from lorascope.models.modules import embeddings_are_tied, find_modules
from toy import toy_model, toy_tokenizer

WITH_LAYERS = [name for name in families.FAMILIES if name != "mamba"]
LORA = LoRAConfig(r=3, lora_alpha=6, lora_dropout=0.0)


def _base(model: Any, name: str = "toy") -> BaseModel:
    return BaseModel(
        model=model,
        tokenizer=toy_tokenizer(),
        model_id=name,
        dtype=model.dtype,
        device=model.device,
        revision=None,
        tied=embeddings_are_tied(model),
        context_length=None,
        notes=(),
    )


def _adapt(model: Any, target: str = "both", lora: LoRAConfig = LORA, *, seed: int = 0) -> AdaptedModel:
    base = _base(model)
    return wrap(base, lora, select(find_modules(model), target, tied=base.tied, model_id="toy"), seed=seed)


def _shake(model: nn.Module) -> None:
    """Give every adapter matrix other values than those of the initialisation."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for tensor in adapter_tensors(model):
            tensor.parameter.copy_(torch.randn(tensor.parameter.shape, generator=generator) * 0.3)


def _logits(model: nn.Module) -> Tensor:
    ids = torch.arange(3, 19).reshape(2, 8)
    more = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False, **more).logits


def _named(tensors: Sequence[AdapterTensor]) -> dict[str, Tensor]:
    return {f"{t.module.path} {t.matrix}": t.parameter for t in tensors}


# --- wrapping ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_LAYERS)
def test_exactly_the_chosen_modules_train_with_the_shapes_and_costs_foreseen(name: str) -> None:
    adapted = _adapt(families.build(name))
    tensors = adapter_tensors(adapted.model)
    assert [t.module for t in tensors] == [module for module in adapted.targets for _ in "AB"]
    for a, b in zip(tensors[::2], tensors[1::2], strict=True):
        out, into = a.module.shape
        assert (a.matrix, b.matrix) == ("A", "B")
        assert a.parameter.shape == (3 * a.module.num_experts, into)
        assert b.parameter.shape == (out, 3 * a.module.num_experts)
        assert a.parameter.numel() + b.parameter.numel() == 3 * a.module.cost_per_rank
        assert (a.r, a.scaling, b.r, b.scaling) == (3, 2.0, 3, 2.0)
    trained = {id(p) for p in adapted.model.parameters() if p.requires_grad}
    assert trained == {id(t.parameter) for t in tensors}


@pytest.mark.parametrize("name", WITH_LAYERS)
def test_the_list_of_modules_is_the_same_after_wrapping(name: str) -> None:
    adapted = _adapt(families.build(name))
    assert find_modules(adapted.model) == list(adapted.modules) == find_modules(families.build(name))


@pytest.mark.parametrize("name", WITH_LAYERS)
def test_every_matrix_gets_a_gradient(name: str) -> None:
    adapted = _adapt(families.build(name))
    _shake(adapted.model)
    families.loss(adapted.model).backward()
    assert all(
        t.parameter.grad is not None and t.parameter.grad.abs().sum() > 0 for t in adapter_tensors(adapted.model)
    )


@pytest.mark.parametrize("name", WITH_LAYERS)
def test_plain_peft_loads_what_was_saved_with_equal_logits(name: str, tmp_path: Path) -> None:
    adapted = _adapt(families.build(name))
    _shake(adapted.model)
    adapted.model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(families.build(name), str(tmp_path)).eval()
    here = _logits(adapted.model.eval())
    assert torch.equal(_logits(loaded), here)
    assert not torch.equal(_logits(families.build(name)), here)


@pytest.mark.parametrize(
    ("name", "target", "modules", "parameters"),
    [
        ("llama", "attention_only", ["k_proj", "o_proj", "q_proj", "v_proj"], []),
        ("gpt2", "mlp_only", ["c_fc", "mlp.c_proj"], []),  # attention has a c_proj too
        ("gpt2", "both", ["c_attn", "c_fc", "c_proj"], []),
        ("mixtral", "mlp_only", [], ["experts.down_proj", "experts.gate_up_proj"]),
        ("phi3", "attention_only", ["o_proj", "qkv_proj"], []),
        # PEFT would take these names for the experts, as Transformers 4 named them
        (
            "qwen3_moe",
            "mlp_only",
            [],
            ["down_proj.weight", "experts.down_proj", "experts.gate_up_proj", "gate_proj.weight", "up_proj.weight"],
        ),
    ],
)
def test_the_saved_names_are_the_shortest_exact_ones(
    name: str, target: str, modules: list[str], parameters: list[str], tmp_path: Path
) -> None:
    _adapt(families.build(name), target).model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (saved["target_modules"], saved["target_parameters"]) == (modules, parameters)
    assert (saved["task_type"], saved["r"], saved["lora_alpha"], saved["bias"]) == ("CAUSAL_LM", 3, 6, "none")


def test_a_choice_that_no_name_describes_is_saved_path_by_path(tmp_path: Path) -> None:
    model = toy_model(layers=12)
    base = _base(model)
    targets = [m for m in find_modules(model) if m.projection in ("q", "down") and m.layer not in (1, 3)]
    adapted = wrap(base, LORA, targets, seed=0)  # 20 paths: PEFT condenses the list while it works
    _shake(adapted.model)
    adapted.model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["target_modules"] == sorted(m.path for m in targets)
    loaded = PeftModel.from_pretrained(toy_model(layers=12), str(tmp_path))
    assert [t.module.path for t in adapter_tensors(loaded)[::2]] == [m.path for m in targets]
    assert torch.equal(_logits(loaded.eval()), _logits(adapted.model.eval()))


def test_layer_1_is_not_layer_11() -> None:
    model = toy_model(layers=12)
    targets = [m for m in find_modules(model) if m.layer == 1 and m.projection == "q"]
    assert [t.module.layer for t in adapter_tensors(wrap(_base(model), LORA, targets, seed=0).model)] == [1, 1]


def test_initialisation_depends_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = _named(adapter_tensors(_adapt(toy_model(), seed=5).model))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = _named(adapter_tensors(_adapt(toy_model(), seed=5).model))
    assert torch.equal(torch.get_rng_state(), before)
    third = _named(adapter_tensors(_adapt(toy_model(), seed=6).model))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not any(torch.equal(first[key], third[key]) for key in first if key.endswith("A"))
    assert all((first[key] == 0).all() for key in first if key.endswith("B"))


def test_adapters_on_a_bfloat16_base_are_float32() -> None:
    adapted = _adapt(toy_model(dtype=torch.bfloat16))
    assert adapted.adapter_dtype is torch.float32
    assert adapted.base.model.dtype is torch.bfloat16
    assert adapter_tensors(adapted.model)[0].base_weight.dtype is torch.bfloat16


def test_an_empty_model_takes_empty_adapters() -> None:
    adapted = _adapt(families.build("llama", device="meta"))
    assert {t.parameter.device.type for t in adapter_tensors(adapted.model)} == {"meta"}
    assert parameter_counts(adapted.model) == parameter_counts(_adapt(families.build("llama")).model)


def test_a_fresh_adapter_is_in_eval_mode_and_changes_nothing() -> None:
    adapted = _adapt(toy_model(), "both", LoRAConfig(lora_dropout=0.5))
    assert not any(module.training for module in adapted.model.modules())
    assert torch.equal(_logits(adapted.model), _logits(toy_model()))


def test_experts_cannot_have_dropout() -> None:
    with pytest.raises(ModelError) as error:
        _adapt(families.build("mixtral"), "both", replace(LORA, lora_dropout=0.1))
    assert error.value.code == "expert-dropout"
    assert error.value.tries == ("--lora_dropout 0",)


def test_dropout_elsewhere_is_as_asked() -> None:
    adapted = _adapt(families.build("mixtral"), "attention_only", replace(LORA, lora_dropout=0.25))
    rates = {m.p for n, m in adapted.model.named_modules() if isinstance(m, nn.Dropout) and "lora_dropout" in n}
    assert rates == {0.25}


def test_a_module_that_peft_does_not_find_is_an_error_and_no_smaller_adapter() -> None:
    model = toy_model()
    targets = [m for m in find_modules(model) if m.projection == "q"]
    ghost = replace(targets[0], path="model.layers.7.self_attn.q_proj", layer=7)
    with pytest.raises(ModelError, match=r"PEFT made 2 adapters .* wanted were 3 .*layers\.7"):
        wrap(_base(model), LORA, [*targets, ghost], seed=0)


def test_a_base_is_wrapped_once() -> None:
    model = toy_model()
    _adapt(model)
    with pytest.raises(ModelError, match="carries an adapter already"):
        _adapt(model)


# --- finding the tensors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama", "gpt2", "phi3", "mixtral", "gpt_oss", "qwen3_moe"])
def test_the_update_is_scaling_times_b_a(name: str) -> None:
    """PEFT's own delta weight against the formula in the docstring of AdapterTensor, experts one by one."""
    target = "both" if name == "gpt2" else "all"
    adapted = _adapt(families.build(name), target)
    _shake(adapted.model)
    tensors = adapter_tensors(adapted.model)
    merged = _adapt(families.build(name), target)
    _shake(merged.model)
    weights = {t.module.path: t.base_weight.detach().clone() for t in adapter_tensors(merged.model)}
    for layer in merged.model.modules():
        if isinstance(layer, LoraLayer):
            layer.merge()
    after = {t.module.path: t.base_weight for t in adapter_tensors(merged.model)}
    for a, b in zip(tensors[::2], tensors[1::2], strict=True):
        n, (out, into) = a.module.num_experts, a.module.shape
        per_expert_a = a.parameter.reshape(n, a.r, into)
        per_expert_b = b.parameter.reshape(out, a.r, n)
        update = torch.stack([a.scaling * per_expert_b[:, :, e] @ per_expert_a[e] for e in range(n)])
        change = (after[a.module.path] - weights[a.module.path]).reshape(n, *a.base_weight.shape[-2:])
        if change.shape[1:] != (out, into) or a.module.kind == "conv1d":  # in memory (in, out)
            change = change.transpose(1, 2)
        torch.testing.assert_close(change, update, rtol=1e-4, atol=1e-5)


def test_tensors_come_in_the_models_order_a_before_b() -> None:
    tensors = adapter_tensors(_adapt(toy_model()).model)
    order = [m.path for m in find_modules(toy_model())]
    places = [order.index(t.module.path) for t in tensors]
    assert places == sorted(places)
    assert "".join(t.matrix for t in tensors) == "AB" * 14


def test_scaling_is_read_from_pefts_layers() -> None:
    config = LoraConfig(
        target_modules=["q_proj", "k_proj"],
        r=4,
        lora_alpha=8,
        use_rslora=True,
        rank_pattern={"k_proj": 9},
        alpha_pattern={"k_proj": 6},
    )
    found = {(t.module.projection, t.r, t.scaling) for t in adapter_tensors(get_peft_model(toy_model(), config))}
    assert found == {("q", 4, 8 / 2), ("k", 9, 6 / 3)}


def test_another_name_and_another_kind_of_lora() -> None:
    model = get_peft_model(toy_model(), LoraConfig(target_modules=["q_proj"], r=2), adapter_name="mine")
    assert len(adapter_tensors(model, "mine")) == 4
    with pytest.raises(ModelError, match="no LoRA adapter named 'default'"):
        adapter_tensors(model)
    adaptive = get_peft_model(toy_model(), AdaLoraConfig(target_modules=["v_proj"], init_r=3, total_step=10))
    assert [tuple(t.parameter.shape) for t in adapter_tensors(adaptive)] == [(3, 32), (16, 3)] * 2


def test_an_adapter_that_cannot_be_measured_is_an_error() -> None:
    model = nn.ModuleDict({"conv": nn.Conv1d(4, 4, 3), "line": nn.Linear(4, 4)})
    wrapped = get_peft_model(model, LoraConfig(target_modules=["conv"], r=2))
    with pytest.raises(ModelError, match=r"on conv \(Conv1d\)"):
        adapter_tensors(wrapped)


def test_no_adapter_at_all_is_an_error() -> None:
    with pytest.raises(ModelError, match="no LoRA adapter"):
        adapter_tensors(toy_model())


def test_parameters_are_counted_by_hand() -> None:
    adapted = _adapt(toy_model(tied=True), "both", LoRAConfig(r=4, lora_alpha=4, lora_dropout=0.0))
    attention = 2 * 4 * (64 + 48 + 48 + 64)
    mlp = 2 * 4 * 3 * (32 + 64)
    layer = (32 + 16 + 16 + 32) * 32 + 3 * 32 * 64 + 2 * 32
    counts = parameter_counts(adapted.model)
    assert counts["by_group"] == {"attention": attention, "mlp": mlp}
    assert counts["trained"] == attention + mlp
    assert counts["total"] == 259 * 32 + 2 * layer + 32 + attention + mlp  # the tied matrix once


def test_what_a_phase_has_switched_off_still_counts_as_trained() -> None:
    adapted = _adapt(toy_model())
    before = parameter_counts(adapted.model)
    for tensor in adapter_tensors(adapted.model)[::2]:
        tensor.parameter.requires_grad_(False)
    assert parameter_counts(adapted.model) == before


# --- loading ----------------------------------------------------------------------------------------------------


def _saved(folder: Path, model: Any, target: str = "both") -> Path:
    adapted = _adapt(model, target)
    _shake(adapted.model)
    adapted.model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "deepseek_v3"])
def test_a_loaded_adapter_gives_equal_logits_and_the_same_targets(name: str, tmp_path: Path) -> None:
    adapted = _adapt(families.build(name))
    _shake(adapted.model)
    adapted.model.save_pretrained(tmp_path)
    loaded = load_adapter(_base(families.build(name)), tmp_path)
    assert torch.equal(_logits(loaded.model), _logits(adapted.model.eval()))
    assert loaded.targets == adapted.targets
    assert not any(p.requires_grad for p in loaded.model.parameters())


def test_adapters_on_embedding_and_head_are_saved_without_the_matrices_themselves(tmp_path: Path) -> None:
    _saved(tmp_path, toy_model(), "all")
    assert all("lora_" in name for name in load_file(tmp_path / "adapter_model.safetensors"))
    here = _logits(load_adapter(_base(toy_model()), tmp_path).model)
    assert not torch.allclose(here, _logits(toy_model()))


def test_a_folder_without_an_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no adapter_config"):
        load_adapter(_base(toy_model()), tmp_path)


@pytest.mark.parametrize(
    ("made_for", "used_on", "says"),
    [
        (toy_model, lambda: families.build("llama"), "size mismatch"),
        (lambda: toy_model(layers=3), toy_model, "modules that are not there"),
        (toy_model, lambda: toy_model(layers=3), "missing adapter keys"),
        (lambda: families.build("gpt2"), toy_model, "not found in the base model"),
    ],
    ids=["other width", "fewer layers", "more layers", "other names"],
)
def test_an_adapter_of_another_base_is_refused_and_leaves_the_base_bare(
    made_for: Any, used_on: Any, says: str, tmp_path: Path
) -> None:
    _saved(tmp_path / "wrong", made_for())
    base = _base(used_on())
    with pytest.raises(ModelError) as error:
        load_adapter(base, tmp_path / "wrong")
    assert error.value.code == "adapter-mismatch"
    assert says in str(error.value.__cause__)
    assert not any(isinstance(module, LoraLayer) for module in base.model.modules())
    right = _saved(tmp_path / "right", used_on())
    assert len(load_adapter(base, right).targets) > 0


def test_a_damaged_adapter_is_refused(tmp_path: Path) -> None:
    file = _saved(tmp_path, toy_model()) / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be put on toy: Error while deserializing"):
        load_adapter(_base(toy_model()), tmp_path)
