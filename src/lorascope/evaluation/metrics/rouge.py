"""ROUGE-1, -2, -L and -Lsum F1 as rouge-score counts them (Lin 2004), with Porter stemming."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from types import SimpleNamespace

from lorascope.evaluation.metrics.base import Tally, mean_tally, references_of
from lorascope.tasks.base import Example, Task

TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

END = re.compile(
    r"""(?<=[.!?])["')\]]*\s+        # a stop, and what closes a quotation
        (?=["'(\[]*[A-Z0-9])         # before a capital or a number
        (?<!\b(?:Mr|Ms|Dr|St|vs)\.\s)(?<!\bMrs\.\s)(?<!\b[A-Z]\.\s)""",
    re.VERBOSE,
)
"""Where a sentence ends within a line; not after a title or an initial."""


def rouge(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """Mean F1 over examples, 0 to 100; with several references the best one counts, for each type apart.

    rougeL takes a text for one sequence of words, rougeLsum for a set of sentences (`sentences`; the order of these
    does not count). Published summarisation results are of either kind: those of py-rouge and of the Perl ROUGE, under
    the name ROUGE-L, are of the second. Trap: rouge-score keeps the letters a-z and digits alone, so text in other
    scripts scores 0.
    """
    from nltk.stem.porter import PorterStemmer
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenize import tokenize

    # rouge-score's own tokens, remembered: it would stem a prediction again for each of its references and types.
    stemmer = SimpleNamespace(stem=lru_cache(maxsize=None)(PorterStemmer().stem))
    tokens = lru_cache(maxsize=1024)(lambda text: tokenize(text, stemmer))
    scorer = RougeScorer(list(TYPES), tokenizer=SimpleNamespace(tokenize=tokens))
    scores = [
        scorer.score_multi(["\n".join(sentences(ref)) for ref in refs], "\n".join(sentences(text)))
        for text, refs in zip(predictions, references_of(examples), strict=True)
    ]
    settings = {
        "signature": f"f1|stem:porter|tok:a-z0-9|lsum:sentences|multi:best|rouge-score:{version('rouge-score')}",
    }
    return [mean_tally(t, [100 * s[t].fmeasure for s in scores], unit="0-100", settings=settings) for t in TYPES]


def sentences(text: str) -> list[str]:
    """The sentences of a text: its lines, cut where a stop is followed by a capital or a number."""
    return [sentence for line in text.splitlines() for sentence in END.split(line)]
