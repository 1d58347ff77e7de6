"""Whole ranks that meet a budget of trained parameters as nearly as any can, and the best of those that do.

The problem: module m costs c_m parameters per rank, takes at most l_m ranks, and its ranks 1, 2, ... cost the prices
p_m1 <= p_m2 <= ... (a squared deviation from a wished rank, or a gain with the sign turned). Wanted are ranks with
(1) the largest sum c_m r_m that does not exceed the budget, and (2) among those the smallest sum of prices; (3) where
prices tie, the ranks are spread evenly over depth.

Why the answer is exact. Modules of one cost are one class, and only a class's total rank enters the sum, so (1) is a
subset-sum problem over the few distinct costs; a bit set over all sums up to the budget, in units of the costs'
greatest common divisor, holds every reachable one, and its highest bit is the answer T. For (2), prices that rise make
the price of a class, f_i(R), convex in its total R: sort all prices of its modules and add up the first R. Take any
number k (the price per parameter at which a greedy choice stops) and the totals R0_i at which f_i(R) - k c_i R is
smallest. Every choice with sum c_i R_i = T has price k T + sum (f_i(R_i) - k c_i R_i), so the best one has the smallest
excess: the sum over classes of e_i(R) = (f_i(R) - k c_i R) - (f_i(R0_i) - k c_i R0_i), each 0 at R0_i and rising to
both sides. All choices with an excess up to a bound are looked through, half of the classes at a time, and the bound is
raised until there is one with the sum T; the best of them is the best of all, for what was not looked at has more
excess than the bound.

That is bounded: dozens of nearly equal costs without a common divisor, with hundreds of modules each, would take more
sums than fit into memory. Beyond a number of sums (`moves.py`) the gap is still the smallest, and the price the
smallest among ranks near the greedy ones; no model that is known comes near that.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from lorascope.analysis.allocating.moves import best_moves

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What the ranks of one module are worth: first `gains`, one a rank, falling; from there on squares.

    The price of rank r + 1 is -gains[r], and behind the gains weight * (2 (r - target) + 1), which is what
    weight * (rank - target)^2 grows by. Prices must not fall, so behind gains the target is 0 and the weight positive.
    """

    cost: int
    """Trained parameters per rank; positive."""
    limit: int
    """Largest rank; 0 keeps the module out."""
    target: float = 0.0
    weight: float = 1.0
    gains: tuple[float, ...] = ()
    """Positive, falling; no more than `limit`."""
    depth: int = 0
    """Place in the order of layers; ties are spread over it."""

    def price(self, r: int) -> float:
        """The price of going from rank r to r + 1."""
        return -self.gains[r] if r < len(self.gains) else self.weight * (2 * (r - self.target) + 1)


def largest_sum(capacity: Mapping[int, int], budget: int) -> int:
    """The largest sum of k_c * c that is at most `budget`, over whole 0 <= k_c <= capacity[c]; the gap is unavoidable.

    No sum exceeds the largest multiple of the costs' greatest common divisor. Near an even filling that multiple is
    mostly reached, and then nothing is left to prove; else a bit set holds every sum up to it.
    """
    total = sum(cost * count for cost, count in capacity.items())
    if total <= budget:
        return total
    top = budget - budget % math.gcd(*capacity)
    even = {cost: count * top // total for cost, count in capacity.items()}
    low = {cost: max(0, even[cost] - _NEAR) for cost in capacity}
    window = {cost: min(count, even[cost] + _NEAR) - low[cost] for cost, count in capacity.items()}
    floor = sum(cost * count for cost, count in low.items())
    if window != capacity and floor <= top and floor + _highest(window, top - floor) == top:
        return top
    return _highest(capacity, top)


_NEAR = 32
"""Ranks of a class to both sides of an even filling that are looked at first: dozens of moves reach every residue."""


def _highest(capacity: Mapping[int, int], top: int) -> int:
    """The largest reachable sum up to `top`: bit n of a set is the n-th multiple of the greatest common divisor.

    Each capacity is split into powers of two, so that the set is shifted as often as its number has binary digits.
    """
    unit = math.gcd(*capacity)
    limit = top // unit
    mask, reached = (1 << (limit + 1)) - 1, 1
    for cost, count in sorted(capacity.items()):
        step, left, power = cost // unit, min(count, top // cost), 1
        while left:
            taken = min(power, left)
            reached |= (reached << (step * taken)) & mask
            left, power = left - taken, 2 * power
    return unit * (reached.bit_length() - 1)


def solve(curves: Sequence[Curve], budget: int) -> list[int]:
    """A rank for every curve: the smallest gap to the budget, then the smallest price, then ties even over depth."""
    capacity: dict[int, int] = {}
    for curve in curves:
        capacity[curve.cost] = capacity.get(curve.cost, 0) + curve.limit
    goal = largest_sum(capacity, budget) if capacity else 0
    if not goal:
        return [0] * len(curves)
    ranks, slope = _greedy(curves, goal)
    ladders = [
        Ladder([i for i, c in enumerate(curves) if c.cost == cost and c.limit], curves, ranks)
        for cost in sorted(cost for cost, count in capacity.items() if count)
    ]
    start, slope = _fill(ladders, goal - sum(c.cost * r for c, r in zip(curves, ranks, strict=True)), slope)
    missing = goal - sum(c.cost * r for c, r in zip(curves, ranks, strict=True))
    missing -= sum(ladder.cost * moved for ladder, moved in zip(ladders, start, strict=True))
    moves = best_moves(ladders, start, missing, slope)
    for ladder, moved, more in zip(ladders, start, moves, strict=True):
        for index, rank in ladder.ranks(moved + more).items():
            ranks[index] = rank
    return ranks


def spread(count: int, places: int) -> list[int]:
    """`count` of the numbers below `places`, as evenly as whole numbers allow, the single one in the middle."""
    return [i for i in range(places) if (i * count + (places + 1) // 2) % places < count]


def _greedy(curves: Sequence[Curve], goal: int) -> tuple[list[int], float]:
    """The ranks whose price per parameter is below some slope, where the next slope would exceed the goal."""
    column = {
        name: np.array([getattr(c, name) for c in curves], float) for name in ("cost", "limit", "target", "weight")
    }
    heads = np.array([len(c.gains) for c in curves], float)
    owners = np.repeat(np.arange(len(curves)), heads.astype(int))
    ratios = np.array([-gain / c.cost for c in curves for gain in c.gains], float)
    order = np.argsort(ratios, kind="stable")
    ratios, owners = ratios[order], owners[order]
    head_costs = np.concatenate([[0.0], np.cumsum(column["cost"][owners])])

    def tails(slope: float) -> Floats:
        with np.errstate(over="ignore"):
            wanted = np.ceil((slope * column["cost"] / column["weight"] - 1) / 2 + column["target"])
        return np.asarray(np.clip(wanted, heads, np.maximum(column["limit"], heads)) - heads, float)

    def used(slope: float) -> float:
        taken = int(np.searchsorted(ratios, slope, side="left"))
        return float(head_costs[taken] + (tails(slope) * column["cost"]).sum())

    ends = [c.price(r) / c.cost for c in curves if c.limit for r in (0, c.limit - 1)]
    low, high = min(ends) - 1.0, max(ends) + 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if used(middle) <= goal else (low, middle)
    taken = int(np.searchsorted(ratios, low, side="left"))
    counts = np.bincount(owners[:taken], minlength=len(curves)) + tails(low)
    return [int(r) for r in counts], low


class Ladder:
    """The modules of one cost, at the ranks where a slope has brought them, and the prices to both sides of that."""

    def __init__(self, members: Sequence[int], curves: Sequence[Curve], ranks: Sequence[int]) -> None:
        self.cost = curves[members[0]].cost
        self._curves = curves
        self._base = {i: ranks[i] for i in members}
        self.most = sum(curves[i].limit for i in members) - sum(self._base.values())
        self.least = -sum(self._base.values())
        self._sides = {up: (self._walk(up), [(0.0, -1)]) for up in (True, False)}

    def price(self, place: int) -> float:
        """The price of the step that ends at `place` steps above the base; below it, of the step that is undone."""
        return self._step(place)[0]

    def ranks(self, place: int) -> dict[int, int]:
        """The ranks at `place` steps above the base; what ties at the last price is spread evenly over depth."""
        ranks = dict(self._base)
        if place == 0:
            return ranks
        side = 1 if place > 0 else -1
        edge = self.price(place)
        last = place
        while self.least <= last + side <= self.most and self.price(last + side) == edge:
            last += side
        tied: dict[int, int] = {}
        for step in range(side, last + side, side):
            price, index = self._step(step)
            if price == edge:
                tied[index] = tied.get(index, 0) + 1
                ranks[index] -= 0 if side > 0 else 1
            else:
                ranks[index] += side
        keep = sum(self._base.values()) + place - sum(ranks.values())
        for index in _dealt(tied, keep, self._curves):
            ranks[index] += 1
        return ranks

    def _step(self, place: int) -> tuple[float, int]:
        walk, seen = self._sides[place > 0]
        while len(seen) <= abs(place):
            seen.append(next(walk))
        return seen[abs(place)]

    def _walk(self, up: bool) -> Iterator[tuple[float, int]]:
        """(price, module) of one more rank after the other, cheapest first; or of one less, dearest first."""
        sign = 1 if up else -1

        def entry(i: int, r: int) -> list[tuple[float, int, int]]:
            there = r < self._curves[i].limit if up else r > 0
            return [(sign * self._curves[i].price(r if up else r - 1), i, r)] if there else []

        heap = [found for i, r in self._base.items() for found in entry(i, r)]
        heapq.heapify(heap)
        while heap:
            price, i, r = heapq.heappop(heap)
            yield sign * price, i
            for found in entry(i, r + sign):
                heapq.heappush(heap, found)


def _dealt(tied: Mapping[int, int], count: int, curves: Sequence[Curve]) -> Iterator[int]:
    """`count` ranks dealt to modules that may take `tied` each: full rounds, then a last one spread over depth."""
    left = dict(tied)
    while count:
        row = _by_depth((i for i, more in left.items() if more), curves)
        chosen = row if count >= len(row) else [row[k] for k in spread(count, len(row))]
        for index in chosen:
            left[index] -= 1
            yield index
        count -= len(chosen)


def _by_depth(members: Iterable[int], curves: Sequence[Curve]) -> list[int]:
    """By depth; within a layer each turn begins with another module, so that every second one is not always o_proj."""
    row: list[int] = []
    layers = groupby(sorted(members, key=lambda i: (curves[i].depth, i)), key=lambda i: curves[i].depth)
    for turn, (_, group) in enumerate(layers):
        layer = list(group)
        shift = turn % len(layer)
        row += layer[shift:] + layer[:shift]
    return row


def _fill(ladders: Sequence[Ladder], room: int, slope: float) -> tuple[list[int], float]:
    """Go on in the order of price per parameter until the next step does not fit; the steps taken, and the slope."""
    places = [0] * len(ladders)
    heap = [(ladder.price(1) / ladder.cost, k) for k, ladder in enumerate(ladders) if ladder.most > 0]
    heapq.heapify(heap)
    while heap:
        slope, k = heapq.heappop(heap)
        if ladders[k].cost > room:
            break
        room -= ladders[k].cost
        places[k] += 1
        if places[k] < ladders[k].most:
            heapq.heappush(heap, (ladders[k].price(places[k] + 1) / ladders[k].cost, k))
    return places, slope
