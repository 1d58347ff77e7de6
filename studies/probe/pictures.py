"""The pictures of the study: how stable each score is, and how the scores agree with each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tables
from PIL import Image

from lorascope.config.scores import SCORES
from lorascope.report import style

LOOKS = {
    "e2e_nlg": ("E2E NLG", "#0072B2", "o"),
    "samsum": ("SAMSum", "#D55E00", "s"),
    "wikisql": ("WikiSQL", "#009E73", "^"),
    "multi_nli": ("MultiNLI", "#CC79A7", "D"),
}
COLUMNS = 6
WHAT = {
    "tau": ("the modules", "all modules, per weight"),
    "within": ("the layers of a kind", "the layers of a kind, per weight; the mean over seven kinds"),
}


def draw(plan: dict[str, Any], rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Pictures of the lab base with their numbers: stability(_within).png, contradictions.png; .csv, .json."""
    found = list(tables.stability(plan, rows))
    tables.write_csv(found, folder / "stability.csv")
    about = "Lab base (4.7 M parameters), four real tasks, batches of 8 training rows"
    base = [line for line in found if line["model"] == "base"]
    _save(stability(base, about, "tau"), folder / "stability.png")
    _save(stability(base, about, "within"), folder / "stability_within.png")
    whole, inside = (tables.mean_correlations(plan, rows, "base", within=within) for within in (False, True))
    numbers = {"scores": whole[0], "all": whole[1].round(3).tolist(), "within": inside[1].round(3).tolist()}
    (folder / "contradictions.json").write_text(json.dumps(numbers) + "\n", encoding="ascii")
    _save(contradictions(whole, inside, about), folder / "contradictions.png")
    names = ("stability.csv", "stability.png", "stability_within.png", "contradictions.json", "contradictions.png")
    return [folder / name for name in names]


def stability(found: Sequence[dict[str, Any]], about: str, how: str) -> Any:
    """A panel for each score: Kendall's tau of two samples against their batches, a line for each task."""
    what, said = WHAT[how]
    least = min(0.85, *(line[how] for line in found)) - 0.05
    scores = [score for score in _order(found) if any(line["score"] == score for line in found)]
    height = -(-len(scores) // COLUMNS)
    with style.styled():
        figure = style.new_figure(12.4, 1.5 + 1.9 * height, f"How many batches until a score ranks {what}", about)
        panels = figure.subplots(height, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
        for ax, score in zip(panels, scores, strict=False):
            _panel(ax, [line for line in found if line["score"] == score], how)
            ax.set_ylim(least, 1.0 + 0.04 * (1 - least))
            ax.set_title(score, fontsize=10)
        for ax in panels[len(scores) :]:
            ax.axis("off")
        for place, ax in enumerate(panels[: len(scores)]):
            if place % COLUMNS == 0:
                ax.set_ylabel("Kendall's tau")
            if place + COLUMNS >= len(scores):
                ax.set_xlabel("batches of a sample" if place + COLUMNS >= COLUMNS * height else "")
                ax.tick_params(labelbottom=True)
        handles, labels = panels[0].get_legend_handles_labels()
        empty = panels[len(scores) :]
        place = (
            {"loc": "center", "bbox_to_anchor": (0.5, 0.5), "bbox_transform": empty[0].transAxes} if len(empty) else {}
        )
        figure.legend(handles, labels, **(place or {"loc": "outside lower right", "ncols": 4}))
        style.add_notes(
            figure,
            [
                f"Agreement of two samples of so many batches on the order of {said}",
                "Mean over all pairs of disjoint samples (four; three of attribution and adalora)",
                "Bands: 95 %, leaving out a sample at a time. Dashed: 0.9, where a probe stops",
                "attribution and adalora: short trial trainings of these batches",
            ],
        )
        return figure


def _panel(ax: Any, found: Sequence[dict[str, Any]], how: str) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    ax.axhline(tables.STABLE, color=style.PALE, linewidth=0.9, linestyle=(0, (4, 3)))
    for task, (label, color, marker) in LOOKS.items():
        mine = [line for line in found if line["task"] == task]
        if not mine:
            continue
        size, tau, low, high = np.array(
            [(v["batches"], v[how], v[f"{how}_low"], v[f"{how}_high"]) for v in mine], dtype=float
        ).T
        ax.fill_between(size, low, high, color=color, alpha=0.16, linewidth=0)
        ax.plot(size, tau, color=color, marker=marker, markersize=4, linewidth=1.5, label=label)
    ax.set_xscale("log", base=2)
    sizes = [2, 4, 8, 16, 32]
    ax.xaxis.set_major_locator(FixedLocator(sizes))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.grid(axis="y")


def contradictions(whole: Any, inside: Any, about: str) -> Any:
    """Spearman's rho between all scores, over all modules and over the layers of a kind."""
    from matplotlib.colors import TwoSlopeNorm

    names = whole[0]
    with style.styled():
        figure = style.new_figure(13.6, 8.4, "Which scores agree, and which contradict each other", about)
        panels = figure.subplots(1, 2, sharey=True)
        for ax, (mine, mean, _), title in zip(
            panels, (whole, inside), ("all modules", "layers of a kind (mean over kinds)"), strict=True
        ):
            mean = mean[np.ix_(*[[mine.index(name) for name in names]] * 2)]
            image = ax.imshow(mean, cmap="PuOr_r", norm=TwoSlopeNorm(0.0, -1.0, 1.0))
            for i in range(len(names)):
                for j in range(len(names)):
                    shade = "white" if abs(mean[i, j]) > 0.65 else style.INK
                    text = f"{100 * mean[i, j]:.0f}"
                    ax.text(j, i, text.replace("-", "\u2212"), ha="center", va="center", fontsize=6.5, color=shade)
            ax.set_xticks(range(len(names)), names, rotation=90)
            ax.set_yticks(range(len(names)), names)
            ax.tick_params(length=0)
            ax.set_title(title)
            for spine in ax.spines.values():
                spine.set_visible(False)
        bar = figure.colorbar(image, ax=list(panels), pad=0.01, aspect=30)
        bar.set_label("Spearman's rho")
        style.add_notes(
            figure,
            ["Rank correlation of the modules' values per weight (plop, stable_rank, eva as they are), in hundredths",
             "Mean over the four tasks; a score's values are means over samples"],
        )  # fmt: skip
        return figure


def _order(found: Sequence[dict[str, Any]]) -> list[str]:
    """As the scores are listed."""
    there = dict.fromkeys(line["score"] for line in found)
    return [name for name in SCORES if name in there] + [name for name in there if name not in SCORES]


def _save(figure: Any, file: Path) -> None:
    """As a picture of 256 colours, a third of the size."""
    figure.savefig(file)
    with Image.open(file) as image:
        small = image.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    small.save(file, optimize=True)
