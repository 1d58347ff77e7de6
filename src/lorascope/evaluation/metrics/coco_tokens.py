"""Tokens as the COCO caption scorers cut them: the Stanford PTB tokenizer, lower case, punctuation dropped.

The official scripts run a Java program (Stanford CoreNLP 3.4.1, `PTBTokenizer -preserveLines -lowerCase`) and then drop
17 punctuation tokens. These are its rules as far as descriptive English prose needs them: all 49,777 different
references of E2E NLG have the Java program's tokens, but for one in the training split that ends in "L." (there it
looks at what follows in its file). Of 16,366 SAMSum summaries 66 differ: smileys, addresses, rarer abbreviations and
numbers with special spaces are left out.

What surprises: a pound sign is "#" and a euro sign "$"; brackets are words (-lrb-), since they are dropped in capitals
only; so are "!!" and a full stop inside a word ("centre.it"); "don't" is "do n't".
"""

from __future__ import annotations

import re
from functools import lru_cache

DROPPED = frozenset(["''", "'", "``", "`", '"', ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""Of the official list, what can occur in lower case; a straight quote is written `` or '' there."""

ABBREVIATIONS = (
    "ave|blvd|co|corp|dept|dr|est|etc|ext|inc|jr|ltd|mr|mrs|ms|mt|prof|rd|sr|st|tel|vs|"
    "jan|feb|mar|apr|aug|sept|oct|nov|dec"
)
"""Words that keep their full stop."""

SPELLED = {"\u00a3": "#", "\u20ac": "$", "\u00bd": "1/2", "\u2013": "--", "\u2014": "--"}
SPELLED |= {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
"""Pound, euro, half and dashes, and brackets, as the original spells them."""
STRAIGHT = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"", "\u00ad")
UNKNOWN = re.compile("[\u200b\U00010000-\U0010ffff]")
"""Separates words and is dropped: emoji among others."""

LETTER = r"[^\W\d_]"
CHAR = r"[^\W_]"
END = rf"(?!{CHAR})"
HALVES = ((f"{CHAR}+?", "n't"), ("can", "not"), ("gon|wan", "na"), ("got", "ta"), ("gim|lem", "me"))
JOINED = re.compile("|".join(f"(?:{first})(?={second}{END})" for first, second in HALVES), re.IGNORECASE)
"""The first half of what is written as one word: do|n't, can|not. It goes before all rules."""
RULES = tuple(
    re.compile(rule, re.IGNORECASE)
    for rule in (
        rf"{CHAR}+(?:_{CHAR}+)*",
        rf"{CHAR}[a-z0-9.,]*(?:-{CHAR}+)+",  # family-friendly; food,low-priced
        rf"n't{END}",
        rf"'(?:s|m|d|re|ll|ve){END}",
        rf"[a-hj-xz]'{LETTER}{{2,}}",  # o'brien
        rf"(?:{ABBREVIATIONS})\.",
        r"(?:[a-z]\.){2,}|(?-i:[A-Z])\.",  # p.m.
        rf"{LETTER}+\.(?=[,;:])",
        rf"{LETTER}+(?:\.{LETTER}{{2,}})+",  # a missing space: centre.it
        r"[-+]?(?:\d*(?:[.,:]\d+)+|\d+)",
        r"(?-i:[A-Z]+&[A-Z]+)",
        r"[\w.]+@[\w.]+\w",
        rf"{CHAR}+(?:-{LETTER}+)*(?:/{CHAR}+(?:-{LETTER}+)*){{1,2}}",  # 3/5, and/or
        r"[?!]+",
        r"\.+",
        r"-+",
        r"\*+",
        r"(?s:.)",
    )
)
"""The longest match wins, as in the original."""


def coco_tokens(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [token for chunk in UNKNOWN.sub(" ", text).translate(STRAIGHT).split() for token in _chunk(chunk)]


@lru_cache(maxsize=65536)
def _chunk(chunk: str) -> tuple[str, ...]:
    """The tokens of what stands between two spaces."""
    found = []
    i = 0
    while i < len(chunk):
        joined = JOINED.match(chunk, i)
        end = joined.end() if joined else max(match.end() for rule in RULES if (match := rule.match(chunk, i)))
        found.append(chunk[i:end].lower())
        i = end
    return tuple(token for token in map(_normal, found) if token not in DROPPED)


def _normal(token: str) -> str:
    return token[0] if set(token) <= {".", "-"} else SPELLED.get(token, token)
