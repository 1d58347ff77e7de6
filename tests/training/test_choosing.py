"""Which modules are the most sensitive, and which of them fit: values and choices worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lorascope.config.phases import Phase, SensitivityPhases
from lorascope.errors import ConfigError, TrainingError
from lorascope.measure import decisions
from lorascope.measure.records import ABSENT, RUN_COLUMNS, Column, Series
from lorascope.models.target import TargetModule
from lorascope.training.choosing import check_budget, choose, sensitivity

SIZES = {"q": 10, "up": 20, "down": 30, "o": 40}
"""Module -> parameters of its adapter; half of them are A's. A hundred in all."""
SCALING = {"q": 2.0, "up": 1.0, "down": 1.0, "o": 1.0}


def module(path):
    return TargetModule(
        path=path, layer=0, stack="decoder", projection=path, group="attention" if path in "qo" else "mlp",
        shape=(2, 2), cost_per_rank=4, kind="linear",
    )  # fmt: skip


MODULES = {module(path): size for path, size in SIZES.items()}


def log(*rows):
    """Rows (step, {module: squared gradient of A and of B, each}); what a row does not name is absent."""
    columns = [
        Column(path, 0, "decoder", path, module(path).group, matrix, "grad_sq", size // 2, SCALING[path], 2)
        for path, size in SIZES.items()
        for matrix in "AB"
    ]
    series = Series((*columns, *RUN_COLUMNS))
    for step, values in rows:
        facts = [values.get(column.module, ABSENT) for column in columns]
        series.append(step, np.array([*facts, *[ABSENT] * len(RUN_COLUMNS)], dtype=np.float64))
    return series


EVEN = {"q": 40.0, "up": 30.0, "down": 30.0, "o": 20.0}
"""Per parameter and without alpha / r: q 2 * 40 / 4 / 10 = 2, up 60 / 20 = 3, down 60 / 30 = 2, o 40 / 40 = 1."""


def chosen(budget, explore=0.0, seed=0, start=10, gradients=None):
    settings = SensitivityPhases(every=10, budget=budget, explore=explore, seed=seed)
    phase = Phase(start, start + 10, frozenset({"attention", "mlp"}), modules=frozenset())
    return choose(settings, phase, gradients if gradients is not None else log((10, EVEN)), MODULES)


def test_sensitivity_is_the_mean_squared_gradient_per_parameter_without_alpha_and_rank():
    assert sensitivity(log((10, EVEN)), 10, 10) == {"q": 2.0, "up": 3.0, "down": 2.0, "o": 1.0}
    twice = log((9, EVEN), (10, {path: 3 * value for path, value in EVEN.items()}))
    assert sensitivity(twice, 10, 10) == {"q": 4.0, "up": 6.0, "down": 4.0, "o": 2.0}


def test_it_is_that_of_the_newest_window_in_which_a_module_was_seen():
    gradients = log((10, EVEN), (11, {"q": 400.0}), (20, {"q": 400.0, "up": float("nan")}), (21, {"q": 1e9}))
    # up was not finite in the second window, down and o were off; step 21 lies ahead
    assert sensitivity(gradients, 20, 10) == {"q": 20.0, "up": 3.0, "down": 2.0, "o": 1.0}


def test_the_most_sensitive_that_fit_are_taken_and_of_equal_ones_the_first():
    assert chosen(0.3).phase == Phase(10, 20, frozenset({"attention", "mlp"}), modules=frozenset({"up", "q"}))
    assert chosen(0.6).phase.modules == {"up", "q", "down"}
    # after up and q there are 25 left: down (30) does not fit, o (40) neither
    assert chosen(0.55).phase.modules == {"up", "q"}
    assert chosen(0.25).phase == Phase(10, 20, frozenset({"mlp"}), modules=frozenset({"up"}))
    assert chosen(0.3).sensitivity == {"q": 2.0, "up": 3.0, "down": 2.0, "o": 1.0}


def test_a_share_goes_to_random_modules_as_a_function_of_seed_and_number_alone():
    gradients = log((10, EVEN), (20, EVEN))
    first = chosen(0.8, 0.5, seed=1)
    assert first == chosen(0.8, 0.5, seed=1, gradients=gradients)
    drawn = {chosen(0.8, 0.5, seed=seed).explored for seed in range(20)}
    assert len(drawn) > 3
    assert all(0 < sum(SIZES[path] for path in paths) <= 40 for paths in drawn)
    assert {chosen(0.8, 0.5, start=start, gradients=gradients).explored for start in (10, 20)} != {first.explored}
    for seed in range(20):
        choice = chosen(0.8, 0.5, seed=seed)
        assert set(choice.explored) <= choice.phase.modules
        assert sum(SIZES[path] for path in choice.phase.modules) <= 80


def test_a_choice_without_a_measurement_is_refused():
    with pytest.raises(TrainingError, match="no finite gradient of down up to step 10"):
        chosen(0.5, gradients=log((10, {"q": 1.0, "up": 1.0}), (11, EVEN)))


@pytest.mark.parametrize(
    ("settings", "what", "tries"),
    [
        ({"budget": 0.05}, "budget 0.05 gives 5 of the adapters' 100 parameters, less than any", "budget 0.1 or more"),
        ({"budget": 0.5, "explore": 0.1}, "explore 0.1 gives 5 of the adapters' 100", "explore 0.2 or more"),
    ],
)
def test_a_budget_that_holds_no_module_is_refused(settings, what, tries):
    with pytest.raises(ConfigError) as caught:
        check_budget(SensitivityPhases(every=10, **settings), SIZES)
    assert caught.value.what.startswith(what)
    assert caught.value.tries[0] == tries
    check_budget(SensitivityPhases(every=10, budget=0.1, explore=0), SIZES)


@pytest.mark.parametrize("wrong", [{"every": 0}, {"budget": 1.0}, {"budget": 0}, {"explore": 1.5}, {"seed": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=rf"{next(iter(wrong))} must be"):
        SensitivityPhases(**{"every": 10, **wrong})


def test_decisions_are_read_again_without_later_ones_and_without_a_torn_line(tmp_path):
    assert decisions.start(tmp_path, after=30) == []
    for start in (10, 20, 30):
        decisions.add(tmp_path, {"start_step": start})
    with next((tmp_path / "checkpoints").iterdir()).open("a") as file:
        file.write('{"start_st')
    assert decisions.start(tmp_path, after=20) == [{"start_step": 10}, {"start_step": 20}]
    assert decisions.read(tmp_path) == [{"start_step": 10}, {"start_step": 20}]
    assert decisions.start(tmp_path, after=0) == decisions.read(tmp_path) == []
