"""The numbers of the model map: one additive fact of every cell at every frame, small enough to travel in a page.

A cell is a projection in a layer. A part is one kind of fact over all cells and frames, e.g. the squared gradients of
A; frames are blocks of consecutive steps. Whatever the map shows is derived in the reader's browser from sums of parts
(`Score`), so that margins, groups and matrices agree with each other. A run, a probe's profile and a study are sources
of the same map; only their parts and scores differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FRAMES = 300
"""Most frames of a part; more steps than that are joined by block means."""
FRAMES_OF_MANY = 30
"""The same on a page of more than MANY sources."""
MANY = 8

ABSENT, ZERO, SMALLEST, LARGEST, NOT_FINITE = 0, 1, 2, 65534, 65535
"""Codes of 16 bits: not measured; exactly 0; the ends of a logarithmic scale; infinite or not a number."""

FACTS = (("A", "grad_sq", "A"), ("B", "grad_sq", "B"), ("update", "update_sq", "AB"))
"""Part of a run's map, and the score and matrix of its rows in the table."""

KEY = ["stack", "group", "projection", "layer"]
"""What makes a cell."""

ORDER = {
    "group": ["embed", "attention", "mlp", "other", "lm_head"],
    "projection": ["q", "k", "v", "qkv", "o", "gate", "up", "gate_up", "down"],
}
"""Rows of the map in the order of the data flow; names that are not listed follow in the order of the model."""


@dataclass(frozen=True)
class Part:
    """One kind of fact: (C, F) means over the steps of each frame; NaN was not measured, inf is not finite."""

    values: Floats
    first: Ints
    """(F,) first step of each frame."""
    last: Ints
    """(F,) last step of each frame."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """How a number is made of parts: over any set of cells, the root of sum(weight * part) / sum(per).

    Without `per` the sum is not divided, without `root` it stays as it is. `interval`, `above_noise` and `bands`
    describe the whole source, where it knows them; a run does not.
    """

    name: str
    label: str
    unit: str
    hint: str
    """What a reader must know to read it right; "" for nothing."""
    matrices: Mapping[str, Sequence[str]]
    """Choice of the reader -> names of the parts that are added up."""
    weight: Floats | None = None
    """(C,)"""
    per: Mapping[str, Floats] | None = None
    """Name of a part -> (C,)"""
    root: bool = True
    interval: Floats | None = None
    """(C, 2)"""
    above_noise: NDArray[np.bool_] | None = None
    """(C,)"""
    bands: Mapping[str, tuple[float, float]] | None = None
    """Group, or stack, group and projection in one text -> interval of all its cells."""


@dataclass(frozen=True)
class Member:
    """One of several modules of a cell, an expert for instance: its facts over all frames, what they are divided by."""

    module: str
    parts: Mapping[str, float]
    """Name of a part -> mean over frames; NaN was not measured."""
    per: Mapping[str, float]
    """Name of a part -> its share in `Score.per`."""


@dataclass(frozen=True)
class ModelMap:
    """Cells (columns: stack, group, projection, layer, module, modules), their facts, and the scores made of them."""

    cells: pd.DataFrame
    parts: Mapping[str, Part]
    scores: Sequence[Score]
    members: Mapping[int, Sequence[Member]] = field(default_factory=dict)
    """Number of a cell of several modules -> each of them."""


def map_of_run(table: pd.DataFrame, *, frames: int = FRAMES) -> ModelMap:
    """The map of a run from its tidy table: gradients of A and B, and the size of the update beside its weight.

    Frames are means of squares over the steps of a block at which a cell was measured.
    """
    facts = table[table["score"].isin(["grad_sq", "update_sq", "base_sq"])]
    cells = cells_of(facts)
    known = {module: i for i, modules in enumerate(cells["modules"]) for module in modules}
    at = facts["module"].map(known).to_numpy(dtype=np.int64)
    parts, numels = {}, {}
    for name, score, matrix in FACTS:
        rows = ((facts["score"] == score) & (facts["matrix"] == matrix)).to_numpy()
        if rows.any():
            parts[name] = _part(facts[rows], at[rows], len(cells), frames)
            numels[name] = _once(facts[rows], at[rows], len(cells), "numel")
    base = (facts["score"] == "base_sq").to_numpy()
    weights = _once(facts[base], at[base], len(cells), "value")
    scaling = facts.groupby("module", observed=True)["scaling"].agg(["min", "max"])
    scales = [scaling.loc[list(modules)] for modules in cells["modules"]]
    one = np.array([s["min"].iloc[0] if s["min"].min() == s["max"].max() else np.nan for s in scales])
    return ModelMap(cells, parts, _scores(parts, numels, one, weights), _members(facts, cells, frames))


def _members(facts: pd.DataFrame, cells: pd.DataFrame, frames: int) -> dict[int, list[Member]]:
    """The modules of every cell that has several."""
    several = {i: modules for i, modules in enumerate(cells["modules"]) if len(modules) > 1}
    place = {module: i for i, module in enumerate(dict.fromkeys(m for modules in several.values() for m in modules))}
    if not place:
        return {}
    mine = facts[facts["module"].isin(list(place))]
    at = mine["module"].astype(str).map(place).to_numpy(dtype=np.int64)
    base = (mine["score"] == "base_sq").to_numpy()
    weights = _once(mine[base], at[base], len(place), "value")
    means, per = {}, {}
    for name, score, matrix in FACTS:
        rows = ((mine["score"] == score) & (mine["matrix"] == matrix)).to_numpy()
        if rows.any():
            values = _part(mine[rows], at[rows], len(place), frames).values
            finite = np.where(np.isfinite(values), values, 0.0)
            count = np.isfinite(values).sum(axis=1)
            means[name] = np.where(count > 0, finite.sum(axis=1) / np.maximum(count, 1), np.nan)
            per[name] = weights if name == "update" else _once(mine[rows], at[rows], len(place), "numel")
    return {
        i: [
            Member(
                module,
                {name: float(values[place[module]]) for name, values in means.items()},
                {name: float(values[place[module]]) for name, values in per.items()},
            )
            for module in modules
        ]
        for i, modules in several.items()
    }


def _scores(parts: Mapping[str, Part], numels: Mapping[str, Floats], scaling: Floats, base: Floats) -> list[Score]:
    scores = []
    both = {"A and B": [name for name in ("A", "B") if name in parts], "A": ["A"], "B": ["B"]}
    gradients = {label: names for label, names in both.items() if names and set(names) <= set(parts)}
    if gradients:
        scores.append(
            Score(
                name="rms", label="gradient per parameter (RMS)", unit="nats per token", hint="size taken out",
                matrices=gradients, per={name: numels[name] for name in ("A", "B") if name in parts},
            )
        )  # fmt: skip
    if "update" in parts and np.all(np.isfinite(base)) and np.all(base > 0):
        scores.append(
            Score(
                name="update", label="relative update |dW| / |W|", unit="", hint="how far the weights moved",
                matrices={"B A": ["update"]}, per={"update": base},
            )
        )  # fmt: skip
    if gradients and np.all(np.isfinite(scaling)):
        scores.append(
            Score(
                name="per_scaling", label="gradient norm x r / alpha", unit="nats per token",
                hint="depends on rank and width", matrices=gradients, weight=scaling**-2,
            )
        )  # fmt: skip
    if gradients:
        scores.append(
            Score(
                name="raw", label="raw gradient norm (L2)", unit="nats per token",
                hint="depends on alpha, rank, width", matrices=gradients,
            )
        )  # fmt: skip
    return scores


def cells_of(facts: pd.DataFrame) -> pd.DataFrame:
    """The cells of a table with `module` and the columns of KEY, in the order of the data flow.

    Layer is None outside the layers. A fused module is in a cell for each of its projections.
    """
    modules = facts[["module", *KEY]].drop_duplicates(["module", "projection"]).reset_index(drop=True)
    for column in ("module", "stack", "group", "projection"):
        modules[column] = modules[column].astype(str)
    for column, known in ORDER.items():
        places = [*known, *(name for name in modules[column].unique() if name not in known)]
        modules[f"{column} at"] = modules[column].map({name: i for i, name in enumerate(places)})
    modules["layer at"] = modules["layer"].astype(object).map(lambda layer: -1 if pd.isna(layer) else int(layer))
    modules = modules.sort_values(["stack", "group at", "projection at", "layer at"], ascending=[False, *[True] * 3])
    rows = []
    for key, members in modules.groupby(["stack", "group", "projection", "layer at"], sort=False):
        layer = int(members["layer at"].iloc[0])
        rows.append(
            {**dict(zip(KEY, key, strict=True)), "layer": None if layer < 0 else layer,
             "module": members["module"].iloc[0], "modules": tuple(members["module"])}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["stack", "group", "projection", "layer", "module", "modules"], dtype=object)


def _part(rows: pd.DataFrame, at: Ints, count: int, frames: int) -> Part:
    """Sum over the modules of a cell, then the mean over the measured steps of a frame."""
    steps, step = np.unique(rows["step"].to_numpy(), return_inverse=True)
    size = max(1, -(-len(steps) // frames))
    place = at * len(steps) + step
    value = rows["value"].to_numpy(dtype=float)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.bincount(place, weights=value, minlength=count * len(steps)).reshape(count, -1)
        there = np.bincount(place, minlength=count * len(steps)).reshape(count, -1) > 0
        starts = np.arange(0, len(steps), size)
        total = np.add.reduceat(np.where(there, sums, 0.0), starts, axis=1)
        measured = np.add.reduceat(there, starts, axis=1, dtype=np.int64)
        means = np.where(measured > 0, total / np.maximum(measured, 1), np.nan)
    means[(measured > 0) & ~np.isfinite(means)] = np.inf
    return Part(means, steps[starts], steps[np.minimum(starts + size, len(steps)) - 1])


def _once(rows: pd.DataFrame, at: Ints, count: int, column: str) -> Floats:
    """A number of every module that does not change over steps, added up over the modules of each cell."""
    first = rows.assign(at=at).drop_duplicates("module")
    sums: Floats = np.bincount(first["at"], weights=first[column].to_numpy(dtype=float), minlength=count).astype(float)
    return sums


def encode(found: ModelMap) -> tuple[dict[str, Any], bytes]:
    """The map as plain data and bytes. A part is two planes of C x F bytes, the high bytes of its codes first.

    A part of one frame travels as plain numbers instead: it may be negative.
    code = 2 + 65532 * log(value / low) / log(high / low), rounded: the root of a value is kept to 2e-4 over 20 decades.
    """
    parts: dict[str, Any] = {}
    blob = b""
    for name, part in found.parts.items():
        if part.values.shape[1] == 1 and not np.isinf(part.values).any():
            parts[name] = {
                "values": _short(part.values[:, 0]),
                "first": part.first.tolist(),
                "last": part.last.tolist(),
            }
            continue
        positive = part.values[np.isfinite(part.values) & (part.values > 0)]
        low, high = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 1.0)
        span = np.log(high / low) or 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = SMALLEST + (LARGEST - SMALLEST) * np.log(part.values / low) / span
        codes = np.where(np.isfinite(scaled), np.rint(scaled), 0.0).astype(np.uint16)
        codes[part.values == 0] = ZERO
        codes[np.isnan(part.values)] = ABSENT
        codes[np.isinf(part.values)] = NOT_FINITE
        parts[name] = {"low": low, "span": float(span), "at": len(blob), "first": part.first.tolist(),
                       "last": part.last.tolist()}  # fmt: skip
        blob += (codes >> 8).astype(np.uint8).tobytes() + (codes & 255).astype(np.uint8).tobytes()
    cells = found.cells.drop(columns="modules").assign(modules=[len(names) for names in found.cells["modules"]])
    return {
        "cells": cells.to_dict("records"),
        "parts": parts,
        "scores": [_plain(score) for score in found.scores],
        "members": {str(i): [_plain_member(member) for member in members] for i, members in found.members.items()},
    }, blob


def _plain_member(member: Member) -> dict[str, Any]:
    parts, per = ({name: float(f"{value:.5g}") for name, value in each.items()} for each in (member.parts, member.per))
    return {"module": member.module, "parts": parts, "per": per}


def _plain(score: Score) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": score.name, "label": score.label, "unit": score.unit, "hint": score.hint, "root": score.root,
        "matrices": [{"label": label, "parts": list(parts)} for label, parts in score.matrices.items()],
    }  # fmt: skip
    if score.weight is not None:
        out["weight"] = _short(score.weight)
    if score.per is not None:
        out["per"] = {name: _short(values) for name, values in score.per.items()}
    if score.interval is not None:
        out["interval"] = [_short(pair) for pair in score.interval]
    if score.above_noise is not None:
        out["above"] = score.above_noise.tolist()
    if score.bands is not None:
        out["bands"] = {name: _short(np.array(ends)) for name, ends in score.bands.items()}
    return out


def _short(values: Floats) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def curve(points: Sequence[Sequence[float | None]], *, frames: int = FRAMES) -> list[list[float | None]]:
    """[step, value] pairs, joined by block means where there are more than `frames`; [last step of the block, mean]."""
    size = max(1, -(-len(points) // frames))
    out: list[list[float | None]] = []
    for start in range(0, len(points), size):
        block = points[start : start + size]
        there = [float(value) for _, value in block if value is not None and np.isfinite(value)]
        mean = sum(there) / len(there) if len(there) == len(block) else None  # a hole stays a hole
        out.append([block[-1][0], mean if mean is None else float(f"{mean:.6g}")])
    return out
