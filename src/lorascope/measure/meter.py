"""Reading the adapters of a model: which facts there are, and their values at this moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorascope.measure.records import ABSENT, Column
from lorascope.measure.scores import expert_factors, piece_norms, squares, update_sq
from lorascope.models.adapters import AdapterTensor

Floats = NDArray[np.float64]


def squared_norms(tensors: Sequence[Tensor | None]) -> Tensor:
    """Squared L2 norm of each tensor: float64 (n,) on the CPU, ABSENT for None. One transfer for all of them."""
    norms, owners = piece_norms(tensors)
    return squares(norms, owners, len(tensors), ABSENT)


def gradient_columns(tensors: Sequence[AdapterTensor]) -> list[Column]:
    """A column grad_sq for each adapter tensor, in their order."""
    return [_column(t, t.matrix, "grad_sq", t.parameter.numel()) for t in tensors]


def weight_columns(tensors: Sequence[AdapterTensor]) -> list[Column]:
    """Columns weight_sq for each adapter tensor, then update_sq for each module."""
    return [_column(t, t.matrix, "weight_sq", t.parameter.numel()) for t in tensors] + [
        _column(A, "AB", "update_sq", A.module.shape[0] * A.module.shape[1] * A.module.num_experts)
        for A, _ in pairs(tensors)
    ]


def base_columns(tensors: Sequence[AdapterTensor]) -> list[Column]:
    """A column base_sq for each module."""
    return [_column(A, "W", "base_sq", A.base_weight.numel()) for A, _ in pairs(tensors)]


@torch.no_grad()
def weight_row(tensors: Sequence[AdapterTensor]) -> Floats:
    """The weight side at this moment, in the order of `weight_columns`: |A|^2 and |B|^2, then |dW|^2 of each module.

    Modules of one shape are multiplied together. With DoRA, |dW| is that of the direction's update alone.
    """
    matrices = _squares_of([t.parameter for t in tensors])
    shapes: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    factors = []
    for i, (A, B) in enumerate(pairs(tensors)):
        a, b = whole(A.parameter), whole(B.parameter)
        if A.module.kind == "experts":
            a, b = expert_factors(a, b, A.r)
        factors.append((a, b, A.scaling))
        shapes[a.device, a.dtype, a.shape, b.shape].append(i)
    updates = torch.empty(len(factors), dtype=torch.float64)
    for members in shapes.values():
        a = torch.stack([factors[i][0] for i in members])
        b = torch.stack([factors[i][1] for i in members])
        scaling = torch.tensor([factors[i][2] for i in members], device=a.device).reshape(-1, *[1] * (a.ndim - 3))
        each = update_sq(a, b, scaling)
        updates[members] = each.reshape(len(members), -1).sum(1).cpu().double()
    return np.concatenate([matrices, updates.numpy()])


@torch.no_grad()
def base_row(tensors: Sequence[AdapterTensor]) -> Floats:
    """|W|^2 of each module's base weight; ABSENT where it is quantised or not loaded and so has no plain norm.

    Module after module, so that no second copy of the weights is ever needed.
    """
    return np.concatenate(
        [_squares_of([A.base_weight if _is_plain(A.base_weight) else None]) for A, _ in pairs(tensors)]
    )


def pairs(tensors: Sequence[AdapterTensor]) -> list[tuple[AdapterTensor, AdapterTensor]]:
    """(A, B) of each module, in the modules' order."""
    modules: dict[str, dict[str, AdapterTensor]] = {}
    for tensor in tensors:
        modules.setdefault(tensor.module.path, {})[tensor.matrix] = tensor
    return [(both["A"], both["B"]) for both in modules.values()]


def _column(tensor: AdapterTensor, matrix: str, score: str, numel: int) -> Column:
    m = tensor.module
    return Column(
        m.path, m.layer, m.stack, m.projection, m.group, matrix, score, numel, float(tensor.scaling), tensor.r
    )


def _squares_of(tensors: Sequence[Tensor | None]) -> Floats:
    found: Floats = squared_norms(tensors).numpy()
    return found


def _is_plain(weight: Tensor) -> bool:
    return weight.is_floating_point() and weight.device.type != "meta"


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded over processes, without autograd."""
    found: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return found.detach()
