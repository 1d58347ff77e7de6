"""Tests over seeds: one difference of two arms for each seed, the unit of replication. Arrays in, numbers out.

Student's t at 3 to 7 seeds, where the exact test cannot reach small p; the exact sign-flip test from 8 on, which
supposes nothing but that either sign is as likely. No bootstrap: over five seeds its percentiles reject a true null in
16 % of studies. Legend: n seeds, m contrasts, F ways to choose signs.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lorascope.analysis.statistics import LEVEL

Floats = NDArray[np.float64]

FEWEST = 3
"""Seeds below which nothing is tested."""
EXACT = 8
"""Seeds from which signs are flipped."""
ALPHA = 1 - LEVEL
POWER = 0.8
"""Chance of finding what is called visible."""
_FLIPS = 9_999
"""Most choices of signs that are looked at; all of them up to 13 seeds."""
_STUDIES = 4_000
"""Simulated ones behind the power of the sign-flip test."""
_MOST = 1_000
"""Seeds beyond which a plan is none."""


def test_of(n: int) -> str:
    """The test that n seeds get, in words."""
    if n < FEWEST:
        return f"none below {FEWEST} seeds"
    return "paired t" if n < EXACT else "exact sign-flip" if 2**n <= _FLIPS else "sign-flip"


def p_values(differences: Floats) -> Floats:
    """Two-sided p of every row of (m, n) paired differences against 0; NaN below FEWEST seeds or without any spread.

    Rows of equal differences have no spread to judge by; where they are all 0, p is 1. Fisher 1935, Student 1908.
    """
    n = differences.shape[1]
    out = np.full(len(differences), math.nan)
    if n < FEWEST:
        return out
    sd = differences.std(axis=1, ddof=1)
    out[~differences.any(axis=1)] = 1.0
    there = sd > 1e-12 * np.abs(differences).max(axis=1, initial=0.0)
    rows = differences[there]
    if not len(rows):
        return out
    if n < EXACT:
        t = rows.mean(axis=1) / (sd[there] / math.sqrt(n))
        out[there] = 2 * stats.t.sf(np.abs(t), n - 1)
        return out
    out[there] = stats.permutation_test(
        (rows,), np.mean, permutation_type="samples", vectorized=True, n_resamples=_FLIPS, axis=1,
        rng=np.random.default_rng(0),
    ).pvalue  # fmt: skip
    return out


def interval(differences: Floats) -> tuple[float, float]:
    """95 % interval of the mean of (n,) paired differences, by the test that n seeds get; infinite below FEWEST.

    Where signs are flipped its ends are order statistics of the means of all nonempty subsets of the differences:
    exactly those values that the test does not reject (Hartigan 1969).
    """
    n = len(differences)
    if n < FEWEST:
        return -math.inf, math.inf
    mean = float(differences.mean())
    if n < EXACT:
        half = float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * float(differences.std(ddof=1)) / math.sqrt(n)
        return mean - half, mean + half
    flipped = _signs(n) < 0
    flipped = flipped[flipped.any(axis=1)]
    means = np.sort(flipped @ differences / flipped.sum(axis=1))
    k = max(1, math.floor(ALPHA / 2 * (len(means) + 1)))
    return float(means[k - 1]), float(means[-k])


def power(effect: float, n: int, alpha: float = ALPHA) -> float:
    """Chance that n seeds reject at level alpha where the mean is `effect` standard deviations of the differences.

    For the t test by the noncentral t distribution; for the sign-flip test by 4,000 simulated normal studies.
    """
    if n < FEWEST:
        return 0.0
    if n < EXACT:
        edge, away = float(stats.t.ppf(1 - alpha / 2, n - 1)), abs(effect) * math.sqrt(n)
        return float(stats.nct.sf(edge, n - 1, away) + stats.nct.cdf(-edge, n - 1, away))
    return float((_flip_p(_noise(n) + abs(effect)) <= alpha).mean())


def smallest_visible(n: int, alpha: float = ALPHA) -> float:
    """The effect, in standard deviations of the differences, that n seeds find with a chance of POWER; may be inf."""
    low, high = 0.0, 1.0
    while power(high, n, alpha) < POWER:
        low, high = high, 2 * high
        if high > 1e3:
            return math.inf
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, n, alpha) < POWER else (low, middle)
    return high


def seeds_to_decide(effect: float, alpha: float = ALPHA) -> int | None:
    """Seeds that find an effect of so many standard deviations with a chance of POWER by the t test; None: too many.

    Guenther 1981: ((z_alpha + z_power) / effect)^2 + z_alpha^2 / 2, rounded up.
    """
    if not math.isfinite(effect) or not effect:
        return None
    edge, more = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(POWER)
    n = max(FEWEST, math.ceil(((edge + more) / effect) ** 2 + edge**2 / 2))
    return n if n <= _MOST else None


@cache
def _signs(n: int) -> NDArray[np.float64]:
    """(F, n): every choice of signs, or _FLIPS random ones where there are more."""
    if 2**n <= _FLIPS:
        return np.array(list(product((1.0, -1.0), repeat=n)))
    return np.random.default_rng(0).choice((1.0, -1.0), size=(_FLIPS, n))


@cache
def _noise(n: int) -> Floats:
    return np.random.default_rng(n).standard_normal((_STUDIES, n))


def _flip_p(differences: Floats) -> Floats:
    """p of the sign-flip test of each row of (S, n), as SciPy's: what so many simulated studies need is a product."""
    sums = np.abs(_signs(differences.shape[1]) @ differences.T)  # (F, S)
    observed = np.abs(differences.sum(axis=1))
    return np.asarray((sums >= observed * (1 - 1e-12)).mean(axis=0), dtype=np.float64)
