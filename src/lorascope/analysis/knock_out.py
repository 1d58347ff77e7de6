"""Which part of a trained adapter a held-out loss needs: the loss without it minus the loss with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from lorascope.analysis.profiles import halves
from lorascope.analysis.statistics import Estimate, Floats, Ints
from lorascope.models.target import TargetModule

Units = Literal["kind", "module"]

BLOCKS = 16
"""Blocks of rows that an error leaves out one by one."""


class Unit(NamedTuple):
    """Adapters that are switched off together."""

    name: str
    paths: tuple[str, ...]


def units(targets: Sequence[TargetModule], what: Units) -> list[Unit]:
    """Every module by itself, or every kind in the early and in the late half of the layers.

    The halves are those of the adapted layers, the middle one early, as in the summary of a run; what lies outside the
    layers is a kind of its own.
    """
    if what == "module":
        return [Unit(target.path, (target.path,)) for target in targets]
    early, _ = halves(sorted({target.layer for target in targets if target.layer is not None}))
    found: dict[str, list[str]] = {}
    for target in targets:
        band = "" if target.layer is None else " early" if target.layer in early else " late"
        found.setdefault(f"{target.projection}{band}", []).append(target.path)
    return [Unit(name, tuple(paths)) for name, paths in found.items()]


def rise(whole: Floats, without: Floats, tokens: Ints) -> Estimate:
    """Rise of the loss in nats per token without each unit: sum of (without - whole) / sum of tokens.

    whole (n,) and without (V, n): nats of every row, tokens (n,). The error leaves out blocks of rows (row i is in
    block i mod BLOCKS). Rows that no block but one would leave make it NaN.
    """
    blocks = min(BLOCKS, len(tokens))
    block = np.arange(len(tokens)) % blocks
    members = np.zeros((blocks, len(tokens)))
    members[block, np.arange(len(tokens))] = 1.0
    lost, counted = (without - whole) @ members.T, members @ tokens  # (V, K), (K,)
    value = lost.sum(axis=1) / counted.sum()
    if blocks < 3:
        return Estimate(value, np.full((len(value), 2), np.nan))
    return Estimate(value, (lost.sum(axis=1, keepdims=True) - lost) / (counted.sum() - counted))
