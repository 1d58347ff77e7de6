"""Errors, intervals and agreement of rankings. Arrays in, numbers out.

Everything that a probe measures is a mean over batches or the square of one, and its error comes from leaving out one
block of batches at a time. Legend: n batches, K blocks, U units that are measured side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVEL = 0.95
"""Of every interval."""
FAR = 1000
"""Times as many batches as there are: more than that is no plan."""
SPLITS = 10
"""Ways to cut the blocks into halves that a stability is averaged over."""


class Interval(NamedTuple):
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def decided(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0

    def minus(self, other: Interval) -> Interval:
        """The difference of two values from their own intervals, lopsided ones too: MOVER, Zou and Donner 2008.

        Low end: difference - sqrt((value - low)^2 + (other high - other value)^2); so the high one. For independent
        values; where they go up and down together it is too wide.
        """
        value = self.value - other.value
        low = value - math.hypot(self.value - self.low, other.high - other.value)
        return Interval(value, low, value + math.hypot(self.high - self.value, other.value - other.low))


@dataclass(frozen=True)
class Estimate:
    """Values, and what they are without each block of batches: (U,) and (U, K).

    Weighted sums of estimates are estimates; a ratio has an interval of its own (`ratio`).
    """

    value: Floats
    without: Floats

    @property
    def blocks(self) -> int:
        """K; the errors have K - 1 degrees of freedom."""
        return int(self.without.shape[1])

    @property
    def error(self) -> Floats:
        """Standard error by the delete-block jackknife, (U,); Efron and Stein 1981.

        sqrt((K - 1) / K * sum over blocks of (value without the block - their mean)^2). It errs to the large side: for
        the square of a mean that is really 0, by sqrt(2).
        """
        return np.sqrt(np.maximum(np.diagonal(self.covariance()), 0.0))

    def covariance(self) -> Floats:
        """(U, U) by the jackknife."""
        around = self.without - self.without.mean(axis=1, keepdims=True)
        cov: Floats = (self.blocks - 1) / self.blocks * around @ around.T
        return cov

    def interval(self) -> tuple[Floats, Floats]:
        """Ends of the 95 % interval of each value: Student's t with K - 1 degrees of freedom."""
        half = quantile(self.blocks - 1) * self.error
        return self.value - half, self.value + half

    def combined(self, weights: Floats) -> Estimate:
        """Weighted sums over units: weights (V, U) make V units of U. NaN where a unit that counts has no value."""
        return Estimate(_weighted(weights, self.value[:, None])[:, 0], _weighted(weights, self.without))


def _weighted(weights: Floats, values: Floats) -> Floats:
    """weights (V, U) @ values (U, K), where a value that is NaN takes part only in sums in which it counts."""
    absent = np.isnan(values)
    if not absent.any():
        result: Floats = weights @ values
        return result
    sums = weights @ np.where(absent, 0.0, values)
    return np.where((weights != 0).astype(float) @ absent > 0, np.nan, sums)


@cache
def quantile(df: float) -> float:
    """Student's t that a 95 % interval reaches to on either side."""
    return float(stats.t.ppf(0.5 + LEVEL / 2, df))


def mean_estimate(values: Floats, block: Ints) -> Estimate:
    """The mean over batches. values (n, U), block (n,): the block of each batch; a block may be empty."""
    sums = np.zeros((int(block.max()) + 1, values.shape[1]))
    np.add.at(sums, block, values)
    counts = np.bincount(block)
    sums, counts = sums[counts > 0], counts[counts > 0]
    total, n = sums.sum(axis=0), counts.sum()
    return Estimate(total / n, ((total - sums) / (n - counts)[:, None]).T)


def squared_mean(total_sq: Floats, sum_sq: Floats, n: int | Ints) -> Floats:
    """Unbiased estimate of |E G|^2 from n independent G: (|sum G|^2 - sum |G|^2) / (n (n - 1)); it can be negative.

    The mean of <G_i, G_j> over all pairs of different batches: a U-statistic (Hoeffding 1948). The square of the mean
    itself is larger by the noise, E|G - E G|^2 / n.
    """
    result: Floats = (total_sq - sum_sq) / (n * (n - 1))
    return result


def signal_estimate(total_sq: Floats, sum_sq: Floats, gram: Floats, squares: Floats, counts: Ints) -> Estimate:
    """`squared_mean` with its error.

    total_sq (U,): |sum of all G|^2; sum_sq (U,): sum of |G|^2, both exact, which gives the value. gram (U, K, K): inner
    products between sums over blocks, squares (K, U): sums of |G|^2 in a block, both possibly of sketches, which
    give what a block changes. counts (K,): batches of each block.
    """
    gram, squares = rescaled(sum_sq, gram, squares)
    n = int(counts.sum())
    whole = squared_mean(gram.sum(axis=(1, 2)), squares.sum(axis=0), n)
    without = []
    for k in np.flatnonzero(counts):
        total = gram.sum(axis=(1, 2)) - 2 * gram[:, k].sum(axis=1) + gram[:, k, k]
        left = n - int(counts[k])
        if left < 2:  # two batches: without one of them there is no pair
            return Estimate(squared_mean(total_sq, sum_sq, n), np.full((len(total_sq), 2), np.nan))
        without.append(squared_mean(total, squares.sum(axis=0) - squares[k], left))
    exact = squared_mean(total_sq, sum_sq, n)
    return Estimate(exact, exact[:, None] + np.stack(without, axis=1) - whole[:, None])


def rescaled(sum_sq: Floats, gram: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """gram and squares of sketches, stretched so that a unit's squares add up to the exact sum_sq.

    A sketch that makes a unit too large by chance makes all of it too large, signal and noise; this takes out what they
    share.
    """
    sketched = squares.sum(axis=0)
    stretch = np.divide(sum_sq, sketched, out=np.ones_like(sum_sq), where=sketched > 0)
    return gram * stretch[:, None, None], squares * stretch


def ratio(parts: Estimate, top: Floats, bottom: Floats) -> Interval:
    """Interval of a ratio of two weighted sums of estimates, by Fieller's theorem (1954).

    top, bottom (U,): the weights. The interval holds every ratio x for which sum(top - x bottom) is compatible with 0,
    so, where it is finite, it leaves 0 out exactly if the numerator's own interval does. Where the denominator is
    compatible with 0 the ends are infinite: any ratio may be, or any but those in a gap. NaN where there are too few
    batches to leave any out.
    """
    pair = parts.combined(np.stack([top, bottom]))
    (a, b), cov = pair.value, pair.covariance() * quantile(pair.blocks - 1) ** 2
    value = float(a / b) if b else math.nan
    # (a - x b)^2 <= var(a) - 2 x cov + x^2 var(b), a parabola in x
    square, linear, rest = b**2 - cov[1, 1], a * b - cov[0, 1], a**2 - cov[0, 0]
    inside = linear**2 - square * rest
    if math.isnan(inside):
        return Interval(value, math.nan, math.nan)
    if square <= 0 or inside < 0:
        return Interval(value, -math.inf, math.inf)
    root = math.sqrt(inside)
    return Interval(value, float((linear - root) / square), float((linear + root) / square))


class Difference(NamedTuple):
    """A difference with its 95 % interval and the chance of one as large where there is none."""

    value: float
    low: float
    high: float
    p: float


def difference(first: Estimate, second: Estimate) -> Difference:
    """First minus second, of one unit each, measured on different batches; degrees of freedom by Welch 1947."""
    variances = np.array([float(first.error[0]) ** 2, float(second.error[0]) ** 2])
    freedom = np.array([first.blocks - 1, second.blocks - 1])
    value, error = float(first.value[0] - second.value[0]), math.sqrt(variances.sum())
    if not error > 0:  # NaN: too few batches
        return Difference(value, math.nan, math.nan, math.nan)
    df = float(variances.sum() ** 2 / (variances**2 / freedom).sum())
    half = quantile(round(df, 3)) * error
    return Difference(value, value - half, value + half, float(2 * stats.t.sf(abs(value) / error, df)))


def holm(p: Floats) -> Floats:
    """Adjusted p of several tests, so that the chance of any false one stays below the level; Holm 1979. NaN stays."""
    order = np.argsort(p)
    adjusted = np.full(len(p), math.nan)
    there = int(np.isfinite(p).sum())
    worst = 0.0
    for rank, i in enumerate(order[:there]):
        worst = max(worst, min(1.0, float(p[i]) * (there - rank)))
        adjusted[i] = worst
    return adjusted


def more_batches(found: Interval, n: int) -> int | None:
    """How many more batches would make an interval leave 0 out: the value stays, the interval shrinks as 1 / sqrt(n).

    0 where it does already; None where that is out of sight: beyond FAR times n, or no interval to begin with.
    """
    if found.decided:
        return 0
    half = (found.high - found.low) / 2
    if not math.isfinite(half) or not found.value or (half / found.value) ** 2 > FAR:
        return None
    return max(1, math.ceil(n * (half / found.value) ** 2) - n)


def kendall(first: Floats, second: Floats) -> float:
    """Kendall's tau-b of two rankings of the same units: 1 same order, 0 none, -1 opposite; NaN below two units."""
    return float(stats.kendalltau(first, second).statistic) if len(first) > 1 else math.nan


def split_signals(gram: Floats, squares: Floats, counts: Ints, half: NDArray[np.bool_]) -> Floats:
    """`squared_mean` of the batches in the chosen blocks alone, (U,). `half` (K,): which blocks."""
    total = gram[:, half][:, :, half].sum(axis=(1, 2))
    return squared_mean(total, squares[half].sum(axis=0), int(counts[half].sum()))


def stability(gram: Floats, squares: Floats, counts: Ints, numel: Floats) -> float:
    """Kendall's tau of the rankings by signal per parameter in two halves of the batches, the mean over SPLITS cuts.

    It says how well half the batches tell the order of the units; all of them tell it better. NaN where a half would
    hold fewer than two batches.
    """
    there = np.flatnonzero(counts)
    found = []
    for half in _halves(len(there)):
        mask = np.zeros(len(counts), dtype=bool)
        mask[there[half]] = True
        if min(counts[mask].sum(), counts[~mask].sum()) < 2:
            return math.nan
        one, other = (split_signals(gram, squares, counts, side) / numel for side in (mask, ~mask))
        found.append(kendall(one, other))
    return float(np.mean(found)) if found else math.nan


@cache
def _halves(blocks: int) -> tuple[NDArray[np.int64], ...]:
    """Balanced halves of the blocks, the same every time."""
    rng = np.random.default_rng(0)
    return tuple(np.sort(rng.permutation(blocks)[: blocks // 2]) for _ in range(SPLITS)) if blocks > 1 else ()
