from __future__ import annotations

import itertools
import json
import re
import sqlite3
import zlib
from collections import Counter

import pytest

from lorascope.tasks.builtin import wikisql
from lorascope.tasks.wikisql import AGG_OPS, COND_OPS, FILES, TASK

SPLITS = tuple(FILES)
AGG_WORDS = {
    "MAX": "highest largest greatest maximum",
    "MIN": "lowest smallest minimum least",
    "SUM": "total sum",
    "AVG": "average mean",
    "COUNT": "entries",
}


@pytest.fixture(scope="module")
def everything():
    return {split: wikisql.rows(split) for split in SPLITS}


@pytest.fixture(scope="module")
def all_rows(everything):
    return [row for rows in everything.values() for row in rows]


@pytest.fixture(scope="module")
def tables(everything):
    """Split -> its tables by id."""
    return {split: {row["table_id"]: row["table"] for row in rows} for split, rows in everything.items()}


def execute(sql, table):
    """The rows that sqlite3 finds, text and numbers compared as the official engine does."""
    db = sqlite3.connect(":memory:")
    columns = ", ".join(f"col{i} {kind}" for i, kind in enumerate(table["types"]))
    db.execute(f"CREATE TABLE t ({columns})")
    marks = ", ".join("?" * len(table["types"]))
    lowered = [[cell.lower() if isinstance(cell, str) else cell for cell in row] for row in table["rows"]]
    db.executemany(f"INSERT INTO t VALUES ({marks})", lowered)
    what = f"col{sql['sel']}"
    if sql["agg"]:
        what = f"{AGG_OPS[sql['agg']]}({what})"
    where = " AND ".join(f"col{column} {COND_OPS[op]} ?" for column, op, _ in sql["conds"])
    values = [value.lower() if isinstance(value, str) else value for *_, value in sql["conds"]]
    found = db.execute(f"SELECT {what} FROM t" + (f" WHERE {where}" if where else ""), values).fetchall()
    db.close()
    return [value for (value,) in found]


def test_it_has_the_splits_of_the_task_in_the_sizes_it_names(everything):
    assert tuple(wikisql.SIZES) == SPLITS
    assert {split: len(rows) for split, rows in everything.items()} == wikisql.SIZES


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_those_that_the_reader_finds_in_official_files(split, everything, tables, tmp_path):
    questions, table_file = FILES[split]
    rows = everything[split]
    lines = [{"phase": 1, **{key: row[key] for key in ("table_id", "question", "sql")}} for row in rows]
    (tmp_path / questions).write_text("".join(json.dumps(line) + "\n" for line in lines))
    lines = [{"id": id, **table} for id, table in tables[split].items()]
    (tmp_path / table_file).write_text("".join(json.dumps(line) + "\n" for line in lines))

    reading = TASK.read(tmp_path, split)

    assert reading.rows == rows
    assert reading.left_out == 0
    assert len(TASK.to_examples(reading.rows)) == len(rows)


def test_every_query_finds_something(all_rows):
    for row in all_rows:
        found = execute(row["sql"], row["table"])
        assert found, row
        assert None not in found, row
        assert found != [0] or row["sql"]["agg"] != AGG_OPS.index("COUNT"), row


def test_queries_have_none_to_three_conditions_and_every_operator(everything):
    for rows in (everything["train"], everything["test"] + everything["validation"]):
        assert {len(row["sql"]["conds"]) for row in rows} == {0, 1, 2, 3}
        assert {row["sql"]["agg"] for row in rows} == set(range(len(AGG_OPS)))
        assert {op for row in rows for _, op, _ in row["sql"]["conds"]} == {0, 1, 2}


def test_conditions_are_on_other_columns_and_their_values_stand_in_the_table_and_in_order_in_the_question(all_rows):
    for row in all_rows:
        sql, place = row["sql"], 0
        columns = [column for column, _, _ in sql["conds"]]
        assert len({sql["sel"], *columns}) == 1 + len(columns)
        for column, _, value in sql["conds"]:
            assert value in [cells[column] for cells in row["table"]["rows"]]
            found = re.compile(rf"(?<![\w:.]){re.escape(str(value))}(?![\w:]|\.\d)").search(row["question"], place)
            assert found, row
            place = found.end()


def test_what_is_above_or_below_and_what_is_summed_up_is_a_number(all_rows):
    for row in all_rows:
        types, sql = row["table"]["types"], row["sql"]
        assert all(types[column] == "real" for column, op, _ in sql["conds"] if COND_OPS[op] != "=")
        assert AGG_OPS[sql["agg"]] in ("", "COUNT") or types[sql["sel"]] == "real"


def test_the_question_says_the_aggregator_and_the_operators(all_rows):
    for row in all_rows:
        said = {
            agg for agg, words in AGG_WORDS.items() if set(words.split()) & set(re.findall(r"\w+", row["question"]))
        }
        assert said == set(filter(None, [AGG_OPS[row["sql"]["agg"]]])), row
        over = len(re.findall(r"\b(?:above|over|greater than|more than)\b", row["question"]))
        under = len(re.findall(r"\b(?:below|under|less than|smaller than)\b", row["question"]))
        ops = Counter(COND_OPS[op] for _, op, _ in row["sql"]["conds"])
        assert (over, under) == (ops[">"], ops["<"]), row


def test_most_columns_stand_in_the_question_by_their_name_and_some_do_not(all_rows):
    named = [
        row["table"]["header"][column] in row["question"]
        for row in all_rows
        for column in (row["sql"]["sel"], *(column for column, _, _ in row["sql"]["conds"]))
    ]
    assert 0.75 < sum(named) / len(named) < 0.95


def test_tables_have_three_to_six_columns_and_four_to_twelve_rows_of_their_types(tables):
    for table in (table for several in tables.values() for table in several.values()):
        header, types, rows = table["header"], table["types"], table["rows"]
        assert 3 <= len(header) == len(set(header)) == len(types) <= 6
        assert 4 <= len(rows) <= 12
        for cells in rows:
            assert ["text" if isinstance(cell, str) else "real" for cell in cells] == types


def test_a_table_has_three_questions_with_different_queries(everything):
    for rows in everything.values():
        by_table = {}
        for row in rows:
            by_table.setdefault(row["table_id"], []).append(json.dumps(row["sql"]))
        assert all(len(set(queries)) == len(queries) <= 3 for queries in by_table.values())
        assert sum(len(queries) == 3 for queries in by_table.values()) >= len(by_table) - 1


def test_splits_share_no_table_no_set_of_columns_and_no_prompt(everything, tables):
    for one, other in itertools.combinations(SPLITS, 2):
        assert not tables[one].keys() & tables[other].keys()
        headers = [{frozenset(table["header"]) for table in tables[split].values()} for split in (one, other)]
        assert not headers[0] & headers[1]
        prompts = [{example.prompt for example in TASK.to_examples(everything[split])} for split in (one, other)]
        assert not prompts[0] & prompts[1]


def test_every_column_of_test_is_met_in_training(tables):
    met = {name for table in tables["train"].values() for name in table["header"]}
    assert {name for table in tables["test"].values() for name in table["header"]} <= met


def test_no_column_name_could_be_taken_for_a_word_of_the_query(tables):
    names = {name for several in tables.values() for table in several.values() for name in table["header"]}
    words = {word for name in names for word in name.split()}
    assert not words & {"select", "from", "table", "where", "and", "max", "min", "count", "sum", "avg"}


@pytest.mark.parametrize(("number", "agg"), [(0, ""), (1, "MAX"), (3, "COUNT")])
def test_a_query_is_written_as_in_the_official_files(number, agg):
    query = wikisql.Query(2, agg, ((0, ">", 5), (1, "=", "Oakham")))
    assert wikisql.official(query) == {"sel": 2, "agg": number, "conds": [[0, 1, 5], [1, 0, "Oakham"]]}


def test_another_process_makes_the_same_rows(checksums, everything):
    here = {split: zlib.crc32(json.dumps(rows).encode()) for split, rows in everything.items()}
    assert json.loads(checksums(wikisql.__name__)) == here
