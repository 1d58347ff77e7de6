"""Tests over seeds, held against SciPy and statsmodels, and against brute force."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from scipy import stats

from lorascope.analysis import paired

RNG = np.random.default_rng(4)


@pytest.mark.parametrize("n", [3, 5, 7])
def test_few_seeds_get_the_paired_t_test_of_scipy(n):
    first, second = RNG.normal(size=(2, 6, n))
    expected = stats.ttest_rel(first, second, axis=1).pvalue
    assert paired.p_values(first - second) == pytest.approx(expected)
    (low, high) = paired.interval((first - second)[0])
    ends = stats.ttest_rel(first[0], second[0]).confidence_interval(0.95)
    assert (low, high) == pytest.approx((ends.low, ends.high))


@pytest.mark.parametrize("n", [8, 10])
def test_from_eight_seeds_on_all_signs_are_counted(n):
    d = RNG.normal(0.5, 1, size=(3, n))
    for row, p in zip(d, paired.p_values(d), strict=True):
        sums = [
            abs(sum(s * x for s, x in zip(signs, row, strict=True))) for signs in itertools.product((1, -1), repeat=n)
        ]
        assert p == pytest.approx(np.mean([s >= abs(row.sum()) * (1 - 1e-12) for s in sums]))
    assert paired._flip_p(d) == pytest.approx(paired.p_values(d))


@pytest.mark.parametrize("n", [8, 9])
def test_the_interval_holds_exactly_what_the_sign_flip_test_does_not_reject(n):
    d = RNG.normal(0.3, 1, size=n)
    low, high = paired.interval(d)
    outside = paired.p_values(np.stack([d - (low - 1e-6), d - (high + 1e-6)]))
    inside = paired.p_values(np.stack([d - (low + 1e-6), d - (high - 1e-6)]))
    assert (outside <= 0.05).all()
    assert (inside > 0.05).all()


def test_nothing_is_tested_below_three_seeds_or_without_spread():
    assert np.isnan(paired.p_values(np.ones((2, 2)))).all()
    assert paired.interval(np.array([1.0])) == (-math.inf, math.inf)
    assert paired.p_values(np.array([[0.0, 0.0, 0.0]])) == [1.0]
    assert np.isnan(paired.p_values(np.array([[0.2, 0.2, 0.2]]))).all()
    assert paired.test_of(2) == "none below 3 seeds"
    assert paired.test_of(14) == "sign-flip"


@pytest.mark.parametrize(("effect", "n", "alpha"), [(1.0, 5, 0.05), (0.5, 3, 0.05), (2.0, 7, 0.0125)])
def test_power_of_the_t_test_is_that_of_statsmodels(effect, n, alpha):
    with warnings.catch_warnings():  # not every release of statsmodels keeps quiet about its own dependencies
        warnings.simplefilter("ignore")
        from statsmodels.stats.power import TTestPower
    assert paired.power(effect, n, alpha) == pytest.approx(TTestPower().power(effect, n, alpha), abs=1e-6)
    assert paired.power(-effect, n, alpha) == paired.power(effect, n, alpha)


def test_power_of_the_sign_flip_test_by_hand():
    # At level 0.0125 and 8 seeds only 2 of 256 choices of signs may be as extreme: all differences have one sign.
    alike = stats.norm.cdf(1.5) ** 8 + stats.norm.cdf(-1.5) ** 8
    assert paired.power(1.5, 8, 0.0125) == pytest.approx(alike, abs=0.025)
    assert paired.power(1.5, 2) == 0.0


@pytest.mark.parametrize("n", [3, 5, 8])
def test_what_is_visible_is_found_in_four_of_five_studies(n):
    effect = paired.smallest_visible(n)
    assert paired.power(effect, n) == pytest.approx(0.8, abs=0.01)
    found = paired.p_values(np.random.default_rng(1).normal(effect, 1, (2000, n))) <= 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.03)


def test_no_effect_is_visible_where_the_test_cannot_reject():
    assert paired.smallest_visible(8, 0.005) == math.inf  # 2 of 256 is 0.0078
    assert paired.smallest_visible(2) == math.inf


@pytest.mark.parametrize(("effect", "alpha"), [(1.0, 0.05), (-0.4, 0.0125), (2.0, 0.025)])
def test_so_many_seeds_would_decide(effect, alpha):
    n = paired.seeds_to_decide(effect, alpha)
    edge = stats.t.ppf(1 - alpha / 2, n - 1)
    assert stats.nct.sf(edge, n - 1, abs(effect) * math.sqrt(n)) == pytest.approx(0.8, abs=0.06)


def test_what_is_out_of_sight_has_no_number_of_seeds():
    assert paired.seeds_to_decide(0.01) is None
    assert paired.seeds_to_decide(0.0) is None
    assert paired.seeds_to_decide(math.nan) is None
