"""Does a profile say anything of its task? Rarely where there is nothing to say, nearly always where there is much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facts import probe_profile
from lorascope.analysis.allocating.preference import preference
from lorascope.analysis.statistics import Estimate


def measured(values, spread, rng):
    """A profile whose signals per weight are means over 16 blocks of `values` with noise."""
    profile = probe_profile()
    numel = profile.parts["numel"].to_numpy(dtype=float)[:, None]
    blocks = values[:, None] + spread * rng.normal(size=(8, 16))
    mean = blocks.mean(axis=1)
    without = (16 * mean[:, None] - blocks) / 15
    return replace(profile, scores={**profile.scores, "signal": Estimate(mean * numel[:, 0], without * numel)})


def test_without_a_difference_a_preference_is_found_in_one_of_twenty_at_most():
    rng = np.random.default_rng(0)
    found = [preference(measured(np.ones(8), 1.0, rng)).decided for _ in range(400)]
    assert np.mean(found) <= 0.065


def test_a_kind_that_stands_out_is_named_with_how_much_it_has():
    rng = np.random.default_rng(1)
    values = np.array([1.0, 1.0, 3.0, 1.0] * 2)  # q, o, up, router: up has 3, attention 1, so the mean is 2 per weight
    found = preference(measured(values, 0.1, rng))
    assert found.decided
    assert found.kind == "up"
    assert found.times == pytest.approx(3 / 2, rel=0.05)
    assert (found.above, found.of) == (6, 6)  # the router is in neither group
    assert "up has 1.5 times the mean signal per weight (p < 0.001 over all kinds); 6 of 6" in str(found)


def test_what_stands_out_with_any_answers_is_no_preference_of_the_task():
    rng = np.random.default_rng(3)
    values = np.array([1.0, 1.0, 3.0, 1.0] * 2)
    pairs = [(measured(values, 0.3, rng), measured(7 * values, 2.1, rng)) for _ in range(400)]
    assert all(preference(profile).decided for profile, _ in pairs[:20])
    found = [preference(replace(profile, control=control)) for profile, control in pairs]
    assert np.mean([one.decided for one in found]) <= 0.065
    undecided = next(one for one in found if not one.decided)
    assert "with the answers of other prompts: what stands out is not about this task" in str(undecided)


def test_more_than_with_any_answers_is_a_preference():
    rng = np.random.default_rng(4)
    control = measured(np.array([1.0, 1.0, 3.0, 1.0] * 2), 0.1, rng)
    found = preference(replace(measured(np.array([3.0, 1.0, 2.0, 1.0] * 2), 0.1, rng), control=control))
    assert found.decided
    # up of 32 weights and q, o of 16 each: up 2 and attention 2, so q has 3 / 2 of the mean; 1 / 2 in the control
    assert (found.kind, found.times, found.control) == ("q", pytest.approx(1.5, rel=0.05), pytest.approx(0.5, rel=0.05))


def test_nothing_above_noise_and_no_errors_decide_nothing():
    rng = np.random.default_rng(2)
    assert not preference(measured(np.array([-1.0, -1.0, -3.0, -1.0] * 2), 0.1, rng)).decided
    profile = probe_profile()
    short = {**profile.scores, "signal": Estimate(np.ones(8), np.full((8, 2), np.nan))}
    found = preference(replace(profile, scores=short))
    assert not found.decided
    assert str(found) == "The profile cannot tell the modules apart; that is a result."
