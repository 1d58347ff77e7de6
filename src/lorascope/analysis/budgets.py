"""Even ranks under a budget of trained parameters."""

from __future__ import annotations

from collections.abc import Sequence

from lorascope.analysis.allocating.places import curve, depths, most_rank
from lorascope.analysis.allocating.solver import solve
from lorascope.models.target import TargetModule


def match_budget(modules: Sequence[TargetModule], budget: int) -> dict[str, int]:
    """Ranks by module path that use a budget of trained parameters as evenly as possible.

    Of all ranks from 0 to the smaller side of each weight: (1) those with the smallest gap below the budget, (2) among
    them the smallest sum of (rank - even rank)^2, where the even rank is budget / (sum of costs per rank), (3) among
    modules of one cost the remainder is spread evenly over depth. Proof in `allocating/solver.py`.
    """
    even = budget / sum(module.cost_per_rank for module in modules)
    curves = [curve(module, depth, target=even) for module, depth in zip(modules, depths(modules), strict=True)]
    return dict(zip((module.path for module in modules), solve(curves, budget), strict=True))


def used_params(modules: Sequence[TargetModule], ranks: dict[str, int]) -> int:
    """Trained parameters of these ranks."""
    return sum(module.cost_per_rank * ranks.get(module.path, 0) for module in modules)


def capacity(modules: Sequence[TargetModule]) -> int:
    """Trained parameters where every module has full rank; more cannot be used."""
    return sum(module.cost_per_rank * most_rank(module) for module in modules)
