"""Scores: pure functions of tensors. No model, no file, no step number.

Legend: A (r, in), B (out, r): LoRA's matrices, W' = W + scaling * B A (Hu 2022, section 4.1); leading dimensions are a
batch of modules, or of experts. Sums run in float32 or better whatever the tensors are: bfloat16 sums lose the small
modules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

PIECE = 1 << 13
"""Numbers that are added up in one go on the CPU. torch adds a whole tensor up in a few float32 lanes there, which puts
the norm of 65 M numbers 0.5 % off; pieces of this size, put together in float64, are right to 1e-6."""


def piece_norms(tensors: Sequence[Tensor | None]) -> tuple[Tensor, list[int]]:
    """L2 norms of the tensors, the large ones in pieces: float32 (P,) on the first tensor's device, and P owners.

    Owner i means `tensors[i]`; None has no piece. One fused kernel for each device and no transfer to the CPU. Sharded
    tensors (DTensor) are reduced over their processes, so every process must call this.
    """
    groups: defaultdict[tuple[torch.device, bool], tuple[list[Tensor], list[int]]] = defaultdict(lambda: ([], []))
    for i, tensor in enumerate(tensors):
        if tensor is None:
            continue
        sharded = hasattr(type(tensor), "full_tensor")  # asking the tensor itself is slow where it has none
        # An accelerator adds up in a tree, which is exact enough; a sharded tensor must not be cut by hand.
        whole = sharded or tensor.device.type != "cpu" or tensor.numel() <= PIECE
        pieces = [tensor] if whole else list(tensor.reshape(-1).split(PIECE))
        members, owner = groups[tensor.device, sharded]
        members += pieces
        owner += [i] * len(pieces)
    if not groups:
        return torch.empty(0), []
    norms, owners = [], []
    for members, owner in groups.values():
        stacked = torch.stack(torch._foreach_norm(members, 2, dtype=torch.float32))
        norms.append(stacked.full_tensor() if hasattr(stacked, "full_tensor") else stacked)
        owners += owner
    return norms[0] if len(norms) == 1 else torch.cat([norm.to(norms[0].device) for norm in norms]), owners


def squares(norms: Tensor, owners: Sequence[int], count: int, absent: float) -> Tensor:
    """Squared norms of `count` tensors from the norms of their pieces: float64 (count,); `absent` for one without.

    Squared in float64: the square of a float32 norm below 1e-19 or above 1e19 leaves the range of float32.
    """
    at = torch.tensor(owners, dtype=torch.int64)
    out = torch.zeros(count, dtype=torch.float64).index_add_(0, at, norms.cpu().double().square())
    there = torch.zeros(count, dtype=torch.bool).index_fill_(0, at, True)
    return torch.where(there, out, absent)


def update_sq(A: Tensor, B: Tensor, scaling: Tensor | float) -> Tensor:
    """Squared Frobenius norm of LoRA's update, scaling^2 |B A|^2. A (..., r, in), B (..., out, r); returns (...).

    <B^T B, A A^T> needs r x r products only and never builds the (out, in) matrix. Unit: weight squared; >= 0; 0 while
    B is 0. Rounding: about 1e-7 of |A|^2 |B|^2.
    """
    A, B = A.float(), B.float()
    return scaling**2 * ((B.mT @ B) * (A @ A.mT)).sum((-2, -1)).clamp(min=0)


def expert_factors(A: Tensor, B: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """The factors of each expert from PEFT's two stacked matrices. A (E r, in), B (out, r E): (E, r, in), (E, out, r).

    PEFT stacks A expert after expert and B rank after rank (`ParamWrapper.get_delta_factors`).
    """
    experts = A.shape[0] // r
    return A.reshape(experts, r, A.shape[1]), B.reshape(B.shape[0], r, experts).permute(2, 0, 1)
