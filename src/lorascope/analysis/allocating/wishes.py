"""Wished ranks from scores: real numbers that cost exactly the budget, before the solver makes them whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lorascope.analysis.allocating.places import curve, depths, most_rank
from lorascope.analysis.allocating.solver import Floats, solve
from lorascope.errors import DataError
from lorascope.models.target import TargetModule


def scaled(shares: Floats, costs: Floats, low: Floats, high: Floats, budget: float) -> Floats:
    """k * shares, kept between `low` and `high`, with the k at which they cost the budget.

    Where all ends are reached first, the ends. DataError where no share is positive.
    """
    if not (shares > 0).any():
        raise DataError("no-signal", "no module has a score above 0, so nothing can be shared out", "--method uniform")

    def wished(k: float) -> Floats:
        return np.clip(k * shares, low, high)

    least = shares[shares > 0].min()
    below, above = 0.0, float(high.max() / least) + 1.0
    for _ in range(200):
        middle = (below + above) / 2
        if float(wished(middle) @ costs) <= budget:
            below = middle
        else:
            above = middle
    return wished(below)


def nearest(
    modules: Sequence[TargetModule], budget: int, wished: Sequence[float], limits: Sequence[int] | None = None
) -> dict[str, int]:
    """Whole ranks nearest to the wished ones (squared), among those with the smallest gap to the budget."""
    tops = [most_rank(m) for m in modules] if limits is None else limits
    curves = [
        curve(m, depth, target=float(wish), limit=int(top))
        for m, depth, wish, top in zip(modules, depths(modules), wished, tops, strict=True)
    ]
    return dict(zip((m.path for m in modules), solve(curves, budget), strict=True))


def shared(
    modules: Sequence[TargetModule],
    budget: int,
    shares: Sequence[float],
    *,
    low: float = 0.0,
    high: float = float("inf"),
) -> dict[str, int]:
    """Ranks in proportion to `shares` (negative ones count as 0), each between `low` and `high` before rounding."""
    tops = np.minimum([float(most_rank(m)) for m in modules], high)
    costs = np.array([m.cost_per_rank for m in modules], float)
    wished = scaled(np.maximum(np.array(shares, float), 0.0), costs, np.minimum(low, tops), tops, budget)
    return nearest(modules, budget, wished.tolist(), [int(top) for top in tops])


def greedy(modules: Sequence[TargetModule], budget: int, gains: Sequence[Sequence[float]]) -> dict[str, int]:
    """The largest sum of gains, rank by rank, each module's falling; what they leave of the budget is spread evenly.

    Rank k of module m is worth gains[m][k - 1]. Behind the last positive gain of a module further ranks are worth
    nothing, and are given as evenly as costs allow.
    """
    curves = []
    for module, depth, row in zip(modules, depths(modules), gains, strict=True):
        positive = np.sort(np.array([g for g in row if g > 0], float))[::-1]
        # Any positive weight will do: these prices are above every gain, and only compared with each other.
        curves.append(curve(module, depth, weight=float(module.cost_per_rank), gains=tuple(positive.tolist())))
    return dict(zip((m.path for m in modules), solve(curves, budget), strict=True))
