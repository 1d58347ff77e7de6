"""Controls: ranks that carry no knowledge, at the same number of parameters."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from lorascope.analysis.allocating.places import most_rank
from lorascope.analysis.allocating.solver import Floats, Ints, largest_sum
from lorascope.analysis.allocating.wishes import scaled
from lorascope.errors import DataError
from lorascope.models.target import TargetModule

_DRAWS = 10**9
"""Ranks that are drawn before random gives up; an ordinary model takes a hundredth of them."""


def random_ranks(modules: Sequence[TargetModule], budget: int, rng: np.random.Generator) -> dict[str, int]:
    """Ranks drawn with equal probability from all that use the budget best.

    Independent ranks with P(r) in proportion to exp(-t c_m r), r = 0 .. full rank, have a probability that depends on
    their parameters alone, so those that use exactly the wanted number are equally likely, whatever t; t is taken where
    the expected number is the wanted one. All but one module are drawn; the last must be what is missing, and is
    accepted with its own probability over the largest one (Duchon and others 2004, Boltzmann samplers). Errors:
    DataError where the draws do not meet the budget, as with hundreds of costs without a common divisor.
    """
    costs = np.array([m.cost_per_rank for m in modules], np.int64)
    tops = np.array([most_rank(m) for m in modules], np.int64)
    capacity: dict[int, int] = {}
    for cost, top in zip(costs.tolist(), tops.tolist(), strict=True):
        capacity[cost] = capacity.get(cost, 0) + top
    goal = largest_sum(capacity, budget)
    last = int(np.argmin(costs))
    rest = np.arange(len(modules)) != last
    tilt = _tilt(costs, tops, goal)
    best = max(0.0, -tilt * float(costs[last] * tops[last]))  # log of the largest weight of the last module's rank
    rows = max(1, min(4096, 2_000_000 // len(modules)))
    for _ in range(max(1, _DRAWS // (rows * len(modules)))):
        drawn = _geometric(rng.random((rows, int(rest.sum()))), tilt * costs[rest], tops[rest])
        missing = goal - drawn @ costs[rest]
        wanted, over = np.divmod(missing, costs[last])
        possible = (over == 0) & (wanted >= 0) & (wanted <= tops[last])
        chance = np.exp(np.where(possible, -tilt * (costs[last] * wanted) - best, -np.inf))
        taken = np.flatnonzero(rng.random(rows) < chance)
        if taken.size:
            ranks = np.zeros(len(modules), np.int64)
            ranks[rest], ranks[last] = drawn[taken[0]], wanted[taken[0]]
            return {m.path: int(rank) for m, rank in zip(modules, ranks, strict=True)}
    raise DataError("no-random-ranks", f"no random ranks with {goal:,} parameters were met", "another --budget")


def inverted(modules: Sequence[TargetModule], budget: int, ranks: Mapping[str, int]) -> list[float]:
    """Wished ranks: the i-th largest goes to the module that had the i-th smallest; scaled to the budget."""
    order = sorted(range(len(modules)), key=lambda i: (ranks[modules[i].path], i))
    turned = np.zeros(len(modules))
    for place, other in zip(order, reversed(order), strict=True):
        turned[place] = ranks[modules[other].path]
    return _to_budget(modules, turned, budget)


def over_layers(modules: Sequence[TargetModule], ranks: Mapping[str, int], rng: np.random.Generator) -> dict[str, int]:
    """The ranks, shuffled among modules of one kind and cost: every kind keeps its parameters, depth means nothing."""
    kinds: dict[Hashable, list[str]] = {}
    for m in modules:
        kinds.setdefault((m.stack, m.group, m.projection, m.cost_per_rank, most_rank(m)), []).append(m.path)
    shuffled: dict[str, int] = {}
    for paths in kinds.values():
        shuffled |= dict(zip(paths, rng.permutation([ranks[path] for path in paths]).tolist(), strict=True))
    return {m.path: shuffled[m.path] for m in modules}


def over_kinds(
    modules: Sequence[TargetModule], budget: int, ranks: Mapping[str, int], rng: np.random.Generator
) -> list[float]:
    """Wished ranks: shuffled among the modules of every layer, so that kinds mean nothing; scaled to the budget."""
    layers: dict[Hashable, list[int]] = {}
    for i, m in enumerate(modules):
        layers.setdefault((m.stack, m.layer), []).append(i)
    turned = np.zeros(len(modules))
    for members in layers.values():
        turned[members] = rng.permutation([ranks[modules[i].path] for i in members])
    return _to_budget(modules, turned, budget)


def _to_budget(modules: Sequence[TargetModule], wished: Floats, budget: int) -> list[float]:
    costs = np.array([m.cost_per_rank for m in modules], float)
    tops = np.array([most_rank(m) for m in modules], float)
    return [float(wish) for wish in scaled(wished, costs, np.zeros(len(modules)), tops, budget)]


def _tilt(costs: Ints, tops: Ints, goal: int) -> float:
    """t at which the expected number of parameters is the goal, by bisection; positive below half of the capacity."""
    scale = 1.0 / float(costs.min())
    low, high = -60.0 * scale, 60.0 * scale
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _expected(middle * costs.astype(np.float64), tops) @ costs > goal else (low, middle)
        )
    return (low + high) / 2


def _expected(rates: Floats, tops: Ints) -> Floats:
    """Mean of r = 0 .. top with P(r) in proportion to exp(-rate r); by symmetry from its value at |rate|."""
    rate = np.maximum(np.abs(rates), 1e-12)
    with np.errstate(over="ignore"):
        mean = 1 / np.expm1(rate) - (tops + 1) / np.expm1(rate * (tops + 1))
    flat = rate * (tops + 1) < 1e-4  # the difference of two large numbers: its series instead
    mean = np.where(flat, tops / 2 - rate * tops * (tops + 2) / 12, mean)
    return np.asarray(np.where(rates >= 0, mean, tops - mean), float)


def _geometric(uniform: Floats, rates: Floats, tops: Ints) -> Ints:
    """Ranks 0 .. top with P(r) in proportion to exp(-rate r), by the inverse of their distribution function."""
    rate = np.maximum(np.abs(rates), 1e-12)
    ranks: Ints = np.floor(-np.log1p(uniform * np.expm1(-rate * (tops + 1))) / rate).astype(np.int64)
    ranks = np.clip(ranks, 0, tops)
    return np.asarray(np.where(rates >= 0, ranks, tops - ranks), np.int64)
