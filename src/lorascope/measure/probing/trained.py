"""What trained adapters do to their weights, module by module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lorascope.measure.probing.parts import Part, find_weights
from lorascope.measure.scores import expert_factors
from lorascope.models.adapters import AdapterTensor, adapter_tensors
from lorascope.models.target import TargetModule


class Change(NamedTuple):
    """How an adapter changes one part of a weight."""

    part: Part
    update_sq: float
    """|dW|^2, dW = alpha / r B A."""
    base_sq: float
    """|W|^2 of the frozen weight."""
    magnitude: float
    """Mean over rows of | |W_i + dW_i| - |W_i| |, weight unit: DoRA's magnitude difference (Liu 2024)."""
    direction: float
    """Mean over rows of 1 - cos(W_i + dW_i, W_i), 0 to 2: DoRA's direction difference."""


def changes(model: nn.Module, targets: Sequence[TargetModule]) -> list[Change]:
    """What the adapters on `targets` do to every part of their weights, in that order.

    A row is what makes one output: of (out, in) as PEFT's DoRA takes it; in an embedding the vector of a token. One
    update is built at a time. Errors: ModelError for weights that are quantised or not in memory.
    """
    pairs: dict[str, list[AdapterTensor]] = {}
    for tensor in adapter_tensors(model):
        pairs.setdefault(tensor.module.path, []).append(tensor)
    found = []
    with torch.no_grad():
        for weight in find_weights(model, targets):
            module = weight.parts[0].module
            W, D = weight.oriented(weight.parameter).float(), update(*pairs[module.path])
            found += [Change(part, *split(part.of(W), part.of(D))) for part in weight.parts]
    return found


def update(A: AdapterTensor, B: AdapterTensor) -> Tensor:
    """What an adapter adds to its weight, float32 (experts, out, in); (1, vocabulary, width) in an embedding."""
    a, b = A.parameter.detach().float(), B.parameter.detach().float()
    if A.module.kind == "experts":
        a, b = expert_factors(a, b, A.r)
    D = A.scaling * (b @ a)
    if A.module.kind == "embedding":
        D = D.T
    return D if D.ndim == 3 else D.unsqueeze(0)


def split(W: Tensor, D: Tensor) -> tuple[float, float, float, float]:
    """update_sq, base_sq, magnitude and direction of a `Change`; W and D (..., out, in).

    A row of zeros has no direction and counts as unchanged. The cosine comes from the difference of unit rows, since
    1 - cos itself would lose the small changes in rounding: 1 - cos = |u - v|^2 / 2.
    """
    W, V = W.double(), W.double() + D.double()
    before, after = (torch.linalg.vector_norm(rows, dim=-1, keepdim=True) for rows in (W, V))
    there = ((before > 0) & (after > 0)).squeeze(-1)
    units = torch.where(there[..., None], V / after - W / before, 0.0)
    turned = units.square().sum(-1) / 2
    return (
        float(D.double().square().sum()),
        float(W.square().sum()),
        float((after - before).abs().mean()),
        float(turned.mean()),
    )
