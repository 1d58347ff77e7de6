"""Even ranks under a budget of trained parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lorascope.analysis.allocating.places import curve, depths, most_rank
from lorascope.analysis.allocating.solver import largest_sum, solve
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


def used_params(modules: Sequence[TargetModule], ranks: Mapping[str, int]) -> int:
    """Trained parameters of these ranks."""
    return sum(module.cost_per_rank * ranks.get(module.path, 0) for module in modules)


def common_budget(groups: Sequence[Sequence[TargetModule]], most: int) -> int:
    """The largest number of parameters up to `most` that ranks of each group can use to the last one; 0 without one.

    What a group can use of a number is the largest sum of its costs up to it, so no common number lies between the two,
    and going down from group to group until nothing changes ends at the largest.
    """
    capacities: list[dict[int, int]] = []
    for group in groups:
        capacities.append({})
        for module in group:
            cost = module.cost_per_rank
            capacities[-1][cost] = capacities[-1].get(cost, 0) + most_rank(module)
    common, agreed = most, 0
    while agreed < len(groups):
        for capacity in capacities:
            used = largest_sum(capacity, common)
            common, agreed = used, agreed + 1 if used == common else 1
            if not common or agreed == len(groups):
                return common
    return common


def by_kind(modules: Sequence[TargetModule], ranks: Mapping[str, int]) -> list[dict[str, Any]]:
    """A row for every kind of module: group, module, adapted ("5 of 6"), ranks ("2-4"), parameters."""
    kinds: dict[tuple[str, str], list[TargetModule]] = {}
    for module in modules:
        kinds.setdefault((module.group, module.projection), []).append(module)
    rows = []
    for (group, projection), members in kinds.items():
        given = [ranks.get(member.path, 0) for member in members]
        rows.append(
            {
                "group": group,
                "module": projection,
                "adapted": f"{sum(rank > 0 for rank in given)} of {len(given)}",
                "ranks": str(given[0]) if min(given) == max(given) else f"{min(given)}-{max(given)}",
                "parameters": sum(m.cost_per_rank * rank for m, rank in zip(members, given, strict=True)),
            }
        )
    return rows


def capacity(modules: Sequence[TargetModule]) -> int:
    """Trained parameters where every module has full rank; more cannot be used."""
    return sum(module.cost_per_rank * most_rank(module) for module in modules)
