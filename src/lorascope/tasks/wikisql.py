"""WikiSQL: a SQL query from a question and a table's header. Official files and splits, JSON Lines.

A raw row of dev.jsonl, and its table in dev.tables.jsonl:

    {"phase": 1, "table_id": "1-10015132-14", "question": "Which number was Patrick O'Bryant?",
     "sql": {"sel": 1, "conds": [[0, 0, "Patrick O'Bryant"]], "agg": 0}}
    {"id": "1-10015132-14", "header": ["Player", "No"], "types": ["text", "real"], "rows": [["Patrick O'Bryant", 13]]}

`sel` is a column's number, `agg` an index into AGG_OPS, a condition is [column's number, index into COND_OPS, value].

Source: Zhong, Xiong, Socher 2017, "Seq2SQL: Generating Structured Queries from Natural Language using Reinforcement
Learning", BSD-3-Clause; github.com/salesforce/WikiSQL (AGG_OPS, COND_OPS and the query's text: lib/query.py). On the
hub: Salesforce/wikisql, where each row holds its table and every number is a text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lorascope.errors import DataError
from lorascope.tasks.base import Example, HubSource, Reading, Row, Task
from lorascope.tasks.builtin import generator
from lorascope.tasks.files import Record, collect, field, find, jsonl_records, text_field, wrong
from lorascope.tasks.prompts import layout, one_line
from lorascope.tasks.sql_grammar import QueryGrammar

FILES = {
    "train": ("train.jsonl", "train.tables.jsonl"),
    "validation": ("dev.jsonl", "dev.tables.jsonl"),
    "test": ("test.jsonl", "test.tables.jsonl"),
}
AGG_OPS = ("", "MAX", "MIN", "COUNT", "SUM", "AVG")
COND_OPS = ("=", ">", "<", "OP")

Table = Mapping[str, Any]
"""{"header": [text], "types": ["text" or "real"], "rows": [[cell]]}"""


def read(folder: Path, split: str) -> Reading:
    """Rows {"id", "table_id", "question", "sql", "table"}; rows of one table share the table."""
    questions, tables = (find(folder, name) for name in FILES[split])
    to_row = partial(_to_row, tables=read_tables(tables), file=tables)
    return collect(jsonl_records(questions), to_row, questions, tables, missing="question")


def read_tables(path: Path) -> dict[str, Table]:
    """Tables by id; every one has as many types, and as many cells in a row, as columns."""
    tables: dict[str, Table] = {}
    for record in jsonl_records(path):
        tables[text_field(record, "id")] = _table(record)
    return tables


def _table(record: Record) -> Table:
    header, types, rows = (field(record, name) for name in ("header", "types", "rows"))
    if not _all(header, str) or not header or not _all(types, str) or len(types) != len(header):
        raise wrong(record, "'header' and 'types' must be lists of as many texts")
    if not _all(rows, list) or any(len(cells) != len(header) for cells in rows):
        raise wrong(record, f"'rows' must be lists of {len(header)} cells, one per column")
    return {"header": header, "types": types, "rows": rows}


def read_hub(records: Iterable[Record], files: tuple[Path, ...]) -> Reading:
    """The same from the hub's records, which hold their tables; rows of one table share the table."""
    tables: dict[str, Table] = {}

    def to_row(record: Record, number: str) -> Row | None:
        official = _official(record, tables)
        return _to_row(official, number, tables=tables, file=files[0])

    return collect(records, to_row, *files, missing="question")


def _official(record: Record, tables: dict[str, Table]) -> Record:
    """A record of the hub as the official files have it; its table joins `tables`.

    The hub wrote str(value) for cells and conditions, and conditions as {column_index, operator_index, condition}, a
    list each (or a list of such, as other versions of its library write them). Columns of type "real" get their numbers
    back; of a "text" column the hub does not tell 7 from "7".
    """
    held, sql = Record(record.where, _dict(record, "table")), Record(record.where, _dict(record, "sql"))
    table_id = text_field(held, "id")
    if table_id not in tables:
        table = _table(held)
        real = [kind == "real" for kind in table["types"]]
        cells = [[_number(c) if r else c for r, c in zip(real, row, strict=True)] for row in table["rows"]]
        tables[table_id] = {**table, "rows": cells}
    types = tables[table_id]["types"]
    lists = _by_column(conds := field(sql, "conds"))
    if lists is None:
        raise wrong(record, f"'conds' must be lists of as many numbers, numbers and texts, got {conds}")
    columns, operators, values = lists
    typed = [
        [column, operator, _number(value) if 0 <= column < len(types) and types[column] == "real" else value]
        for column, operator, value in zip(columns, operators, values, strict=True)
    ]
    query = {"sel": field(sql, "sel"), "agg": field(sql, "agg"), "conds": typed}
    return Record(record.where, {"table_id": table_id, "question": field(record, "question"), "sql": query})


def _by_column(conds: Any) -> tuple[list[int], list[int], list[str]] | None:
    """Columns, operators and values of conditions, or None where they are something else."""
    names = ("column_index", "operator_index", "condition")
    if _all(conds, dict):
        conds = {name: [condition.get(name) for condition in conds] for name in names}
    if not isinstance(conds, dict):
        return None
    lists: list[Any] = [conds.get(name) for name in names]
    columns, operators, values = lists
    if not (_all(columns, int) and _all(operators, int) and _all(values, str)):
        return None
    return (columns, operators, values) if len(columns) == len(operators) == len(values) else None


def _dict(record: Record, name: str) -> dict[str, Any]:
    value = field(record, name)
    if not isinstance(value, dict):
        raise wrong(record, f"{name!r} must hold named values, got {value!r:.80}")
    return value


def _number(text: Any) -> Any:
    """The number whose str() is `text`, else `text`."""
    for kind in (int, float):
        try:
            value = kind(text)
        except (ValueError, TypeError):
            continue
        if str(value) == text and math.isfinite(value):
            return value
    return text


def _to_row(record: Record, number: str, *, tables: Mapping[str, Table], file: Path) -> Row | None:
    """One row, its query checked against its table."""
    table_id, question = text_field(record, "table_id"), text_field(record, "question")
    if table_id not in tables:
        raise DataError(
            "no-table",
            f"{record.where}: table {table_id!r} is not among the {len(tables)} of {file}",
            "--data_dir FOLDER   (questions and tables of one release)",
        )
    sql = field(record, "sql")
    if not _is_query(sql, columns := len(tables[table_id]["header"])):
        raise wrong(
            record,
            f"'sql' must be {{sel, agg, conds}} with columns below {columns}, agg below {len(AGG_OPS)} and conditions "
            f"[column, operator below {len(COND_OPS)}, text or number], got {sql}",
        )
    if not question.strip():
        return None
    query = {name: sql[name] for name in ("sel", "agg", "conds")}
    return {"id": number, "table_id": table_id, "question": question, "sql": query, "table": tables[table_id]}


def _is_query(sql: Any, columns: int) -> bool:
    if not isinstance(sql, dict) or not _all(sql.get("conds"), list):
        return False
    return (
        _below(sql.get("sel"), columns)
        and _below(sql.get("agg"), len(AGG_OPS))
        and all(_is_condition(condition, columns) for condition in sql["conds"])
    )


def _is_condition(parts: list[Any], columns: int) -> bool:
    return (
        len(parts) == 3
        and _below(parts[0], columns)
        and _below(parts[1], len(COND_OPS))
        and isinstance(parts[2], str | int | float)
    )


def _all(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _below(value: object, end: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < end


def sql_text(sql: Mapping[str, Any], header: Sequence[str]) -> str:
    """The official text of a query, with column names for column numbers: SELECT MAX year FROM table WHERE area = Rome.

    No quotes and no brackets; runs of white space become one space, as in the hub's "human_readable".
    """
    text = f"SELECT {AGG_OPS[sql['agg']]} {header[sql['sel']]} FROM table"
    if sql["conds"]:
        text += " WHERE " + " AND ".join(
            f"{header[column]} {COND_OPS[op]} {value}" for column, op, value in sql["conds"]
        )
    return " ".join(text.split())


def prompt(question: str, header: Sequence[str]) -> str:
    """What training and evaluation put before the query."""
    return layout(
        "Generate SQL from question and table.",
        ("Table", ", ".join(" ".join(name.split()) for name in header)),
        ("Question", one_line(question)),
        answer="SQL",
    )


def to_examples(rows: Sequence[Row]) -> list[Example]:
    """One example per row; `meta` holds header, types, rows, table_id and sql."""
    return [
        Example(
            id=row["id"],
            prompt=prompt(row["question"], row["table"]["header"]),
            target=(query := sql_text(row["sql"], row["table"]["header"])),
            references=(query,),
            group=row["table_id"],
            meta={**row["table"], "table_id": row["table_id"], "sql": row["sql"]},
        )
        for row in rows
    ]


def grammar(example: Example) -> QueryGrammar:
    """The queries that `sql_text` writes over the example's table, without the operator that nothing runs."""
    return QueryGrammar(example.meta["header"], aggregations=AGG_OPS, operators=[op for op in COND_OPS if op != "OP"])


TASK = Task(
    name="wikisql",
    title="WikiSQL: question and table to SQL",
    version=1,
    files=FILES,
    read=read,
    builtin=generator("wikisql"),
    hub=HubSource(repo="Salesforce/wikisql", splits={split: split for split in FILES}, read=read_hub),
    to_examples=to_examples,
    to_evaluation=to_examples,
    evaluation_split="test",
    group="table",
    metrics=("logical_form", "execution", "exact_match"),
    grammar=grammar,
    max_length=256,  # cuts 0.4 % of the training rows with a vocabulary of 4,096, 0.07 % with Llama's 32,000
    max_new_tokens=128,  # 0.01 % of the queries are longer with either
    official_counts={"train": 56_355, "validation": 8_421, "test": 15_878},
)
