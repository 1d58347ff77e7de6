"""Tokens and n-gram counts as NIST's mteval-v13a has them, which scores BLEU and NIST in the E2E NLG challenge.

The challenge's script (tuetschek/e2e-metrics, measure_scores.py) runs mteval-v13a-sig.pl, changed so that segments may
have different numbers of references; with `--python` it runs a port of it, which differs in the corners that
`bleu_e2e` and `nist_e2e` name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

Ngram = tuple[str, ...]

ENTITIES = {"<skipped>": "", "&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">"}
CAPITALS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
"""Only these are lower-cased."""
STEPS = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),  # ASCII punctuation but for ' , - .
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),  # full stop and comma, unless they stand between digits
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


@lru_cache(maxsize=16384)
def mteval_tokens(text: str) -> tuple[str, ...]:
    """The tokens of a text, in lower case."""
    text = " ".join(text.split())
    for entity, char in ENTITIES.items():
        text = text.replace(entity, char)
    text = f" {text} ".translate(CAPITALS)
    for pattern, spaced in STEPS:
        text = pattern.sub(spaced, text)
    return tuple(text.split())


def ngrams(tokens: Sequence[str], longest: int) -> Counter[Ngram]:
    """How often each n-gram of 1 to `longest` tokens occurs."""
    return Counter(
        gram for n in range(1, longest + 1) for gram in zip(*(tokens[start:] for start in range(n)), strict=False)
    )


def matched(prediction: Mapping[Ngram, int], references: Sequence[Mapping[Ngram, int]]) -> dict[Ngram, int]:
    """n-grams of the prediction that a reference has, each at most as often as the reference that has it most."""
    most = {gram: max(reference.get(gram, 0) for reference in references) for gram in prediction}
    return {gram: min(count, most[gram]) for gram, count in prediction.items() if most[gram]}


def totals(length: int, longest: int) -> list[int]:
    """Number of n-grams, for each n, in a text of so many tokens."""
    return [max(length - n, 0) for n in range(longest)]
