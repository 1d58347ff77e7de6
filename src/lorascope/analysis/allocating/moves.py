"""The moves from a greedy choice to one that meets the budget, with the smallest excess: why stands in `solver.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorascope.errors import DataError

if TYPE_CHECKING:
    from lorascope.analysis.allocating.solver import Ladder

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def best_moves(ladders: Sequence[Ladder], start: Sequence[int], missing: int, slope: float) -> list[int]:
    """Steps for every class whose costs add up to `missing`, with the smallest excess over the greedy choice."""
    if not missing:
        return [0] * len(ladders)
    excess = [_Excess(ladder, place, slope) for ladder, place in zip(ladders, start, strict=True)]
    firsts = [e(step) for e in excess for step in (-1, 1) if e.least <= step <= e.most]
    bound = min((first for first in firsts if first > 0), default=0.0)
    left = _MOST
    while True:
        windows = [e.within(bound) for e in excess]
        found, looked = _search(excess, windows, missing, bound, left)
        if found is not None:
            return found
        left -= looked
        if left <= 0:
            return _near(excess, missing)
        bound = 1.3 * bound if bound else max(firsts) or 1.0


_MOST, _AT_ONCE = 40_000_000, 16_000_000
"""Sums that are looked at for a proof of the smallest price, in all and held at once; models need a hundredth."""


def _near(excess: Sequence[_Excess], missing: int) -> list[int]:
    """The best moves of at most so many steps in every class, for the first such number that meets the sum, among those
    that never lead far from it on the way, class by class.

    DataError where that takes too many sums as well.
    """
    reach, left = 2, 4 * _MOST
    while left > 0:
        room = abs(missing) + (reach + 2) * max(e.cost for e in excess)
        windows = [(max(e.least, -reach), min(e.most, reach)) for e in excess]
        found, looked = _search(excess, windows, missing, math.inf, left, room)
        if found is not None:
            return found
        reach, left = reach + (reach + 1) // 2, left - looked
    what = f"ranks for {len(excess)} different costs per rank that meet the budget were not found"
    raise DataError("no-exact-ranks", what, "another --budget", "--budget r=8")


class _Excess:
    """e(R) of one class, by steps from where the greedy choice left it."""

    def __init__(self, ladder: Ladder, place: int, slope: float) -> None:
        self.cost = ladder.cost
        self.least, self.most = ladder.least - place, ladder.most - place
        self._ladder, self._place, self._slope = ladder, place, slope * ladder.cost
        self._sums = {1: [0.0], -1: [0.0]}

    def __call__(self, steps: int) -> float:
        side = 1 if steps >= 0 else -1
        sums = self._sums[side]
        while len(sums) <= abs(steps):
            end = self._place + side * len(sums)
            begin = end - side
            # Above the base a step is named by its upper end, below it by its lower one.
            price = self._ladder.price(max(begin, end) if max(begin, end) > 0 else min(begin, end))
            sums.append(sums[-1] + max(0.0, side * (price - self._slope)))
        return sums[abs(steps)]

    def within(self, value: float) -> tuple[int, int]:
        """The widest window whose totals have at most this excess."""
        low = high = 0
        while high < self.most and self(high + 1) <= value:
            high += 1
        while low > self.least and self(low - 1) <= value:
            low -= 1
        return low, high


def _search(
    excess: Sequence[_Excess],
    windows: Sequence[tuple[int, int]],
    missing: int,
    bound: float,
    most: int,
    room: float = math.inf,
) -> tuple[list[int] | None, int]:
    """The moves within the windows whose costs sum to `missing`, with the least excess; None if all have more than
    `bound`, or if that took more than `most` sums. And how many sums were looked at; none beyond `room`.

    Half of the classes at a time, then sums of both halves that meet: a choice within the bound has both of its halves
    within it, so none is overlooked, and a half has about the square root of the choices of the whole. The halves have
    every second class in the order of how far the bound lets them move.
    """
    if room < math.inf:  # cheap and dear classes in turns: what one gives the other takes, and sums stay small
        cheap = sorted(range(len(excess)), key=lambda k: excess[k].cost)
        pairs = list(zip(cheap, reversed(cheap), strict=True))[: (len(cheap) + 1) // 2]
        order = list(dict.fromkeys(k for side in (0, 1) for pair in pairs[side::2] for k in pair))
        cut = len({k for pair in pairs[::2] for k in pair})
        sides = (order[:cut], order[cut:])
    else:  # wide windows first: the last classes multiply the most sums, by the number of their steps
        order = sorted(range(len(excess)), key=lambda k: (windows[k][0] - windows[k][1], excess[k].cost))
        sides = (order[::2], order[1::2])
    one, looked = _reached(excess, windows, sides[0], sides[1], missing, bound, most, room)
    if one is None:
        return None, looked
    two, more = _reached(excess, windows, sides[1], sides[0], missing, bound, most - looked, room)
    looked += more
    if two is None:
        return None, looked
    place = np.minimum(np.searchsorted(two.sums, missing - one.sums), two.sums.size - 1)
    total = np.where(two.sums[place] == missing - one.sums, one.values + two.values[place], np.inf)
    best = int(total.argmin())
    if not (total[best] <= bound and total[best] < math.inf):
        return None, looked
    moves = [0] * len(excess)
    for half, state in ((one, best), (two, int(place[best]))):
        for k, (parents, taken) in zip(reversed(half.classes), reversed(half.back), strict=True):
            moves[k], state = int(taken[state]), int(parents[state])
    return moves, looked


class _Reached(NamedTuple):
    """The sums that some classes reach within a bound, each with its least excess."""

    sums: Ints
    """Rising."""
    values: Floats
    classes: list[int]
    back: list[tuple[Ints, Ints]]
    """Of each class: where every sum came from, and the steps that led to it."""


def _reached(
    excess: Sequence[_Excess],
    windows: Sequence[tuple[int, int]],
    half: Sequence[int],
    other: Sequence[int],
    missing: int,
    bound: float,
    most: int,
    room: float,
) -> tuple[_Reached | None, int]:
    """Class by class, over the sums that are reached, each kept once with its least excess; and how many there were.

    Sums from which the classes to come, the other half's too, cannot reach `missing`, by their size or by their
    greatest common divisor, are dropped, and so is more excess than the bound. None where no sum is left, or where
    there are more than `most`.
    """
    sums, values = np.zeros(1, np.int64), np.zeros(1)
    back: list[tuple[Ints, Ints]] = []
    looked = 0
    for position, k in enumerate(half):
        low, high = windows[k]
        steps = np.arange(low, high + 1)
        prices = np.array([excess[k](int(step)) for step in steps])
        after = [*half[position + 1 :], *other]
        unit = math.gcd(*(excess[j].cost for j in after))
        down = sum(windows[j][0] * excess[j].cost for j in after)
        up = sum(windows[j][1] * excess[j].cost for j in after)
        looked += sums.size * steps.size
        if looked > most or sums.size * steps.size > _AT_ONCE:
            return None, max(looked, most)
        grown, priced = _grown(sums, values, excess[k].cost * steps, prices)
        rest = missing - grown
        fits = (rest % unit == 0) if unit else (rest == 0)
        alive = np.flatnonzero(fits & (rest >= down) & (rest <= up) & (priced <= bound) & (np.abs(grown) <= room))
        if not alive.size:
            return None, looked
        alive = alive[np.lexsort((priced[alive], grown[alive]))]
        first = np.ones(alive.size, bool)
        first[1:] = grown[alive[1:]] != grown[alive[:-1]]
        alive = alive[first]
        back.append((alive // steps.size, steps[alive % steps.size]))
        sums, values = grown[alive], priced[alive]
    return _Reached(sums, values, list(half), back), looked


def _grown(sums: Ints, values: Floats, costs: Ints, prices: Floats) -> tuple[Ints, Floats]:
    """Every sum with every step of one class, and what it costs."""
    return (sums[:, None] + costs[None, :]).ravel(), (values[:, None] + prices[None, :]).ravel()
