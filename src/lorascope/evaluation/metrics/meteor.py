"""METEOR as nltk computes it (Lavie and Agarwal 2007), under its own name only where WordNet is there."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from lorascope.evaluation.metrics.base import Tally, mean_tally, references_of
from lorascope.tasks.base import Example, Task

FOLDERS = ("corpora/wordnet", "corpora/wordnet.zip/wordnet/")
"""Where nltk keeps WordNet below each folder of its data path."""


def meteor(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """Mean over examples, 0 to 100, best reference; "meteor" with WordNet's synonyms, "meteor_exact_stem" without.

    Words are sacrebleu's 13a tokens in lower case. The two names keep apart what does not compare: without synonyms the
    score is lower. Traps: the fragmentation penalty is never 0, so a perfect answer of m words scores
    100 (1 - 0.5 / m^3); and nltk looks synonyms up by stem, so that it misses those of words that stemming changes.
    """
    from nltk.translate.meteor_score import meteor_score
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    wordnet = find_wordnet()
    synonyms = wordnet or _NoSynonyms()
    split = Tokenizer13a()
    scores = [
        100 * meteor_score([split(ref).split() for ref in refs], split(text).split(), wordnet=synonyms)
        for text, refs in zip(predictions, references_of(examples), strict=True)
    ]
    stages = f"exact+stem+wordnet-{wordnet.get_version()}" if wordnet else "exact+stem"
    settings: dict[str, Any] = {
        "signature": f"match:{stages}|tok:13a|case:lc|a:0.9|b:3|g:0.5|nltk:{version('nltk')}",
    }
    if not wordnet:
        settings["note"] = "no WordNet files in nltk's data path, so synonyms do not count; not comparable with METEOR"
    return [mean_tally("meteor" if wordnet else "meteor_exact_stem", scores, unit="0-100", settings=settings)]


class _NoSynonyms:
    """Stands where nltk expects WordNet."""

    def synsets(self, word: str) -> list[Any]:
        return []


def find_wordnet() -> Any | None:
    """nltk's reader of WordNet if all the files that it opens lie in its data path (NLTK_DATA), else None."""
    import nltk

    for folder in FOLDERS:
        try:
            return _read_wordnet(nltk.data.find(folder))
        except (LookupError, OSError):  # not there, or not whole: distributions leave lexnames or index.sense out
            continue
    return None


@cache
def _read_wordnet(root: Any) -> Any:
    """Load a WordNet folder; about three seconds."""
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that other languages are not available
        return WordNetCorpusReader(root, None)
