"""Adapters of a group switched off for a while: as if they had never been there, and back afterwards."""

from __future__ import annotations

import pytest
import torch

from lorascope.config.experiment import LoRAConfig
from lorascope.models.adapters import adapter_tensors, wrap
from lorascope.models.base import BaseModel
from lorascope.models.knockout import without
from lorascope.models.modules import find_modules
from lorascope.models.selection import select
from toy import toy_model, toy_tokenizer

IDS = torch.arange(3, 23)[None]


@pytest.fixture
def adapted():
    model = toy_model()
    base = BaseModel(
        model=model, tokenizer=toy_tokenizer(), model_id="toy", dtype=model.dtype, device=model.device, revision=None,
        tied=False, context_length=None, notes=(),
    )  # fmt: skip
    targets = select(find_modules(model), "both", tied=False, model_id="toy")
    found = wrap(base, LoRAConfig(target="both", r=2, lora_dropout=0.0), targets, seed=0)
    generator = torch.Generator().manual_seed(1)
    for tensor in adapter_tensors(found.model):
        if tensor.matrix == "B":
            tensor.parameter.data = torch.randn(tensor.parameter.shape, generator=generator)
    return found


def logits(adapted):
    with torch.no_grad():
        return adapted.model(IDS).logits


@pytest.mark.parametrize("group", ["attention", "mlp"])
def test_a_group_that_is_off_is_as_if_its_b_were_zero(adapted, group):
    whole = logits(adapted)
    with without(adapted, [group]):
        off = logits(adapted)
    assert torch.equal(logits(adapted), whole)
    for tensor in adapter_tensors(adapted.model):
        if tensor.matrix == "B" and tensor.module.group == group:
            tensor.parameter.data.zero_()
    assert torch.equal(off, logits(adapted))
    assert not torch.equal(off, whole)


def test_without_any_the_model_is_its_base(adapted):
    with adapted.model.disable_adapter():
        base = logits(adapted)
    with without(adapted, ["attention", "mlp"]):
        assert torch.equal(logits(adapted), base)


def test_an_error_inside_leaves_the_adapters_on(adapted):
    whole = logits(adapted)
    with pytest.raises(RuntimeError), without(adapted, ["mlp"]):
        raise RuntimeError
    assert torch.equal(logits(adapted), whole)
