"""The grammar of WikiSQL's queries, and the engine that runs them: worked by hand."""

from contextlib import closing

import pytest

from lorascope.evaluation.metrics.sql import Query, ambiguous, parse, query_of
from lorascope.evaluation.metrics.sql_engine import Engine
from lorascope.tasks.base import Example
from lorascope.tasks.wikisql import sql_text

HEADER = ["player", "no", "years in toronto", "max speed", "speed", "goals and assists", "(%)", "q > 1"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("SELECT player FROM table", Query(0, 0, ())),
        ("SELECT COUNT player FROM table WHERE no = 13", Query(0, 3, ((1, 0, "13"),))),
        ("SELECT no FROM table WHERE player = A AND no > 3", Query(1, 0, ((0, 0, "A"), (1, 1, "3")))),
        # Case, spacing and quotes
        ("select   Count PLAYER\nfrom TABLE where No=13", Query(0, 3, ((1, 0, "13"),))),
        ("SELECT years  in Toronto FROM table", Query(2, 0, ())),
        ("SELECT yearsintoronto FROM table", Query(2, 0, ())),
        ('SELECT "years in toronto" FROM "table" WHERE `no` < 3', Query(2, 0, ((1, 2, "3"),))),
        ("SELECT [player] FROM [table]", Query(0, 0, ())),
        ("SELECT ( % ) FROM table", Query(6, 0, ())),
        ("SELECT player FROM table WHERE player = 'Jo  Ann'", Query(0, 0, ((0, 0, "'Jo Ann'"),))),
        # Keywords and signs inside names and values
        ("SELECT max speed FROM table", Query(3, 0, ())),
        ("SELECT MAX max speed FROM table", Query(3, 1, ())),
        ("SELECT goals and assists FROM table WHERE goals and assists = 1 and 2", Query(5, 0, ((5, 0, "1 and 2"),))),
        ("SELECT player FROM table WHERE player = Rock AND Roll", Query(0, 0, ((0, 0, "Rock AND Roll"),))),
        ("SELECT player FROM table WHERE player = 'a AND no = 3' AND no = 4",
         Query(0, 0, ((0, 0, "'a AND no = 3'"), (1, 0, "4")))),
        ("SELECT player FROM table WHERE player = ' AND no = 3", Query(0, 0, ((0, 0, "'"), (1, 0, "3")))),
        ("SELECT q > 1 FROM table WHERE q > 1 > 2", Query(7, 0, ((7, 1, "2"),))),
        ("SELECT player FROM table WHERE no = =5", Query(0, 0, ((1, 0, "=5"),))),
        ("SELECT player FROM table WHERE player = x from table where no = 1",
         Query(0, 0, ((0, 0, "x from table where no = 1"),))),
    ],
)  # fmt: skip
def test_texts_that_are_queries(text, query):
    assert parse(text, HEADER).query == query


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT",
        "player FROM table",
        "SELECT player",
        "SELECT player FROM",
        "SELECT player FROM players",
        "SELECT player FROM table WHERE",
        "SELECT player FROM table WHERE no",
        "SELECT player FROM table WHERE no =",
        "SELECT player FROM table WHERE no >= 3",
        "SELECT player FROM table WHERE no <> 3",
        "SELECT player FROM table WHERE no != 3",
        "SELECT player FROM table WHERE no OP 3",
        "SELECT player FROM table AND no = 3",
        "SELECT players FROM table",
        "SELECT goal FROM table",
        "SELECT MAX(no) FROM table",
        "SELECT player, no FROM table",
        "SELECTplayer FROM table",
        "SELECT playerFROM table",
        "SEL ECT player FROM table",
        "SELECT player FROM table;",
        "So: SELECT player FROM table",
        "\U0001f600",
        "\ud800\0",
    ],
)
def test_texts_that_are_none(text):
    assert parse(text, HEADER) is None


def example(sql, header, rows=()):
    meta = {"header": header, "types": ["text"] * len(header), "rows": list(rows), "sql": sql, "table_id": "t"}
    target = sql_text(sql, header)
    return Example(id="0", prompt="p\n", target=target, references=(target,), group="t", meta=meta)


@pytest.mark.parametrize(
    ("sql", "header"),
    [
        ({"sel": 1, "agg": 0, "conds": []}, ["a", "a"]),  # the same name twice
        ({"sel": 0, "agg": 0, "conds": [[2, 0, "x"]]}, ["a", "B", "b"]),  # case does not count
        ({"sel": 0, "agg": 3, "conds": []}, ["", "count"]),  # SELECT COUNT FROM table
        ({"sel": 1, "agg": 1, "conds": []}, ["max year", "year"]),  # SELECT MAX year FROM table
        ({"sel": 0, "agg": 0, "conds": [[0, 0, "x AND b = y"]]}, ["a", "b"]),  # a condition within a value
        ({"sel": 0, "agg": 0, "conds": [[0, 0, "b = 3"]]}, ["a", "a = b"]),  # a sign within a name
        ({"sel": 0, "agg": 0, "conds": [[0, 3, "x"]]}, ["a", "b"]),  # an operator that nothing runs
    ],
)
def test_right_answers_whose_text_is_ambiguous(sql, header):
    assert ambiguous(example(sql, header))


@pytest.mark.parametrize(
    ("sql", "header"),
    [
        ({"sel": 1, "agg": 0, "conds": [[2, 0, "x"]]}, ["a", "b", "c", "a", ""]),  # names that it does not use
        ({"sel": 0, "agg": 1, "conds": []}, ["max year", "height"]),
        ({"sel": 0, "agg": 0, "conds": [[1, 0, "x AND y"], [0, 1, 3]]}, ["min or max", "count"]),
        ({"sel": 0, "agg": 0, "conds": [[0, 0, '"Rio"']]}, ["a"]),
        ({"sel": 0, "agg": 0, "conds": [[0, 0, "951.750\u2009km"]]}, ["a"]),
    ],
)
def test_right_answers_that_say_one_thing(sql, header):
    assert not ambiguous(example(sql, header))


def test_a_name_that_holds_the_words_behind_another_is_one_reading_more():
    found = parse("SELECT a FROM table WHERE b = x FROM table", ["a", "b", "a FROM table WHERE b = x"])
    assert found.query == Query(2, 0, ())  # the longest name
    assert found.readings == 2
    assert parse("SELECT MAX a FROM table WHERE a = 1", ["a", "max a", "max a from table where a"]).readings == 2


def test_the_number_of_readings_is_their_product():
    assert parse("SELECT a FROM table WHERE b = 1 AND a = 2", ["a", "b", "A", "a"]).readings == 3 * 1 * 3


def test_queries_are_compared_as_the_official_scorer_compares_them():
    gold = query_of({"sel": 0, "agg": 0, "conds": [[1, 0, "Jo"], [2, 1, 3]]})
    assert Query(0, 0, ((1, 0, "jO"), (2, 1, "3"))).same(gold, ordered=True)  # values as text in lower case
    turned = Query(0, 0, ((2, 1, "3"), (1, 0, "jo")))
    assert turned.same(gold)
    assert not turned.same(gold, ordered=True)
    assert Query(0, 0, (*gold.conds, *gold.conds)).same(gold)  # as sets
    for other in (
        Query(1, 0, gold.conds),
        Query(0, 1, gold.conds),
        Query(0, 0, gold.conds[:1]),
        Query(0, 0, ((1, 1, "jo"), (2, 1, "3"))),
        Query(0, 0, ((1, 0, "jo"), (2, 1, "3.0"))),
        Query(0, 0, ((1, 0, "j o"), (2, 1, "3"))),
    ):
        assert not other.same(gold)


def test_quotes_around_a_value_and_runs_of_white_space_do_not_count():
    gold = Query(0, 0, ((0, 0, '"Don\'t  Stop"'),))
    for value in ('"don\'t stop"', "don't stop", "'\"Don't stop\"'"):
        assert Query(0, 0, ((0, 0, value),)).same(gold)
    assert not Query(0, 0, ((0, 0, "\"don't stop"),)).same(gold)


# The engine

TABLE = {
    "header": ["name", "age", "note"],
    "types": ["text", "real", "text"],
    "rows": [["Ann", 30, '"a"'], ["BOB", 41.5, "12"], ["bob", -5, "x y"]],
}


@pytest.fixture
def engine():
    with closing(Engine()) as engine:
        engine.load(TABLE)
        yield engine


@pytest.mark.parametrize(
    ("query", "result"),
    [
        (Query(0, 0, ()), ["ann", "bob", "bob"]),  # texts are kept in lower case
        (Query(1, 0, ((0, 0, "Bob"),)), [41.5, -5]),
        (Query(0, 3, ((0, 0, "bob"),)), [2]),
        (Query(1, 1, ()), [41.5]),
        (Query(1, 2, ()), [-5]),
        (Query(1, 4, ()), [66.5]),
        (Query(1, 5, ((1, 1, 0),)), [35.75]),
        (Query(1, 1, ((0, 0, "nobody"),)), [None]),
        (Query(0, 0, ((1, 1, "30"),)), ["bob"]),  # a text is read as a number where the column is real
        (Query(0, 0, ((1, 1, "1,000"),)), []),
        (Query(0, 0, ((1, 0, "41.5 years"),)), ["bob"]),  # the first number in it
        (Query(0, 0, ((1, 0, "age -5"),)), []),  # the official search drops the sign of a whole number
        (Query(0, 0, ((1, 0, "-5"),)), ["bob"]),
        (Query(1, 0, ((2, 0, 12),)), [41.5]),  # a number against a text column
        (Query(0, 0, ((1, 1, "0"), (1, 2, "40"))), []),  # the last value of a column counts for all: > 40 and < 40
    ],
)
def test_results_worked_by_hand(engine, query, result):
    assert engine.run(query) == result


@pytest.mark.parametrize(
    "query",
    [
        Query(9, 0, ()),
        Query(0, 0, ((0, 3, "x"),)),
        Query(0, 0, ((1, 0, "no number"),)),
        Query(0, 0, ((0, 0, "\ud800"),)),
        Query(0, 0, ((1, 0, 2**70),)),
        Query(0, 0, ((1, 0, "sNaN"),)),
        Query(0, 0, tuple((0, 0, "x") for _ in range(3000))),
    ],
)
def test_a_query_that_cannot_be_run_has_no_result(engine, query):
    assert engine.run(query) is None


def test_values_take_the_spelling_of_the_table(engine):
    def stored(column, value):
        return engine.as_stored(Query(0, 0, ((column, 0, value),))).conds[0][2]

    assert stored(2, '"A"') == '"a"'  # the cell has quotes
    assert stored(0, "'Ann'") == "ann"  # the cell has none
    assert stored(2, "x  y") == "x  y"  # the grammar has made one space of them already
    assert stored(0, "'nobody'") == "'nobody'"
    assert stored(1, "'30'") == "'30'"  # a number is found in it anyway
    engine.load({"types": ["text"], "rows": [["951.750\u2009km"]]})
    assert stored(0, "951.750 KM") == "951.750\u2009km"


def test_the_engine_holds_one_table_at_a_time(engine):
    engine.load({"types": ["real"], "rows": [[1], [2**70]]})
    assert engine.run(Query(0, 0, ())) == [1, float(2**70)]
    engine.load(TABLE)
    assert engine.run(Query(0, 3, ())) == [3]
