"""How every picture looks: colours, dashes and markers of the groups, the page, the axes.

Colours are Okabe and Ito's; they and the colour scale stay apart for colour-blind readers, and no group is told by
colour alone. Matplotlib's object-oriented interface only: no pyplot, so no window, no global list of figures, no leak.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # drawing is rare; nobody who only reads numbers pays for Matplotlib
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

DPI = 150
POINT_WIDTH = 0.0077
"""Inches that a letter takes for every point of its size, on average (0.55 em)."""
INK, SOFT, PALE, FAINT, HOLE = "#1b1f24", "#5b6470", "#8b95a1", "#e3e6ea", "#eceef1"
ROUND = [1, 2, 2.5, 5, 10]
"""Distances of ticks: what people count in."""


class GroupStyle(NamedTuple):
    """How one group is drawn, on every page and in every picture."""

    label: str
    color: str
    dash: Any
    """Matplotlib line style."""
    marker: str


GROUP_STYLES = {
    "attention": GroupStyle("attention", "#0072B2", "solid", "o"),
    "mlp": GroupStyle("MLP", "#D55E00", (0, (6, 1.6)), "s"),
    "embed": GroupStyle("embedding", "#009E73", (0, (6, 1.6, 1.2, 1.6)), "^"),
    "lm_head": GroupStyle("head", "#CC79A7", (0, (1.6, 1.2)), "D"),
    "other": GroupStyle("other", "#6b7280", (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)), "v"),
}
"""group -> style, in the order of legends and panels."""


class Quantity(NamedTuple):
    """What an axis shows."""

    title: str
    axis: str
    """Axis label with its unit. The loss is in nats per token, weights have no unit."""


QUANTITIES = {
    "raw": Quantity("Raw norm (depends on alpha, rank, width)", "gradient norm, L2 (nats per token)"),
    "rms": Quantity("Per parameter (size taken out)", "gradient, RMS (nats per token)"),
    "per_scaling": Quantity("Raw norm, alpha / r taken out", "gradient norm x r / alpha (nats per token)"),
}
"""Normalisation -> what its axis says."""

_RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 9.5, "axes.labelsize": 9.5, "axes.titlesize": 10.5,
    "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9, "text.color": INK, "axes.labelcolor": INK,
    "axes.titlecolor": INK, "axes.edgecolor": SOFT, "xtick.color": SOFT, "ytick.color": SOFT, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.8, "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
    "axes.grid": False, "axes.axisbelow": True, "grid.color": FAINT, "grid.linewidth": 0.7, "legend.frameon": False,
    "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white", "lines.linewidth": 1.8,
    "hatch.linewidth": 0.7, "hatch.color": "white", "mathtext.fontset": "dejavusans",
}  # fmt: skip


@contextmanager
def styled() -> Iterator[None]:
    """Draw in our style whatever the reader's own Matplotlib settings are; theirs are back afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def new_figure(width: float, height: float, heading: str, title: str) -> Figure:
    """An empty page in inches: a bold heading says what is shown, a grey line under it for which run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.04)
    left: dict[str, Any] = {
        "x": 0.14 / width,
        "va": "top",
        "ha": "left",
        "parse_math": False,
    }  # a name may hold a dollar sign
    figure.text(y=1 - 0.12 / height, s=heading, fontsize=13, fontweight="bold", **left)
    fits = (width - 0.3) / (POINT_WIDTH * max(len(title), 1))
    figure.text(y=1 - 0.40 / height, s=title, fontsize=min(9.5, fits), color=SOFT, **left)
    return figure


def add_notes(figure: Figure, notes: Iterable[str]) -> None:
    """Small print under the axes, wrapped: what a reader must know to read the picture right. Call it last."""
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(".  ".join(note for note in notes if note), int((width - 0.3) / (8 * POINT_WIDTH)))
    figure.text(0.14 / width, 0.09 / height, "\n".join(lines), va="bottom", ha="left", fontsize=8, color=SOFT)
    top, bottom = 1 - 0.66 / height, (0.12 + 0.16 * len(lines)) / height
    figure.set_layout_engine("constrained", rect=(0.006, bottom, 0.988, top - bottom))


def save(figure: Figure, path: Path) -> None:
    """Write a picture as `path`.png and `path`.svg; the same picture makes the same bytes."""
    import matplotlib

    figure.savefig(path.with_name(f"{path.name}.png"))
    with matplotlib.rc_context({"svg.hashsalt": "lorascope"}):  # else every name inside is drawn anew
        figure.savefig(path.with_name(f"{path.name}.svg"), metadata={"Date": None})


def number(value: float, _: object = None) -> str:
    """A tick label: 0.02, 350, but powers of ten where digits would hide the size."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    mantissa = f"{value / 10**exponent:.3g}"
    return f"$10^{{{exponent}}}$" if mantissa == "1" else f"${mantissa}\\cdot 10^{{{exponent}}}$"


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones, about ten at most: powers of ten with 1, 2, 5; if close, plain steps."""
    from matplotlib.ticker import MaxNLocator

    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps, stride in (((1, 2, 5), 1), ((1,), 1), ((1,), 2), ((1,), 5)):
        ticks = [s * 10.0**e for e in exponents if e % stride == 0 for s in steps if low <= s * 10.0**e <= high]
        if len(ticks) <= 10:
            break
    if len(ticks) > 1:
        return ticks
    return [float(t) for t in MaxNLocator(4, steps=ROUND).tick_values(low, high) if low <= t <= high]


def value_axis(ax: Axes, values: Iterable[float], label: str, *, from_zero: bool = True) -> None:
    """Label and scale of the y axis: logarithmic where all values are positive and span more than a decade.

    Otherwise linear, so that no value is left out because a logarithm cannot show it; and from 0 unless told.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    there = [v for v in values if math.isfinite(v)]
    low, high = (min(there), max(there)) if there else (0.0, 1.0)
    ax.set_ylabel(label)
    if low > 0 and high > 10 * low:
        ax.set_yscale("log")
        ax.set_ylim(low / 1.25, high * 1.25)
        ax.yaxis.set_major_locator(FixedLocator(log_ticks(low / 1.25, high * 1.25)))
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        low = min(low, 0.0) if from_zero else low
        pad = 0.07 * (high - low) or 0.1 * abs(high) or 1.0
        ax.set_ylim(0.0 if low == 0.0 else low - pad, high + pad)
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=ROUND))
    ax.yaxis.set_major_formatter(FuncFormatter(number))
    ax.grid(axis="y")


def step_axis(ax: Axes, first: float, last: float, *, pad: float | None = None) -> None:
    """The x axis of everything that runs over optimizer steps."""
    from matplotlib.ticker import MaxNLocator

    pad = max(0.5, 0.015 * (last - first)) if pad is None else pad
    ax.set_xlim(first - pad, last + pad)
    ax.set_xlabel("optimizer step")
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=ROUND, integer=True, min_n_ticks=1))


def count_axis(axis: Axis) -> None:
    """Whole numbers, at most eleven, on an axis that counts layers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(10, steps=ROUND, integer=True, min_n_ticks=1))


def more_is_darker() -> Colormap:
    """The sequential colour scale of a light page: cividis reversed, so that more stands further from the page."""
    import matplotlib

    return matplotlib.colormaps["cividis_r"]
