"""The texts that WikiSQL's queries are written as, for one table: what can become a query, and what is one.

    query  = SELECT [MAX | MIN | COUNT | SUM | AVG] column FROM table [WHERE cond {AND cond}]
    cond   = column (= | > | <) value

These are the texts that `tasks.wikisql.sql_text` writes: capitals, single spaces, the header's own spelling. A value is
any text that does not begin with white space and has no " AND " in it, so that a condition follows every AND (no right
query of WikiSQL has another value). The grammar that judges answers, `evaluation.metrics.sql.parse`, accepts all these
texts, and other spellings too.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence

WHERE, AND = b" WHERE ", b" AND "


class QueryGrammar:
    """Queries over a table with this header. Texts are UTF-8; the beginning of a text may end within a letter."""

    def __init__(self, header: Sequence[str], *, aggregations: Sequence[str], operators: Sequence[str]) -> None:
        self._selections = _written(f"SELECT {agg} {name} FROM table" for agg in aggregations for name in header)
        heads = _written(f"{name} {operator}" for name in header for operator in operators)
        self._heads = [head + b" " for head in heads]

    def begins(self, text: bytes) -> bool:
        """Whether a query can begin so."""
        if any(selection.startswith(text) for selection in self._selections):
            return True
        if any(WHERE.startswith(rest) for rest in self._after_selection(text)):
            return True
        return _is_text(text, whole=False) and any(
            any(head.startswith(rest) for head in self._heads)
            or any(not value or _is_value(value) for value in self._values(rest))
            for rest in self._last_conditions(text)
        )

    def accepts(self, text: bytes) -> bool:
        """Whether this is a whole query."""
        return text in self._selections or (
            _is_text(text, whole=True)
            and any(_is_value(value) for rest in self._last_conditions(text) for value in self._values(rest))
        )

    def _after_selection(self, text: bytes) -> list[bytes]:
        """What follows SELECT ... FROM table; there are several where a name holds another's FROM table."""
        return [text.removeprefix(selection) for selection in self._selections if text.startswith(selection)]

    def _last_conditions(self, text: bytes) -> Iterator[bytes]:
        """What follows WHERE or an AND, if all before it are whole conditions; the last one in every reading."""
        todo = [rest.removeprefix(WHERE) for rest in self._after_selection(text) if rest.startswith(WHERE)]
        seen: set[bytes] = set()
        while todo:
            rest = todo.pop()
            if rest in seen:
                continue
            seen.add(rest)
            yield rest
            for head in self._heads:
                if rest.startswith(head):
                    value, joined, more = rest.removeprefix(head).partition(AND)
                    if joined and _is_value(value):
                        todo.append(more)

    def _values(self, condition: bytes) -> list[bytes]:
        """What follows column and operator, in every reading, where it has no AND."""
        rests = [condition.removeprefix(head) for head in self._heads if condition.startswith(head)]
        return [rest for rest in rests if AND not in rest]


def _written(texts: Iterable[str]) -> list[bytes]:
    """The different ones, runs of white space as one space."""
    return list(dict.fromkeys(" ".join(text.split()).encode(errors="replace") for text in texts))


def _is_value(value: bytes) -> bool:
    """Whether it is a value, or the beginning of one: a letter has four bytes at most."""
    return bool(value) and not value[:4].decode(errors="ignore")[:1].isspace()


def _is_text(text: bytes, *, whole: bool) -> bool:
    """Whether it is UTF-8; unless it is to be whole, the last letter's bytes may be missing."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text, final=whole)
    except UnicodeDecodeError:
        return False
    return True
