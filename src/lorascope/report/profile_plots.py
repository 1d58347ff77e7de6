"""The pictures of a probe: the model map, and the kinds and groups with their intervals. Tables in, Figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lorascope.analysis.sensitivity import COMPARED, SensitivityProfile
from lorascope.report import style
from lorascope.report.profile_view import Row, kinds_of, records, verdict_line
from lorascope.report.style import GROUP_STYLES, INK, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

UNIT = "signal per parameter ((nats per token)$^2$)"


def draw_profile(profile: SensitivityProfile, *, title: str) -> dict[str, Figure]:
    """The pictures by name; the map is left out for a model without layers. `title` says which probe."""
    figures = {}
    if profile.parts["layer"].notna().any():
        figures["sensitivity_map"] = sensitivity_map(profile, title=title)
    figures["sensitivity_groups"] = sensitivity_groups(profile, title=title)
    return figures


def sensitivity_map(profile: SensitivityProfile, *, title: str) -> Figure:
    """Kinds x layers, signal per parameter on one logarithmic colour scale; hatched where it is not above noise."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    rows = [
        row for row in records(profile.table(by="part")) if row["layer"] is not None and row["layer"] == row["layer"]
    ]
    stacks = list(dict.fromkeys(row["stack"] for row in rows))
    seen = [row["value"] for row in rows if row["above"] and row["value"] > 0]
    low, high = np.quantile(seen, [0.02, 0.98]) if seen else (0.1, 1.0)
    limits = (float(low), float(high)) if high > 1.02 * low else (float(low) / 1.1, float(high) * 1.1)
    norm, cmap = LogNorm(*limits, clip=True), style.more_is_darker()
    layers = max(int(row["layer"]) for row in rows) + 1
    kinds = {stack: kinds_of([row for row in rows if row["stack"] == stack]) for stack in stacks}
    height = 1.9 + 0.34 * sum(map(len, kinds.values()))
    with style.styled():
        figure = style.new_figure(max(6.4, 2.6 + 0.24 * layers), height, "Where the task's gradient is", title)
        panels = figure.subplots(len(stacks), 1, squeeze=False, height_ratios=[len(kinds[stack]) for stack in stacks])
        for ax, stack in zip(panels[:, 0], stacks, strict=True):
            _cells(ax, [row for row in rows if row["stack"] == stack], kinds[stack], norm, cmap)
            ax.set_xlabel("layer (0 at the embedding)" if len(stacks) == 1 else f"layer of the {stack}")
        bar = figure.colorbar(ScalarMappable(norm, cmap), ax=list(panels[:, 0]), pad=0.02, aspect=22, extend="both")
        bar.ax.yaxis.set_major_locator(FixedLocator(style.log_ticks(*limits)))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.ax.yaxis.set_major_formatter(FuncFormatter(style.number))
        bar.set_label(UNIT)
        hatched = any(not row["above"] for row in rows)
        style.add_notes(
            figure,
            [
                f"{profile.n} batches, before any training",
                "Colours end at the 2nd and 98th percentile of what is above noise",
                "Hatched: the 95 % interval reaches 0" if hatched else "",
            ],
        )
        return figure


def _cells(ax: Axes, rows: list[Row], kinds: list[str], norm: Normalize, cmap: Colormap) -> None:
    from matplotlib.patches import Rectangle

    layers = sorted({int(row["layer"]) for row in rows})
    image = np.full((len(kinds), layers[-1] + 1), np.nan)
    for row in rows:
        if row["above"]:
            image[kinds.index(row["projection"]), int(row["layer"])] = row["value"]
        else:
            corner = (int(row["layer"]) - 0.5, kinds.index(row["projection"]) - 0.5)
            ax.add_patch(Rectangle(corner, 1, 1, facecolor=style.HOLE, hatch="////", edgecolor="white", linewidth=0))
    ax.pcolormesh(
        np.arange(layers[-1] + 2) - 0.5, np.arange(len(kinds) + 1) - 0.5, image, cmap=cmap, norm=norm, zorder=2
    )
    ax.set_yticks(range(len(kinds)), kinds)
    ax.tick_params(length=0)
    ax.set_ylim(len(kinds) - 0.5, -0.5)
    ax.set_xlim(layers[0] - 0.5, layers[-1] + 0.5)
    style.count_axis(ax.xaxis)


def sensitivity_groups(profile: SensitivityProfile, *, title: str) -> Figure:
    """Share of every kind, and of attention and MLP, in the signal per parameter: a dot and its 95 % interval."""
    kinds = {row["projection"]: row for row in records(profile.table(by="projection", scale="share"))}
    groups = {row["group"]: row for row in records(profile.table(by="group", scale="share"))}
    shown = [(kind, kinds[kind]) for kind in kinds_of(list(kinds.values())) if kinds[kind]["group"] in COMPARED]
    whole = [(GROUP_STYLES[name].label, groups[name]) for name in COMPARED if name in groups]
    with style.styled():
        figure = style.new_figure(7.4, 1.9 + 0.3 * (len(shown) + len(whole)), "Attention or MLP", title)
        ax = figure.subplots(1, 1)
        lines = [*shown, *whole]
        for place, (_, row) in enumerate(lines):
            look = GROUP_STYLES[row["group"]]
            ax.plot([row["ci_low"], row["ci_high"]], [place, place], color=look.color, linewidth=2.2)
            ax.plot(row["value"], place, marker=look.marker, color=look.color, markersize=6, linestyle="none")
        if whole:
            ax.axhline(len(shown) - 0.5, color=SOFT, linewidth=0.8)
        ax.set_yticks(range(len(lines)), [name for name, _ in lines])
        ax.set_ylim(len(lines) - 0.5, -0.5)
        ax.set_xlim(min(0.0, *(row["ci_low"] for _, row in lines if row["ci_low"] == row["ci_low"]), 0.0), None)
        ax.grid(axis="x")
        ax.set_xlabel("share of the signal per parameter", color=INK)
        style.add_notes(figure, [verdict_line(profile), "Intervals: 95 %, over batches"])
        return figure
