"""Views of the measurements: sums over modules first, then the root. Tables in, tables out; nothing is drawn here.

The tidy table holds one additive fact a row (`lorascope.measure.records`): squared norms and counts. Facts add up over
any set of modules, norms do not; so every view sums squares over its units and takes the root last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from lorascope.errors import DataError, pick

Normalise = Literal["raw", "rms", "per_scaling"]

NORMALISATIONS = {
    "raw": "L2 norm: sqrt(sum of squares); grows with alpha / r, rank, width and number of modules",
    "rms": "root mean square per parameter: sqrt(sum of squares / number of parameters)",
    "per_scaling": "L2 norm with alpha / r taken out: sqrt(sum of squares / (alpha / r)^2)",
}
"""Normalisation -> what it is."""


def norms(
    table: pd.DataFrame,
    *,
    by: Sequence[str],
    score: str = "grad_sq",
    normalise: Normalise = "raw",
    matrix: str | None = None,
) -> pd.DataFrame:
    """Norms of every unit: the root of the summed squares of its facts.

    `by` are the columns that make a unit, e.g. `["step", "group"]`; `matrix` keeps one matrix (A, B) of each module.
    Normalisations, for a unit with squares v_i over n_i numbers and scalings s_i = alpha / r:
    raw = sqrt(sum v_i), the L2 norm; rms = sqrt(sum v_i / sum n_i), per parameter; per_scaling = sqrt(sum v_i / s_i^2).

    Returns the columns of `by`, then value (float, the score's unit; NaN where a fact is not finite), numel (numbers
    summed over) and finite (False where a fact is not finite), sorted by `by`. Units without facts have no row: what
    was not measured is absent, never 0. A missing layer (embedding, head) is a unit of its own.
    """
    pick(NORMALISATIONS, normalise, "normalisation")
    rows = table[table["score"] == score]
    if matrix is not None:
        rows = rows[rows["matrix"] == matrix]
    by = list(by)
    finite = pd.Series(np.isfinite(rows["value"]) & rows["finite"], index=rows.index, dtype=bool)
    squares = rows["value"] / rows["scaling"] ** 2 if normalise == "per_scaling" else rows["value"]
    facts = rows[by].assign(value=squares, numel=rows["numel"], finite=finite)
    sums = facts.groupby(by, dropna=False, observed=True).agg({"value": "sum", "numel": "sum", "finite": "all"})
    total = sums["value"] / sums["numel"] if normalise == "rms" else sums["value"]
    sums["value"] = (total**0.5).where(sums["finite"])  # a sum with a hole in it has no value
    return sums.reset_index()


def series(
    table: pd.DataFrame,
    *,
    by: Sequence[str],
    score: str = "grad_sq",
    normalise: Normalise = "raw",
    matrix: str | None = None,
) -> pd.DataFrame:
    """Norms over steps, with a row for every unit at every step at which the score was measured anywhere.

    Columns: those of `by`, step, value, finite. A unit that was not measured at a step (switched off by a phase) has
    value NaN and finite True, so that a line breaks there; a fact that is not finite has value NaN and finite False.
    """
    by = list(by)
    values = norms(table, by=[*by, "step"], score=score, normalise=normalise, matrix=matrix)
    steps = np.unique(table.loc[table["score"] == score, "step"])
    grid = values[by].drop_duplicates().merge(pd.DataFrame({"step": steps}), how="cross")
    out = grid.merge(values.drop(columns="numel"), how="left", on=[*by, "step"])
    out["finite"] = out["finite"].ne(False)  # missing is not False: nothing was measured
    return out


def group_series(table: pd.DataFrame, *, normalise: Normalise = "raw", matrix: str | None = None) -> pd.DataFrame:
    """Gradient norm of each group over steps: group, step, value, finite, trend (`running_mean`)."""
    out = series(table, by=["group"], normalise=normalise, matrix=matrix)
    out["trend"] = running_mean(out, by=["group"])
    return out


def matrix_share(table: pd.DataFrame, *, matrix: str = "A") -> pd.DataFrame:
    """Share of one matrix in each group's squared gradient norm, 0 to 1: group, step, value, finite, trend.

    With B = 0 at the start, A's share is exactly 0 at the first step; for embeddings the roles swap.
    """
    part = series(table, by=["group"], matrix=matrix)
    whole = series(table, by=["group"])
    out = whole.merge(part, how="left", on=["group", "step"], suffixes=("", "_part"))
    out["value"] = out["value_part"] ** 2 / out["value"] ** 2
    out["trend"] = running_mean(out, by=["group"])
    return out[["group", "step", "value", "finite", "trend"]]


def layer_series(table: pd.DataFrame, *, normalise: Normalise = "rms") -> pd.DataFrame:
    """Gradient norm of each group in each layer over steps: group, layer (int), step, value, finite, trend.

    Modules outside the layers (embedding, head) are not part of it. Layers of two stacks must not be added up.
    """
    rows = table[table["layer"].notna()]
    stacks = sorted(rows["stack"].unique())
    if len(stacks) > 1:
        raise DataError("two-stacks", f"layers of {' and '.join(stacks)} share their numbers; view one stack at a time")
    out = series(rows, by=["group", "layer"], normalise=normalise)
    out["layer"] = out["layer"].astype(int)
    out["trend"] = running_mean(out, by=["group", "layer"])
    return out


def halves(layers: Sequence[int]) -> tuple[list[int], list[int]]:
    """The early and the late half of the adapted layers, by depth; with an odd number the middle one is early."""
    ordered = sorted(set(layers))
    cut = (len(ordered) + 1) // 2
    return ordered[:cut], ordered[cut:]


def layer_halves(table: pd.DataFrame, *, normalise: Normalise = "raw") -> pd.DataFrame:
    """Gradient norm of the early and of the late layers of each group, described over steps.

    Columns: group, half (early, late), first, last (layer numbers), mean, std, min, max (over the steps at which the
    half was measured; std with n - 1, NaN with one step), steps (how many), nonfinite (steps left out everywhere,
    because some gradient was not finite). The spread is over steps, which are not replicates: it is no interval of
    the mean.
    """
    rows = table[table["score"] == "grad_sq"]
    bad = rows.loc[~(rows["finite"] & np.isfinite(rows["value"])), "step"].unique()
    rows = rows[rows["layer"].notna() & ~rows["step"].isin(bad)]
    parts = []
    for half, layers in zip(("early", "late"), halves([int(layer) for layer in rows["layer"].unique()]), strict=True):
        view = series(rows[rows["layer"].isin(layers)], by=["group"], normalise=normalise)
        part = view.groupby("group", observed=True)["value"].agg(["mean", "std", "min", "max", "count"]).reset_index()
        ends = {"first": layers[0], "last": layers[-1]} if layers else {}
        parts.append(part.rename(columns={"count": "steps"}).assign(half=half, nonfinite=len(bad), **ends))
    out = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    columns = ["group", "half", "first", "last", "mean", "std", "min", "max", "steps", "nonfinite"]
    return out.reindex(columns=columns).sort_values(["group", "half"], ignore_index=True)


def running_mean(view: pd.DataFrame, *, by: Sequence[str], share: float = 1 / 20) -> pd.Series[float]:
    """Running mean of `value` along the rows of each unit, over about `share` of its points; NaN where the value is.

    Weights are triangular. The window narrows towards the first point, so that the early steps, which a study looks at
    most, are not smoothed into the later ones. Below 2 / share points the window is 1: the mean is the value.
    """
    return view.groupby(list(by), observed=True)["value"].transform(_smooth, share=share)


def _smooth(value: pd.Series[float], share: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    points = value.to_numpy(dtype=float)
    there = ~np.isnan(points)
    filled = np.where(there, points, 0.0)
    half = int(len(points) * share / 2)
    weights = half + 1.0 - np.abs(np.arange(-half, half + 1))
    total = np.convolve(there, weights)[half : half + len(points)]
    out = np.convolve(filled, weights)[half : half + len(points)] / np.where(total > 0, total, 1.0)
    for i in range(min(half, len(points))):
        narrow = i + 1.0 - np.abs(np.arange(-i, i + 1))
        out[i] = (filled[: 2 * i + 1] * narrow).sum() / max((there[: 2 * i + 1] * narrow).sum(), 1.0)
    return np.where(there, out, np.nan)


def block_means(view: pd.DataFrame, *, by: Sequence[str], columns: int = 300) -> pd.DataFrame:
    """`view` with consecutive steps joined into at most `columns` blocks of equal size (the last may be shorter).

    Columns: those of `by`, step (the block's middle), first, last (its steps), value (mean of its values that are
    there), finite (False if any is not). With few steps every block is one step and every value is unchanged.
    """
    steps = np.unique(view["step"])
    size = max(1, -(-len(steps) // columns))
    block = np.searchsorted(steps, view["step"]) // size
    keys = [*by, "block"]
    out = view.assign(block=block).groupby(keys, observed=True).agg({"value": "mean", "finite": "all"}).reset_index()
    first = steps[::size]
    last = steps[np.minimum(np.arange(len(first)) * size + size, len(steps)) - 1]
    out = out.assign(first=first[out["block"]], last=last[out["block"]])
    out["step"] = (out["first"] + out["last"]) / 2
    return out.drop(columns="block")


def display_range(view: pd.DataFrame, *, share: float = 0.02) -> tuple[float, float]:
    """Ends of a logarithmic colour scale: the quantiles `share` and 1 - `share` of the positive values, never equal."""
    positive = view.loc[view["value"] > 0, "value"]
    if positive.empty:
        return 0.1, 1.0
    low, high = positive.quantile([share, 1 - share])
    return (low, high) if high > 1.02 * low else (low / 1.1, high * 1.1)


def loss_table(results: Mapping[str, Any]) -> pd.DataFrame:
    """Losses of results_summary.json as a table: split (training, validation), step, value, finite, best.

    `best` marks the validation loss of the checkpoint that was kept.
    """
    best = results.get("best_step")
    rows = [
        (split, step, np.nan if loss is None else float(loss), split == "validation" and step == best)
        for split in ("training", "validation")
        for step, loss in results.get(f"{split}_loss") or ()
    ]
    out = pd.DataFrame(rows, columns=["split", "step", "value", "best"])
    out["value"] = out["value"].astype(float)
    out["finite"] = np.isfinite(out["value"])
    out["value"] = out["value"].where(out["finite"])
    return out[["split", "step", "value", "finite", "best"]]
