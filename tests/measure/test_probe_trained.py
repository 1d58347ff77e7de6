"""Trained adapters against PEFT's own update, a weight's rows one by one, and models merged without a module."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from probed import TOYS, batches, toy
from test_probe_trial import losses
from torch import nn

from lorascope.config.experiment import LoRAConfig
from lorascope.measure.probing.trained import changes, split, update
from lorascope.measure.probing.trial import as_base
from lorascope.models.adapters import AdaptedModel, adapter_tensors, lora_layers, take_off, wrap
from lorascope.models.knockout import knocked_out
from lorascope.models.modules import find_modules


def trained(name: str) -> tuple[nn.Module, AdaptedModel]:
    """A toy with adapters whose A and B are random, on everything that is attention, MLP, or an end of its own."""
    model, _ = toy(name)
    groups = ("attention", "mlp") if name == "gpt2" else ("attention", "mlp", "embed", "lm_head")
    targets = [m for m in find_modules(model) if m.group in groups]
    adapted = wrap(as_base(model), LoRAConfig(r=3, lora_alpha=6.0, lora_dropout=0.0), targets, seed=0)
    with torch.no_grad():
        for i, tensor in enumerate(adapter_tensors(adapted.model)):
            tensor.parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(i))
    return model, adapted


@pytest.mark.parametrize("name", TOYS)
def test_the_update_and_what_it_changes_are_pefts(name: str) -> None:
    _, adapted = trained(name)
    layers = dict(lora_layers(adapted.model, "default"))
    found = changes(adapted.model, adapted.targets)
    tensors = adapter_tensors(adapted.model)
    for a, b in zip(tensors[::2], tensors[1::2], strict=True):
        delta = layers[a.module.path].get_delta_weight("default").detach()
        mine = update(a, b)
        flat = delta.T if a.module.kind == "conv1d" else delta
        assert torch.allclose(mine, flat if flat.ndim == 3 else flat[None], atol=1e-6)
        of_module = [c for c in found if c.part.module.path == a.module.path]
        assert sum(c.update_sq for c in of_module) == pytest.approx(float(delta.double().square().sum()), rel=1e-5)
        assert sum(c.base_sq for c in of_module) == pytest.approx(
            float(a.base_weight.double().square().sum()), rel=1e-5
        )
        assert all(c.magnitude > 0 and 0 < c.direction < 2 for c in of_module)


def test_magnitude_and_direction_of_rows_by_hand() -> None:
    W = torch.tensor([[[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [2.0, 0.0]]])
    D = torch.tensor([[[3.0, 4.0], [-1.0, 1.0], [1.0, 0.0], [-4.0, 0.0]]])
    # twice as long, the same way; turned by 90 degrees, as long; from nothing; the other way, as long
    update_sq, base_sq, magnitude, direction = split(W, D)
    assert update_sq == 25 + 2 + 1 + 16
    assert base_sq == 25 + 1 + 0 + 4
    assert magnitude == pytest.approx((5 + 0 + 1 + 0) / 4)
    assert direction == pytest.approx((0 + 1 + 0 + 2) / 4)


def test_small_turns_keep_their_digits() -> None:
    W, D = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1e-5]]])
    assert split(W, D)[3] == pytest.approx(1 - math.cos(1e-5), rel=1e-4)


@pytest.mark.parametrize("name", TOYS)
def test_a_model_without_a_modules_adapter_is_the_one_merged_without_it(name: str) -> None:
    model, adapted = trained(name)
    batch = batches(1)[0][0]
    tensors = adapter_tensors(adapted.model)
    path = next(t.module.path for t in tensors if t.module.projection == "down" and t.module.layer == 1)
    before = copy.deepcopy(adapted.model.state_dict())
    with torch.no_grad(), knocked_out(adapted, {path}):
        without = float(losses(model, batch))
    assert all(torch.equal(value, before[key]) for key, value in adapted.model.state_dict().items())
    updates = {a.module.path: (a, update(a, b)) for a, b in zip(tensors[::2], tensors[1::2], strict=True)}
    take_off(model)
    with torch.no_grad():
        for other, (tensor, D) in updates.items():
            if other != path:
                D = D.mT if tensor.module.kind == "conv1d" else D
                tensor.base_weight.add_(D.reshape(tensor.base_weight.shape))
        merged = float(losses(model, batch))
    assert without == pytest.approx(merged, rel=1e-5)
    with torch.no_grad():
        tensor, D = updates[path]
        D = D.mT if tensor.module.kind == "conv1d" else D
        tensor.base_weight.add_(D.reshape(tensor.base_weight.shape))
        assert abs(float(losses(model, batch)) / without - 1) > 1e-4  # the adapter did something
    assert np.isfinite(without)
