"""NIST as the E2E NLG challenge counts it: n-grams weighted by their information, mteval-v13a's (Doddington 2002)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from lorascope.evaluation.metrics.base import Array, Tally, references_of
from lorascope.evaluation.metrics.mteval import Ngram, matched, mteval_tokens, ngrams, totals
from lorascope.tasks.base import Example, Task

ORDERS = 5
BETA = -math.log(0.5) / math.log(1.5) ** 2
"""An output of two thirds of the references' length has its score halved."""
SIGNATURE = "tok:mteval-13a|case:lc-ascii|orders:5|refs:all|length:mean|scorer:e2e-metrics"
WEIGHTS = "from the references of the examples evaluated, kept fixed in the bootstrap"


def nist_e2e(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """The challenge's NIST: 0 and up, in bits; the information of an output's n-grams that its references have.

    Trap: the weights come from the evaluated references, so that scores of a subset do not compare with those of the
    whole split. The settings have the score of the scorer's --python too, which averages the references' lengths
    by input where mteval divides sums; they differ where outputs are shorter than references.
    """
    answers = [[mteval_tokens(reference) for reference in refs] for refs in references_of(examples)]
    counted = [[ngrams(tokens, ORDERS) for tokens in refs] for refs in answers]
    weights = information(sum(len(tokens) for refs in answers for tokens in refs), counted)
    facts = np.zeros((len(examples), 2 * ORDERS + 2))
    for row, text, refs, grams in zip(facts, predictions, answers, counted, strict=True):
        tokens = mteval_tokens(text)
        for gram, count in matched(ngrams(tokens, ORDERS), grams).items():
            row[len(gram) - 1] += weights[gram] * count
        row[ORDERS:] = [*totals(len(tokens), ORDERS), sum(map(len, refs)), sum(1 for tokens in refs if tokens)]
    by_input = float((facts[:, -2] / np.maximum(facts[:, -1], 1)).sum())
    return [
        Tally(
            name="nist_e2e",
            unit="bits, 0 and up",
            higher_is_better=True,
            statistics=facts,
            finish=mteval_nist,
            per_example=mteval_nist(facts, 1),
            settings={
                "signature": SIGNATURE,
                "weights": WEIGHTS,
                "with_python_option": float(_score(facts.sum(axis=0), np.float64(by_input))),
            },
        )
    ]


def information(words: int, references: Sequence[Sequence[Counter[Ngram]]]) -> Mapping[Ngram, float]:
    """Bits of every n-gram of the references: log2 of how often its beginning occurs over how often it does.

    words: tokens of all references; the beginning of a single word is any word.
    """
    together: Counter[Ngram] = Counter()
    for refs in references:
        for counts in refs:
            together.update(counts)
    return {
        gram: math.log2((together[gram[:-1]] if len(gram) > 1 else words) / count) for gram, count in together.items()
    }


def mteval_nist(sums: Array, n: int) -> Array:
    """mteval's score for many corpora at once.

    sums: (..., 12): bits of the matched n-grams (5), n-grams (5), tokens of all references, number of references.
    """
    mean_references = np.maximum(sums[..., -1], 1) / n
    return _score(sums, sums[..., -2] / mean_references)


def _score(sums: Array, reference: Array | np.float64) -> Array:
    """The score where the outputs have the length that `sums` tell and the references that of `reference`."""
    bits, total = sums[..., :ORDERS], sums[..., ORDERS : 2 * ORDERS]
    ratio = np.clip(total[..., 0] / np.maximum(reference, 1e-9), 1e-300, 1)
    penalty: Array = np.exp(-BETA * np.log(ratio) ** 2)
    return penalty * (bits / np.maximum(total, 1)).sum(axis=-1)
