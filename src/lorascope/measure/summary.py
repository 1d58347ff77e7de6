"""The summary of a log: what gradient_analysis.summary.json holds.

Statistics are over steps, which are not replicates: std describes the curve, it is no standard error. Steps at which
any gradient was not finite are listed and left out of every statistic; a unit is described over the steps at which it
was measured (a phase may have switched it off).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorascope.measure.records import ABSENT, Floats, GradientNormLog, Level, Scale, Series, root

SCALES: dict[str, Scale] = {"norm": "raw", "rms": "rms", "per_scaling": "per_scaling"}
"""Names in the summary: L2 norm; root mean square per parameter; L2 norm with alpha / r taken out."""

WEIGHT_NORMS = (
    ("weight_sq", "A", "A"),
    ("weight_sq", "B", "B"),
    ("update_sq", "AB", "update"),
    ("base_sq", "W", "base"),
)
"""(score, matrix, name in the summary)"""


def summarise(log: GradientNormLog) -> dict[str, Any]:
    """The summary as a plain dictionary.

    steps_measured, first_step, last_step, nonfinite_steps;
    total: {norm: stats};
    groups: {group: {parameters, norm, rms, per_scaling: stats, matrices: {A: the same, B: the same}}};
    layers: {layer_0_attention: stats of the norm, ...};
    projections: {q: {parameters, norm, rms, per_scaling: stats}, ...};
    weights: {step, groups: {group: {A, B, update, base, update_over_base}}}, None before the first weight measurement.
    stats: mean, std (n - 1), min, max, peak_step, n. A number that does not exist (std of one step) is None.
    """
    bad = set(log.nonfinite_steps)
    good = log.gradients.keep(lambda step: step not in bad)
    steps = log.steps
    return {
        "steps_measured": len(steps),
        "first_step": steps[0] if steps else None,
        "last_step": steps[-1] if steps else None,
        "nonfinite_steps": sorted(bad),
        "total": {"norm": _stats(good, "total").get("total", stats(good.steps, np.empty(0)))},
        "groups": _groups(good),
        "layers": _stats(good, "layer"),
        "projections": _described(good, "projection"),
        "weights": _weights(log),
    }


def stats(steps: NDArray[np.int64], values: Floats) -> dict[str, float | int | None]:
    """mean, std (n - 1), min, max, peak_step (the first with the largest value), n; NaN values are left out."""
    there = ~np.isnan(values)
    steps, values = steps[there], values[there]
    if not len(values):
        return {"mean": None, "std": None, "min": None, "max": None, "peak_step": None, "n": 0}
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else None,
        "min": float(values.min()),
        "max": float(values.max()),
        "peak_step": int(steps[values.argmax()]),
        "n": len(values),
    }


def _stats(series: Series, by: Level, matrix: str | None = None, scale: Scale = "raw") -> dict[str, Any]:
    """Statistics of the gradient norm of each unit."""
    units, sums = series.sums(by, matrix, scale)
    return {unit: stats(series.steps, root(sums[:, i])) for i, unit in enumerate(units)}


def _described(series: Series, by: Level, matrix: str | None = None) -> dict[str, Any]:
    """Number of parameters and statistics at every scale, for each unit."""
    out: dict[str, Any] = {unit: {"parameters": count} for unit, count in series.parameters(by, matrix).items()}
    for name, scale in SCALES.items():
        for unit, numbers in _stats(series, by, matrix, scale).items():
            out[unit][name] = numbers
    return out


def _groups(series: Series) -> dict[str, Any]:
    out = _described(series, "group")
    for matrix in ("A", "B"):
        for group, described in _described(series, "group", matrix).items():
            out[group].setdefault("matrices", {})[matrix] = described
    return out


def _weights(log: GradientNormLog) -> dict[str, Any] | None:
    """Frobenius norms at the last weight measurement: A, B, update = alpha / r |BA|, base = |W| of the same modules."""
    if not len(log.weights):
        return None
    last = int(log.weights.steps[-1])
    groups: dict[str, dict[str, float | None]] = {}
    for series in (log.weights.last(), log.base):
        for score, matrix, name in WEIGHT_NORMS:
            for group, value in _norms_of(series, score, matrix).items():
                groups.setdefault(group, {})[name] = value
    for norms in groups.values():
        update, base = norms.get("update"), norms.get("base")
        norms["update_over_base"] = update / base if update is not None and base else None
    return {"step": last, "groups": groups}


def _norms_of(series: Series, score: str, matrix: str) -> dict[str, float | None]:
    """Norm of each group from a single row; None where a module of the group has no such fact (quantised weights)."""
    ((_, row),) = series.rows()
    squares: dict[str, float] = {}
    for column, value in zip(series.columns, row, strict=True):
        if (column.score, column.matrix) == (score, matrix):
            squares[column.group] = squares.get(column.group, 0.0) + (np.nan if value == ABSENT else float(value))
    return {group: None if np.isnan(square) else float(np.sqrt(square)) for group, square in squares.items()}
