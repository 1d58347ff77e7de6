"""Ranks under a budget: never above it, none closer, the best of those; checked against every choice there is."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modules_of import llama, modules

from lorascope.analysis.allocating import moves
from lorascope.analysis.allocating.methods import METHODS, Evidence, allot
from lorascope.analysis.allocating.places import most_rank
from lorascope.analysis.allocating.solver import Curve, largest_sum, solve, spread
from lorascope.analysis.budgets import capacity, common_budget, match_budget, used_params
from lorascope.errors import ConfigError, DataError, UnknownName

SMALL = settings(max_examples=60, deadline=None)


@st.composite
def architectures(draw, most=5):
    """Modules of a few shapes, some with experts, over a few layers."""
    shapes = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=3))
    experts = draw(st.sampled_from([1, 1, 2, 3]))
    count = draw(st.integers(1, most))
    return modules([(*shapes[i % len(shapes)], experts if i == 0 else 1) for i in range(count)])


def every_choice(places):
    return itertools.product(*[range(most_rank(m) + 1) for m in places])


def cost_of(places, ranks):
    return sum(m.cost_per_rank * r for m, r in zip(places, ranks, strict=True))


@SMALL
@given(architectures(), st.integers(0, 400))
def test_no_feasible_ranks_are_closer_to_the_budget_and_none_as_close_are_more_even(places, budget):
    got = [match_budget(places, budget)[m.path] for m in places]
    even = budget / cost_of(places, [1] * len(places))
    under = [ranks for ranks in every_choice(places) if cost_of(places, ranks) <= budget]
    best = max(cost_of(places, ranks) for ranks in under)
    assert cost_of(places, got) == best
    squares = [sum((r - even) ** 2 for r in ranks) for ranks in under if cost_of(places, ranks) == best]
    assert sum((r - even) ** 2 for r in got) == pytest.approx(min(squares))


@SMALL
@given(st.lists(architectures(most=4), min_size=1, max_size=3), st.integers(0, 300))
def test_a_common_budget_is_the_largest_that_every_group_can_use_up(groups, most):
    sums = [{cost_of(places, ranks) for ranks in every_choice(places)} for places in groups]
    assert common_budget(groups, most) == max(n for n in set.intersection(*sums) if n <= most)


def test_attention_and_mlp_of_a_llama_have_a_common_budget():
    # Costs per rank: q and o 512, k and v 384, MLP 944 = 59 * 16; lcm(128, 944) = 7552, and 10 * 7552 <= 81,920.
    places = llama(hidden=256, mlp=688, kv=128, layers=5)
    groups = [[m for m in places if m.group == group] for group in ("attention", "mlp")]
    assert common_budget(groups, 81_920) == 75_520
    assert common_budget([*groups, places], 81_920) == 75_520
    assert common_budget(groups, 7_000) == 0


@st.composite
def curves(draw):
    limit = draw(st.integers(0, 4))
    cost = draw(st.sampled_from([2, 3, 5, 7, 12]))
    if draw(st.booleans()):
        return Curve(cost=cost, limit=limit, target=draw(st.floats(0, 5)))
    gains = draw(st.lists(st.floats(0.01, 3), max_size=limit))
    return Curve(cost=cost, limit=limit, weight=0.1, gains=tuple(sorted(gains, reverse=True)))


@SMALL
@given(st.lists(curves(), min_size=1, max_size=5), st.integers(0, 200))
def test_the_solver_finds_the_cheapest_of_the_closest(places, budget):
    def price(ranks):
        return sum(c.price(k) for c, r in zip(places, ranks, strict=True) for k in range(r))

    def used(ranks):
        return sum(c.cost * r for c, r in zip(places, ranks, strict=True))

    under = [r for r in itertools.product(*[range(c.limit + 1) for c in places]) if used(r) <= budget]
    best = max(map(used, under))
    got = solve(places, budget)
    assert used(got) == best
    assert price(got) == pytest.approx(min(price(r) for r in under if used(r) == best), abs=1e-9)


def test_the_largest_sum_of_small_coins_is_known():
    assert largest_sum({6: 10, 10: 10, 15: 10}, 29) == 28  # 6 + 6 + 6 + 10; 29 is not reachable
    assert largest_sum({6: 1, 10: 1}, 15) == 10
    assert largest_sum({4096: 44, 2304: 44}, 2304 * 3 + 255) == 2304 * 3
    assert largest_sum({7: 2}, 1000) == 14
    assert largest_sum({7: 2}, 6) == 0


def test_with_llamas_costs_attention_and_mlp_come_out_equal_where_they_can():
    tiny = llama(hidden=2048, mlp=5632, kv=256, layers=22)
    attention = [m for m in tiny if m.group == "attention"]
    mlp = [m for m in tiny if m.group == "mlp"]
    even = {budget: (match_budget(attention, budget), match_budget(mlp, budget)) for budget in (2_534_400, 1_267_200)}
    assert set(even[2_534_400][0].values()) == {9}
    assert set(even[2_534_400][1].values()) == {5}
    a, m = even[1_267_200]
    assert used_params(attention, a) == used_params(mlp, m) == 1_267_200
    assert set(a.values()) == {4, 5}
    assert set(m.values()) == {2, 3}


def test_what_is_left_over_is_spread_over_depth_and_over_kinds():
    tiny = llama(hidden=64, mlp=192, kv=64, layers=12)
    mlp = [m for m in tiny if m.group == "mlp"]
    ranks = match_budget(mlp, 256 * (36 * 2 + 12))  # rank 2 everywhere and 12 ranks more, for 12 layers of three
    more = [m for m in mlp if ranks[m.path] == 3]
    assert sorted(m.layer for m in more) == list(range(12))
    assert {p: sum(m.projection == p for m in more) for p in ("gate", "up", "down")} == dict.fromkeys(
        ("gate", "up", "down"), 4
    )


@pytest.mark.parametrize(("count", "places"), [(0, 5), (1, 5), (2, 5), (5, 5), (3, 10), (7, 22)])
def test_spread_takes_as_many_as_asked_and_leaves_even_gaps(count, places):
    taken = spread(count, places)
    assert len(taken) == count
    gaps = [b - a for a, b in itertools.pairwise(taken)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_one_in_five_is_the_middle_one():
    assert spread(1, 5) == [2]


# --- methods ----------------------------------------------------------------------------------------------------------


def known(places, seed=0):
    """Evidence of every sort for these modules."""
    rng = np.random.default_rng(seed)
    scores = {m.path: float(rng.random() + 0.01) for m in places}
    return Evidence(
        scores=scores,
        errors={path: score / 4 for path, score in scores.items()},
        spectra={m.path: np.sort(rng.random(most_rank(m)))[::-1].tolist() for m in places},
        edges={m.path: int(rng.integers(0, most_rank(m) + 1)) for m in places},
        ranks=match_budget(places, capacity(places) // 3),
    )


EXACT = sorted(set(METHODS) - {"threshold", "mixed", "gora", "efim", "eva", "shuffled_layers"})


@pytest.mark.parametrize("method", sorted(METHODS))
@settings(max_examples=25, deadline=None)
@given(places=architectures(8), share=st.floats(0.05, 1.1), seed=st.integers(0, 9))
def test_no_method_exceeds_the_budget_or_full_rank_and_all_meet_it_as_nearly_as_can_be(places, method, share, seed):
    budget = max(int(share * capacity(places)), min(m.cost_per_rank for m in places))
    evidence = known(places, seed)
    if method == "shuffled_layers" and used_params(places, evidence.ranks) > budget:  # it keeps what it is given
        with pytest.raises(ConfigError, match="keeps the allocation's ranks"):
            allot(places, budget, method, evidence, seed=seed)
        return
    if "ranks" in METHODS[method].needs and not any(evidence.ranks.values()):
        return
    ranks = allot(places, budget, method, evidence, seed=seed)
    assert list(ranks) == [m.path for m in places]
    assert all(0 <= ranks[m.path] <= most_rank(m) for m in places)
    assert used_params(places, ranks) <= budget
    if method in EXACT:
        assert used_params(places, ranks) == used_params(places, match_budget(places, budget))


def test_a_method_without_its_evidence_says_what_it_needs():
    places = modules([(4, 4, 1)] * 2)
    with pytest.raises(ConfigError, match="needs scores of every module; 2 have none"):
        allot(places, 16, "proportional")
    with pytest.raises(UnknownName, match="no method 'spectrall'"):
        allot(places, 16, "spectrall")
    with pytest.raises(DataError, match="not finite"):
        allot(places, 16, "proportional", Evidence(scores=dict.fromkeys((m.path for m in places), float("nan"))))


def test_proportional_ranks_follow_scores_and_attribution_shares_parameters():
    places = modules([(8, 8, 1), (8, 24, 1)])  # 16 and 32 parameters per rank
    first, second = (m.path for m in places)
    assert allot(places, 16 * 6 + 32 * 3, "proportional", Evidence(scores={first: 2.0, second: 1.0})) == {
        first: 6,
        second: 3,
    }
    assert allot(places, 16 * 4 + 32 * 2, "attribution", Evidence(scores={first: 1.0, second: 1.0})) == {
        first: 4,
        second: 2,
    }


def test_spectral_takes_the_largest_squares_per_parameter():
    places = modules([(8, 8, 1), (8, 24, 1)])
    first, second = (m.path for m in places)
    spectra = {first: [3.0, 1.0, 0.1], second: [4.0, 2.0, 0.1]}
    # Squares per 16 parameters: 9, 1, 0.01 and 8, 2, 0.005: the budget of 80 takes 9, 8, 2.
    assert allot(places, 80, "spectral", Evidence(spectra=spectra)) == {first: 1, second: 2}
    assert allot(places, 96, "whitened", Evidence(spectra=spectra)) == {first: 2, second: 2}


def test_eva_orders_directions_whatever_they_cost():
    places = modules([(8, 8, 1), (8, 24, 1)])
    first, second = (m.path for m in places)
    spectra = {first: [0.4, 0.3], second: [0.5, 0.45]}
    assert allot(places, 64, "spectral", Evidence(spectra=spectra)) == {first: 2, second: 1}
    assert allot(places, 64, "eva", Evidence(spectra=spectra)) == {first: 0, second: 2}


def test_adam_stops_at_the_noise_edge_and_spreads_what_is_left():
    places = modules([(8, 8, 1)] * 3)
    a, b, c = (m.path for m in places)
    evidence = Evidence(scores={a: 3.0, b: 2.0, c: 1.0}, edges={a: 2, b: 1, c: 0})
    assert allot(places, 16 * 2, "adam_first_step", evidence) == {a: 2, b: 0, c: 0}
    assert allot(places, 16 * 3, "adam_first_step", evidence) == {a: 2, b: 1, c: 0}
    assert allot(places, 16 * 6, "adam_first_step", evidence) == {a: 2, b: 2, c: 2}


def test_threshold_leaves_out_what_is_not_above_its_noise():
    places = modules([(8, 8, 1)] * 3)
    a, b, c = (m.path for m in places)
    evidence = Evidence(scores={a: 1.0, b: 1.0, c: 5.0}, errors={a: 0.5, b: 0.52, c: 3.0})
    assert allot(places, 64, "threshold", evidence) == {a: 4, b: 0, c: 0}
    none = Evidence(scores={a: 0.1, b: 0.1, c: 0.1}, errors={a: 1.0, b: 1.0, c: 1.0})
    with pytest.raises(DataError, match="above its noise"):
        allot(places, 64, "threshold", none)


def test_mixed_takes_in_every_layer_the_group_with_the_larger_norm_per_parameter():
    tiny = llama(hidden=8, mlp=16, kv=8, layers=2)
    scores = {m.path: (9.0 if (m.group == "mlp") == (m.layer == 1) else 1.0) for m in tiny}
    ranks = allot(tiny, 600, "mixed", Evidence(scores=scores))
    assert {(m.layer, m.group) for m in tiny if ranks[m.path]} == {(0, "attention"), (1, "mlp")}
    ends = [replace(tiny[0], path=name, group=name, layer=None) for name in ("embed", "lm_head")]
    ranks = allot([*tiny, *ends], 900, "mixed", Evidence(scores=scores | {"embed": 0.1, "lm_head": 9.0}))
    assert {m.group for m in tiny if ranks[m.path] and m.layer == 0} == {"attention"}
    assert min(ranks["embed"], ranks["lm_head"]) > 0  # neither attention nor MLP: they compete with nothing


def test_inverted_turns_the_order_round():
    places = modules([(8, 8, 1)] * 4)
    ranks = dict(zip((m.path for m in places), (7, 1, 3, 5), strict=True))
    assert list(allot(places, 16 * 16, "inverted", Evidence(ranks=ranks)).values()) == [1, 7, 5, 3]


def test_shuffling_over_layers_keeps_every_kinds_ranks_and_over_kinds_every_layers():
    tiny = llama(hidden=8, mlp=16, kv=8, layers=4)
    rng = np.random.default_rng(3)
    ranks = {m.path: int(rng.integers(0, 5)) for m in tiny}
    budget = used_params(tiny, ranks)
    over = allot(tiny, budget, "shuffled_layers", Evidence(ranks=ranks), seed=1)
    for kind in {m.projection for m in tiny}:
        paths = [m.path for m in tiny if m.projection == kind]
        assert sorted(over[p] for p in paths) == sorted(ranks[p] for p in paths)
    assert over != ranks
    assert allot(tiny, budget, "shuffled_layers", Evidence(ranks=ranks), seed=1) == over
    square = modules([(8, 8, 1)] * 6)  # one layer, one cost: only the order can change
    ranks = dict(zip((m.path for m in square), (1, 2, 3, 4, 5, 6), strict=True))
    kinds = allot(square, 21 * 16, "shuffled_kinds", Evidence(ranks=ranks), seed=2)
    assert sorted(kinds.values()) == [1, 2, 3, 4, 5, 6]


def test_random_ranks_are_even_over_all_that_meet_the_budget():
    places = modules([(3, 3, 1), (3, 3, 1), (3, 9, 1)])  # 6, 6 and 12 parameters per rank
    every = [r for r in every_choice(places) if cost_of(places, r) == 30]
    assert len(every) == 8  # a + b + 2 c = 5, each up to 3: two with c = 0, four with c = 1, two with c = 2
    drawn = [tuple(allot(places, 30, "random", seed=seed).values()) for seed in range(800)]
    counts = np.array([drawn.count(r) for r in every])
    assert counts.sum() == 800
    expected = 800 / len(every)
    assert (
        (counts - expected) ** 2 / expected
    ).sum() < 24.3  # chi squared with 7 degrees of freedom: one in a thousand


# --- how much work it is ----------------------------------------------------------------------------------------------


@pytest.fixture
def cells(monkeypatch):
    """Counts the sums that the solver looks at."""
    seen = []
    grown = moves._grown

    def counted(sums, values, costs, prices):
        seen.append(len(sums) * len(costs))
        return grown(sums, values, costs, prices)

    monkeypatch.setattr(moves, "_grown", counted)
    return seen


def test_ten_thousand_modules_of_a_real_model_are_few_sums(cells):
    large = llama(hidden=4096, mlp=14336, kv=1024, layers=1429)
    budget = int(8.3 * cost_of(large, [1] * len(large))) + 1
    ranks = match_budget(large, budget)
    assert len(large) > 10_000
    assert budget - used_params(large, ranks) == budget % 1024  # every multiple of the costs' common divisor is met
    assert sum(cells) < 50_000


@pytest.fixture(scope="module")
def primes():
    """240 modules with one of twelve prime costs each, and a budget of 8.3 ranks for all."""
    costs = [p for p in range(2000, 2400) if all(p % d for d in range(2, 50))][::4][:12]
    places = [Curve(cost=costs[i % 12], limit=100, target=8.3, depth=i // 12) for i in range(240)]
    return places, int(8.3 * sum(c.cost for c in places))


def test_many_costs_without_a_common_divisor_are_searched_by_halves(cells, primes):
    places, budget = primes
    ranks = solve(places, budget)
    assert sum(c.cost * r for c, r in zip(places, ranks, strict=True)) == budget
    assert set(ranks) == {8, 9}
    assert sum(cells) < 100_000  # of 20^12 ways to give 8 or 9 to the 20 modules of each cost


def test_what_would_take_too_many_sums_still_meets_the_budget_with_ranks_near_the_greedy_ones(
    cells, primes, monkeypatch
):
    places, budget = primes
    monkeypatch.setattr(moves, "_MOST", 10_000)
    ranks = solve(places, budget)
    assert sum(c.cost * r for c, r in zip(places, ranks, strict=True)) == budget
    assert set(ranks) <= {7, 8, 9}
    assert sum(cells) <= 5 * 10_000
    monkeypatch.setattr(moves, "_MOST", 100)
    with pytest.raises(DataError, match="12 different costs per rank"):
        solve(places, budget)
