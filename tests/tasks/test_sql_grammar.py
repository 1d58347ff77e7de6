"""Which texts become queries: worked by hand, against brute force, and against the grammar that judges answers."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorascope.evaluation.metrics.sql import parse
from lorascope.tasks.sql_grammar import QueryGrammar
from lorascope.tasks.wikisql import AGG_OPS, TASK, read, sql_text, to_examples

HEADER = ["player", "no", "years  in Toronto", "caf\u00e9"]


def grammar(header):
    return QueryGrammar(header, aggregations=AGG_OPS, operators="=><")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT player FROM table",
        "SELECT COUNT years in Toronto FROM table",
        "SELECT caf\u00e9 FROM table WHERE no = 13",
        "SELECT no FROM table WHERE player = A and b AND no > x = y AND caf\u00e9 < \u00e9",
        "SELECT no FROM table WHERE player = AND",
        "SELECT no FROM table WHERE player = 'a' ",
    ],
)
def test_queries_begin_as_they_should_and_are_accepted(text):
    whole = text.encode()
    assert grammar(HEADER).accepts(whole)
    assert all(grammar(HEADER).begins(whole[:end]) for end in range(len(whole) + 1))


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("select player", ""),
        ("SELECT  player", "SELECT "),
        ("SELECT playersFROM", "SELECT player"),
        ("SELECT MAX(no)", "SELECT MAX"),
        ("SELECT player FROM table;", "SELECT player FROM table"),
        ("SELECT player FROM table AND", "SELECT player FROM table "),
        ("SELECT player FROM table WHERE no >= 3", "SELECT player FROM table WHERE no >"),
        ("SELECT player FROM table WHERE no =  3", "SELECT player FROM table WHERE no = "),
        ("SELECT player FROM table WHERE no = \u2009", "SELECT player FROM table WHERE no = "),
        ("SELECT player FROM table WHERE no = 3 AND 4", "SELECT player FROM table WHERE no = 3 AND "),
        ("SELECT player FROM table WHERE no = 3 AND no 4", "SELECT player FROM table WHERE no = 3 AND no "),
    ],
)
def test_what_is_no_query_is_seen_at_the_first_wrong_letter(text, good):
    assert [end for end in range(len(text) + 1) if grammar(HEADER).begins(text[:end].encode())] == list(
        range(len(good) + 1)
    )
    assert not grammar(HEADER).accepts(text.encode())


@pytest.mark.parametrize(
    "text",
    ["SELECT player FROM tabl", "SELECT player FROM table WHERE no =", "SELECT player FROM table WHERE no = 1 AND "],
)
def test_a_beginning_is_no_whole_query(text):
    assert grammar(HEADER).begins(text.encode())
    assert not grammar(HEADER).accepts(text.encode())


def test_letters_may_be_incomplete_at_the_end_of_a_beginning_only():
    start = b"SELECT no FROM table WHERE no = "
    assert grammar(HEADER).begins(start + b"\xc3")
    assert not grammar(HEADER).accepts(start + b"\xc3")
    assert grammar(HEADER).accepts(start + b"\xc3\xa9")
    assert not grammar(HEADER).begins(start + b"\xc3\xc3")
    assert grammar(HEADER).begins(b"SELECT caf\xc3")
    assert not grammar(HEADER).begins(b"SELECT caf\xc4")


NAMES = [
    *(
        "",
        "a",
        "A",
        "a b",
        "a = b",
        "a FROM table",
        "a FROM table WHERE b",
        "MAX",
        "MAX a",
        "b AND a",
        "AND",
        "=",
        "a =",
    ),
    *("a AND a", "\u00e9", '"a', "[a]", "where", "from", "table", ">", "a > =", "\u0130", "\u2009"),
]
VALUES = ["x", "3", "a = b", "AND", "=", '"', "x and a = 3", "\u00e9", "from table"]
NASTY = st.lists(st.sampled_from(NAMES) | st.text("aA =\"'[]AND", max_size=6), min_size=1, max_size=3)
VALUE = st.sampled_from(VALUES) | st.text("aAND =x'\u2009", min_size=1, max_size=8)


@st.composite
def queries(draw):
    """A header, and a query over it whose values do not begin with white space and have no AND."""
    header = draw(NASTY)
    column = st.integers(0, len(header) - 1)
    value = VALUE.map(str.lstrip).filter(lambda v: v and " AND " not in f"{v} ")
    sql = {
        "sel": draw(column),
        "agg": draw(st.integers(0, 5)),
        "conds": draw(st.lists(st.tuples(column, st.integers(0, 2), value), max_size=3)),
    }
    return header, sql


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(queries())
def test_every_text_of_a_query_is_accepted_and_so_is_every_beginning(case):
    header, sql = case
    text = sql_text(sql, header).encode()
    if sql["conds"] and re.search(rb" (AND|[=><])$", text):
        return  # the value was nothing but white space
    assert grammar(header).accepts(text)
    assert all(grammar(header).begins(text[:end]) for end in range(len(text)))


def accepted_by_brute_force(header, text):
    """The grammar as a regular expression."""

    def one_of(texts):
        return "|".join(re.escape(text) for text in texts)

    selections = one_of(" ".join(f"SELECT {agg} {name} FROM table".split()) for agg in AGG_OPS for name in header)
    heads = one_of(" ".join(f"{name} {op}".split()) + " " for name in header for op in "=><")
    cond = rf"(?:{heads})(?!\s)(?:(?! AND )[\s\S])+"
    return re.fullmatch(rf"(?:{selections})(?: WHERE {cond}(?: AND {cond})*)?", text) is not None


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(queries(), st.data())
def test_changed_texts_are_accepted_where_brute_force_accepts_them_and_then_they_can_be_read(case, data):
    header, sql = case
    text = sql_text(sql, header)
    place = data.draw(st.integers(0, len(text)))
    insert = data.draw(st.sampled_from(["", " ", "AND", " AND ", "=", "a", " WHERE ", " = ", "\u2009"]))
    text = text[:place] + insert + text[place + data.draw(st.integers(0, 3)) :]
    found = grammar(header).accepts(text.encode())
    assert found == accepted_by_brute_force(header, text), (header, text)
    if found:
        assert parse(text, header) is not None, (header, text)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(queries(), st.data())
def test_a_text_begins_a_query_exactly_where_it_can_be_completed(case, data):
    header, sql = case
    tails = [
        " ".join(f"SELECT {agg} {name} FROM table WHERE {other} {op}".split()) + " x"
        for agg in AGG_OPS
        for name in header
        for other in header
        for op in "=><"
    ]
    ends = {tail[i:] for tail in tails for i in range(len(tail) + 1)}
    ends |= {f"{end} AND {tail.split(' WHERE ')[1]}" for tail in tails for end in ("", "D", "ND")}
    text = sql_text(sql, header)
    text = text[: data.draw(st.integers(0, len(text)))]
    text += data.draw(st.sampled_from(["", " ", "  ", "A", "=", "x"]))
    possible = any(accepted_by_brute_force(header, text + end) for end in ends)
    assert grammar(header).begins(text.encode()) == possible, (header, text)


def test_right_answers_of_the_lab_are_in_the_grammar(lab):
    for example in to_examples(read(lab / "data" / "wikisql", "validation").rows):
        assert TASK.grammar(example).accepts(example.target.encode())


def test_names_that_look_like_queries_can_be_read():
    header = ["a FROM table WHERE b = x", "MAX a"]
    text = "SELECT MAX a FROM table WHERE b = x FROM table"
    assert grammar(header).accepts(text.encode())
    assert parse(text, header).query.agg == AGG_OPS.index("MAX")


def test_a_looping_answer_takes_no_time():
    text = b"SELECT a FROM table WHERE a = b = x" + b" AND a = b = x" * 400
    assert grammar(["a", "a = b"]).accepts(text)
