"""Modules that LoRA can adapt: a path is parsed once into fields; nothing later looks into the string."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["attention", "mlp", "embed", "lm_head", "other"]
Kind = Literal["linear", "conv1d", "embedding", "experts"]


@dataclass(frozen=True, kw_only=True)
class TargetModule:
    """One module of the base model that LoRA can adapt."""

    path: str
    """Path from the base model's root, e.g. "model.layers.3.mlp.up_proj" (no "base_model.model.")."""
    layer: int | None
    """Number after the outermost ModuleList on the path; None outside the layers."""
    stack: Literal["decoder", "encoder"]
    projection: str
    """Role in Llama's words where there is one: q, k, v, o, gate, up, down, embed, head; fused: qkv, gate_up;
    else the last name of the path."""
    group: Group
    shape: tuple[int, int]
    """(out, in) of the weight, whatever the layout in memory."""
    cost_per_rank: int
    """Trained parameters that one more rank costs: in + out, times the number of experts where there are some."""
    kind: Kind
