"""Norms of tensors and of LoRA's update, against float64 and against what PEFT adds to the weight."""

from __future__ import annotations

import pytest
import torch
from measuring import brute_force, lora_toy, rows, to_batch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, MixtralConfig, MixtralForCausalLM

from lorascope.measure import meter
from lorascope.measure.records import ABSENT
from lorascope.measure.scores import PIECE, piece_norms, update_sq
from lorascope.models.adapters import AdapterTensor, adapter_tensors


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("numel", [1, 7, PIECE, PIECE + 1, 3_000_000])
def test_squared_norms_are_right_for_large_tensors_and_low_precision(numel: int, dtype: torch.dtype) -> None:
    tensor = torch.randn(numel, generator=torch.Generator().manual_seed(numel)).to(dtype)
    expected = float(tensor.double().square().sum())
    assert float(meter.squared_norms([tensor])[0]) == pytest.approx(expected, rel=3e-6)


def test_squared_norms_keep_absent_zero_nan_and_the_extremes_apart() -> None:
    tensors = [
        None,
        torch.zeros(3, 5),
        torch.tensor([1.0, float("nan")]),
        torch.full((2,), 1e-15),
        torch.full((2, 2), 1e18),
        None,
    ]
    found = meter.squared_norms(tensors).tolist()
    assert found[0] == found[5] == ABSENT
    assert found[1] == 0.0
    assert found[2] != found[2]
    assert found[3] == pytest.approx(2e-30, rel=1e-6)
    assert found[4] == pytest.approx(4e36, rel=1e-6)
    assert meter.squared_norms([torch.tensor([float("inf")])]).tolist() == [float("inf")]
    assert meter.squared_norms([None, None]).tolist() == [ABSENT, ABSENT]
    assert meter.squared_norms([]).tolist() == []


def test_squared_norms_take_tensors_of_any_layout() -> None:
    base = torch.randn(300, 400, generator=torch.Generator().manual_seed(0))
    for view in (base.t(), base[::2, 1::3], base.expand(2, 300, 400)):
        assert float(meter.squared_norms([view])[0]) == pytest.approx(float(view.double().square().sum()), rel=1e-6)


def test_a_large_tensor_is_normed_in_pieces_and_small_ones_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = torch._foreach_norm
    monkeypatch.setattr(
        torch, "_foreach_norm", lambda *args, **kwargs: calls.append(len(args[0])) or real(*args, **kwargs)
    )
    _, owners = piece_norms([torch.ones(3), None, torch.ones(2 * PIECE + 1), torch.ones(1)])
    assert calls == [5]
    assert owners == [0, 2, 2, 2, 3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_update_sq_is_the_norm_of_the_product_that_it_never_builds(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(3, 4, 50, generator=generator).to(dtype)
    B = torch.randn(3, 60, 4, generator=generator).to(dtype)
    expected = (0.5**2 * (B.double() @ A.double()).square().sum((1, 2))).tolist()
    assert update_sq(A, B, 0.5).tolist() == pytest.approx(expected, rel=1e-5)
    assert update_sq(A, torch.zeros_like(B), 0.5).tolist() == [0.0] * 3


def conv1d_model() -> nn.Module:
    config = GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=50, n_positions=32, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config)


def moe_model() -> nn.Module:
    config = MixtralConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=3, num_experts_per_tok=2,
    )  # fmt: skip
    return MixtralForCausalLM(config)


ADAPTED = {
    "linear": lambda: lora_toy(trained_b=True),
    "embedding and head": lambda: lora_toy(["embed_tokens", "lm_head"], trained_b=True),
    "conv1d": lambda: get_peft_model(
        conv1d_model(), LoraConfig(r=3, lora_alpha=7, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True)
    ),
    "rank-stabilised": lambda: get_peft_model(
        conv1d_model(), LoraConfig(r=3, lora_alpha=7, target_modules=["c_attn"], use_rslora=True, fan_in_fan_out=True)
    ),
    "experts": lambda: get_peft_model(
        moe_model(),
        LoraConfig(
            r=2, lora_alpha=7, target_modules=["q_proj"],
            target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
        ),
    ),
}  # fmt: skip


def weight_of(model: nn.Module, path: str) -> Tensor:
    """A weight by the path of a module, or of a stacked parameter."""
    found = (
        model.get_parameter(path)
        if path.endswith(("gate_up_proj", "down_proj")) and "experts" in path
        else model.get_submodule(path).weight
    )
    return found.detach().double().clone()


@pytest.mark.parametrize("name", ADAPTED)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to")
def test_the_update_is_what_peft_adds_to_the_weight(name: str) -> None:
    """The reference is PEFT's own merge: the weight after it minus the weight before it."""
    torch.manual_seed(0)
    model = ADAPTED[name]()
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    tensors = adapter_tensors(model)
    row = meter.weight_row(tensors)
    found = dict(zip(meter.weight_columns(tensors), row, strict=True))
    base = dict(zip(meter.base_columns(tensors), meter.base_row(tensors), strict=True))
    before = {A.module.path: A.base_weight.detach().double().clone() for A, _ in meter.pairs(tensors)}

    merged = model.merge_and_unload()
    for column, square in found.items():
        if column.score == "update_sq":
            delta = weight_of(merged, column.module) - before[column.module]
            assert column.numel == delta.numel()
            assert square == pytest.approx(float(delta.square().sum()), rel=1e-4), column.module
    for tensor, square in zip(tensors, row, strict=False):
        assert square == pytest.approx(float(tensor.parameter.detach().double().square().sum()), rel=1e-5)
    for column, square in base.items():
        assert (column.matrix, column.numel) == ("W", before[column.module].numel())
        assert square == pytest.approx(float(before[column.module].square().sum()), rel=1e-5)
    assert len(found) == 3 * len(base) == 3 * len(tensors) // 2


def test_at_the_start_the_update_is_zero() -> None:
    tensors = adapter_tensors(lora_toy())
    columns, row = meter.weight_columns(tensors), meter.weight_row(tensors)
    assert [v for c, v in zip(columns, row, strict=True) if c.score == "update_sq"] == [0.0] * 14
    assert all(v > 0 for c, v in zip(columns, row, strict=True) if c.matrix == "A")


def test_a_quantised_or_missing_base_weight_has_no_norm_instead_of_a_wrong_one() -> None:
    tensors = adapter_tensors(lora_toy(["q_proj"]))
    packed = tensors[0]._replace(base_weight=torch.zeros(512, 1, dtype=torch.uint8))
    away = tensors[2]._replace(base_weight=torch.empty(32, 32, device="meta"))
    assert meter.base_row([packed, tensors[1], away, tensors[3]]).tolist() == [ABSENT, ABSENT]


def test_gradient_of_b_is_scaling_times_gradient_of_the_weight_times_a_transposed() -> None:
    """grad_B = s G A^T and grad_A = s B^T G, with G the gradient of the full weight; so that of A is 0 where B is 0."""
    model = lora_toy(seed=3)
    batch = to_batch(rows(4))
    found = brute_force(model, [batch])
    tensors = {(t.module.path, t.matrix): t for t in adapter_tensors(model)}
    for A in [t for t in tensors.values() if t.matrix == "A"]:
        A.base_weight.requires_grad_(True)
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten()).backward()
    for (path, matrix), tensor in tensors.items():
        expected = 0.0
        if matrix == "B":
            A: AdapterTensor = tensors[path, "A"]
            expected = float((A.scaling * A.base_weight.grad.double() @ A.parameter.detach().double().T).square().sum())
        assert found[f"{path}:{matrix}"] == pytest.approx(expected, rel=1e-4), (path, matrix)
        assert tensor.scaling == 4.0
