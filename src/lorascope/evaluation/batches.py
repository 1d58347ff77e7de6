"""Which rows go through the model together: as many as fit into a budget of tokens, longest first. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lorascope.config.evaluation import EvaluationConfig

BATCH_TOKENS = EvaluationConfig.eval_batch_tokens
"""Tokens of a batch where nobody says otherwise."""


def by_tokens(lengths: Sequence[int], budget: int, *, most: int | None = None) -> Iterator[list[int]]:
    """Batches of indices into `lengths`: rows x tokens of the longest row <= `budget`, and at most `most` rows.

    Rows of like length are together, which saves padding; the longest ones come first, so that memory runs out at once
    or never. A row that exceeds the budget is a batch of its own. Each index comes exactly once.
    """
    order = sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True)
    start = 0
    while start < len(order):
        rows = max(1, budget // max(1, lengths[order[start]]))
        end = start + (rows if most is None else min(rows, most))
        yield order[start:end]
        start = end
