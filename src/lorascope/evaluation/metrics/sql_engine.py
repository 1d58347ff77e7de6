"""Queries run on their table, as WikiSQL's own DBEngine runs them (lib/dbengine.py): SQLite, columns col0, col1, ...

What is taken over: texts, in cells and in conditions, are compared in lower case; a condition on a column of type real
has its text value read as a decimal number with commas left out, or else by the first number that occurs in it; values
are bound by the name of their column, so that of two conditions on one column both get the last one's value (no right
answer of WikiSQL has such a pair).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from lorascope.evaluation.metrics.sql import Query, unquoted
from lorascope.tasks.wikisql import AGG_OPS, COND_OPS, Table

NUMBER = re.compile(r"[-+]?\d*\.\d+|\d+")
"""The official search for a number in a text; it drops the sign of a whole number."""

FAILURES = (sqlite3.Error, ValueError, ArithmeticError, LookupError)
"""What SQLite and the conversions raise for a query that cannot be run; a lone surrogate is a ValueError."""


class Engine:
    """A database in memory that holds one table at a time."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._rows: Sequence[Sequence[Any]] | None = None
        self._types: Sequence[str] = ()
        self._texts: dict[int, dict[str, str]] = {}

    def close(self) -> None:
        """Give the memory back."""
        self._db.close()

    def load(self, table: Table) -> None:
        """Make this the table that is asked; nothing is done if it is already."""
        if table["rows"] is self._rows:
            return
        columns = [f"col{i} {'real' if kind == 'real' else 'text'}" for i, kind in enumerate(table["types"])]
        self._db.execute("DROP TABLE IF EXISTS t")
        self._db.execute(f"CREATE TABLE t ({', '.join(columns)})")
        slots = ", ".join("?" * len(columns))
        self._db.executemany(f"INSERT INTO t VALUES ({slots})", ([_cell(c) for c in row] for row in table["rows"]))
        self._rows, self._types, self._texts = table["rows"], table["types"], {}

    def run(self, query: Query) -> list[Any] | None:
        """The query's result, one value per row, in the table's order; None where it cannot be run."""
        try:
            return self._run(query)
        except FAILURES:
            return None

    def as_stored(self, query: Query) -> Query:
        """The query with its text values in the table's spelling: of quotes around them, and of white space within.

        A model may write quotes because SQL has them around texts; a cell may have them because a title is quoted.
        What occurs in the column decides; where nothing fits, the value stays as written.
        """
        conds = tuple((column, op, self._stored(column, value)) for column, op, value in query.conds)
        return Query(query.sel, query.agg, conds)

    def _run(self, query: Query) -> list[Any]:
        select = f"{AGG_OPS[query.agg]}(col{query.sel})" if query.agg else f"col{query.sel}"
        where = " AND ".join(f"col{column} {COND_OPS[op]} :col{column}" for column, op, _ in query.conds)
        values = {f"col{column}": self._operand(column, value) for column, _, value in query.conds}
        found = self._db.execute(f"SELECT {select} FROM t" + (f" WHERE {where}" if where else ""), values)
        return [value for (value,) in found]

    def _operand(self, column: int, value: str | int | float) -> str | int | float:
        if not isinstance(value, str):
            return value
        small = value.lower()
        return _number(small) if self._types[column] == "real" else small

    def _stored(self, column: int, value: str | int | float) -> str | int | float:
        if not isinstance(value, str) or self._types[column] == "real":
            return value
        if column not in self._texts:
            cells = [str(row[column]).lower() for row in self._rows or ()]
            self._texts[column] = {" ".join(cell.split()): cell for cell in cells} | {cell: cell for cell in cells}
        spelt = self._texts[column]
        return next((spelt[form] for form in map(str.lower, unquoted(value)) if form in spelt), value)


def _cell(value: Any) -> Any:
    """A cell as the official database has it: texts in lower case. Whole numbers beyond SQLite's become floats."""
    if isinstance(value, str):
        return value.lower()
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value


def _number(text: str) -> float:
    """A text as a number; a LookupError where there is none in it."""
    try:
        return float(Decimal(text.replace(",", "")))
    except InvalidOperation:
        return float(NUMBER.findall(text)[0])
