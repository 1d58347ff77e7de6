"""Gradients of frozen weights, one at a time: each is handed over as backward makes it, and freed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lorascope.errors import TrainingError
from lorascope.measure.probing.parts import Weight, computed
from lorascope.models.modules import bare

IGNORED = -100
"""Label of a position that carries no loss, as in torch's cross entropy."""

Batch = Mapping[str, Tensor]
"""input_ids, attention_mask, labels: (B, T) int64, as training gets them."""


class Loss(NamedTuple):
    """What a batch cost."""

    nats: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats per token that carries a loss."""
        return self.nats / self.tokens


@contextmanager
def weight_gradients(
    model: nn.Module,
    weights: Sequence[Weight],
    take: Callable[[Weight, Tensor], None],
    start: Callable[[Batch, int], None] = lambda batch, tokens: None,
    *,
    checkpointing: bool = False,
) -> Iterator[Callable[[Sequence[Batch]], Loss]]:
    """A function that runs one batch, given as its micro-batches, and calls `take(weight, gradient)` for each weight.

    The gradient is that of the batch's mean loss per answer token, over all its micro-batches: (experts, out, in) in
    the weight's number format. It is freed when `take` returns, so one batch needs no memory for all of them; a batch
    of several micro-batches does, since its gradients are whole only at the last. `start(micro-batch, tokens of the
    batch that carry a loss)` is called before each micro-batch. A weight that the loss does not depend on is not taken.
    Inside, the model is in evaluation mode and nothing but `weights` asks for a gradient; with `checkpointing` its
    layers keep no activations. Afterwards mode, flags and gradients are as before.
    """
    everything = list(model.parameters())
    flags = [(p, p.requires_grad, p.grad) for p in everything]
    modes = [(module, module.training) for module in model.modules()]
    last = False

    def at(weight: Weight) -> Callable[[Tensor], None]:
        def hook(parameter: Tensor) -> None:
            if last:
                assert parameter.grad is not None
                take(weight, weight.oriented(parameter.grad))
                parameter.grad = None

        return hook

    def run(micro_batches: Sequence[Batch]) -> Loss:
        nonlocal last
        tokens = sum(count_tokens(model, batch) for batch in micro_batches)
        nats = 0.0
        for i, batch in enumerate(micro_batches):
            last = i == len(micro_batches) - 1
            start(batch, tokens)
            loss = sum_of_nats(model, batch)
            nats += float(loss.detach())
            if not math.isfinite(nats):
                raise TrainingError(
                    "nan-model",
                    f"the model's own loss is {nats}: it cannot compute in this number format, or its weights are "
                    "damaged",
                    "--dtype float32",
                    "another copy of the checkpoint",
                )
            (loss / tokens).backward()
        for weight in weights:  # what the last micro-batch did not reach, an earlier one may have
            if weight.parameter.grad is not None:
                take(weight, weight.oriented(weight.parameter.grad))
                weight.parameter.grad = None
        return Loss(nats, tokens)

    handles = []
    try:
        model.eval()
        for p in everything:
            p.requires_grad_(False)
            p.grad = None
        for weight in weights:
            weight.parameter.requires_grad_(True)
            handles.append(weight.parameter.register_post_accumulate_grad_hook(at(weight)))
        with torch.enable_grad(), without_activations(model, on=checkpointing):
            yield run
    finally:
        for handle in handles:
            handle.remove()
        for p, flag, grad in flags:
            p.requires_grad_(flag)
            p.grad = grad
        for module, training in modes:
            module.training = training


@contextmanager
def without_activations(model: nn.Module, *, on: bool) -> Iterator[None]:
    """Activation checkpointing while the model is in evaluation mode: its layers look at their own training flag."""
    if not on:
        yield
        return
    inner: Any = bare(model)
    before = [module for module in inner.modules() if getattr(module, "gradient_checkpointing", False)]
    if not before:
        hooked = bool(getattr(inner, "_require_grads_hooks", None))
        inner.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        if not hooked:  # it lets the embedding ask for gradients, which nothing here needs, and would stay afterwards
            inner.disable_input_require_grads()
    for module in inner.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True
    try:
        yield
    finally:
        if not before:
            inner.activation_checkpointing_disable()


def count_tokens(model: nn.Module, batch: Batch) -> int:
    """Tokens of a batch that carry a loss: nothing predicts the first one, except in an encoder-decoder model."""
    return int((_shifted(model, batch) != IGNORED).sum())


def sum_of_nats(model: nn.Module, batch: Batch) -> Tensor:
    """Sum of the cross entropies of the labelled tokens, float32 or better, with its graph.

    The head is applied to no position at which no row has a label, where the model can leave positions out.
    """
    inner: Any = bare(model)
    labels = _shifted(model, batch)
    keep = (labels != IGNORED).any(dim=0).nonzero().squeeze(1)
    device = inner.get_input_embeddings().weight.device
    inputs = {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}
    if inner.config.is_encoder_decoder:
        inputs["labels"] = batch["labels"].to(device)  # the decoder's inputs are made of them
        logits = model(**inputs, use_cache=False).logits[:, keep.to(device)]
    elif "logits_to_keep" in inspect.signature(inner.forward).parameters:
        logits = model(**inputs, use_cache=False, logits_to_keep=keep.to(device)).logits
    else:
        logits = model(**inputs, use_cache=False).logits[:, keep.to(device)]
    targets = labels[:, keep].to(logits.device)
    return cross_entropy(computed(logits).flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")


def _shifted(model: nn.Module, batch: Batch) -> Tensor:
    """Labels in the place of the logits that predict them."""
    inner: Any = bare(model)
    return batch["labels"] if inner.config.is_encoder_decoder else batch["labels"][:, 1:]
