"""Modules as the solver sees them: cost, largest rank, depth."""

from __future__ import annotations

from collections.abc import Sequence

from lorascope.analysis.allocating.solver import Curve
from lorascope.models.target import TargetModule


def most_rank(module: TargetModule) -> int:
    """The smaller side of the weight: a larger rank costs parameters and adds no direction."""
    return min(module.shape)


def depths(modules: Sequence[TargetModule]) -> list[int]:
    """A number for every module that rises with depth: the embedding before the layers, the head behind them."""
    order = sorted({_place(module) for module in modules})
    return [order.index(_place(module)) for module in modules]


def _place(module: TargetModule) -> tuple[int, int]:
    if module.layer is None:
        return (2, 0) if module.group == "lm_head" else (-1, 0)
    return (0 if module.stack == "encoder" else 1), module.layer


def curve(
    module: TargetModule,
    depth: int,
    *,
    target: float = 0.0,
    weight: float = 1.0,
    gains: tuple[float, ...] = (),
    limit: int | None = None,
) -> Curve:
    """The module's ranks as the solver prices them; `limit` is the largest rank, below full rank."""
    most = most_rank(module) if limit is None else min(limit, most_rank(module))
    return Curve(cost=module.cost_per_rank, limit=most, target=target, weight=weight, gains=gains[:most], depth=depth)
