"""ROUGE-L as the COCO caption scorer counts it (Lin 2004; pycocoevalcap), which the E2E NLG challenge uses."""

from __future__ import annotations

from collections.abc import Sequence

from lorascope.evaluation.metrics.base import Tally, mean_tally, references_of
from lorascope.evaluation.metrics.coco_tokens import coco_tokens
from lorascope.tasks.base import Example, Task

BETA = 1.2
"""Weight of recall over precision."""
SIGNATURE = "fmeasure|beta:1.2|stem:none|tok:ptb-coco|multi:best-p-and-best-r|scorer:pycocoevalcap"


def rouge_l_coco(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """Mean over examples of the F measure of the longest common subsequence, times 100.

    Precision and recall are each the best of all references, which need not be the same one's; so it is higher than
    `rougeL`, and does not compare with it.
    """
    scores = [_score(text, refs) for text, refs in zip(predictions, references_of(examples), strict=True)]
    return [mean_tally("rouge_l_coco", scores, unit="0-100", settings={"signature": SIGNATURE})]


def _score(text: str, references: Sequence[str]) -> float:
    words = coco_tokens(text) or [""]  # the original's: a text without words has one, the empty one
    answers = [coco_tokens(reference) or [""] for reference in references]
    common = [longest_common(words, answer) for answer in answers]
    precision = max(common) / len(words)
    recall = max(size / len(answer) for size, answer in zip(common, answers, strict=True))
    if not precision:
        return 0.0
    return 100 * (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    A row of the usual table is one number: bit i is 0 where the row grows at i (Crochemore 2001; Hyyro 2004), so that
    a row costs one addition.
    """
    places: dict[str, int] = {}
    for i, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << i
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        here = row & places.get(word, 0)
        row = (row + here | row - here) & full
    return len(first) - row.bit_count()
