"""A profile and an allocation in a notebook: static HTML without script, whose tables read without their colours.

Sites that show notebooks strip styles, and themes change one colour of two: so every number stands in its cell, and
where a background is set, so is the colour on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from lorascope.analysis.sensitivity import COMPARED, SensitivityProfile
from lorascope.config.allocation import Allocation
from lorascope.report.profile_view import Row, digits, interval, kinds_of, records, verdict_line
from lorascope.report.terminal import short

FRAME = '<div style="background:var(--jp-layout-color0,#fff);color:var(--jp-ui-font-color1,#1b1f24);padding:4px 8px">'
SHADES = (
    "#fee838", "#e3cd56", "#c4b468", "#a79c73", "#8c8878", "#757579", "#5e626e", "#43516c", "#22406c", "#00224e",
)  # fmt: skip
"""Cividis reversed, as on the report page: little to much, for ten digits."""
_DARK_FROM = 5
"""From this digit on the letters are white: contrast 4.5 or more with either."""
_PLACE = re.compile(r"(?P<before>.*?)\.(?P<layer>\d+)\.(?P<kind>.+)")


def profile_html(profile: SensitivityProfile) -> str:
    """The verdict, the model map as a table of digits, a table of shares with intervals."""
    about = profile.about
    head = f"{about.get('model', 'model')} on {about.get('dataset', 'examples')}: {profile.n} batches"
    rows = [row for row in records(profile.table(by="part")) if row["layer"] is not None]
    parts = [f"<p><strong>{escape(verdict_line(profile))}</strong><br>{escape(head)}</p>"]
    for stack in dict.fromkeys(row["stack"] for row in rows):
        parts.append(_map([row for row in rows if row["stack"] == stack], str(stack)))
    if rows:
        parts.append("<p>Signal per parameter, 0-9 on a log scale; . not above noise</p>")
    return f"{FRAME}{''.join(parts)}{_shares(profile)}</div>"


def allocation_html(allocation: Allocation) -> str:
    """What was asked and used, and every rank: kinds by layers."""
    left = allocation.budget_params - allocation.used_params
    head = (
        f"{allocation.method} on {allocation.base_model}: {allocation.used_params:,} trained parameters of "
        f"{allocation.budget_params:,} asked for, {left:,} left"
    )
    cells: dict[tuple[str, int], str] = {}
    outside = []
    for path, rank in allocation.ranks.items():
        place = _PLACE.fullmatch(path)
        if place is None:
            outside.append((path, rank))
        else:
            cells[f"{place['before']}.*.{place['kind']}", int(place["layer"])] = str(rank) if rank else "-"
    table = _table(sorted({layer for _, layer in cells}), list(dict.fromkeys(kind for kind, _ in cells)), cells, {})
    more = "".join(f"<p>{escape(path)}: rank {rank}</p>" for path, rank in outside)
    words = "<p>Ranks by layer; - no adapter</p>" if cells else ""
    return f"{FRAME}<p><strong>{escape(head)}</strong></p>{table if cells else ''}{more}{words}</div>"


def _map(rows: Sequence[Row], stack: str) -> str:
    marks = digits(rows)
    shades = {mark: _shade(mark) for mark in set(marks.values())}
    return _table(sorted({layer for _, layer in marks}), kinds_of(rows), marks, shades, corner=f"{stack}, layer")


def _shade(mark: str) -> str:
    if not mark.isdigit():
        return ""
    return f' style="background:{SHADES[int(mark)]};color:{"#fff" if int(mark) >= _DARK_FROM else "#000"}"'


def _table(
    layers: Sequence[int],
    kinds: Sequence[str],
    cells: dict[tuple[str, int], str],
    shades: dict[str, str],
    *,
    corner: str = "layer",
) -> str:
    rows = [_row("th", [escape(corner), *map(str, layers)])]
    for kind in kinds:
        marks = [cells.get((kind, layer), "") for layer in layers]
        body = "".join(f"<td{shades.get(mark, '')}>{mark}</td>" for mark in marks)
        rows.append(f"<tr><th>{escape(kind)}</th>{body}</tr>")
    return f"<table>{''.join(rows)}</table>"


def _shares(profile: SensitivityProfile) -> str:
    """A row for each kind and both groups."""
    found = [row for row in records(profile.table(by="projection", scale="share")) if row["group"] in COMPARED]
    groups = [row for row in records(profile.table(by="group", scale="share")) if row["group"] in COMPARED]
    by_kind = {row["projection"]: row for row in found}
    named = [(kind, by_kind[kind]) for kind in kinds_of(found)] + [(row["group"], row) for row in groups]
    if not named:
        return ""
    rows = [
        [escape(name), short(row["value"]), interval(row["ci_low"], row["ci_high"]), f"{row['above']} of {row['of']}"]
        for name, row in named
    ]
    head = _row("th", ["share of the signal per parameter", "", "95 % interval", "above noise"])
    return f"<table>{head}{''.join(_row('td', row) for row in rows)}</table>"


def _row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>"
