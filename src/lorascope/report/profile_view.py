"""A probe's profile in the terminal: the model map, a table by kind of module, the verdict."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lorascope.analysis.gains import gains_by_kind, taken
from lorascope.analysis.sensitivity import COMPARED, SensitivityProfile
from lorascope.report.terminal import short, table_lines

ORDER = ("q", "k", "v", "qkv", "o", "gate", "up", "gate_up", "gate+up", "down", "embed", "head")
"""Rows of the map, the usual kinds first, then the others as they come."""
_WORDS = {"mlp": "MLP"}
_COLUMNS = 80

Row = dict[str, Any]


def profile_lines(profile: SensitivityProfile) -> list[str]:
    """Everything, for a terminal or a notebook without HTML."""
    about = profile.about
    head = f"{about.get('model', 'model')} on {about.get('dataset', 'examples')}: {profile.n} batches, "
    head += f"{about.get('rows', 0):,} rows; {about.get('stopped', '')}"
    tau = f" (tau {profile.tau:.2f})" if profile.tau == profile.tau else ""
    after = about.get("after")
    when = f"after {after} steps of uniform adapters" if after else "before training"
    loss = f"loss {when} {short(profile.loss.value)} nats per answer token"
    worth = gain_lines(profile)
    more = ["", *worth] if worth else []
    return [
        head + tau,
        loss,
        "",
        *map_lines(profile),
        "",
        *kind_lines(profile),
        *more,
        "",
        *textwrap.wrap(verdict_line(profile), _COLUMNS),
    ]


def map_lines(profile: SensitivityProfile) -> list[str]:
    """Layers from left to right, kinds as rows; a digit is the signal per parameter on a log scale, "." is noise.

    The scale ends at the 2nd and 98th percentile of what is above noise.
    """
    rows = records(profile.table(by="part"))
    inside = [row for row in rows if row["layer"] is not None]
    stacks = list(dict.fromkeys(row["stack"] for row in inside))
    lines = ["signal per parameter, 0-9 on a log scale; . not above noise"]
    for stack in stacks:
        lines += _stack_lines([r for r in inside if r["stack"] == stack], stack if len(stacks) > 1 else "layer")
    for row in rows:
        if row["layer"] is None:
            lines.append(f"  {row['projection']}  {short(row['value'])}{'' if row['above'] else '  (not above noise)'}")
    return lines


def _stack_lines(rows: Sequence[Row], title: str) -> list[str]:
    layers = sorted({int(row["layer"]) for row in rows})
    kinds = kinds_of(rows)
    left = max(len(title), *map(len, kinds))
    wide = max(len(str(layer)) for layer in layers)
    cells = digits(rows)
    lines = []
    fit = max(1, (_COLUMNS - left - 4) // (wide + 1))
    for start in range(0, len(layers), fit):
        some = layers[start : start + fit]
        lines.append(f"  {title:<{left}}  " + " ".join(f"{layer:>{wide}}" for layer in some))
        for kind in kinds:
            marks = (f"{cells.get((kind, layer), ''):>{wide}}" for layer in some)
            lines.append(f"  {kind:<{left}}  {' '.join(marks)}".rstrip())
    return lines


def digits(rows: Sequence[Row]) -> dict[tuple[str, int], str]:
    """(kind, layer) -> 0-9 on a log scale, or "." where a part is not above noise.

    The scale ends at the 2nd and 98th percentile of what is.
    """
    seen = [math.log(row["value"]) for row in rows if row["above"] and row["value"] > 0]
    low, high = np.quantile(seen, [0.02, 0.98]) if seen else (0.0, 1.0)
    return {(row["projection"], int(row["layer"])): _mark(row, float(low), float(high)) for row in rows}


def _mark(row: Row, low: float, high: float) -> str:
    """One cell of the map."""
    if not row["above"] or row["value"] <= 0:
        return "."
    if high <= low:
        return "9"
    return str(min(9, max(0, math.floor(10 * (math.log(row["value"]) - low) / (high - low)))))


def kinds_of(rows: Sequence[Row]) -> list[str]:
    """The kinds of modules in the order of the map."""
    return kinds_in_order(row["projection"] for row in rows)


def kinds_in_order(kinds: Iterable[str]) -> list[str]:
    """The usual kinds first, then the others as they come; each once."""
    there = list(dict.fromkeys(kinds))
    return [kind for kind in ORDER if kind in there] + [kind for kind in there if kind not in ORDER]


def kind_lines(profile: SensitivityProfile) -> list[str]:
    """A row for each kind: its share of the signal per parameter, the interval, how many modules stand above noise."""
    shares = {row["projection"]: row for row in records(profile.table(by="projection", scale="share"))}
    sizes = profile.table("grad_sq", by="projection", scale="rms")
    rms = dict(zip(sizes["projection"], sizes["value"], strict=True))
    rows: list[list[object]] = []
    for kind in kinds_of(list(shares.values())):
        row = shares[kind]
        counted = row["group"] in COMPARED
        rows.append(
            [
                kind,
                _WORDS.get(row["group"], row["group"]),
                f"{row['value']:.3f}" if counted else None,
                interval(row["ci_low"], row["ci_high"]) if counted else None,
                f"{row['above']} of {row['of']}",
                float(rms[kind]),
                " ".join(map(str, profile.strongest(kind))),
            ]
        )
    heads = ["kind", "group", "share", "95 % interval", "above noise", "gradient RMS", "strongest layers"]
    return table_lines(heads, rows)


def gain_lines(profile: SensitivityProfile) -> list[str]:
    """What the best update of rank r gains by kind, where a whitened spectrum was taken; otherwise nothing."""
    spectrum = taken(profile)
    if spectrum is None:
        return []
    table = gains_by_kind(profile, spectrum).pivot(index="kind", columns="rank", values="gain")
    ranks = [rank for rank in table.columns if table[rank].notna().all()]
    rows: list[list[object]] = [[kind, *map(float, table.loc[kind, ranks])] for kind in kinds_in_order(table.index)]
    words = [
        f"gain of the best update of rank r, nats per answer token, noise taken out ({spectrum.replace('_', ' ')});",
        "of a quadratic model that holds near the weights: to compare kinds by, no forecast",
    ]
    return [*words, *table_lines(["kind", *(f"r = {rank}" for rank in ranks)], rows)]


def records(table: pd.DataFrame) -> list[Row]:
    """A table's rows as plain dictionaries, None where a layer is missing."""
    rows = table.itertuples(index=False, name=None)
    return [
        {name: None if value is pd.NA else value for name, value in zip(table.columns, row, strict=True)}
        for row in rows
    ]


def interval(low: float, high: float) -> str:
    """The ends of an interval of a share."""
    return f"[{low:.3f}, {high:.3f}]" if low == low and high == high else "-"


def verdict_line(profile: SensitivityProfile) -> str:
    """Attention against MLP, in one sentence."""
    found = profile.verdict
    if found is None:
        return "attention against MLP: this model has not both"
    return str(found).replace("mlp", "MLP")
