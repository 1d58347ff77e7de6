"""Rows of several tasks whose prompts and answers are of like length, so that a difference is not one of length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lorascope.errors import DataError
from lorascope.runs.probe_batches import choose
from lorascope.tasks.base import Example
from lorascope.training.encoding import encode
from lorascope.training.rows import loss_tokens

PER_DOUBLING = 2
"""Bins of length for every doubling: lengths in one differ by a factor of at most 1.41."""
MOST = 5000
"""Rows of a task that are looked at."""


def match_lengths(
    tasks: Sequence[Sequence[Example]], tokenizer: Any, *, max_length: int, loss_on: str, seed: int
) -> list[list[Example]]:
    """For each task as many rows of every bin of (prompt tokens, answer tokens) as the task with the fewest has there.

    No two rows of a task share a group. DataError where no bin has rows of all tasks.
    """
    binned = [_binned(choose(examples, MOST, seed), tokenizer, max_length, loss_on) for examples in tasks]
    common = set.intersection(*(set(bins) for bins in binned))
    rng = np.random.default_rng(seed)
    chosen: list[list[Example]] = [[] for _ in tasks]
    for key in sorted(common):
        count = min(len(bins[key]) for bins in binned)
        for mine, bins in zip(chosen, binned, strict=True):
            mine += [bins[key][int(i)] for i in rng.permutation(len(bins[key]))[:count]]
    if not chosen[0]:
        raise DataError(
            "no-like-lengths",
            "no prompts and answers of these tasks are of like length",
            "leave --match_lengths out, and look at the lengths beside the shares",
        )
    return chosen


def _binned(
    examples: Sequence[Example], tokenizer: Any, max_length: int, loss_on: str
) -> dict[tuple[int, int], list[Example]]:
    rows, _ = encode(examples, tokenizer, max_length)
    by_id = {example.id: example for example in examples}
    found: dict[tuple[int, int], list[Example]] = {}
    for row, answer in zip(rows, loss_tokens(rows, loss_on), strict=True):
        found.setdefault((_bin(row.prompt_tokens), _bin(answer)), []).append(by_id[row.id])
    return found


def _bin(length: int) -> int:
    return math.floor(PER_DOUBLING * math.log2(max(1, length)))
