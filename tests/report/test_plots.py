"""The pictures: what is drawn equals what the tables hold, and it can be read."""

from __future__ import annotations

import io
import math
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer

from facts import fact, run_table, tidy
from lorascope.analysis import profiles
from lorascope.report import plots, style
from lorascope.runs.rundir import PLOTS

RESULTS = {
    "training_loss": [[step, 3.0 / step] for step in range(1, 13)],
    "validation_loss": [[4, 1.5], [8, 1.0], [12, 1.25]],
    "best_step": 8,
}


def draw(table=None, results=RESULTS, **kwargs):
    table = run_table() if table is None else table
    return plots.draw_run(table, results, title="e2e_nlg_both_r8_s42 | base | e2e_nlg", **kwargs)


def artist(figure, gid):
    return list(figure.findobj(lambda a: a.get_gid() == gid))


def labels(figure):
    return [text for ax in figure.axes for text in (ax.get_xlabel(), ax.get_ylabel())]


def visible_texts(figure):
    """Every text that is drawn: of the tick labels those within the limits of their axis."""
    figure.canvas.draw()
    hidden = set()
    for ax in figure.axes:
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not min(limits) <= tick.get_loc() <= max(limits):
                    hidden |= {tick.label1, tick.label2}
    texts = figure.findobj(matplotlib.text.Text)
    return [t for t in texts if t.get_visible() and t.get_text().strip() and t not in hidden]


def test_a_run_has_the_five_pictures_of_the_folder():
    assert tuple(draw()) == PLOTS


def test_group_lines_are_the_values_of_the_table():
    table = run_table(steps=range(1, 201))
    figure = draw(table)["gradient_norms"]
    for n, scale in enumerate(("raw", "rms")):
        view = profiles.group_series(table, normalise=scale)
        for group in ("attention", "mlp"):
            line = view[view["group"] == group]
            values, trend = artist(figure, f"{group}:value")[n], artist(figure, f"{group}:trend")[n]
            np.testing.assert_array_equal(values.get_xydata(), line[["step", "value"]])
            np.testing.assert_array_equal(trend.get_xydata(), line[["step", "trend"]])
    share = profiles.matrix_share(table)
    drawn = artist(figure, "mlp:trend")[2].get_ydata()
    np.testing.assert_allclose(drawn, 100 * share.loc[share["group"] == "mlp", "trend"])
    assert drawn[0] == 0.0


def test_short_runs_are_drawn_as_measured():
    table = run_table(steps=[10, 20, 30])
    figure = draw(table)["gradient_norms"]
    assert artist(figure, "attention:value") == []
    view = profiles.group_series(table)
    np.testing.assert_array_equal(
        artist(figure, "attention:trend")[0].get_ydata(), view.loc[view["group"] == "attention", "value"]
    )


def test_groups_have_their_colours_dashes_and_markers():
    figure = draw(run_table(projections="q up embed head"))["gradient_norms"]
    lines = {group: artist(figure, f"{group}:trend")[0] for group in ("attention", "mlp", "embed", "lm_head")}
    assert {g: to_hex(line.get_color()).upper() for g, line in lines.items()} == {
        "attention": "#0072B2",
        "mlp": "#D55E00",
        "embed": "#009E73",
        "lm_head": "#CC79A7",
    }
    assert len({line.get_marker() for line in lines.values()}) == 4
    assert len({str(style.GROUP_STYLES[g].dash) for g in lines}) == 4
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["attention", "MLP", "embedding", "head"]


def test_groups_stand_out_from_the_page():
    def luminance(color):
        channels = np.array(matplotlib.colors.to_rgb(color))
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    for look in style.GROUP_STYLES.values():
        assert 1.05 / (luminance(look.color) + 0.05) >= 3.0
    more = [luminance(c) for c in style.more_is_darker()(np.linspace(0, 1, 64))]
    assert more == sorted(more, reverse=True)


def test_absent_groups_draw_nothing():
    figures = draw(run_table(projections="q o"))
    for figure in figures.values():
        assert figure.findobj(lambda a: str(a.get_gid()).startswith("mlp")) == []
        assert not any("MLP" in t.get_text() for t in figure.findobj(matplotlib.text.Text))
    assert len(figures["layer_heatmap"].axes) == 2  # attention and the colour bar


def test_heat_map_cells_are_the_values_of_the_table():
    table = run_table(layers=3)
    figure = draw(table)["layer_heatmap"]
    view = profiles.layer_series(table, normalise="rms")
    for ax, group in zip(figure.axes, ("attention", "mlp"), strict=False):
        (mesh,) = ax.collections
        wanted = view[view["group"] == group].pivot(index="layer", columns="step", values="value")
        np.testing.assert_array_equal(mesh.get_array(), wanted)
        assert ax.get_ylim() == (-0.5, 2.5)
        np.testing.assert_array_equal(mesh.get_coordinates()[0, :, 0], np.arange(0.5, 13.0))


def test_both_heat_maps_share_one_scale_on_which_more_is_darker():
    figure = draw()["layer_heatmap"]
    first, second = (ax.collections[0] for ax in figure.axes[:2])
    assert (first.norm.vmin, first.norm.vmax) == (second.norm.vmin, second.norm.vmax)
    assert first.cmap.name == second.cmap.name == "cividis_r"


def test_heat_map_of_two_thousand_steps_says_that_columns_are_means():
    view = profiles.block_means(
        profiles.layer_series(run_table(layers=2, steps=range(1, 2001), projections="q")), by=["group", "layer"]
    )
    figure = plots.layer_heatmap(view, limits=profiles.display_range(view), title="x")
    assert figure.axes[0].collections[0].get_array().shape == (2, 286)
    assert any("mean over 7 steps" in t.get_text() for t in figure.texts)


def test_heat_map_of_a_subset_of_layers_keeps_their_numbers():
    table = run_table(layers=12)
    figure = draw(table[table["layer"].isna() | (table["layer"].isin([4, 5, 9]))])["layer_heatmap"]
    assert figure.axes[0].get_ylim() == (3.5, 9.5)
    drawn = figure.axes[0].collections[0].get_array()
    assert [i + 4 for i in range(6) if not np.ma.getmaskarray(drawn)[i].all() and not np.isnan(drawn[i]).all()] == [
        4,
        5,
        9,
    ]


def test_bars_are_the_means_and_whiskers_one_standard_deviation():
    table = run_table(layers=5)
    figure = draw(table)["layer_comparison"]
    for ax, scale in zip(figure.axes, ("raw", "rms"), strict=True):
        view = profiles.layer_halves(table, normalise=scale)
        bars = [bar for container in ax.containers if isinstance(container, BarContainer) for bar in container]
        assert [bar.get_height() for bar in bars] == view["mean"].tolist()
        whiskers = [c.get_segments()[0][:, 1].tolist() for c in ax.collections]
        assert whiskers == [[m - s, m + s] for m, s in zip(view["mean"], view["std"], strict=True)]
        assert [t.get_text() for t in ax.get_xticklabels()] == ["early\n0-2", "late\n3-4"] * 2
        assert [to_hex(bar.get_facecolor()).upper() for bar in bars] == ["#0072B2", "#0072B2", "#D55E00", "#D55E00"]
    assert any("not an interval of the mean" in t.get_text() for t in figure.texts)


def test_layer_lines_are_the_values_of_the_table_coloured_by_depth():
    table = run_table(layers=3)
    figure = draw(table)["gradient_evolution"]
    view = profiles.layer_series(table)
    colors = []
    for layer in range(3):
        (line,) = artist(figure, f"mlp:{layer}")
        rows = view[(view["group"] == "mlp") & (view["layer"] == layer)]
        np.testing.assert_array_equal(line.get_xydata(), rows[["step", "value"]])
        colors.append(to_hex(line.get_color()))
    assert len(set(colors)) == 3
    assert all(not ax.get_legend() for ax in figure.axes)


def test_losses_are_drawn_and_the_best_checkpoint_is_marked():
    figure = draw()["training_loss"]
    assert artist(figure, "training")[0].get_xydata().tolist() == RESULTS["training_loss"]
    assert artist(figure, "validation")[0].get_xydata().tolist() == RESULTS["validation_loss"]
    assert artist(figure, "best")[0].get_xydata().tolist() == [[8.0, 1.0]]
    assert "best checkpoint: step 8, 1.000" in [t.get_text() for t in figure.legends[0].get_texts()]


def test_every_axis_has_its_unit():
    figures = draw()
    assert labels(figures["training_loss"]) == ["optimizer step", "loss (nats per token)"]
    assert labels(figures["gradient_norms"]) == [
        "optimizer step",
        "gradient norm, L2 (nats per token)",
        "optimizer step",
        "gradient, RMS (nats per token)",
        "optimizer step",
        "A's share of the squared norm (%)",
    ]
    assert "layer (0 at the embedding)" in labels(figures["layer_heatmap"])
    assert "gradient, RMS (nats per token)" in labels(figures["layer_heatmap"])
    assert "gradient norm, L2 (nats per token)" in labels(figures["layer_comparison"])
    assert "layer (0 at the embedding)" in labels(figures["gradient_evolution"])


def test_the_title_says_which_run_and_may_hold_anything():
    figure = plots.training_loss(profiles.loss_table(RESULTS), title="cost_$5_and_$6^{ | " + "long " * 40)
    title = next(t for t in visible_texts(figure) if t.get_text().startswith("cost_$5"))
    assert title.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize("layers", [1, 2, 80])
def test_no_text_covers_another_or_leaves_the_page(layers):
    # Few modules and steps: the layout depends on the number of layers and on the span of the values.
    for name, figure in draw(run_table(layers=layers, steps=range(1, 2001, 200), projections="q up embed")).items():
        drawn = [(t.get_text(), t.get_window_extent()) for t in visible_texts(figure)]
        assert len(drawn) > 10
        for i, (text, box) in enumerate(drawn):
            assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, (name, text)
            assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, (name, text)
            assert not [other for other, its in drawn[i + 1 :] if box.overlaps(its)], (name, text)


def test_one_step_of_one_group_draws():
    figures = draw(
        run_table(steps=[1], projections="q"), {"training_loss": [[1, 2.0]], "validation_loss": [], "best_step": None}
    )
    assert tuple(figures) == PLOTS
    assert artist(figures["gradient_norms"], "attention:trend")[0].get_marker() == "o"
    assert artist(figures["gradient_evolution"], "attention:0")[0].get_marker() == "o"
    assert not [c for ax in figures["layer_comparison"].axes for c in ax.collections]  # one step has no spread


def test_without_the_view_by_layer_two_pictures_are_left():
    assert list(draw(layer_norm=False)) == ["gradient_norms", "training_loss"]


def test_without_measurements_only_the_losses_are_left_and_without_losses_nothing():
    table = run_table()
    table = table[table["score"] == "loss"]
    assert list(draw(table)) == ["training_loss"]
    assert draw(table, {}) == {}


def test_a_module_that_is_switched_off_leaves_a_gap():
    table = run_table(steps=range(1, 9))
    table = table[~((table["group"] == "mlp") & table["step"].between(3, 6))]
    figures = draw(table, phases=[(0, 2, "both"), (2, 6, "attn"), (6, 8, "both")])
    drawn = artist(figures["gradient_norms"], "mlp:trend")[0].get_ydata()
    assert np.isnan(drawn).tolist() == [False] * 2 + [True] * 4 + [False] * 2
    cells = figures["layer_heatmap"].axes[1].collections[0].get_array()
    assert np.ma.getmaskarray(np.ma.masked_invalid(cells))[0].tolist() == [False] * 2 + [True] * 4 + [False] * 2
    assert any("Grey: not trained" in t.get_text() for t in figures["layer_heatmap"].texts)
    assert artist(figures["gradient_norms"], "nonfinite") == []


def test_phases_are_shaded_over_their_steps_and_named():
    figure = draw(run_table(steps=range(1, 9)), phases=[(0, 2, "both"), (2, 6, "attn"), (6, 8, "mlp")])[
        "gradient_norms"
    ]
    ax = figure.axes[0]
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
    assert spans == [(0.5, 2.5), (6.5, 8.5)]
    assert {"both", "attn", "mlp"} <= {t.get_text() for t in ax.texts}


@pytest.mark.parametrize("count", [10, 40, 200])
def test_names_of_many_phases_never_cover_each_other(count):
    phases = [(i, i + 1, "both L12,13") for i in range(count - 1)] + [(count - 1, 2 * count, "MLP")]
    figures = draw(run_table(steps=range(1, 2 * count + 1)), phases=phases)
    lines, image = figures["gradient_norms"].axes[0], figures["layer_heatmap"].axes[1]
    assert [[t.get_text() for t in ax.texts] for ax in (lines, image)] == [["MLP"]] * 2
    assert bool(lines.patches) == bool(image.lines) == (count <= 40)  # more stripes would be grey all over


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_marked_at_their_steps(bad):
    table = run_table()
    table.loc[(table["step"] == 7) & (table["projection"] == "up") & (table["layer"] == 1), "value"] = bad
    table["finite"] = np.isfinite(table["value"])
    results = {**RESULTS, "training_loss": [[1, 2.0], [2, bad], [3, 1.0]]}
    figures = draw(table, results)
    for name in ("gradient_norms", "layer_heatmap", "gradient_evolution"):
        crosses = artist(figures[name], "nonfinite")
        assert {tuple(c.get_xdata()) for c in crosses} == {(7,)}, name
        assert all("x at the top" in "".join(t.get_text() for t in figures[name].texts) for _ in crosses)
    assert artist(figures["training_loss"], "nonfinite")[0].get_xdata().tolist() == [2]
    assert any("Left out: 1" in t.get_text() for t in figures["layer_comparison"].texts)
    assert math.isnan(artist(figures["gradient_norms"], "mlp:trend")[0].get_ydata()[6])


def test_a_run_without_one_finite_gradient_still_draws():
    table = run_table(steps=[1, 2])
    table.loc[table["score"] == "grad_sq", "value"] = math.nan
    table["finite"] = np.isfinite(table["value"])
    figures = draw(table)
    assert "layer_comparison" not in figures
    for figure in figures.values():
        figure.canvas.draw()


def test_a_gradient_of_exactly_zero_is_drawn_at_zero():
    table = tidy([fact(s, "q", 0, "B", 0.0 if s == 2 else 100.0**s) for s in (1, 2, 3)])
    ax = draw(table)["gradient_norms"].axes[0]
    assert ax.get_yscale() == "linear"
    assert ax.get_ylim()[0] == 0.0


def test_values_over_more_than_a_decade_have_a_logarithmic_axis():
    table = tidy([fact(s, "q", 0, "B", 100.0**s) for s in (1, 2, 3)])
    ax = draw(table)["gradient_norms"].axes[0]
    assert ax.get_yscale() == "log"
    low, high = ax.get_ylim()
    assert low < 10.0
    assert high > 1000.0


@pytest.mark.parametrize(
    ("low", "high"), [(1e-5, 2e-5), (1.1, 1.3), (1e-5, 3e-4), (2e-3, 40.0), (1e-12, 1e6), (1e-300, 1e300), (3e-9, 5e-9)]
)
def test_logarithmic_ticks_are_few_and_inside(low, high):
    ticks = style.log_ticks(low, high)
    assert 2 <= len(ticks) <= 130 if high / low > 1e100 else 2 <= len(ticks) <= 10
    assert all(low <= t <= high for t in ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.05, "0.05"),
        (2.5, "2.5"),
        (350, "350"),
        (1e-3, "0.001"),
        (1e-4, "$10^{-4}$"),
        (2.5e-5, r"$2.5\cdot 10^{-5}$"),
        (3e6, r"$3\cdot 10^{6}$"),
    ],
)
def test_tick_labels_are_plain_or_powers_of_ten(value, text):
    assert style.number(value) == text


def test_drawing_leaves_the_readers_settings_and_no_pyplot_behind():
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "black"}):
        figure = draw()["training_loss"]
        assert matplotlib.rcParams["font.size"] == 30.0
    assert dict(matplotlib.rcParams) == before
    assert to_hex(figure.axes[0].get_facecolor()) == "#ffffff"
    assert "matplotlib.pyplot" not in sys.modules


def test_pictures_are_saved_at_150_dots_per_inch():
    file = io.BytesIO()
    draw()["training_loss"].savefig(file, format="png")
    width, height = (int.from_bytes(file.getvalue()[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (1320, 690)


def test_the_same_picture_is_the_same_file_to_the_byte(tmp_path):
    for name in ("one", "two"):
        style.save(draw()["training_loss"], tmp_path / name)
    for kind in ("png", "svg"):
        one, two = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
        assert one == two
    assert b"<svg" in one
