"""BLEU as the E2E NLG challenge counts it: mteval-v13a's, corpus level, against all references of an input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lorascope.evaluation.metrics.base import Array, Tally, references_of
from lorascope.evaluation.metrics.mteval import matched, mteval_tokens, ngrams, totals
from lorascope.tasks.base import Example, Task

ORDERS = 4
SIGNATURE = "tok:mteval-13a|case:lc-ascii|smooth:exp|refs:all|length:closest|scorer:e2e-metrics"


def bleu_e2e(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """The challenge's BLEU times 100 (Papineni 2002). Unlike sacrebleu's default it does not count case.

    The scorer's --python gives the same wherever each order has a match; where none has, it gives 0.
    """
    facts = np.array(
        [_facts(text, refs) for text, refs in zip(predictions, references_of(examples), strict=True)], dtype=np.float64
    )
    return [
        Tally(
            name="bleu_e2e",
            unit="0-100",
            higher_is_better=True,
            statistics=facts,
            finish=mteval_bleu,
            per_example=mteval_bleu(facts, 1),
            settings={"signature": SIGNATURE},
        )
    ]


def _facts(text: str, references: Sequence[str]) -> list[int]:
    """[tokens, tokens of the reference closest in length (the shorter of two), matched n-grams (4), n-grams (4)]."""
    tokens, answers = mteval_tokens(text), [mteval_tokens(reference) for reference in references]
    hits = [0] * ORDERS
    for gram, count in matched(ngrams(tokens, ORDERS), [ngrams(answer, ORDERS) for answer in answers]).items():
        hits[len(gram) - 1] += count
    lengths = [len(answer) for answer in answers if answer] or [0]
    closest = min(lengths, key=lambda length: (abs(length - len(tokens)), length))
    return [len(tokens), closest, *hits, *totals(len(tokens), ORDERS)]


def mteval_bleu(sums: Array, n: int) -> Array:
    """mteval's score, 0 to 100, for many corpora at once. sums: (..., 10), as `_facts` gives them.

    The k-th order without a match counts as 1 / 2^k of a match. An order of which there is no n-gram at all counts as
    right: a perfect answer of two words scores 100, where sacrebleu gives 0.
    """
    length, reference = sums[..., 0], sums[..., 1]
    hits, total = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS :]
    missed = (hits == 0) & (total > 0)
    smoothed = np.where(missed, 0.5 ** np.cumsum(missed, axis=-1), hits)
    precision = np.log(np.where(total > 0, smoothed, 1) / np.maximum(total, 1)).mean(axis=-1)
    brevity = np.minimum(0.0, 1 - reference / np.maximum(length, 1))
    return np.where(length > 0, 100 * np.exp(precision + brevity), 0.0)
