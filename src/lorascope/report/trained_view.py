"""A finished run's adapters in the terminal: what they change, and what the held-out loss is without them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lorascope.report.profile_view import kinds_of
from lorascope.report.terminal import short, table_lines

Rows = Sequence[Mapping[str, Any]]

MOST = 30
"""Units of a knock-out that are shown; the file has all of them."""


def change_lines(modules: Rows) -> list[str]:
    """By kind: |dW|, |dW| / |W|, and DoRA's magnitude and direction differences, means over modules."""
    rows: list[list[object]] = []
    for kind in kinds_of([dict(row) for row in modules]):
        mine = [row for row in modules if row["projection"] == kind]
        update, base = (sum(row[name] for row in mine) for name in ("update_sq", "base_sq"))
        means = [sum(row[name] for row in mine) / len(mine) for name in ("magnitude", "direction")]
        relative = math.sqrt(update / base) if base else math.nan
        rows.append([kind, len(mine), math.sqrt(update), relative, *means])
    heads = ["kind", "modules", "|dW|", "|dW| / |W|", "magnitude", "direction"]
    words = "how the adapters change their weights; magnitude and direction: of a row, in the mean (DoRA)"
    return [words, *table_lines(heads, rows)]


def knock_out_lines(units: Rows, about: Mapping[str, Any]) -> list[str]:
    """The units in the order of the loss that they cost, the largest first."""
    ordered = sorted(units, key=lambda row: row["value"], reverse=True)
    cells = [
        [row["unit"], row["modules"], f"{row['value']:+.4f}", _ends(row), "" if _decided(row) else "undecided"]
        for row in ordered[:MOST]
    ]
    head = (
        f"loss of {about['rows']:,} rows of {about['split']} with all adapters: {short(about['loss'])} nats per token"
    )
    more = [f"and {len(ordered) - MOST} more that cost less"] if len(ordered) > MOST else []
    return [
        head,
        *table_lines(["without", "modules", "loss rises by", "95 % interval", ""], cells),
        *more,
        "intervals are over rows; knock-outs do not add up, since modules stand in for each other",
    ]


def _ends(row: Mapping[str, Any]) -> str:
    low, high = row["ci_low"], row["ci_high"]
    return f"[{low:+.4f}, {high:+.4f}]" if low == low else "-"


def _decided(row: Mapping[str, Any]) -> bool:
    return bool(row["ci_low"] > 0 or row["ci_high"] < 0)
