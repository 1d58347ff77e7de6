"""Errors and intervals against brute force, SciPy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lorascope.analysis.statistics import (
    Estimate,
    Interval,
    difference,
    holm,
    kendall,
    mean_estimate,
    more_batches,
    ratio,
    signal_estimate,
    split_signals,
    squared_mean,
    stability,
)

BLOCKS = 8


def facts(G, blocks=BLOCKS):
    """What a probe keeps of gradients G (n, U, d): total_sq, sum_sq, gram, squares, counts."""
    n = len(G)
    block = np.arange(n) % blocks
    sums = np.stack([G[block == k].sum(axis=0) for k in range(blocks)])
    squares = np.stack([(G[block == k] ** 2).sum(axis=(0, 2)) for k in range(blocks)])
    total = G.sum(axis=0)
    return (
        (total**2).sum(axis=1),
        (G**2).sum(axis=(0, 2)),
        np.einsum("kud,jud->ukj", sums, sums),
        squares,
        np.bincount(block, minlength=blocks),
    )


def pairs_mean(G):
    """Mean inner product of all pairs of different batches, one by one."""
    n = len(G)
    return np.array(
        [
            sum(float(G[i, u] @ G[j, u]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
            for u in range(G.shape[1])
        ]
    )


def test_squared_mean_by_hand():
    # G = (1, 0), (3, 4), (2, 2): inner products 3, 2, 14; the sum is (6, 6), the squares add up to 1 + 25 + 8
    assert float(squared_mean(np.array(72.0), np.array(34.0), 3)) == pytest.approx(19 / 3)


def test_the_signal_and_what_each_block_changes_equal_brute_force():
    rng = np.random.default_rng(0)
    G = rng.normal(size=(19, 3, 5)) + np.array([0.0, 0.5, 2.0])[None, :, None]  # 19 batches: blocks of 3 and 2
    found = signal_estimate(*facts(G))
    assert found.value == pytest.approx(pairs_mean(G))
    block = np.arange(19) % BLOCKS
    assert found.without == pytest.approx(np.stack([pairs_mean(G[block != k]) for k in range(BLOCKS)], axis=1))


def test_sketches_change_the_errors_but_not_the_value():
    rng = np.random.default_rng(1)
    G = rng.normal(size=(32, 2, 6)) + 1.0
    total, sums, gram, squares, counts = facts(G)
    exact = signal_estimate(total, sums, gram, squares, counts)
    twice = signal_estimate(total, sums, 2 * gram, 2 * squares, counts)  # a sketch that doubles all inner products
    assert np.array_equal(twice.value, exact.value)
    assert twice.error == pytest.approx(exact.error)


def test_the_signal_is_unbiased_with_and_without_a_mean():
    rng = np.random.default_rng(2)
    mean = np.array([0.0, 0.3])
    values = []
    for _ in range(800):
        G = rng.standard_t(5, size=(12, 2, 4)) + mean[None, :, None]
        values.append(signal_estimate(*facts(G)).value)
    values = np.array(values)
    error = values.std(axis=0, ddof=1) / math.sqrt(len(values))
    assert np.abs(values.mean(axis=0) - 4 * mean**2).max() < 4 * error.max()
    assert (values[:, 0] < 0).mean() == pytest.approx(0.6, abs=0.1)  # where there is none it is often negative


def test_intervals_cover_what_they_should():
    rng = np.random.default_rng(3)
    mean = np.array([0.0, 0.15, 1.0])
    covered = np.zeros(3)
    rounds = 600
    for _ in range(rounds):
        G = rng.normal(size=(32, 3, 10)) + mean[None, :, None]
        low, high = signal_estimate(*facts(G)).interval()
        covered += (low <= 10 * mean**2) & (10 * mean**2 <= high)
    assert (covered / rounds > 0.93).all()
    assert (covered[1:] / rounds < 0.98).all()


def test_the_error_of_a_mean_is_that_of_students_t():
    values = np.random.default_rng(4).gamma(2.0, size=(16, 3))
    found = mean_estimate(values, np.arange(16))
    assert found.error == pytest.approx(stats.sem(values))
    low, high = stats.t.interval(0.95, 15, loc=values.mean(axis=0), scale=stats.sem(values))
    assert found.interval()[0] == pytest.approx(low)
    assert found.interval()[1] == pytest.approx(high)


def test_empty_blocks_do_not_count():
    values = np.arange(6.0).reshape(3, 2)
    assert mean_estimate(values, np.array([0, 1, 5])).without.shape == (2, 3)
    G = np.random.default_rng(5).normal(size=(3, 2, 4))
    assert signal_estimate(*facts(G)).without == pytest.approx(
        np.stack([pairs_mean(np.delete(G, k, axis=0)) for k in range(3)], axis=1)
    )


def test_two_batches_give_a_value_and_no_interval():
    G = np.random.default_rng(6).normal(size=(2, 2, 4))
    found = signal_estimate(*facts(G))
    assert found.value == pytest.approx(pairs_mean(G))
    assert np.isnan(found.error).all()
    share = ratio(found, np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    assert math.isnan(share.low)
    assert not share.decided


def test_weighted_sums_have_the_error_of_the_sum():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(16, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    weights = np.array([[1.0, -1.0], [2.0, 3.0]])
    both = mean_estimate(values, np.arange(16)).combined(weights)
    alone = mean_estimate(values @ weights.T, np.arange(16))
    assert both.value == pytest.approx(alone.value)
    assert both.error == pytest.approx(alone.error)


def test_a_unit_without_a_value_spoils_only_the_sums_that_it_is_in():
    values = np.array([1.0, np.nan, 3.0])
    found = Estimate(values, values[:, None] + np.array([0.0, 1.0])).combined(np.array([[1.0, 0, 2], [0, 1, 1]]))
    assert found.value.tolist()[0] == 7.0
    assert found.without[0].tolist() == [7.0, 10.0]
    assert np.isnan(found.value[1])
    assert np.isnan(found.without[1]).all()


def test_the_ends_of_a_ratio_are_where_fieller_puts_them():
    values = np.random.default_rng(8).normal(size=(16, 2)) * 0.5 + np.array([1.0, 3.0])
    estimate = mean_estimate(values, np.arange(16))
    found = ratio(estimate, np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert found.value == pytest.approx(values[:, 0].mean() / values[:, 1].mean())
    for end in (found.low, found.high):  # at an end, the interval of top - end * bottom just reaches 0
        line = values[:, 0] - end * values[:, 1]
        assert abs(line.mean()) == pytest.approx(stats.t.ppf(0.975, 15) * stats.sem(line))


def test_a_ratio_is_decided_where_its_numerator_is():
    rng = np.random.default_rng(9)
    verdicts = []
    for _ in range(200):
        values = rng.normal(size=(16, 2)) + np.array([0.4, 2.0])
        estimate = mean_estimate(values, np.arange(16))
        low, high = estimate.interval()
        found = ratio(estimate, np.array([1.0, 0.0]), np.array([0.0, 1.0]))
        verdicts.append(found.decided)
        assert found.decided == bool(low[0] > 0 or high[0] < 0)
    assert 20 < sum(verdicts) < 180


def test_a_ratio_to_nothing_may_be_anything():
    values = np.random.default_rng(10).normal(size=(16, 2))
    found = ratio(mean_estimate(values, np.arange(16)), np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_a_difference_of_means_is_welchs():
    rng = np.random.default_rng(11)
    a, b = rng.normal(size=12) + 1, 3 * rng.normal(size=16)
    found = difference(mean_estimate(a[:, None], np.arange(12)), mean_estimate(b[:, None], np.arange(16)))
    right = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    p = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert found == pytest.approx((a.mean() - b.mean(), right.low, right.high, p), rel=1e-3)


def test_a_difference_of_lopsided_intervals_by_hand():
    # 5 in [2, 6] less 1 in [-2, 5]: 4 - sqrt(3^2 + 4^2) and 4 + sqrt(1^2 + 3^2)
    assert Interval(5, 2, 6).minus(Interval(1, -2, 5)) == pytest.approx((4, -1, 4 + 10**0.5))


def test_holms_adjustment_by_hand():
    # ordered 0.01, 0.02, 0.04, times 3, 2, 1, never falling
    assert holm(np.array([0.04, 0.01, 0.02])) == pytest.approx([0.04, 0.03, 0.04])
    assert holm(np.array([0.5, 0.6])) == pytest.approx([1.0, 1.0])
    found = holm(np.array([0.02, math.nan]))
    assert found[0] == 0.02
    assert math.isnan(found[1])


@pytest.mark.parametrize(
    ("interval", "more"),
    [
        (Interval(0.1, -0.1, 0.3), 300),  # half 0.2: twice too wide, so four times the batches
        (Interval(-0.1, -0.2, 0.0), 1),
        (Interval(0.5, 0.1, 0.9), 0),
        (Interval(0.0, -0.1, 0.1), None),
        (Interval(0.001, -1.0, 1.0), None),
        (Interval(0.3, -math.inf, math.inf), None),
        (Interval(0.3, math.nan, math.nan), None),
    ],
)
def test_how_many_more_batches_would_decide(interval, more):
    assert more_batches(interval, 100) == more


def test_kendalls_tau_by_hand():
    assert kendall(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])) == pytest.approx(1 / 3)
    assert kendall(np.array([1.0, 2.0]), np.array([9.0, 1.0])) == -1.0
    assert math.isnan(kendall(np.array([1.0]), np.array([1.0])))


def test_the_signal_of_half_the_blocks_is_that_of_their_batches():
    G = np.random.default_rng(12).normal(size=(21, 2, 4)) + 0.5
    _, _, gram, squares, counts = facts(G)
    half = np.array([True, False, True, True, False, False, True, False])
    assert split_signals(gram, squares, counts, half) == pytest.approx(pairs_mean(G[half[np.arange(21) % BLOCKS]]))


def test_stability_is_one_without_noise_and_none_with_nothing_else():
    rng = np.random.default_rng(13)
    numel = np.full(30, 4.0)
    mean = rng.normal(size=(30, 4))

    def of(noise, signal, n=64):
        _, _, gram, squares, counts = facts(signal * mean[None] + noise * rng.normal(size=(n, 30, 4)))
        return stability(gram, squares, counts, numel)

    assert of(1e-6, 1.0) == pytest.approx(1.0)
    assert abs(of(1.0, 0.0)) < 0.2
    assert 0.15 < of(1.0, 0.2) < of(1.0, 1.0) < 1
    assert math.isnan(of(1.0, 1.0, n=3))


def test_an_estimate_knows_its_blocks():
    assert Estimate(np.zeros(2), np.zeros((2, 5))).blocks == 5
