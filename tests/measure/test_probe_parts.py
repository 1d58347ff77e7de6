"""Which modules a probe looks at, and which rows of a fused one are whose: told by what the model does with them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import families
import pytest
import torch
from probed import batches
from torch import nn

from lorascope.errors import ModelError, NoTargets
from lorascope.measure.probing.collect import ProbeSettings, collect
from lorascope.measure.probing.parts import find_weights, probed
from lorascope.models.modules import find_modules
from toy import toy_model

FUSED_ATTENTION = {
    "gpt2": {},
    "mpt": {},
    "bloom": {},
    "gpt_neox": {},
    "codegen": {},
    "phi3": {},
    "falcon": {},  # one key and value head for all
    "falcon with a key and value in each head": {"multi_query": False},
    "falcon with groups of heads": {"new_decoder_architecture": True, "num_kv_heads": 2},
}
FUSED_MLP = ("phi3", "mixtral", "qwen3_moe", "deepseek_v3", "gpt_oss")


def fused(name: str, projections: set[str], **changes: Any):
    """A model and one of its fused weights, the last one."""
    model = families.build(name.split()[0], attn_implementation="eager", **changes).double()
    model.config._experts_implementation = "eager"  # the grouped kernel has no float64
    for module in model.modules():
        if hasattr(module, "limit"):
            module.limit = 1e9  # nothing is clamped
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(parameter.numel()))
        for buffer_name, buffer in model.named_buffers():  # no rotation, so that all positions are alike
            if buffer_name.endswith("inv_freq"):
                buffer.zero_()
            elif buffer_name.endswith("embed_positions"):
                sine, cosine = buffer.chunk(2, dim=-1)
                sine.zero_(), cosine.fill_(1)
    weights = find_weights(model, probed(find_modules(model)))
    return model, next(w for w in reversed(weights) if {part.role for part in w.parts} == projections)


def output_of(model: nn.Module, path: str) -> torch.Tensor:
    """What the module at `path` returns for a fixed text."""
    seen = []
    handle = model.get_submodule(path).register_forward_hook(lambda m, i, out: seen.append(out))
    ids = torch.randint(3, families.VOCAB, (2, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model(input_ids=ids, use_cache=False)
    handle.remove()
    return seen[0][0] if isinstance(seen[0], tuple) else seen[0]


@contextmanager
def scaled(weight, part, factor: float):
    """The rows of a part multiplied with a factor."""
    before = weight.parameter.detach().clone()
    with torch.no_grad():
        rows = weight.oriented(weight.parameter)
        rows[:, part.rows] = rows[:, part.rows] * factor
    yield
    with torch.no_grad():
        weight.parameter.copy_(before)


def is_linear_in(model: nn.Module, weight, part, path: str) -> bool:
    """Whether the module's output is an affine function of the part's rows."""
    found = []
    for factor in (0.0, 1.0, 2.0):
        with scaled(weight, part, factor):
            found.append(output_of(model, path))
    assert not torch.allclose(found[0], found[1])
    return torch.allclose(found[0] + found[2], 2 * found[1], atol=1e-5)


@contextmanager
def shifted(model: nn.Module, path: str, part):
    """The same vector added to the part's outputs at every position."""
    shift = torch.zeros(part.module.shape[0], dtype=torch.float64)
    some = shift[part.rows]
    shift[part.rows] = torch.randn(some.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    handle = model.get_submodule(path).register_forward_hook(lambda m, i, out: out + shift)
    yield
    handle.remove()


@pytest.mark.parametrize("name", FUSED_ATTENTION)
def test_rows_of_q_k_and_v_are_what_attention_uses_them_for(name: str) -> None:
    """The output is linear in v alone. A key shifted alike at all positions changes no softmax, a query does."""
    model, weight = fused(name, {"q", "k", "v"}, **FUSED_ATTENTION[name])
    path = weight.parts[0].module.path
    attention = path.rpartition(".")[0]
    parts = {part.role: part for part in weight.parts}
    assert {role for role, part in parts.items() if is_linear_in(model, weight, part, attention)} == {"v"}

    before = output_of(model, attention)
    same = set()
    for role in "qk":
        with shifted(model, path, parts[role]):
            if torch.allclose(output_of(model, attention), before, atol=1e-5):
                same.add(role)
    assert same == {"k"}
    assert sum(part.numel for part in weight.parts) == weight.parameter.numel()


@pytest.mark.parametrize("name", FUSED_MLP)
def test_rows_of_gate_and_up_are_what_the_mlp_uses_them_for(name: str) -> None:
    """The output is linear in up; the gate goes through an activation."""
    model, weight = fused(name, {"gate", "up"})
    path = weight.parts[0].module.path
    mlp = path.rpartition(".")[0]
    linear = {part.role for part in weight.parts if is_linear_in(model, weight, part, mlp)}
    assert linear == {"up"}
    assert sum(part.numel for part in weight.parts) == weight.parameter.numel()


def test_a_fused_module_of_an_unknown_family_keeps_its_own_name() -> None:
    model = families.build("phi3")
    model.config.model_type = "something_new"
    roles = {part.role for w in find_weights(model, probed(find_modules(model))) for part in w.parts}
    assert roles == {"qkv", "o", "gate_up", "down"}


@pytest.mark.parametrize("name", families.FAMILIES)
@pytest.mark.filterwarnings("ignore:.*is falling back to its reference PyTorch implementation")
def test_every_family_is_probed_whole(name: str) -> None:
    model = families.build(name)
    modules = find_modules(model)
    weights = find_weights(model, probed(modules))
    found = collect(model, weights, batches(3), ProbeSettings(blocks=3))
    assert {part.module.path for part in found.parts} == {
        m.path for m in modules if m.group not in ("embed", "lm_head") and m.kind != "embedding"
    }
    assert (found.scores["grad_sq"] > 0).any(axis=0).all()
    assert (found.total_sq > 0).all()
    assert {p.module.group for p in found.parts} <= {"attention", "mlp", "other"}
    if name == "mamba":
        assert {(p.module.group, p.role) for p in found.parts} == {
            ("other", role) for role in ("in_proj", "x_proj", "dt_proj", "out_proj")
        }


def test_embedding_and_head_are_probed_where_they_are_two_and_asked_for() -> None:
    model = toy_model()
    weights = find_weights(model, probed(find_modules(model), "all"))
    found = {part.role: part for weight in weights for part in weight.parts}
    assert found["embed"].shape == (1, 259, 32)
    assert found["head"].shape == (1, 259, 32)
    tied = toy_model(tied=True)
    with pytest.raises(ModelError, match="one matrix") as error:
        find_weights(tied, probed(find_modules(tied), "all"))
    assert error.value.code == "shared-weight"


def test_a_target_takes_its_modules_alone() -> None:
    modules = find_modules(families.build("mixtral", device="meta"))
    roles = {
        target: {m.projection for m in probed(modules, target)} for target in ("attention_only", "mlp_only", "both")
    }
    assert roles["attention_only"] == {"q", "k", "v", "o"}
    assert roles["mlp_only"] == {"gate_up", "down"}
    assert roles["both"] == roles["attention_only"] | roles["mlp_only"] | {"router"}
    with pytest.raises(ModelError, match="one matrix as embedding and as head"):
        probed(modules, "all", tied=True)


def test_a_model_without_linear_layers_is_refused() -> None:
    with pytest.raises(NoTargets):
        probed(find_modules(nn.Sequential(nn.Embedding(4, 4))))


def test_weights_without_a_gradient_of_their_own_are_refused() -> None:
    model = families.build("llama", device="meta")
    with pytest.raises(ModelError, match="not in memory"):
        find_weights(model, probed(find_modules(model)))
    model = toy_model()
    quantised = nn.Parameter(torch.zeros(32, 32, dtype=torch.int8), requires_grad=False)
    model.model.layers[0].self_attn.q_proj.weight = quantised
    with pytest.raises(ModelError, match="quantised"):
        find_weights(model, probed(find_modules(model)))
