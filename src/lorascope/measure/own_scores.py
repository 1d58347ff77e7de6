"""Scores from outside: facts about a module that another package computes, measured beside ours at every step.

    @register(unit="loss", source="Lee 2019, arxiv.org/abs/1810.02340")
    def importance(t: LoraTensors) -> Tensor:
        return (t.A * t.grad_A).abs().sum() + (t.B * t.grad_B).abs().sum()

A score is a sum over a module's numbers, so that the scores of modules add up. It stands in the tidy table under its
name, with matrix "AB"; views and summary are of gradient norms and do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lorascope import registry
from lorascope.errors import ConfigError
from lorascope.measure.meter import pairs, whole
from lorascope.measure.records import ABSENT, RUN_SCORES, Column, Floats
from lorascope.models.adapters import AdapterTensor

OURS = ("grad_sq", "weight_sq", "update_sq", "base_sq", *RUN_SCORES)
ENTRY_POINTS = "lorascope.scores"
"""The entry points of this group in other packages are Scores, each under its own name."""


class LoraTensors(NamedTuple):
    """The matrices of one module and their gradients: whole, over all processes, unscaled and not clipped.

    A (r, in), B (out, r); of E experts A is (E r, in), expert by expert, and B (out, r E), rank by rank.
    """

    A: Tensor
    B: Tensor
    grad_A: Tensor
    grad_B: Tensor
    scaling: float
    """What B A is multiplied with: alpha / r."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score."""

    name: str
    unit: str
    source: str
    """Where it is from: a paper, in a few words."""
    function: Callable[[LoraTensors], Tensor]
    """One module -> one number: a tensor without dimensions. Called without autograd."""


SCORES: dict[str, Score] = {}
"""The registered scores by name; all of them are measured."""


def register(*, unit: str, source: str) -> Callable[[Callable[[LoraTensors], Tensor]], Score]:
    """Make a score known by the name of its function; a decorator. ConfigError where the name is taken."""

    def put(function: Callable[[LoraTensors], Tensor]) -> Score:
        score = Score(name=function.__name__, unit=unit, source=source, function=function)
        return registry.put(SCORES, score.name, _accept(score.name, score), "score")

    return put


def extend() -> dict[str, registry.Broken]:
    """Register the scores of all installed packages; returns those that cannot be used."""
    return registry.extend(SCORES, "score", group=ENTRY_POINTS, accept=_accept)


def columns(tensors: Sequence[AdapterTensor], scores: Sequence[Score]) -> list[Column]:
    """A column for each score of each module: score after score."""
    return [
        Column(
            *(A.module.path, A.module.layer, A.module.stack, A.module.projection, A.module.group, "AB", score.name),
            A.parameter.numel() + B.parameter.numel(),
            float(A.scaling),
            A.r,
        )
        for score in scores
        for A, B in pairs(tensors)
    ]


@torch.no_grad()
def row(tensors: Sequence[AdapterTensor], scores: Sequence[Score]) -> Floats:
    """The scores at this moment, in the order of `columns`; ABSENT for a module without a gradient.

    Every process must call this: sharded tensors are put together.
    """
    values = []
    modules = [_tensors(A, B) for A, B in pairs(tensors)] if scores else []
    for score in scores:
        for module in modules:
            value = torch.tensor(ABSENT) if module is None else score.function(module)
            if value.ndim:
                raise ConfigError(
                    "score-value", f"score {score.name!r} must give one number for a module, got {tuple(value.shape)}"
                )
            values.append(value.detach().double().cpu())
    return np.array([float(value) for value in values], dtype=np.float64)


def _tensors(A: AdapterTensor, B: AdapterTensor) -> LoraTensors | None:
    if A.parameter.grad is None or B.parameter.grad is None:
        return None
    return LoraTensors(
        A=whole(A.parameter),
        B=whole(B.parameter),
        grad_A=whole(A.parameter.grad),
        grad_B=whole(B.parameter.grad),
        scaling=float(A.scaling),
    )


def _accept(name: str, value: object) -> Score:
    if not isinstance(value, Score):
        raise ConfigError("broken-plugin", f"it is no lorascope.measure.own_scores.Score but {type(value).__name__}")
    if value.name != name:
        raise ConfigError("broken-plugin", f"the score calls itself {value.name!r}; both names must be the same")
    if name in OURS:
        raise ConfigError("name-taken", f"{name!r} is a fact that lorascope measures itself", "give it another name")
    return value
