"""One module that LoRA can adapt, as plain data: no torch here, so that every room can read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["attention", "mlp", "embed", "lm_head", "other"]
Kind = Literal["linear", "conv1d", "embedding", "experts", "router"]


@dataclass(frozen=True, kw_only=True)
class TargetModule:
    """One module (or one stacked expert parameter) of the base model: its path, parsed once into fields."""

    path: str
    """Path from the base model's root, e.g. "model.layers.3.mlp.up_proj" (no "base_model.model.")."""
    layer: int | None
    """Number after the outermost ModuleList on the path; None outside the layers."""
    stack: Literal["decoder", "encoder"]
    projection: str
    """Role in Llama's words where there is one: q, k, v, o, gate, up, down, embed, head; fused: qkv, gate_up; cross_q,
    cross_k, cross_v, cross_o where a decoder attends to an encoder; router; else the last name of the path."""
    group: Group
    shape: tuple[int, int]
    """(out, in) of the weight, whatever the layout in memory; of one expert; (embedding_dim, num_embeddings)."""
    cost_per_rank: int
    """Trained parameters that one more rank costs: in + out, times the number of experts where there are some."""
    kind: Kind

    @property
    def num_experts(self) -> int:
        """Weights that lie stacked in this one: 1 but for experts."""
        return self.cost_per_rank // sum(self.shape)
