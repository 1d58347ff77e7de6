"""The calibration batches of a probe: training rows drawn at random, no two of one group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lorascope.errors import DataError
from lorascope.measure.probing.gradients import Batch
from lorascope.tasks.base import Example
from lorascope.training.batching import collate
from lorascope.training.encoding import Encoded, encode
from lorascope.training.rows import loss_tokens

TOO_FEW = "too-few-rows"
"""Code of the error for rows that make fewer than two batches."""


class Drawn(NamedTuple):
    """The batches of a probe."""

    batches: list[list[Batch]]
    notes: list[str]
    """What the user should know."""
    prompt_tokens: float
    """Mean tokens of a row before its (last) answer."""
    answer_tokens: float
    """Mean tokens of a row that carry the loss."""


def draw_batches(
    examples: Sequence[Example],
    tokenizer: Any,
    *,
    count: int,
    batch_size: int,
    grad_accum: int,
    max_length: int,
    loss_on: str,
    seed: int,
) -> Drawn:
    """Batches of rows drawn at random, no two rows of one group.

    DataError where there are not two batches of `batch_size` x `grad_accum` rows.
    """
    rows_each = batch_size * grad_accum
    chosen = choose(examples, count * rows_each, seed)
    rows, left_out = encode(chosen, tokenizer, max_length)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    there = min(count, len(rows) // rows_each)
    if there < 2:
        raise DataError(
            TOO_FEW,
            f"{len(rows)} rows of different groups make {there} batches of {rows_each}; a probe needs at least two",
            f"--batch_size {max(1, len(rows) // 16)}",
            "more rows",
        )
    notes = []
    if left_out:
        notes.append(f"{len(left_out)} rows left out: their answer alone is longer than {max_length} tokens")
    cut = sum(row.cut_tokens > 0 for row in rows)
    if cut:
        notes.append(f"{cut} of {len(rows)} rows cut at {max_length} tokens")
    if there < count:
        notes.append(f"{len(rows):,} rows of different groups make {there} batches, fewer than {count}")
    cuts = (rows[i * rows_each : (i + 1) * rows_each] for i in range(there))
    used = rows[: there * rows_each]
    return Drawn(
        batches=[make_batch(some, batch_size, pad, loss_on) for some in cuts],
        notes=notes,
        prompt_tokens=float(np.mean([row.prompt_tokens for row in used])),
        answer_tokens=float(np.mean(loss_tokens(used, loss_on))),
    )


def choose(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """At most `count` examples in random order, one of each group: batches must not share what they have in common."""
    chosen, seen = [], set()
    for i in np.random.default_rng(seed).permutation(len(examples)):
        example = examples[int(i)]
        if example.group not in seen:
            seen.add(example.group)
            chosen.append(example)
            if len(chosen) == count:
                break
    return chosen


def make_batch(rows: Sequence[Encoded], size: int, pad_id: int, loss_on: str) -> list[Batch]:
    """Rows as micro-batches of rows of similar length."""
    ordered = sorted(rows, key=lambda row: len(row.input_ids))
    return [collate(ordered[i : i + size], pad_id, loss_on) for i in range(0, len(ordered), size)]
