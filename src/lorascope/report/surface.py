"""The gradient of every layer at every step as a surface. It shows nothing that the heat map does not; some like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lorascope.analysis import profiles
from lorascope.report import style
from lorascope.report.style import GROUP_STYLES, QUANTITIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 120
"""Most steps of a surface; more are joined by block means."""


def draw_surface(table: pd.DataFrame, *, title: str) -> Figure | None:
    """Step x layer x gradient per parameter, a panel for each group; heights and colours are logarithmic.

    `table` is the tidy table. None where no layer was measured. What was not trained, is 0 or not finite is a hole.
    """
    gradients = table[table["score"] == "grad_sq"]
    if not len(gradients) or not gradients["layer"].notna().any():
        return None
    blocks = profiles.block_means(profiles.layer_series(gradients), by=["group", "layer"], columns=COLUMNS)
    low, high = profiles.display_range(blocks)
    groups = [group for group in GROUP_STYLES if group in set(blocks["group"])]
    layers = np.arange(int(blocks["layer"].min()), int(blocks["layer"].max()) + 1)
    with style.styled():
        figure = style.new_figure(0.8 + 5.8 * len(groups), 5.6, "Gradient by step and layer", title)
        for i, group in enumerate(groups):
            ax = figure.add_subplot(1, len(groups), i + 1, projection="3d")
            cells = blocks[blocks["group"] == group].pivot(index="layer", columns="step", values="value")
            cells = cells.reindex(layers)
            height = np.log10(cells.where(cells > 0).clip(low, high).to_numpy())
            x, y = np.meshgrid(cells.columns.to_numpy(dtype=float), layers)
            shade = style.more_is_darker()((height - np.log10(low)) / np.log10(high / low))
            if min(height.shape) > 1:
                ax.plot_surface(x, y, height, facecolors=shade, rstride=1, cstride=1, linewidth=0, antialiased=False)
            else:  # one layer, or one step: a line
                ax.plot(x.ravel(), y.ravel(), height.ravel(), color=GROUP_STYLES[group].color)
            ax.set_title(GROUP_STYLES[group].label, color=GROUP_STYLES[group].color, fontweight="bold")
            ax.set_xlabel("optimizer step")
            ax.set_ylabel("layer (0 at the embedding)")
            ax.set_zlabel(QUANTITIES["rms"].axis, labelpad=14)
            ax.set_zlim(np.log10(low), np.log10(high))
            ticks = style.log_ticks(low, high)
            ax.set_zticks(np.log10(ticks), [style.number(tick) for tick in ticks])
            ax.set_ylim(layers[-1], layers[0])
            ax.yaxis.get_major_locator().set_params(integer=True)
            ax.view_init(elev=32, azim=-58)
            ax.set_box_aspect(None, zoom=0.95)
        size = int((blocks["last"] - blocks["first"]).max()) + 1
        notes = [f"Each column is the mean over {size} steps" if size > 1 else "",
                 "Heights end at the 2nd and 98th percentile of the cells"]  # fmt: skip
        style.add_notes(figure, notes)
        return figure
