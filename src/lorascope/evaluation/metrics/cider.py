"""CIDEr as the COCO caption scorer counts it (Vedantam 2015; pycocoevalcap's CIDEr-D), as in the E2E NLG challenge."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from lorascope.evaluation.metrics.base import Tally, mean_tally, references_of
from lorascope.evaluation.metrics.coco_tokens import coco_tokens
from lorascope.evaluation.metrics.mteval import Ngram, ngrams
from lorascope.tasks.base import Example, Task

ORDERS = 4
SIGMA = 6.0
"""Width, in tokens, of the penalty for another length than the reference's."""
SIGNATURE = "cider-d|orders:4|sigma:6|clip|idf:evaluated-references|tok:ptb-coco|stem:none|scorer:pycocoevalcap"
WEIGHTS = "document frequencies over the references of the examples evaluated, kept fixed in the bootstrap"

Vectors = list[dict[Ngram, float]]
"""For n = 1 to 4, a weight for each n-gram."""


def cider(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """Mean over examples, 0 to 10: how much an output's n-grams weighted by tf-idf agree with its references' (cosine).

    Traps: an n-gram that the references of every example have weighs nothing, so that a single example always scores 0;
    and scores of a subset do not compare with those of the whole split, whose document frequencies differ.
    """
    answers = [[ngrams(coco_tokens(reference), ORDERS) for reference in refs] for refs in references_of(examples)]
    seen_in = Counter(gram for refs in answers for gram in set().union(*refs))
    idf = {gram: math.log(len(examples) / count) for gram, count in seen_in.items()}
    unseen = math.log(len(examples)) if examples else 0.0
    scores = []
    for text, refs in zip(predictions, answers, strict=True):
        output = _Weighted(ngrams(coco_tokens(text), ORDERS), idf, unseen)
        scores.append(10 * sum(output.likeness(_Weighted(ref, idf, unseen)) for ref in refs) / len(refs))
    settings = {"signature": SIGNATURE, "weights": WEIGHTS}
    return [mean_tally("cider", scores, unit="0-10", settings=settings)]


class _Weighted:
    """A text's n-grams, weighted by how often they occur and how rare they are."""

    def __init__(self, counts: Mapping[Ngram, int], idf: Mapping[Ngram, float], unseen: float) -> None:
        self.weights: Vectors = [{} for _ in range(ORDERS)]
        for gram, count in counts.items():
            self.weights[len(gram) - 1][gram] = count * idf.get(gram, unseen)
        self.norms = [math.sqrt(sum(weight**2 for weight in grams.values())) for grams in self.weights]
        self.length = sum(count for gram, count in counts.items() if len(gram) == 2)  # the original counts pairs

    def likeness(self, reference: _Weighted) -> float:
        """Mean over n of the cosine, clipped so that repetition does not pay, times a penalty for length; 0 to 1."""
        total = 0.0
        for mine, theirs, norms in zip(
            self.weights, reference.weights, zip(self.norms, reference.norms, strict=True), strict=True
        ):
            if all(norms):
                shared = sum(
                    min(weight, theirs[gram]) * theirs[gram] for gram, weight in mine.items() if gram in theirs
                )
                total += shared / (norms[0] * norms[1])
        return total / ORDERS * math.exp(-((self.length - reference.length) ** 2) / (2 * SIGMA**2))
