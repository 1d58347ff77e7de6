"""BLEU as sacrebleu counts it (Post 2018; Papineni 2002): corpus level, multi-reference, 13a tokens, exp smoothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lorascope.evaluation.metrics.base import Array, Tally, references_of
from lorascope.tasks.base import Example, Task

ORDERS = 4
"""n-grams of one to four tokens."""


def bleu(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """sacrebleu's corpus BLEU, 0 to 100; an example's own score is its sentence BLEU (effective order).

    Trap: a corpus without a single four-token prediction scores 0, even if every word is right.
    """
    from sacrebleu.metrics.bleu import BLEU

    references = references_of(examples)
    one = BLEU(effective_order=True)  # changes a sentence's own score, not the counts
    scores = [one.sentence_score(text, refs) for text, refs in zip(predictions, references, strict=True)]
    corpus = BLEU()
    sizes = {len(refs) for refs in references}
    corpus.num_refs = sizes.pop() if len(sizes) == 1 else -1  # -1 is sacrebleu's "varies"
    facts = [[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in scores]
    return [
        Tally(
            name="bleu",
            unit="0-100",
            higher_is_better=True,
            statistics=np.array(facts, dtype=np.float64),
            finish=corpus_bleu,
            per_example=np.array([s.score for s in scores], dtype=np.float64),
            settings={"signature": str(corpus.get_signature())},
        )
    ]


def corpus_bleu(sums: Array, n: int) -> Array:
    """sacrebleu's `BLEU.compute_bleu` with exp smoothing, for many corpora at once.

    sums: (..., 10): tokens of the predictions, of the closest references, matched n-grams (4), n-grams (4).
    """
    length, reference = sums[..., 0], sums[..., 1]
    matched, total = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS :]
    # An order without a match counts as 1 / 2^i of a match, i being the number of such orders so far.
    smoothed = np.where(matched > 0, matched, 0.5 ** np.cumsum(matched == 0, axis=-1))
    precision = np.log(100 * smoothed / np.maximum(total, 1)).mean(axis=-1)
    brevity = np.minimum(0.0, 1 - reference / np.maximum(length, 1))
    scored = matched.any(axis=-1) & (total > 0).all(axis=-1)
    return np.where(scored, np.exp(precision + brevity), 0.0)
