"""The types of a task. One task is one file beside this one; no torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
"""One row as the official file has it (WikiSQL: the question row with its table under "table")."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One thing to learn or to answer. Training and evaluation use the same prompt."""

    id: str
    """Stable within a split: a file's own id, or the row's number from 0."""
    prompt: str
    """Everything before the answer, up to and including the last newline."""
    target: str
    """The answer without end-of-sequence."""
    references: tuple[str, ...]
    """Every right answer; the target alone where the data has one."""
    group: str
    """Rows of one group never part between training and validation (E2E: the meaning representation, …)."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What a metric needs besides text (WikiSQL: table and sql dict)."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task: how rows are read, how they become examples, how answers are judged."""

    name: str
    title: str
    version: int
    """Raised whenever a prompt, a target or a reading rule changes: scores of different versions do not compare."""
    read: Callable[[Path, str], list[Row]]
    """(folder, split) -> rows in file order; split is train, validation or test. Raises DataError."""
    to_examples: Callable[[Sequence[Row]], list[Example]]
    """Rows -> training examples, one per row, in order."""
    to_evaluation: Callable[[Sequence[Row]], list[Example]]
    """Rows -> evaluation examples in the official order (E2E: one per distinct meaning representation)."""
    evaluation_split: str
    """Split that is evaluated after training: test, or validation where test has no labels."""
    metrics: tuple[str, ...]
    max_length: int
    """Default of data.max_length, in tokens."""
    max_new_tokens: int
    """Default of evaluation.max_new_tokens."""
    official_counts: Mapping[str, int]
    """Published rows per split."""
    labels: tuple[str, ...] = ()
    """The closed set of answers of a classification task."""
    stop: str = "\n"
    """An answer ends before this text at the latest (after end-of-sequence, which comes first)."""
