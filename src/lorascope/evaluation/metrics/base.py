"""What a metric gives: facts per example that add up, and the formula that makes a number of their sum.

Legend: n examples, k facts per example. A corpus score is a formula of summed facts, never a mean of scores unless the
metric is defined as one; so a bootstrap over examples is one matrix product, and exact for BLEU as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorascope.errors import DataError
from lorascope.tasks.base import Example, Task

Array = NDArray[np.float64]

Finish = Callable[[Array, int], Array]
"""(sums of the facts (..., k), number of examples they were summed over) -> scores (...)."""

DRAWS_AT_ONCE = 4_000_000
"""Numbers that one block of bootstrap draws holds: 32 MB."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """One named number of a metric, before its facts are summed."""

    name: str
    """Key of the number in an evaluation: "bleu", "rouge1"."""
    unit: str
    """Unit or range: "0-100", "%", "nats per answer token"."""
    higher_is_better: bool
    statistics: Array
    """Facts (n, k) that add up over examples."""
    finish: Finish
    per_example: Array
    """Score of each example alone (n,), in the same unit."""
    settings: Mapping[str, Any]
    """What somebody needs who wants the same number: signature, tokenisation, rule."""
    version: int = 1
    """Raised whenever the same answers would get another number."""

    @property
    def value(self) -> float:
        """The score of all examples together."""
        return float(self.finish(self.statistics.sum(axis=0), len(self.statistics)))


Metric = Callable[[Sequence[str], Sequence[Example], Task], list[Tally]]
"""(predictions, their examples, the task) -> one or more named numbers. Never raises for what a prediction says."""


def mean(sums: Array, n: int) -> Array:
    """The mean of the first fact: the formula of every metric that is defined as a mean over examples."""
    result: Array = sums[..., 0] / n
    return result


def mean_tally(name: str, scores: Sequence[float], *, unit: str, settings: Mapping[str, Any]) -> Tally:
    """The tally of a metric that is the mean of a score per example, where higher is better."""
    values = np.asarray(scores, dtype=np.float64)
    return Tally(
        name=name,
        unit=unit,
        higher_is_better=True,
        statistics=values[:, None],
        finish=mean,
        per_example=values,
        settings=settings,
    )


def references_of(examples: Sequence[Example]) -> list[list[str]]:
    """The right answers of every example; a DataError for an example that has none."""
    for example in examples:
        if not example.references:
            raise DataError("no-reference", f"example {example.id} has no reference to score an answer against")
    return [list(example.references) for example in examples]


def bootstrap_ci(
    statistics: Array, finish: Finish, *, rng: np.random.Generator, n_boot: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a score over examples: (low, high), in the score's unit.

    statistics: (n, k). Every draw takes n examples with replacement, sums their facts and applies `finish`, so that the
    interval belongs to the corpus score itself. One example says nothing about the spread between examples: with n = 1
    both ends are NaN. Efron and Tibshirani 1993, chapter 13.
    """
    n = len(statistics)
    if n < 2:
        return float("nan"), float("nan")
    rows = max(1, DRAWS_AT_ONCE // n)
    scores = []
    for start in range(0, n_boot, rows):
        count = min(rows, n_boot - start)
        drawn = rng.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n)
        scores.append(finish(weights.astype(np.float64) @ statistics, n))
    low, high = np.quantile(np.concatenate(scores), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
