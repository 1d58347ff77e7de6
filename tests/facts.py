"""Tidy tables made by hand or by a formula, with the columns and types of gradient_analysis.parquet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

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
