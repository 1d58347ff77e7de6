"""The study's pictures, drawn from its rows: `python studies/allocation/plots.py FOLDER`.

screen.png and confirm.png: every arm minus uniform, a panel for each task; prediction.png: what the scores of a probe
say beforehand; peers.png: AdaLoRA and EVA as PEFT runs them. What has no rows yet is not drawn.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lorascope.analysis.paired import FEWEST, interval
from lorascope.report import style

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import peers  # noqa: E402  (the modules beside the studies, which are no package)
import predictions  # noqa: E402
import rows as records  # noqa: E402
import study  # noqa: E402

TASKS = {"e2e_nlg": "E2E NLG", "wikisql": "WikiSQL", "samsum": "SAMSum", "multi_nli": "MultiNLI"}
KINDS = {"ours": ("#CC79A7", "D"), "peer": ("#009E73", "^"), "control": ("#6b7280", "v")}
"""Colour and marker; attention and MLP alone have those of their groups."""
PLACED = {"attention_only": "attention", "mlp_only": "mlp"}


def arms(plan: dict[str, Any], rows: Sequence[dict[str, Any]], stage: str, heading: str) -> Any:
    """Every arm minus uniform: a small dot for each seed, their mean, and its interval from three seeds on."""
    tasks = [task for task in TASKS if any((r["stage"], r["task"]) == (stage, task) for r in rows)]
    mine = {task: [r for r in rows if (r["stage"], r["task"]) == (stage, task)] for task in tasks}
    here = {r["arm"] for task in tasks for r in mine[task]}
    order = [arm for arm in (*plan.get("arms", ()), *plan["confirm"]["arms"]) if arm in here and arm != "uniform"]
    order = list(dict.fromkeys(order))
    rates = sorted({r["lr"] for task in tasks for r in mine[task]}) if stage == "screen" else [None]
    steps = plan["screen" if stage == "screen" else "confirm"]["steps"]
    with style.styled():
        about = f"Lab base (4.7 M parameters), {steps} steps of {plan['common']['training']['batch_size']} rows"
        columns = min(2, len(tasks))
        lines = -(-len(tasks) // columns)
        width, height = 1.5 + 4.6 * columns, 1.1 + lines * (0.6 + (0.24 + 0.16 * len(rates)) * len(order))
        figure = style.new_figure(width, height, heading, f"{about}, {_budget(plan)}")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for ax in panels[len(tasks) :]:
            ax.axis("off")
        for ax, task in zip(panels, tasks, strict=False):
            labels = []
            for place, arm in enumerate(order):
                labels.append(_named(arm, mine[task]))
                for turn, lr in enumerate(rates):
                    at = place + 0.34 * (turn - (len(rates) - 1) / 2)
                    _dots(ax, plan, rows, mine[task], arm, lr, at)
            ax.axvline(0, color=style.SOFT, linewidth=0.9)
            ax.set_yticks(range(len(order)), labels)
            ax.set_ylim(len(order) - 0.4, -0.6)
            ax.tick_params(axis="y", length=0)
            ax.set_xlabel("loss minus uniform's (nats per answer token)")
            ax.set_title(TASKS[task])
            ax.grid(axis="x")
            low, high = ax.get_xlim()
            ax.set_xlim(low, high + (0.16 if stage == "screen" else 0.34) * (high - low))  # for the numbers
        seeds = len({r["seed"] for task in tasks for r in mine[task]})
        style.add_notes(
            figure,
            [
                f"{'Validation' if stage == 'screen' else 'Test'} rows; left of the line is better than uniform",
                f"Small: each of {seeds} seeds, paired with uniform. Large: their mean"
                + (", with its 95 % interval" if seeds >= FEWEST else "; two seeds have no interval"),
                f"Hollow: learning rate {rates[0]:g}, filled: {rates[-1]:g}, uniform's the same"
                if stage == "screen"
                else "Every arm at its own best learning rate of three on validation rows; edge: of that grid",
                "Diamonds: ours; triangles: rules of others; pointing down: random ranks",
            ],
        )
    return figure


def _budget(plan: dict[str, Any]) -> str:
    """ "params=108416" -> "a budget of 108,416 parameters"."""
    return f"a budget of {int(plan['budgets']['main'].removeprefix('params=')):,} parameters"


def _named(arm: str, rows: Sequence[dict[str, Any]]) -> str:
    """The arm, and what it was on this task where that was chosen."""
    own = next((r.get("allocation", arm) for r in rows if r["arm"] == arm), arm)
    return arm.replace("_", " ") if own == arm else f"{arm}: {own.replace('_', ' ')}"


def _dots(
    ax: Any, plan: dict[str, Any], every: Sequence[Any], rows: Sequence[Any], arm: str, lr: float | None, at: float
) -> None:
    screen = lr is not None
    found = lr if lr is not None else next((r["lr"] for r in rows if r["arm"] == arm), None)
    d = np.array(study.gaps(rows, arm, found)) if found is not None else np.array([])
    if not len(d):
        return
    if arm in PLACED:
        color, marker = style.GROUP_STYLES[PLACED[arm]].color, style.GROUP_STYLES[PLACED[arm]].marker
    else:
        kinds = {"chosen": "ours", "peer": "peer", **plan.get("arms", {})}
        color, marker = KINDS[kinds.get(arm, "peer")]
    face = "white" if screen and found == min(plan["screen"]["lrs"]) else color
    if len(d) >= FEWEST:
        low, high = interval(d)
        ax.plot([low, high], [at, at], color=color, linewidth=2.2, solid_capstyle="butt")
    ax.plot(d, np.full(len(d), at), linestyle="none", marker=".", markersize=4, color=color, alpha=0.55)
    ax.plot(d.mean(), at, marker=marker, markersize=6.5, color=color, markerfacecolor=face)
    said = f"{d.mean():+.3f}".replace("-", "\u2212")
    if not screen:
        budget, edge = plan["confirm"]["budget"], False
        if any(r["stage"] == "lrs" for r in every):
            edge = study.best_lr(every, rows[0]["task"], budget, arm)[1]
        said += f"  at {found:g}{' (edge)' if edge else ''}"
    ax.annotate(
        said,
        (float(d.max()), at),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=style.SOFT,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )


def prediction(plan: dict[str, Any], rows: Sequence[dict[str, Any]], made: dict[str, Any]) -> Any:
    """Rank correlation of every score with the realised gain, summed and per weight, a panel for each task."""
    found = predictions.correlated(plan["prediction"], rows, made)
    tasks = [task for task in TASKS if any(v["task"] == task for v in found)]
    scores = list(dict.fromkeys(v["score"] for v in found))
    with style.styled():
        about = f"Lab base (4.7 M parameters), {found[0]['placements']} placements of equal parameters"
        figure = style.new_figure(
            1.5 + 4.2 * len(tasks), 2.0 + 0.36 * len(scores), "Does a score say beforehand what a placement is worth?",
            f"{about}, {plan['prediction']['steps']} steps",
        )  # fmt: skip
        panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
        looks = {"sum": (style.INK, -0.15, "summed"), "weight": ("#CC79A7", 0.15, "per weight")}
        for ax, task in zip(panels, tasks, strict=True):
            for per, (color, shift, label) in looks.items():
                mine = [v for v in found if (v["task"], v["per"]) == (task, per)]
                at = [scores.index(v["score"]) + shift for v in mine]
                face = color if per == "sum" else "white"
                ax.hlines(at, *zip(*(v["gain_interval"] for v in mine), strict=True), color=color, linewidth=1.6)
                ax.plot(
                    [v["gain"] for v in mine], at, linestyle="none", marker="o", color=color, markerfacecolor=face,
                    label=label,
                )  # fmt: skip
            ax.axvline(0, color=style.SOFT, linewidth=0.9)
            ax.set_xlim(-1.05, 1.05)
            ax.set_yticks(range(len(scores)), ["number of weights" if s == "weights" else s for s in scores])
            ax.set_ylim(len(scores) - 0.5, -0.5)
            ax.tick_params(axis="y", length=0)
            ax.set_xlabel("Spearman's rho with the gain")
            ax.set_title(TASKS[task])
            ax.grid()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="upper right", ncols=2)
        style.add_notes(
            figure,
            [
                "Gain: untrained loss minus the loss with this placement trained alone; one seed, validation rows",
                "Summed: over all weights of the placement. The number of weights knows nothing of the task",
                "Lines: 95 %, over placements",
            ],
        )
    return figure


def draw(folder: Path) -> list[Path]:
    """Every picture that there are rows for; returns the files."""
    plan, peer = (json.loads(file.read_text(encoding="utf-8")) for file in (study.PLAN, peers.PLAN))
    rows, others = records.read_rows(plan, study.ROWS), records.read_rows(peer, peers.ROWS)
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, stage, which, mine, heading in (
        ("screen", "screen", plan, rows, "Allocations against even ranks: the screen"),
        ("confirm", "confirm", plan, rows, "Allocations against even ranks: fresh seeds, test rows"),
        ("peers", "confirm", peer, others, "AdaLoRA and EVA as PEFT runs them against even ranks"),
    ):
        if any(r["stage"] == stage and r["arm"] != "uniform" for r in mine):
            found[name] = arms(which, mine, stage, heading)
    if any(r["stage"] == "prediction" for r in rows):
        made = json.loads(study.RANKS.read_text(encoding="utf-8"))
        if predictions.correlated(plan["prediction"], rows, made):
            found["prediction"] = prediction(plan, rows, made)
    for name, figure in found.items():
        figure.savefig(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in found]


if __name__ == "__main__":
    print(*draw(Path(sys.argv[1])), sep="\n")
