"""The five pictures of a run. Each takes tables and gives a Figure; none opens a file or computes a statistic.

The tables come from `lorascope.analysis.profiles`. In each of them NaN with `finite` True was not measured (the line
breaks there); NaN with `finite` False was infinite or not a number (a small x at the top edge marks the step).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lorascope.analysis import profiles
from lorascope.report import style
from lorascope.report.style import GROUP_STYLES, INK, QUANTITIES, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Phases = Sequence[tuple[int, int, str]]
"""(start, end, name): a phase is active while start <= updates done < end, so it makes the steps start + 1 to end."""

STRIPES = 60
"""Phases that are told apart by shade; stripes of more of them are grey all over."""

CHARACTER = 0.062
"""Inches that a character of a phase's name takes."""

COLUMNS = 300
"""Most columns of a heat map; more steps than that are joined by block means."""

Look = dict[str, Any]
"""Keyword arguments of a Matplotlib call."""

LAYER_LABEL = "layer (0 at the embedding)"


def draw_run(
    table: pd.DataFrame,
    results: Mapping[str, Any],
    *,
    title: str,
    layer_norm: bool = True,
    phases: Phases = (),
) -> dict[str, Figure]:
    """The pictures of a run, by name. `title` says which run: its name, model and task.

    `table` is the tidy table, `results` the content of results_summary.json. A picture is left out where there is
    nothing to draw: without gradients, without losses; the views by layer without layers or with `layer_norm` off.
    """
    figures = {}
    gradients = table[table["score"] == "grad_sq"]
    if len(gradients):
        raw = profiles.group_series(gradients, normalise="raw")
        rms = profiles.group_series(gradients, normalise="rms")
        share = profiles.matrix_share(gradients)
        figures["gradient_norms"] = gradient_norms(raw, rms, share, title=title, phases=phases)
    if layer_norm and gradients["layer"].notna().any():
        layers = profiles.layer_series(gradients, normalise="rms")
        blocks = profiles.block_means(layers, by=["group", "layer"], columns=COLUMNS)
        limits = profiles.display_range(blocks)
        figures["layer_heatmap"] = layer_heatmap(blocks, limits=limits, title=title, phases=phases)
        raw = profiles.layer_halves(gradients, normalise="raw")
        rms = profiles.layer_halves(gradients, normalise="rms")
        if len(raw):  # empty where no step was finite
            figures["layer_comparison"] = layer_comparison(raw, rms, title=title)
        figures["gradient_evolution"] = gradient_evolution(layers, title=title, phases=phases)
    losses = profiles.loss_table(results)
    if len(losses):
        figures["training_loss"] = training_loss(losses, title=title, phases=phases)
    return figures


def gradient_norms(
    raw: pd.DataFrame, rms: pd.DataFrame, share: pd.DataFrame, *, title: str, phases: Phases = ()
) -> Figure:
    """Each group over steps: raw norm, root mean square per parameter, share of matrix A.

    Tables: `group_series` twice, `matrix_share`.
    """
    with style.styled():
        figure = style.new_figure(12.4, 4.4, "Gradient norm by group", title)
        panels = figure.subplots(1, 3)
        for ax, view, quantity in zip(panels, (raw, rms), ("raw", "rms"), strict=False):
            _lines(ax, view)
            style.value_axis(ax, view["value"], QUANTITIES[quantity].axis)
            ax.set_title(QUANTITIES[quantity].title)
        percent = share.assign(value=100 * share["value"], trend=100 * share["trend"])
        _lines(panels[2], percent)
        style.value_axis(panels[2], np.append(percent["value"], 0.0), "A's share of the squared norm (%)")
        panels[2].set_title("Share of matrix A (0 while B is 0)")
        for ax in panels:
            style.step_axis(ax, raw["step"].min(), raw["step"].max())
            _shade_phases(ax, phases)
        _legend(panels[0], figure)
        style.add_notes(figure, ["Gradients of A and B before clipping", _smoothing(raw), _nonfinite_note(raw)])
        return figure


def layer_heatmap(
    blocks: pd.DataFrame, *, limits: tuple[float, float], title: str, phases: Phases = (), quantity: str = "rms"
) -> Figure:
    """Layers x steps, a panel for each group, on one logarithmic colour scale that ends at `limits`.

    Tables: `block_means` of `layer_series`; `display_range`.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    groups = _groups(blocks)
    layers = _layers(blocks)
    columns = _edges(blocks)
    rows = np.append(layers, layers[-1] + 1) - 0.5
    norm = LogNorm(*limits, clip=True)
    cmap = style.more_is_darker()
    with style.styled():
        height = 3.9 + 0.02 * min(len(layers), 80)
        figure = style.new_figure(2.4 + 4.6 * len(groups), height, "Gradient by layer and step", title)
        panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for ax, group in zip(panels, groups, strict=True):
            cells = blocks[blocks["group"] == group]
            image = cells.pivot(index="layer", columns="step", values="value").reindex(layers).to_numpy()
            ax.set_facecolor(style.HOLE)
            ax.pcolormesh(columns, rows, image, cmap=cmap, norm=norm, rasterized=True)
            _group_title(ax, group)
            style.step_axis(ax, columns[0], columns[-1], pad=0.0)
            style.count_axis(ax.yaxis)
            _line_phases(ax, phases)
            _mark_nonfinite(ax, cells)
        panels[0].set_ylabel(LAYER_LABEL)
        below, above = blocks["value"].min() < limits[0], blocks["value"].max() > limits[1]
        extend = ("both" if above else "min") if below else ("max" if above else "neither")
        bar = figure.colorbar(ScalarMappable(norm, cmap), ax=list(panels), pad=0.02, aspect=26, extend=extend)
        bar.ax.yaxis.set_major_locator(FixedLocator(style.log_ticks(*limits)))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.ax.yaxis.set_major_formatter(FuncFormatter(style.number))
        bar.set_label(QUANTITIES[quantity].axis)
        size = int((blocks["last"] - blocks["first"]).max()) + 1
        notes = [
            f"Each column is the mean over {size} steps" if size > 1 else "",
            "Colours end at the 2nd and 98th percentile of the cells" if below or above else "",
            "Grey: not trained at these steps" if (blocks["value"].isna() & blocks["finite"]).any() else "",
            _nonfinite_note(blocks),
        ]
        style.add_notes(figure, notes)
        return figure


def layer_comparison(raw: pd.DataFrame, rms: pd.DataFrame, *, title: str) -> Figure:
    """Early against late layers of each group: mean over steps as bars, spread over steps as whiskers.

    Tables: `layer_halves` twice.
    """
    groups = _groups(raw)
    with style.styled():
        figure = style.new_figure(4.6 + 2.1 * len(groups), 4.6, "Early against late layers", title)
        for ax, view, quantity in zip(figure.subplots(1, 2), (raw, rms), ("raw", "rms"), strict=True):
            ticks = {}
            for row in view.to_dict("records"):
                late = row["half"] == "late"
                at = 2.5 * groups.index(row["group"]) + late
                look = {"alpha": 1.0} if late else {"alpha": 0.55, "hatch": "///"}
                ax.bar(at, row["mean"], 0.86, color=GROUP_STYLES[row["group"]].color, linewidth=0, **look)
                if row["steps"] > 1:
                    ax.vlines(at, row["mean"] - row["std"], row["mean"] + row["std"], color=INK, linewidth=1.1)
                span = f"{row['first']}-{row['last']}" if row["last"] > row["first"] else f"{row['first']}"
                ticks[at] = f"{row['half']}\n{span}"
            ax.set_xticks(list(ticks), list(ticks.values()))
            ax.set_xlim(-0.75, 2.5 * len(groups) - 0.75)
            ax.tick_params(axis="x", length=0)
            for i, group in enumerate(groups):
                below = {
                    "xycoords": ax.get_xaxis_transform(),
                    "textcoords": "offset points",
                    "ha": "center",
                    "va": "top",
                }
                name = GROUP_STYLES[group]
                ax.annotate(name.label, (2.5 * i + 0.5, 0), (0, -31), color=name.color, fontweight="bold", **below)
            ax.set_xlabel("half of the adapted layers", labelpad=21)
            style.value_axis(ax, np.append(view["mean"] + view["std"].fillna(0.0), 0.0), QUANTITIES[quantity].axis)
            ax.set_title(QUANTITIES[quantity].title)
        fewest, steps, left_out = int(raw["steps"].min()), int(raw["steps"].max()), int(raw["nonfinite"].max())
        measured = f"{steps:,} measured step{'s' * (steps != 1)}"
        notes = [  # phases train the halves at different steps
            f"Bars: mean over {measured if fewest == steps else 'the steps at which each trained'}",
            "Whiskers: one standard deviation over steps (spread, not an interval of the mean)" if steps > 1 else "",
            f"Left out: {left_out} with a value that is infinite or not a number" if left_out else "",
        ]
        style.add_notes(figure, notes)
        return figure


def gradient_evolution(layers: pd.DataFrame, *, title: str, phases: Phases = (), quantity: str = "rms") -> Figure:
    """Each layer over steps, a panel for each group, lines coloured by depth. Table: `layer_series`."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.ticker import NullLocator

    groups = _groups(layers)
    numbers = _layers(layers)
    # From a tenth on: thin lines in the palest colours would not stand out from the page.
    ramp = style.more_is_darker()(np.linspace(0.12, 1.0, len(numbers)))
    width = 1.1 if len(numbers) > 8 else 1.8
    with style.styled():
        figure = style.new_figure(2.4 + 4.6 * len(groups), 4.6, "Gradient of single layers", title)
        panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for ax, group in zip(panels, groups, strict=True):
            rows = layers[layers["group"] == group]
            for number, color in zip(numbers, ramp, strict=True):
                line = rows[rows["layer"] == number]
                gid = f"{group}:{number}"
                ax.plot(line["step"], line["trend"], color=color, linewidth=width, gid=gid, **_dot(line))
            _group_title(ax, group)
            style.step_axis(ax, layers["step"].min(), layers["step"].max())
            _shade_phases(ax, phases)
            _mark_nonfinite(ax, rows)
        style.value_axis(panels[0], layers["trend"], QUANTITIES[quantity].axis)
        for ax in panels[1:]:
            ax.grid(axis="y")
        colors = ScalarMappable(
            BoundaryNorm(np.append(numbers, numbers[-1] + 1) - 0.5, len(numbers)), ListedColormap(ramp)
        )
        bar = figure.colorbar(colors, ax=list(panels), pad=0.02, aspect=26)
        style.count_axis(bar.ax.yaxis)
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.set_label(LAYER_LABEL)
        style.add_notes(figure, [_smoothing(layers, "Lines"), _nonfinite_note(layers)])
        return figure


def training_loss(losses: pd.DataFrame, *, title: str, phases: Phases = ()) -> Figure:
    """Training and validation loss; a ring marks the checkpoint that was kept. Table: `loss_table`."""
    with style.styled():
        figure = style.new_figure(8.8, 4.6, "Training and validation loss", title)
        ax = figure.subplots()
        train, valid = (losses[losses["split"] == split] for split in ("training", "validation"))
        best = valid[valid["best"]]
        if len(train):
            look = {"color": style.PALE, "linewidth": 1.0, **_dot(train)}
            ax.plot(train["step"], train["value"], label="training", gid="training", **look)
        if len(valid):
            look = {"color": INK, "marker": "o", "markersize": 4.5}
            ax.plot(valid["step"], valid["value"], label="validation", gid="validation", **look)
        for step, value in zip(best["step"], best["value"], strict=True):
            ring: Look = {"marker": "o", "markersize": 12, "fillstyle": "none", "linestyle": "none", "color": INK}
            ax.plot([step], [value], label=f"best checkpoint: step {step:,}, {value:.3f}", gid="best", **ring)
        _mark_nonfinite(ax, losses)
        style.value_axis(ax, losses["value"], "loss (nats per token)", from_zero=False)
        style.step_axis(ax, losses["step"].min(), losses["step"].max())
        _shade_phases(ax, phases)
        _legend(ax, figure)
        style.add_notes(figure, [_nonfinite_note(losses)])
        return figure


def _groups(view: pd.DataFrame) -> list[str]:
    """The groups that are there, in the order of the legends."""
    present = set(view["group"].unique())
    return [group for group in GROUP_STYLES if group in present]


def _layers(view: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.int64]]:
    """All layer numbers from the first to the last adapted one."""
    return np.arange(int(view["layer"].min()), int(view["layer"].max()) + 1)


def _dot(line: pd.DataFrame) -> dict[str, Any]:
    """A single point has no line: it gets a dot."""
    return {"marker": "o", "markersize": 3.5} if line["value"].notna().sum() <= 1 else {}


def _group_title(ax: Axes, group: str) -> None:
    ax.set_title(GROUP_STYLES[group].label, color=GROUP_STYLES[group].color, fontweight="bold")


def _lines(ax: Axes, view: pd.DataFrame) -> None:
    """Each group's value thin and light, its running mean on top in the group's dash with a few markers."""
    for group in _groups(view):
        line = view[view["group"] == group].sort_values("step")
        look = GROUP_STYLES[group]
        if not line["trend"].equals(line["value"]):
            ax.plot(line["step"], line["value"], color=look.color, linewidth=0.8, alpha=0.35, gid=f"{group}:value")
        dash: Look = {
            "linestyle": look.dash,
            "marker": look.marker,
            "markersize": 4.5,
            "markevery": max(1, len(line) // 8),
        }
        ax.plot(line["step"], line["trend"], color=look.color, label=look.label, gid=f"{group}:trend", **dash)
        _mark_nonfinite(ax, line, color=look.color)


def _legend(ax: Axes, figure: Figure) -> None:
    """One legend for the page, at its upper right corner, where it hides no data."""
    handles, labels = ax.get_legend_handles_labels()
    look = {"handlelength": 2.9, "columnspacing": 1.5, "borderaxespad": 0.6}
    figure.legend(handles, labels, loc="upper right", ncols=len(labels), **look)


def _shade_phases(ax: Axes, phases: Phases) -> None:
    """Every other phase on grey, each with its name at the top where it has room for it."""
    for i, (start, end, _) in enumerate(phases):
        if i % 2 == 0 and len(phases) <= STRIPES:
            ax.axvspan(start + 0.5, end + 0.5, color=SOFT, alpha=0.09, linewidth=0, zorder=0)
    _name_phases(ax, phases)


def _line_phases(ax: Axes, phases: Phases) -> None:
    """The same on an image: a line at every switch, the names on plates."""
    for i, (start, _, _) in enumerate(phases):
        if i and len(phases) <= STRIPES:
            ax.axvline(start + 0.5, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
    _name_phases(ax, phases, bbox={"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1.5})


def _name_phases(ax: Axes, phases: Phases, **look: Any) -> None:
    """Names of phases at the top; those of a training of many phases would lie over each other, and are left out."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    inches = ax.get_window_extent().width / figure.dpi
    where: Look = {"transform": ax.get_xaxis_transform(), "ha": "center", "va": "top", "clip_on": True}
    for start, end, name in phases:
        if (end - start) / phases[-1][1] * inches >= len(name) * CHARACTER or len(phases) <= 3:
            ax.text((start + end) / 2 + 0.5, 0.985, name, fontsize=8, parse_math=False, **where, **look)


def _mark_nonfinite(ax: Axes, rows: pd.DataFrame, color: str = INK) -> None:
    """A small x at the top edge for every step with a value that is infinite or not a number."""
    steps = np.unique(rows.loc[~rows["finite"], "step"])
    if len(steps):
        cross: Look = {"marker": "x", "markersize": 5, "markeredgewidth": 1.3, "linestyle": "none", "clip_on": False}
        edge = np.ones(len(steps))
        ax.plot(steps, edge, transform=ax.get_xaxis_transform(), color=color, zorder=5, gid="nonfinite", **cross)


def _edges(blocks: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Left edges of the columns and the right edge of the last: halfway between neighbouring steps."""
    first = np.unique(blocks["first"]).astype(float)
    last = np.unique(blocks["last"]).astype(float)
    half = (first[1:] - last[:-1]).min() / 2 if len(first) > 1 else 0.5
    return np.concatenate([[first[0] - half], (last[:-1] + first[1:]) / 2, [last[-1] + half]])


def _smoothing(view: pd.DataFrame, drawn: str = "Thin: each measured step, thick") -> str:
    return "" if view["trend"].equals(view["value"]) else f"{drawn}: running mean over a twentieth of the steps"


def _nonfinite_note(view: pd.DataFrame) -> str:
    return "" if view["finite"].all() else "x at the top: a value that is infinite or not a number"
