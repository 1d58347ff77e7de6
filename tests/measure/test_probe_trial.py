"""A trial training: who took the loss off adds up to what was taken off, and the model is as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.adalora.layer import RankAllocator
from probed import TOYS, batches, fine_toy, toy
from torch import nn
from torch.nn.functional import cross_entropy

from lorascope.errors import DataError
from lorascope.measure.probing.trial import HELD_OUT, Importance, Trial, adapted, cut, trial


def tried(
    name: str, *, steps: int = 20, lr: float = 1e-3, count: int = 15, micro: int = 1, make=toy, **changes
) -> Trial:
    model, weights = make(name)
    targets = [w.parts[0].module for w in weights if w.parts[0].module.group != "other"]
    options = {"steps": steps, "r": 4, "alpha": 8.0, "lr": lr, "seed": 0, "blocks": 4, **changes}
    return trial(model, weights, targets, batches(count, micro=micro), **options)


@pytest.mark.parametrize("name", TOYS)
def test_the_modules_shares_add_up_to_the_measured_drop(name: str) -> None:
    found = tried(name)
    assert found.drop > 0.02  # there is something to attribute
    assert found.off < 0.05
    assert found.attribution[~np.isnan(found.attribution)].sum() == pytest.approx(found.drop, rel=0.05)
    assert found.rows == 3 * HELD_OUT


def test_half_the_steps_of_double_size_are_further_off() -> None:
    fine, coarse = tried("llama", steps=24, lr=5e-3), tried("llama", steps=6, lr=2e-2)
    assert fine.off < coarse.off


def losses(model: nn.Module, piece) -> torch.Tensor:
    logits = model(input_ids=piece["input_ids"], attention_mask=piece["attention_mask"]).logits
    return cross_entropy(logits[:, :-1].flatten(0, 1), piece["labels"][:, 1:].flatten(), reduction="sum")


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to")
def test_every_modules_share_is_the_trapezoidal_sum_along_the_path(name: str) -> None:
    """The same training by plain loops: gradients of all held-out rows at both ends of every step, part by part.

    In float64: Adam's first steps are the signs of gradients, and a sign that float32 rounds away is another path.
    """
    data = batches(9, micro=2)
    found = tried(name, steps=3, lr=1e-2, count=9, micro=2, make=fine_toy)
    model, weights = fine_toy(name)
    modules = [w.parts[0].module for w in weights if w.parts[0].module.group != "other"]
    with adapted(model, modules, r=4, alpha=8.0, seed=0) as tensors:
        parameters = [t.parameter for t in tensors]
        optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.0)
        held = [micro for batch in data[:3] for micro in batch]
        count = sum(int((m["labels"][:, 1:] != -100).sum()) for m in held)

        def gradient(micros, tokens: int) -> list[torch.Tensor]:
            loss = sum(losses(model, micro) for micro in micros) / tokens
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
            return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]

        right: dict[tuple[str, str], float] = {}
        smooth, unrest = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
        for step in range(3):
            start, old = gradient(held, count), [p.detach().clone() for p in parameters]
            batch = data[3 + step]
            tokens = sum(int((m["labels"][:, 1:] != -100).sum()) for m in batch)
            taken = gradient(batch, tokens)
            for p, g in zip(parameters, taken, strict=True):
                p.grad = g
            optimizer.step()
            for t, g, h, o in zip(tensors, start, gradient(held, count), old, strict=True):
                add(right, t, -(g + h) / 2 * (t.parameter.detach() - o), weights)
            for p, g, s, u in zip(parameters, taken, smooth, unrest, strict=True):  # equations 8 to 10 of AdaLoRA
                s += 0.15 * ((p.detach() * g).abs() - s)
                u += 0.15 * (((p.detach() * g).abs() - s).abs() - u)
        triplets: dict[tuple[str, str], float] = {}
        for t, s, u in zip(tensors, smooth, unrest, strict=True):
            add(triplets, t, s * u / s.shape[1 if t.matrix == "A" else 0], weights)
    for part, value, importance in zip(
        [p for w in weights for p in w.parts], found.attribution, found.importance, strict=True
    ):
        if part.module.group == "other":
            assert np.isnan(value)
            assert np.isnan(importance)
        else:
            assert value == pytest.approx(right[part.module.path, part.role], rel=1e-5)
            assert importance == pytest.approx(triplets[part.module.path, part.role], rel=1e-5)


def add(sums: dict[tuple[str, str], float], tensor, values: torch.Tensor, weights) -> None:
    """Values of an adapter's matrix to the parts of its module: rows of B, a share of A that goes by the rows."""
    (weight,) = [w for w in weights if w.parts[0].module.path == tensor.module.path]
    whole = sum(part.shape[1] for part in weight.parts)
    for part in weight.parts:
        mine = values[part.rows].sum() if tensor.matrix == "B" else values.sum() * part.shape[1] / whole
        key = (part.module.path, part.role)
        sums[key] = sums.get(key, 0.0) + float(mine)


def test_without_a_block_its_rows_do_not_count() -> None:
    found = tried("llama", steps=2, blocks=4)
    data = batches(15)
    pieces = cut(data[:HELD_OUT], 4)
    tokens = np.array([int((p["labels"][:, 1:] != -100).sum()) for p in pieces])
    nats = found.attribution * tokens.sum() - found.without.T * (tokens.sum() - tokens)[:, None]  # (K, U)
    assert nats.sum(0) == pytest.approx(found.attribution * tokens.sum(), rel=1e-6, abs=1e-9)
    assert sum(len(p["input_ids"]) for p in pieces) == 12
    lengths = sorted(int(row.sum()) for batch in data[:HELD_OUT] for row in batch[0]["attention_mask"])
    assert sorted(int(row.sum()) for p in pieces for row in p["attention_mask"]) == lengths


def test_importance_is_that_of_pefts_adalora() -> None:
    generator = torch.Generator().manual_seed(0)
    holder = nn.ParameterDict({n: nn.Parameter(torch.randn(*s, generator=generator)) for n, s in
                               (("lora_A", (3, 5)), ("lora_B", (4, 3)))})  # fmt: skip

    class Settings:
        beta1 = beta2 = 0.85
        init_r, target_r, deltaT, tinit, tfinal = 3, 2, 1, 0, 0

    model = nn.Module()
    model.inner = nn.ParameterDict({f"{name}_default": p for name, p in holder.items()})
    theirs = RankAllocator.__new__(RankAllocator)
    theirs.peft_config, theirs.adapter_name, theirs.beta1, theirs.beta2 = Settings(), "default", 0.85, 0.85
    theirs.reset_ipt()
    ours = Importance(list(holder.values()))
    for _ in range(4):
        for p in holder.values():
            p.grad = torch.randn(p.shape, generator=generator)
        theirs.update_ipt(model)
        ours.update(list(holder.values()), [p.grad for p in holder.values()])
    a, b = (theirs._element_score(f"inner.{name}_default") for name in ("lora_A", "lora_B"))
    mine = ours.means(["A", "B"])
    assert float(mine[0].sum()) == pytest.approx(float(a.mean(dim=1).sum()), rel=1e-6)
    assert float(mine[1].sum()) == pytest.approx(float(b.mean(dim=0).sum()), rel=1e-6)


def test_roles_of_a_fused_module_add_up_to_it_and_importance_is_positive() -> None:
    found = tried("phi3", steps=3)
    assert (found.importance > 0).all()
    _, weights = toy("phi3")
    parts = [p for w in weights for p in w.parts]
    assert {p.role for p in parts} == {"q", "k", "v", "o", "gate", "up", "down"}
    assert np.isfinite(found.attribution).all()


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_model_is_as_it_was(own: bool, checkpointing: bool) -> None:
    model, weights = toy("llama")
    if own:
        adapted_model = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.5))
        adapted_model.train()
    before = copy.deepcopy(model.state_dict())
    flags = [(n, p.requires_grad, p.grad is None) for n, p in model.named_parameters()]
    modes = [(n, m.training) for n, m in model.named_modules()]
    targets = [w.parts[0].module for w in weights]
    options = {"steps": 2, "r": 2, "alpha": 4.0, "lr": 1e-2, "seed": 0, "blocks": 2, "checkpointing": checkpointing}
    found = trial(model, weights, targets, batches(6), **options)
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [(n, p.requires_grad, p.grad is None) for n, p in model.named_parameters()] == flags
    assert [(n, m.training) for n, m in model.named_modules()] == modes
    assert np.isfinite(found.attribution).sum() == (2 if own else 14)


def test_two_batches_are_too_few() -> None:
    with pytest.raises(DataError, match="too few"):
        tried("llama", count=2)
