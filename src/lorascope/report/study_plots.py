"""The picture of the study's page: the gradient norm of two groups' runs in one pair of axes. Table in, figure out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from lorascope.report import style
from lorascope.report.style import GROUP_STYLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def grad_norm(table: pd.DataFrame, parameters: Mapping[str, int], *, task: str, title: str, early: int) -> Figure:
    """Norms over steps, a thin line for each seed, a thick one for their mean.

    `table`: group (attention, mlp: which adapters the run trains), seed, step, value (L2 norm of all their gradients,
    nats per token). `parameters`: trained ones of each group. `early`: last step of the window that verdicts look at,
    shaded. The legend has the mean over steps and seeds, as the study printed it.
    """
    with style.styled():
        figure = style.new_figure(8.8, 4.6, f"Module sensitivity on {task}", title)
        ax = figure.subplots()
        ax.axvspan(table["step"].min() - 0.5, early + 0.5, color=style.SOFT, alpha=0.12, linewidth=0, zorder=0)
        for group in ("attention", "mlp"):
            mine, look = table[table["group"] == group], GROUP_STYLES[group]
            for _, one in mine.groupby("seed"):
                ax.plot(one["step"], one["value"], color=look.color, linewidth=0.7, alpha=0.3)
            mean = mine.groupby("step")["value"].mean()
            label = f"{look.label} only: mean {mine['value'].mean():.4f}, {parameters[group]:,} trained parameters"
            dash: dict[str, Any] = {"linestyle": look.dash, "marker": look.marker, "markersize": 4.5,
                                    "markevery": max(1, len(mean) // 8)}  # fmt: skip
            ax.plot(mean.index, mean.to_numpy(), color=look.color, label=label, gid=group, **dash)
        style.value_axis(ax, table["value"], "gradient norm, L2 (nats per token)")
        style.step_axis(ax, table["step"].min(), table["step"].max())
        ax.legend(loc="upper right")
        seeds = table["seed"].nunique()
        style.add_notes(
            figure,
            [f"Thin: each of {seeds} seeds, thick: their mean", f"Grey: the first tenth, steps 1 to {early}",
             "The raw norm grows with alpha / r, rank and width: the scale-free one stands in the table"],
        )  # fmt: skip
        return figure
