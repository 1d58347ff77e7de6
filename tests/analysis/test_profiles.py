"""Views against hand-worked values, brute force and the log that the same numbers come from."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from facts import fact, run_table, tidy
from lorascope.analysis import profiles
from lorascope.errors import DataError, UnknownName
from lorascope.measure.records import Column, GradientNormLog

BY = [["step", "group"], ["step", "group", "layer"], ["step", "projection"], ["step", "module", "matrix"], ["group"]]


def test_a_norm_is_the_root_of_the_summed_squares():
    table = tidy([fact(1, "q", 0, "A", 9.0), fact(1, "q", 0, "B", 16.0)])
    assert profiles.norms(table, by=["step", "group"])["value"].tolist() == [5.0]


def test_rms_divides_by_all_numbers_summed_over():
    table = tidy([fact(1, "q", 0, "A", 9.0, numel=60), fact(1, "q", 1, "B", 16.0, numel=40)])
    view = profiles.norms(table, by=["group"], normalise="rms")
    assert view["value"].tolist() == [0.5]
    assert view["numel"].tolist() == [100]


def test_per_scaling_divides_each_module_by_its_own_scaling():
    table = tidy([fact(1, "q", 0, "B", 36.0, scaling=4.0), fact(1, "q", 1, "B", 4.0, scaling=1.0)])
    assert profiles.norms(table, by=["group"], normalise="per_scaling")["value"].tolist() == [2.5]


def test_a_norm_scales_with_alpha_and_per_scaling_does_not():
    one, double = (tidy([fact(1, "q", 0, "B", s**2 * 7.0, scaling=s)]) for s in (2.0, 4.0))
    raw = [profiles.norms(t, by=["group"])["value"].item() for t in (one, double)]
    free = [profiles.norms(t, by=["group"], normalise="per_scaling")["value"].item() for t in (one, double)]
    assert raw[1] == 2 * raw[0]
    assert free[1] == free[0]


@pytest.mark.parametrize("by", BY, ids="-".join)
@pytest.mark.parametrize("matrix", [None, "A", "B"])
def test_norms_equal_brute_force(by, matrix):
    table = run_table(projections="q k gate down embed")
    view = profiles.norms(table, by=by, matrix=matrix)
    sums: dict[tuple, float] = {}
    for row in table.to_dict("records"):
        if row["score"] == "grad_sq" and matrix in (None, row["matrix"]):
            key = tuple(None if pd.isna(row[name]) else row[name] for name in by)
            sums[key] = sums.get(key, 0.0) + row["value"]
    found = {tuple(None if pd.isna(v) else v for v in key): value for *key, value in view[[*by, "value"]].to_numpy()}
    assert found.keys() == sums.keys()
    for key, value in found.items():
        assert value == pytest.approx(math.sqrt(sums[key]), rel=1e-12)


@pytest.mark.parametrize("scale", ["raw", "rms", "per_scaling"])
@pytest.mark.parametrize("matrix", [None, "A", "B"])
@pytest.mark.parametrize("level", ["group", "projection", "module"])
def test_norms_of_the_table_equal_those_of_the_log(level, matrix, scale):
    rng = np.random.default_rng(0)
    columns = [
        Column(f"m.{layer}.{p}", layer, "decoder", p, group, matrix, "grad_sq", 10 + layer, 4.0 + layer, 8)
        for layer in range(3)
        for p, group in (("q", "attention"), ("up", "mlp"), ("down", "mlp"))
        for matrix in ("A", "B")
    ]
    log = GradientNormLog(columns)
    for step in (10, 20, 30):
        log.gradients.append(step, np.concatenate([rng.lognormal(size=len(columns)), np.ones(5)]))
    wide = log.norms(level, matrix=matrix, scale=scale).set_index("step")
    view = profiles.norms(log.table(), by=["step", level], matrix=matrix, normalise=scale)
    ours = view.pivot(index="step", columns=level, values="value")
    assert list(ours.index) == list(wide.index)
    np.testing.assert_allclose(ours[list(wide.columns)].to_numpy(), wide.to_numpy(), rtol=1e-12)


def test_other_scores_are_left_alone():
    table = tidy([fact(1, "q", 0, "A", 4.0), fact(1, "q", 0, "A", 100.0, score="weight_sq")])
    assert profiles.norms(table, by=["group"])["value"].item() == 2.0
    assert profiles.norms(table, by=["group"], score="weight_sq")["value"].item() == 10.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_fact_that_is_not_finite_leaves_its_unit_without_a_value(bad):
    table = tidy([fact(1, "q", 0, "A", bad), fact(1, "q", 0, "B", 16.0), fact(1, "up", 0, "B", 9.0)])
    view = profiles.norms(table, by=["group"]).set_index("group")
    assert math.isnan(view.loc["attention", "value"])
    assert not view.loc["attention", "finite"]
    assert view.loc["mlp", "value"] == 3.0
    assert view.loc["mlp", "finite"]


def test_a_group_that_is_absent_has_no_row():
    assert profiles.norms(tidy([fact(1, "q", 0, "B", 1.0)]), by=["group"])["group"].tolist() == ["attention"]


def test_a_unit_that_is_switched_off_is_a_gap_and_not_an_error():
    table = tidy([fact(1, "q", 0, "B", 4.0), fact(1, "up", 0, "B", 1.0), fact(2, "up", 0, "B", math.nan)])
    view = profiles.series(table, by=["group"]).set_index(["group", "step"])
    assert math.isnan(view.loc[("attention", 2), "value"])
    assert view.loc[("attention", 2), "finite"]
    assert math.isnan(view.loc[("mlp", 2), "value"])
    assert not view.loc[("mlp", 2), "finite"]
    assert view["finite"].dtype == bool


def test_the_share_of_a_is_zero_while_b_is_zero_and_a_part_of_the_squares_after():
    table = tidy(
        [fact(1, "q", 0, "A", 0.0), fact(1, "q", 0, "B", 4.0), fact(2, "q", 0, "A", 9.0), fact(2, "q", 0, "B", 16.0)]
    )
    assert profiles.matrix_share(table)["value"].tolist() == [0.0, pytest.approx(0.36)]


def test_layers_leave_embedding_and_head_out_and_keep_their_numbers():
    view = profiles.layer_series(run_table(layers=3, steps=[5], projections="q up embed head"))
    assert view["layer"].tolist() == [0, 1, 2, 0, 1, 2]
    assert set(view["group"]) == {"attention", "mlp"}


def test_layers_of_two_stacks_are_not_added_up():
    table = tidy([fact(1, "q", 0, "B", 1.0), fact(1, "q", 0, "B", 1.0, stack="encoder")])
    with pytest.raises(DataError, match="decoder and encoder"):
        profiles.layer_series(table)


@pytest.mark.parametrize(
    ("layers", "early", "late"),
    [
        (range(22), list(range(11)), list(range(11, 22))),
        (range(5), [0, 1, 2], [3, 4]),
        ([7], [7], []),
        ([20, 4, 9, 4, 12], [4, 9], [12, 20]),
    ],
)
def test_halves_are_by_depth_and_an_odd_middle_layer_is_early(layers, early, late):
    assert profiles.halves(layers) == (early, late)


def test_early_and_late_are_described_over_steps():
    rows = [fact(step, "q", layer, "B", value) for step, layer, value in
            [(1, 0, 9.0), (1, 1, 16.0), (1, 2, 1.0), (2, 0, 0.0), (2, 1, 1.0), (2, 2, 25.0)]]  # fmt: skip
    view = profiles.layer_halves(tidy(rows)).set_index("half")
    early, late = view.loc["early"], view.loc["late"]
    assert (early["first"], early["last"], late["first"], late["last"]) == (0, 1, 2, 2)
    assert (early["mean"], early["min"], early["max"]) == (3.0, 1.0, 5.0)
    assert early["std"] == pytest.approx(math.sqrt(8.0))
    assert (late["mean"], late["steps"], late["nonfinite"]) == (3.0, 2, 0)


def test_steps_with_a_gradient_that_is_not_finite_are_left_out_of_both_halves():
    rows = [
        fact(1, "q", 0, "B", 4.0),
        fact(1, "q", 1, "B", 9.0),
        fact(2, "q", 0, "B", 100.0),
        fact(2, "q", 1, "B", math.inf),
    ]
    view = profiles.layer_halves(tidy(rows))
    assert view["mean"].tolist() == [2.0, 3.0]
    assert view["steps"].tolist() == [1, 1]
    assert view["nonfinite"].tolist() == [1, 1]
    assert view["std"].isna().all()


def test_no_finite_step_gives_no_halves():
    assert profiles.layer_halves(tidy([fact(1, "q", 0, "B", math.nan)])).empty


def _unit(values):
    return pd.DataFrame(
        {"group": "attention", "step": range(1, len(values) + 1), "value": np.asarray(values, dtype=float)}
    )


def test_few_steps_are_not_smoothed():
    values = np.random.default_rng(0).lognormal(size=39)
    assert profiles.running_mean(_unit(values), by=["group"]).tolist() == values.tolist()


def test_the_running_mean_is_a_triangle_that_narrows_at_the_start():
    values = np.random.default_rng(0).lognormal(size=80)
    values[50] = np.nan
    smooth = profiles.running_mean(_unit(values), by=["group"]).to_numpy()
    half = 2
    for i in range(80):
        reach = min(half, i)
        near = [j for j in range(i - reach, min(i + reach, 79) + 1) if not math.isnan(values[j])]
        weights = [reach + 1 - abs(j - i) for j in near]
        expected = sum(w * values[j] for w, j in zip(weights, near, strict=True)) / sum(weights)
        assert math.isnan(smooth[i]) if i == 50 else smooth[i] == pytest.approx(expected), i
    assert smooth[0] == values[0]


def test_the_running_mean_does_not_cross_units():
    both = pd.concat([_unit(np.ones(100)), _unit(np.full(100, 7.0)).assign(group="mlp")], ignore_index=True)
    assert profiles.running_mean(both, by=["group"]).tolist() == pytest.approx([1.0] * 100 + [7.0] * 100)


def test_up_to_300_steps_are_their_own_blocks():
    view = _unit(np.arange(300.0)).assign(finite=True)
    blocks = profiles.block_means(view, by=["group"])
    assert blocks["value"].tolist() == list(range(300))
    assert blocks["step"].tolist() == blocks["first"].tolist() == blocks["last"].tolist() == list(range(1, 301))


def test_two_thousand_steps_become_286_block_means():
    values = np.random.default_rng(0).lognormal(size=2000)
    blocks = profiles.block_means(_unit(values).assign(finite=True), by=["group"])
    assert len(blocks) == 286
    assert blocks["value"].tolist() == pytest.approx([values[i : i + 7].mean() for i in range(0, 2000, 7)])
    assert (blocks["first"].iloc[1], blocks["step"].iloc[1], blocks["last"].iloc[1]) == (8, 11.0, 14)
    assert blocks["last"].iloc[-1] == 2000


def test_a_block_is_the_mean_of_what_is_there_and_says_what_is_not_finite():
    view = _unit([1.0, np.nan, 3.0, np.nan]).assign(finite=[True, True, True, False])
    blocks = profiles.block_means(view, by=["group"], columns=2)
    assert blocks["value"].tolist()[0] == 1.0
    assert blocks["value"].tolist()[1] == 3.0
    assert blocks["finite"].tolist() == [True, False]


def test_colours_end_at_the_percentiles_of_the_positive_values():
    view = _unit([0.0, *range(1, 102)])
    assert profiles.display_range(view) == (3.0, 99.0)
    low, high = profiles.display_range(_unit([5.0, 5.0]))
    assert low < 5.0 < high
    assert profiles.display_range(_unit([np.nan])) == (0.1, 1.0)


def test_losses_become_a_table_with_the_best_checkpoint_marked():
    results = {"training_loss": [[1, 2.5], [2, None]], "validation_loss": [[1, 2.0], [2, 1.5]], "best_step": 2}
    table = profiles.loss_table(results)
    assert table["split"].tolist() == ["training", "training", "validation", "validation"]
    assert table["finite"].tolist() == [True, False, True, True]
    assert table.loc[table["best"], ["step", "value"]].to_numpy().tolist() == [[2, 1.5]]
    assert profiles.loss_table({}).empty


def test_an_unknown_normalisation_names_the_known_ones():
    with pytest.raises(UnknownName, match="per_scaling"):
        profiles.norms(run_table(), by=["group"], normalise="per_scalin")


def test_views_and_pictures_load_no_torch_and_no_matplotlib_before_they_draw():
    code = (
        "import sys, lorascope.report.plots; print('pandas' in sys.modules, {'torch', 'matplotlib'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "True set()\n"
