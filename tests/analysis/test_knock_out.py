"""What a loss needs an adapter for: sums by hand, errors that leave rows out, halves of the layers."""

from __future__ import annotations

import numpy as np
import pytest
from modules_of import llama

from lorascope.analysis.knock_out import rise, units


def test_the_rise_is_a_ratio_of_sums_and_its_error_leaves_blocks_of_rows_out() -> None:
    tokens = np.array([1, 2, 3, 4])
    whole, without = np.array([1.0, 2.0, 3.0, 4.0]), np.array([[2.0, 2.0, 3.0, 4.0], [1.0, 4.0, 6.0, 8.0]])
    found = rise(whole, without, tokens)
    assert found.value.tolist() == [0.1, 0.9]
    assert found.without.tolist() == [pytest.approx([0, 1 / 8, 1 / 7, 1 / 6]), pytest.approx([1, 7 / 8, 6 / 7, 5 / 6])]


def test_rows_beyond_the_blocks_are_dealt_out() -> None:
    n = 40
    rng = np.random.default_rng(0)
    whole, tokens = rng.random(n), rng.integers(1, 9, n)
    without = whole + rng.normal(0.5, 1.0, n)
    found = rise(whole, without[None], tokens)
    kept = np.arange(n) % 16 != 3
    assert found.without.shape == (1, 16)
    assert found.without[0, 3] == pytest.approx((without - whole)[kept].sum() / tokens[kept].sum())


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, inside = np.random.default_rng(1), 0
    for _ in range(400):
        tokens = rng.integers(1, 9, 64)
        lost = tokens * 0.2 + rng.normal(0, 1, 64) * np.sqrt(tokens)
        low, high = rise(np.zeros(64), lost[None], tokens).interval()
        inside += bool(low[0] <= 0.2 <= high[0])
    assert 0.92 * 400 <= inside <= 0.98 * 400


def test_two_rows_give_no_interval() -> None:
    low, _ = rise(np.zeros(2), np.ones((1, 2)), np.ones(2, dtype=int)).interval()
    assert np.isnan(low).all()


def test_units_are_kinds_in_halves_of_the_layers_or_modules() -> None:
    modules = llama(hidden=8, mlp=16, kv=4, layers=3)
    kinds = {unit.name: unit.paths for unit in units(modules, "kind")}
    early = kinds["q early"]
    assert [path.split(".")[2] for path in early] == ["0", "1"]
    assert [path.split(".")[2] for path in kinds["down late"]] == ["2"]
    assert sum(map(len, kinds.values())) == len(modules)
    single = units(modules, "module")
    assert [unit.paths for unit in single] == [(module.path,) for module in modules]
