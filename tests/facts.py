"""Tables made by hand or by a formula: the columns and types of gradient_analysis.parquet; a probe's profile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from lorascope.analysis.sensitivity import PART_COLUMNS, SensitivityProfile
from lorascope.analysis.statistics import Estimate, Interval

GROUP_OF = {"q": "attention", "k": "attention", "v": "attention", "o": "attention", "gate": "mlp", "up": "mlp",
            "down": "mlp", "embed": "embed", "head": "lm_head"}  # fmt: skip
TEXTS = ("module", "stack", "projection", "group", "matrix", "score")
TYPES = {"step": "int32", "layer": "Int16", "value": "float64", "numel": "int64", "scaling": "float64", "r": "int32"}


def fact(
    step: int,
    projection: str,
    layer: int | None,
    matrix: str,
    value: float,
    *,
    numel: int = 10,
    scaling: float = 4.0,
    score: str = "grad_sq",
    stack: str = "decoder",
) -> dict[str, object]:
    """One row of the table: one squared norm of one matrix."""
    group = GROUP_OF[projection]
    where = f"model.layers.{layer}.{projection}_proj" if layer is not None else projection
    return {"step": step, "module": where, "layer": layer, "stack": stack, "projection": projection, "group": group,
            "matrix": matrix, "score": score, "value": value, "numel": numel, "scaling": scaling, "r": 8,
            "finite": bool(np.isfinite(value))}  # fmt: skip


def tidy(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """The rows as a table of the right types; texts are categories, as in the file."""
    table = pd.DataFrame(list(rows)).astype(TYPES)
    return table.astype(dict.fromkeys(TEXTS, "category"))


def run_table(
    layers: int = 4, steps: Sequence[int] = range(1, 13), projections: str = "q o up down", seed: int = 0
) -> pd.DataFrame:
    """A whole run at random: A is 0 at the first step, as with B = 0."""
    rng = np.random.default_rng(seed)
    where = [(p, None if p in ("embed", "head") else layer) for p in projections.split() for layer in range(layers)]
    rows = [
        fact(
            step, p, layer, matrix, float(rng.lognormal()) * (matrix == "B" or i > 0), numel=64 if matrix == "A" else 96
        )
        for i, step in enumerate(steps)
        for p, layer in dict.fromkeys(where)
        for matrix in ("A", "B")
    ]
    loss = [
        {**fact(step, "q", None, "", 2.0, score="loss"), "module": "", "group": "", "projection": ""} for step in steps
    ]
    return tidy(rows + loss)


PROBED = {"q": ("attention", 4, 4), "o": ("attention", 4, 4), "up": ("mlp", 8, 4), "router": ("other", 2, 4)}


def probed_parts(layers: int = 2) -> pd.DataFrame:
    rows = [
        (f"layers.{layer}.{kind}", layer, "decoder", kind, group, "linear", out, width, 1, out * width, out + width)
        for layer in range(layers)
        for kind, (group, out, width) in PROBED.items()
    ]
    table = pd.DataFrame(rows, columns=list(PART_COLUMNS))
    table["layer"] = table["layer"].astype("Int64")
    return table


def probe_profile(
    values: np.ndarray | None = None, spread: float = 0.0, *, n: int = 32, seed: int = 0, **about: object
) -> SensitivityProfile:
    """Signals 1, 2, ... times the number of weights, with a jackknife spread of `spread` times the value."""
    table = probed_parts()
    numel = table["numel"].to_numpy(dtype=float)
    values = np.arange(1.0, 9.0) if values is None else values
    noise = np.random.default_rng(seed).normal(size=(8, 16))
    noise -= noise.mean(axis=1, keepdims=True)
    noise /= np.sqrt(15 / 16 * (noise**2).sum(axis=1, keepdims=True))
    signal = Estimate(values * numel, (values * numel)[:, None] * (1 + spread * noise))
    taylor = Estimate(-np.ones(8), -np.ones((8, 16)))
    rank = Estimate(np.arange(8.0), np.arange(8.0)[:, None].repeat(16, axis=1))
    spectra = pd.DataFrame(
        {"spectrum": ["spectrum"] * 3, "module": ["layers.0.q"] * 3, "rank": [1, 2, 3], "value": [3.0, 2.0, 1.0],
         "noise": [1.0, 0.5, 0.25]}
    )  # fmt: skip
    return SensitivityProfile(
        parts=table,
        scores={"signal": signal, "grad_sq": signal, "taylor": taylor, "stable_rank": rank},
        n=n,
        tau=0.93,
        loss=Interval(3.0, 2.9, 3.1),
        about={"model": "toy", "dataset": "made up", "notes": ["one"], **about},
        spectra=spectra,
    )
