"""Toys for probes, and their gradients by brute force: autograd through a float64 copy, one batch at a time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from families import build
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lorascope.measure.probing.parts import Weight, find_weights, probed
from lorascope.models.modules import find_modules

Batch = dict[str, Tensor]

TOYS = ("llama", "gpt2", "phi3", "mixtral")
"""Plain, Conv1D with qkv in one, fused qkv and gate_up with grouped heads, stacked experts with a router."""


def toy(name: str, **changes: Any) -> tuple[nn.Module, list[Weight]]:
    """A tiny random model of a family with larger weights than usual, so that its layers are not nearly linear."""
    if name == "mixtral":  # small enough for an exact sketch; the router leaves an expert out
        changes = {"num_local_experts": 3, "intermediate_size": 40, **changes}
    model = build(name, initializer_range=0.2, **changes)
    return model, find_weights(model, probed(find_modules(model)))


def fine_toy(name: str) -> tuple[nn.Module, list[Weight]]:
    """The same model in float64, in which a probe then computes, too: what differs is the formula."""
    model: Any = toy(name)[0].double()
    model.config._experts_implementation = "eager"  # the grouped kernel has no float64
    return model, find_weights(model, probed(find_modules(model)))


def micro_batch(rows: int, generator: torch.Generator, *, vocab: int = 10) -> Batch:
    """Random rows of uneven length, padded on the right, the loss on the second half of each.

    Few of the 64 tokens occur, so that there is something to learn: a signal beside the noise.
    """
    lengths = torch.randint(4, 13, (rows,), generator=generator).tolist()
    width = max(lengths)
    ids = torch.zeros(rows, width, dtype=torch.int64)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for i, n in enumerate(lengths):
        ids[i, :n] = torch.randint(3, vocab, (n,), generator=generator)
        mask[i, :n] = 1
        labels[i, n // 2 : n] = ids[i, n // 2 : n]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def batches(count: int, *, rows: int = 3, micro: int = 1, seed: int = 0) -> list[list[Batch]]:
    """`count` batches of `micro` micro-batches."""
    generator = torch.Generator().manual_seed(seed)
    return [[micro_batch(rows, generator) for _ in range(micro)] for _ in range(count)]


def brute_force(
    model: nn.Module, micro_batches: Sequence[Batch], names: Sequence[str]
) -> tuple[dict[str, Tensor], float]:
    """Gradient of every named parameter, as it lies in memory, and the loss: nats per labelled token of the batch."""
    exact: Any = copy.deepcopy(model).double().eval()
    exact.config._experts_implementation = "eager"  # the grouped kernel has no float64
    parameters = dict(exact.named_parameters())
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in names)
    nats, tokens = torch.zeros((), dtype=torch.float64), 0
    for batch in micro_batches:
        logits = exact(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
        for i in range(len(logits)):
            for t in range(1, logits.shape[1]):
                label = batch["labels"][i, t]
                if label != -100:
                    nats = nats + cross_entropy(logits[i, t - 1][None], label[None], reduction="sum")
                    tokens += 1
    loss = nats / tokens
    found = torch.autograd.grad(loss, [parameters[name] for name in names])
    return dict(zip(names, found, strict=True)), float(loss.detach())


def through(model: nn.Module, path: str, micro_batches: Sequence[Batch]) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs of a layer at all tokens that are no padding, and gradients of its outputs there, micro-batch by one."""
    xs, gs = [], []
    layer = model.get_submodule(path)
    tokens = sum(int((b["labels"][:, 1:] != -100).sum()) for b in micro_batches)
    for batch in micro_batches:
        seen: list[Tensor] = []

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor, seen: list[Tensor] = seen) -> None:
            seen += [inputs[0].detach(), out]

        handle = layer.register_forward_hook(hook)
        layer.weight.requires_grad_(True)
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum") / tokens
        x, out = seen
        (g,) = torch.autograd.grad(loss, out)
        handle.remove()
        layer.weight.requires_grad_(False)
        mask = batch["attention_mask"].bool()
        xs.append(x.double()[mask])
        gs.append(g.double()[mask])
    return xs, gs
