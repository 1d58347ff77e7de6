"""Exact match: is the answer, letter for letter, one of the right ones?"""

from __future__ import annotations

from collections.abc import Sequence

from lorascope.evaluation.metrics.base import Tally, mean_tally, references_of
from lorascope.tasks.base import Example, Task

RULE = "equal to a reference after white space at both ends is removed; case, quotes and order count"
ADVICE = "a research benchmark, not a production metric: it compares texts of queries; see logical_form and execution"
"""The study's, for WikiSQL, whose small models reach a few per cent."""


def exact_match(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """Share of answers that equal a reference, in percent. Same meaning in other words counts as wrong."""
    hits = [
        text.strip() in {ref.strip() for ref in refs}
        for text, refs in zip(predictions, references_of(examples), strict=True)
    ]
    settings = {"rule": RULE}
    if any("sql" in example.meta for example in examples):
        settings["advice"] = ADVICE
    return [mean_tally("exact_match", [100.0 * hit for hit in hits], unit="%", settings=settings)]
