"""What an evaluation is: scores with intervals, what they were computed from, and the samples themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lorascope import __version__
from lorascope.evaluation.metrics import FROM_MODEL, find_metric
from lorascope.evaluation.metrics.base import Tally, bootstrap_ci
from lorascope.tasks.base import Task
from lorascope.tasks.split import EvaluationData

N_BOOT = 1000
"""Bootstrap draws behind an interval."""
BOOT_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number with its 95 % bootstrap interval over examples."""

    value: float
    ci_low: float
    """NaN, like `ci_high`, where a single example was scored: nothing is known about the spread."""
    ci_high: float
    unit: str
    higher_is_better: bool


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good answers are on a task."""

    dataset: str
    version: int
    """Version of the task: scores of different versions do not compare."""
    split: str
    n: int
    """Examples evaluated."""
    total: int
    """Examples of the whole split."""
    metrics: dict[str, Score]
    settings: dict[str, Any]
    """Everything that somebody needs who wants the same numbers."""
    samples: list[dict[str, Any]]
    """One per example: id, prompt, references, prediction (unless nothing was asked), scores {metric: value}."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON shape: dataset, split, n, metrics, settings; a number that is not finite becomes None."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "n": self.n,
            "metrics": {name: {k: _finite(v) for k, v in asdict(s).items()} for name, s in self.metrics.items()},
            "settings": self.settings,
        }


def assemble(
    task: Task,
    data: EvaluationData,
    predictions: Sequence[str] | None,
    *,
    settings: Mapping[str, Any],
    tallies: Sequence[Tally] = (),
    suffix: str = "",
) -> Evaluation:
    """Score predictions, one per example of `data` and in its order, with the task's metrics.

    None for `predictions` where nothing was asked: `tallies` alone count. `settings` tell how the predictions came
    about, `tallies` are numbers that come from the model itself (answer loss, likelihood). `suffix` is put behind the
    names of the predictions' scores, where these do not compare with others of the metric. Every metric is resampled
    with the same draws, so that the intervals of several evaluations of the same examples compare.
    """
    counted: list[Tally] = []
    if predictions is not None:
        asked = [name for name in task.metrics if name not in FROM_MODEL]
        judged = [tally for name in asked for tally in find_metric(name)(predictions, data.examples, task)]
        counted += [replace(tally, name=tally.name + suffix) for tally in judged]
    counted += tallies
    scores = [dict[str, float | None]() for _ in data.examples]
    for tally in counted:
        for mine, value in zip(scores, tally.per_example.tolist(), strict=True):
            mine[tally.name] = _finite(value)
    return Evaluation(
        dataset=task.name,
        version=task.version,
        split=data.split,
        n=len(data.examples),
        total=data.total,
        metrics={tally.name: _score(tally) for tally in counted},
        settings={
            "lorascope": __version__,
            "task_version": task.version,
            "examples": {"evaluated": len(data.examples), "in_split": data.total, "chosen": data.chosen},
            "data": {**data.provenance, "notes": list(data.notes)},
            **settings,
            "interval": f"95 %, percentile bootstrap over examples, {N_BOOT} draws, seed {BOOT_SEED}",
            "metrics": {tally.name: {"version": tally.version, **tally.settings} for tally in counted},
        },
        samples=[
            {"id": e.id, "prompt": e.prompt, "references": list(e.references), **said, "scores": mine}
            for e, said, mine in zip(data.examples, _said(predictions, len(data.examples)), scores, strict=True)
        ],
    )


def _said(predictions: Sequence[str] | None, n: int) -> list[dict[str, str]]:
    return [{}] * n if predictions is None else [{"prediction": text} for text in predictions]


def _score(tally: Tally) -> Score:
    low, high = bootstrap_ci(tally.statistics, tally.finish, rng=np.random.default_rng(BOOT_SEED), n_boot=N_BOOT)
    return Score(value=tally.value, ci_low=low, ci_high=high, unit=tally.unit, higher_is_better=tally.higher_is_better)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
