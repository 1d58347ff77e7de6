"""WikiSQL's queries as values, and the grammar that reads them from text.

    query  = SELECT [MAX | MIN | COUNT | SUM | AVG] column FROM table [WHERE cond {AND cond}]
    cond   = column (= | > | <) value

This is what `tasks.wikisql.sql_text` writes, read back against the table's header. Case does not count, nor white space
within a column's name or around an operator; a name or a value may stand in quotes. Nothing else is accepted: no
brackets, no other operators, no semicolon.

Text in this form does not mark where a name or a value ends, so two rules decide: of the columns that fit, the longest
name is meant (then the first column), and a value ends before the first AND that a condition could follow. `Parse`
tells how many readings these rules chose from; `ambiguous` finds right answers whose text does not lead back to them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from lorascope.errors import ConfigError
from lorascope.tasks.base import Example
from lorascope.tasks.wikisql import AGG_OPS, COND_OPS

Condition = tuple[int, int, str | int | float]
"""(column, index into COND_OPS, value)"""

QUOTES = {'"': '"', "'": "'", "`": "`", "[": "]"}
"""Opening to closing, around names; values stand in the first three."""
OPERATORS = {sign: number for number, sign in enumerate(COND_OPS) if sign in "=<>"}
KEYWORDS = re.compile(rf"\b(select|from|table|where|and|{'|'.join(filter(None, AGG_OPS))})\b|[=<>]", re.IGNORECASE)
"""What marks the parts of a query, and may stand inside a name or a value as well."""


@dataclass(frozen=True)
class Query:
    """One query over one table."""

    sel: int
    agg: int
    conds: tuple[Condition, ...]

    def same(self, other: Query, *, ordered: bool = False) -> bool:
        """The official comparison (WikiSQL lib/query.py): selection and conditions, values as text in lower case.

        Without `ordered` the conditions are sets. Beyond the official rule, white space within a value and quotes
        around it do not count, since text cannot tell them from spelling.
        """
        mine = [(column, op, _plain(value)) for column, op, value in self.conds]
        theirs = [(column, op, _plain(value)) for column, op, value in other.conds]
        alike = mine == theirs if ordered else set(mine) == set(theirs)
        return (self.sel, self.agg) == (other.sel, other.agg) and alike


@dataclass(frozen=True)
class Parse:
    """What a text says."""

    query: Query
    readings: int
    """How many queries the text could stand for; `query` is the one that the rules choose."""


def query_of(sql: Mapping[str, Any]) -> Query:
    """The query of an official {"sel", "agg", "conds"}."""
    return Query(sql["sel"], sql["agg"], tuple((column, op, value) for column, op, value in sql["conds"]))


def parse(text: str, header: Sequence[str]) -> Parse | None:
    """The query that a text asks of a table with this header, or None where the grammar does not accept it.

    Values are texts, as written but for white space, quotes included.
    """
    words = _Squashed(text)
    names = _names(tuple(header))
    selections = list(_selections(words, names))
    rest = {end: _conditions(words, names, end) if end < len(words.small) else [] for _, _, end in selections}
    whole = [(agg, sel, conditions) for agg, sel, end in selections if (conditions := rest[end]) is not None]
    if not whole:
        return None
    agg, sel, chosen = whole[0]
    readings = sum(prod(len(c) for c in conditions) for _, _, conditions in whole)
    return Parse(Query(sel, agg, tuple(c[0] for c in chosen)), readings)


def ambiguous(example: Example) -> bool:
    """Whether the text of a right answer has other readings, or is not read as what it was written from.

    So it is where column names repeat or are empty, or where a name or value contains what looks like a keyword or a
    condition. An answer that equals such a text letter for letter may then count as a wrong query.
    """
    found = parse(example.target, example.meta["header"])
    return found is None or found.readings > 1 or not found.query.same(query_of(example.meta["sql"]), ordered=True)


def is_tricky(example: Example) -> bool:
    """Whether a right answer uses a name that repeats or is empty, or a name or value with a keyword or an operator.

    A reader that looks for keywords alone goes wrong there; this one does where the answer is `ambiguous`, too.
    """
    header, query = example.meta["header"], query_of(example.meta["sql"])
    squashed = [_Squashed(name).small for name in header]
    used = {query.sel, *(column for column, _, _ in query.conds)}
    texts = [*(header[column] for column in used), *(str(value) for _, _, value in query.conds)]
    return any(not squashed[column] or squashed.count(squashed[column]) > 1 for column in used) or any(
        KEYWORDS.search(text) for text in texts
    )


def need_tables(examples: Sequence[Example], metric: str) -> None:
    """A ConfigError for examples that have no table and no query to judge by."""
    if not all({"header", "types", "rows", "sql"} <= set(example.meta) for example in examples):
        raise no_tables(metric)


def no_tables(metrics: str) -> ConfigError:
    """What to say of a metric that the examples do not allow."""
    return ConfigError(
        "no-tables",
        f"{metrics}: needs a table and a query with every example, as wikisql has",
        "--metrics exact_match",
    )


def unquoted(value: str) -> Iterator[str]:
    """A value as written, then without one pair of quotes around it after another."""
    yield value
    while len(value) > 1 and value[0] in "\"'`" and value[-1] == value[0]:
        value = value[1:-1].strip()
        yield value


def _plain(value: str | int | float) -> str:
    *_, bare = unquoted(" ".join(str(value).split()))
    return bare.lower()


class _Squashed:
    """A text without white space and in lower case, that still knows where its words began."""

    def __init__(self, text: str) -> None:
        pairs = [(small, i) for i, char in enumerate(text) if not char.isspace() for small in char.lower()]
        self.text = text
        self.small = "".join(small for small, _ in pairs)
        self.place = [i for _, i in pairs]

    def gap(self, i: int) -> bool:
        """Whether there is white space, or an end, or a quote, at one side of the place before character i."""
        if i in (0, len(self.small)):
            return True
        near = (self.small[i - 1], self.small[i])
        return self.place[i] > self.place[i - 1] + 1 or near[0] in "\"'`]" or near[1] in "\"'`["

    def keyword(self, word: str, i: int) -> int | None:
        """Where a keyword that begins at i ends, if it stands there as a word of its own."""
        end = i + len(word)
        if not self.small.startswith(word, i) or self.place[end - 1] - self.place[i] != len(word) - 1:
            return None
        return end if self.gap(i) and self.gap(end) else None

    def original(self, start: int, end: int) -> str:
        """The text between two places, runs of white space as one space."""
        return " ".join(self.text[self.place[start] : self.place[end - 1] + 1].split())


@lru_cache(maxsize=4096)
def _names(header: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """Squashed names with their columns, longest first."""
    named = [(_Squashed(name).small, column) for column, name in enumerate(header)]
    return tuple(sorted(named, key=lambda pair: (-len(pair[0]), pair[1])))


def _columns(words: _Squashed, names: Sequence[tuple[str, int]], i: int) -> Iterator[tuple[int, int]]:
    """(column, end) of every name that stands at i, bare or in quotes; the preferred one first."""
    closing = QUOTES.get(words.small[i : i + 1])
    for name, column in names:
        if words.small.startswith(name, i):
            yield column, i + len(name)
        elif closing and words.small.startswith(name + closing, i + 1):
            yield column, i + 1 + len(name) + 1


def _selections(words: _Squashed, names: Sequence[tuple[str, int]]) -> Iterator[tuple[int, int, int]]:
    """(aggregation, column, end of FROM table) of every reading of the text's beginning, a bare column's first."""
    start = words.keyword("select", 0)
    if start is None:
        return
    for agg, name in enumerate(AGG_OPS):
        after = words.keyword(name.lower(), start) if name else start
        if after is None:
            continue
        for column, end in _columns(words, names, after):
            source = words.keyword("from", end)
            table = None if source is None else _table(words, source)
            if table is not None and (table == len(words.small) or words.keyword("where", table)):
                yield agg, column, table


def _table(words: _Squashed, i: int) -> int | None:
    closing = QUOTES.get(words.small[i : i + 1])
    if closing:
        return i + 7 if words.small.startswith(f"table{closing}", i + 1) else None
    return words.keyword("table", i)


def _heads(words: _Squashed, names: Sequence[tuple[str, int]], i: int) -> list[tuple[int, int, int]]:
    """(column, operator, start of the value) of every beginning of a condition at i, the preferred one first."""
    found = []
    for column, end in _columns(words, names, i):
        op = OPERATORS.get(words.small[end : end + 1])
        # ">=" and "<>" are operators that the grammar does not have; "> =5" is a value that begins with a sign.
        compound = words.small[end + 1 : end + 2] in ("=", "<", ">") and words.place[end + 1] == words.place[end] + 1
        if op is not None and not compound and end + 1 < len(words.small):
            found.append((column, op, end + 1))
    return found


def _conditions(words: _Squashed, names: Sequence[tuple[str, int]], i: int) -> list[list[Condition]] | None:
    """The readings of each condition after FROM table, the preferred one first; None if there is no WHERE or condition.

    Where conditions begin does not depend on how the others are read, so the text is gone through once.
    """
    size = len(words.small)
    where = words.keyword("where", i)
    heads = [] if where is None else _heads(words, names, where)
    if not heads:
        return None
    starts = {}
    at = words.small.find("and", i)
    while at >= 0:
        after = words.keyword("and", at)
        if after is not None and (begun := _heads(words, names, after)):
            starts[at] = begun
        at = words.small.find("and", at + 1)
    places = list(starts)
    found: list[list[Condition]] = []
    while True:
        value = heads[0][2]
        end = _quoted_end(words, value, starts)
        if end is None:
            following = bisect_right(places, value)
            end = places[following] if following < len(places) else size
        found.append([(column, op, words.original(v, end)) for column, op, v in heads if v < end])
        if end == size:
            return found
        heads = starts[end]


def _quoted_end(words: _Squashed, start: int, starts: Mapping[int, object]) -> int | None:
    """Where a value in quotes ends, so that AND within it is no keyword: its quote closes before an end or an AND."""
    quote = words.small[start]
    if quote not in "\"'`":
        return None
    close = words.small.find(quote, start + 1)
    while close >= 0 and close + 1 != len(words.small) and close + 1 not in starts:
        close = words.small.find(quote, close + 1)
    return None if close < 0 else close + 1
