"""Finished runs side by side: what they trained, how well, how large their gradients were. A verdict takes seeds."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lorascope.errors import RunError
from lorascope.runs import rundir

GROUPS = {"attention": "attention", "mlp": "MLP", "embed": "embedding", "lm_head": "head", "other": "other"}
"""Group -> its word in a row's name, in the order of the rows."""

GRADIENTS = {
    "norm": "gradient norm",
    "rms": "gradient per parameter (RMS)",
    "per_scaling": "gradient norm x r / alpha",
}
"""Scale in gradient_analysis.summary.json -> name of the row: raw, then without size, then without alpha / r."""


@dataclass(frozen=True)
class Quantity:
    """One row: a quantity and its value in every run, None where a run has none."""

    name: str
    unit: str
    values: tuple[float | int | None, ...]
    intervals: tuple[tuple[float, float] | None, ...]
    """95 % over examples of the split, not over seeds."""


@dataclass(frozen=True)
class SideBySide:
    """Runs and their quantities."""

    runs: tuple[dict[str, Any], ...]
    """name (a letter), folder, dataset, target, r, alpha, seed, steps."""
    quantities: tuple[Quantity, ...]
    remarks: tuple[str, ...]
    """What must be said before anybody reads a difference as an effect."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "runs": list(self.runs),
            "quantities": [
                {"name": q.name, "unit": q.unit, "values": list(q.values), "intervals": list(q.intervals)}
                for q in self.quantities
            ],
            "remarks": list(self.remarks),
        }


def compare_runs(folders: Sequence[Path | str]) -> SideBySide:
    """Read finished runs and lay them side by side, in the given order. RunError for a folder that holds none."""
    found = [_read(Path(folder)) for folder in folders]
    names = [string.ascii_uppercase[i] if i < 26 else f"R{i + 1}" for i in range(len(found))]
    runs = tuple(
        {
            "name": name,
            "folder": str(run["folder"]),
            **{key: run["results"][key] for key in ("dataset", "target", "r", "lora_alpha", "seed", "steps")},
        }
        for name, run in zip(names, found, strict=True)
    )
    quantities = [
        _row("trained parameters", "", found, lambda run: run["results"]["parameters"]["trained"]),
        _row("validation loss", "nats/token", found, lambda run: run["results"]["best_validation_loss"]),
        *_metrics(found),
        *_gradients(found),
    ]
    return SideBySide(runs=runs, quantities=tuple(quantities), remarks=tuple(_remarks(found)))


def _read(folder: Path) -> dict[str, Any]:
    state = rundir.state(folder)
    if state != "finished":
        raise RunError("no-run", f"{folder} holds no finished run ({state})", "lorascope ls runs")
    results = rundir.read_json(folder / rundir.RESULTS)
    evaluation = folder / rundir.evaluation_name(results["dataset"])
    return {
        "folder": folder,
        "results": results,
        "gradients": rundir.read_json(folder / rundir.GRADIENT_SUMMARY),
        "evaluation": rundir.read_json(evaluation) if evaluation.is_file() else None,
    }


def _row(name: str, unit: str, found: Sequence[Mapping[str, Any]], value: Callable[[Any], Any]) -> Quantity:
    return Quantity(name, unit, tuple(value(run) for run in found), (None,) * len(found))


def _metrics(found: Sequence[Mapping[str, Any]]) -> list[Quantity]:
    """A row for every metric that any run has; metrics of different tasks are different rows."""
    scores = [
        {(run["results"]["dataset"], name): score for name, score in run["evaluation"]["metrics"].items()}
        if run["evaluation"]
        else {}
        for run in found
    ]
    several = len({run["results"]["dataset"] for run in found}) > 1
    rows = []
    for key in dict.fromkeys(key for of_run in scores for key in of_run):
        mine = [of_run.get(key) for of_run in scores]
        unit = next(score["unit"] for score in mine if score)
        rows.append(
            Quantity(
                name=" ".join(key) if several else key[1],
                unit=unit,
                values=tuple(score["value"] if score else None for score in mine),
                intervals=tuple(_interval(score) if score else None for score in mine),
            )
        )
    return rows


def _interval(score: Mapping[str, Any]) -> tuple[float, float] | None:
    ends = (score["ci_low"], score["ci_high"])
    return None if None in ends else ends


def _gradients(found: Sequence[Mapping[str, Any]]) -> list[Quantity]:
    """Mean over steps of each group's gradient norm, raw and scale-free, and the relative size of its update."""
    rows = []
    for group, word in GROUPS.items():
        if not any(group in run["gradients"]["groups"] for run in found):
            continue
        for scale, name in GRADIENTS.items():
            rows.append(_row(f"{word}: {name}", "", found, partial(_mean, group=group, scale=scale)))
        rows.append(_row(f"{word}: |dW| / |W|", "", found, partial(_update, group=group)))
    return rows


def _mean(run: Mapping[str, Any], *, group: str, scale: str) -> float | None:
    entry = run["gradients"]["groups"].get(group)
    value: float | None = entry[scale]["mean"] if entry else None
    return value


def _update(run: Mapping[str, Any], *, group: str) -> float | None:
    weights = run["gradients"]["weights"]
    value: float | None = weights["groups"].get(group, {}).get("update_over_base") if weights else None
    return value


def _remarks(found: Sequence[Mapping[str, Any]]) -> list[str]:
    results = [run["results"] for run in found]
    # An arm is everything that could matter but the seed.
    arms = Counter((r["dataset"], r["model"], r["target"], r["r"], r["lora_alpha"], r["steps"]) for r in results)
    remarks = []
    if len(arms) > 1:
        seeds = min(arms.values())
        remarks.append(
            f"undecided: {seeds} run{'s' if seeds > 1 else ''} of an arm; seeds are what a difference is tested over, "
            "and no test is made here"
        )
    if len({r["parameters"]["trained"] for r in results}) > 1:
        remarks.append("the runs train different numbers of parameters: equal rank is not equal budget")
    if len({r["dataset"] for r in results}) > 1:
        remarks.append("the runs learnt different tasks: their losses and metrics do not compare")
    if any(run["evaluation"] for run in found):
        remarks.append("intervals are 95 % over examples, not over seeds; gradient norms are means over steps")
    return remarks
