"""Logical form and execution accuracy: by hand, on all right answers of the lab, on planted errors."""

import json
import math
import random
import re
from contextlib import closing
from dataclasses import replace

import pytest

from lorascope.errors import ConfigError
from lorascope.evaluation.metrics import with_metrics
from lorascope.evaluation.metrics.exact_match import exact_match
from lorascope.evaluation.metrics.execution import execution, gives
from lorascope.evaluation.metrics.logical_form import logical_form
from lorascope.evaluation.metrics.sql import ambiguous, is_tricky, parse, query_of
from lorascope.evaluation.metrics.sql_engine import Engine
from lorascope.tasks import samsum
from lorascope.tasks.wikisql import AGG_OPS, TASK, read, sql_text, to_examples

TABLE = {
    "header": ["name", "age", "city"],
    "types": ["text", "real", "text"],
    "rows": [["Ann", 30, "Rome"], ["Bob", 41, "Rome"], ["Cid", 30, "Oslo"]],
}


def rows(*queries):
    return [
        {"id": str(i), "table_id": "1-1", "question": "?", "sql": sql, "table": TABLE} for i, sql in enumerate(queries)
    ]


GOLD = to_examples(
    rows(
        {"sel": 0, "agg": 0, "conds": [[1, 0, 30], [2, 0, "Rome"]]},
        {"sel": 1, "agg": 1, "conds": []},
        {"sel": 2, "agg": 0, "conds": [[0, 0, "Bob"]]},
    )
)


def scores(predictions, examples):
    """name -> score of each example."""
    tallies = [metric(predictions, examples, TASK) for metric in (logical_form, execution, exact_match)]
    return {tally.name: tally.per_example.tolist() for found in tallies for tally in found}


def test_right_answers_have_the_maximum():
    found = scores([example.target for example in GOLD], GOLD)
    assert found.pop("unparsed") == [0, 0, 0]
    assert all(values == [100, 100, 100] for values in found.values())


def test_worked_by_hand():
    said = [
        "select NAME from table where city = 'Rome' and age = 30",  # another order, case, quotes
        "SELECT age FROM table WHERE name = Bob",  # another query with the same result
        "SELECT city FROM table WHERE name is Bob",  # no query
    ]
    assert scores(said, GOLD) == {
        "logical_form": [100, 0, 0],
        "logical_form_ordered": [0, 0, 0],
        "unparsed": [0, 0, 100],
        "execution": [100, 100, 0],
        "exact_match": [0, 0, 0],
    }


def test_exact_match_of_queries_comes_with_advice():
    (tally,) = exact_match(["x"] * 3, GOLD, TASK)
    assert "logical_form" in tally.settings["advice"]


def test_unparsed_is_better_when_it_is_lower():
    by_name = {tally.name: tally for tally in logical_form(["x"] * 3, GOLD, TASK)}
    assert not by_name["unparsed"].higher_is_better
    assert by_name["logical_form"].higher_is_better
    assert by_name["unparsed"].value == 100


def test_order_of_results_counts_and_rows_of_other_tables_do_not_mix():
    other = {**TABLE, "rows": TABLE["rows"][::-1]}
    gold = to_examples([*rows({"sel": 1, "agg": 0, "conds": []}), {**rows({"sel": 1, "agg": 0, "conds": []})[0],
                        "id": "1", "table_id": "0-9", "table": other}])  # fmt: skip
    assert execution(["SELECT age FROM table"] * 2, gold, TASK)[0].per_example.tolist() == [100, 100]
    assert execution(["SELECT age FROM table WHERE age > 0"] * 2, gold, TASK)[0].per_example.tolist() == [100, 100]
    assert execution(["SELECT name FROM table"] * 2, gold, TASK)[0].per_example.tolist() == [0, 0]


def test_ambiguous_examples_are_counted_and_named():
    twice = {**TABLE, "header": ["name", "age", "name"]}
    gold = [*GOLD, replace(GOLD[2], id="7", meta={**GOLD[2].meta, **twice}, target="SELECT name FROM table")]
    settings = logical_form(["x"] * 4, gold, TASK)[0].settings
    assert (settings["ambiguous"], settings["ambiguous_ids"]) == (1, ["7"])
    assert (settings["tricky"], settings["tricky_ids"]) == (1, ["7"])


@pytest.mark.parametrize(
    ("header", "value", "tricky"),
    [
        (["name", "age", "city"], "Bob", False),
        (["name", "age", "city"], "Bob and Ann", True),
        (["name", "age", "city"], "Sandra", False),  # no word of its own
        (["name", "age", "city"], "a = b", True),
        (["moved from", "age", "city"], "Bob", True),
        (["name", "table", "city"], "Bob", False),  # the query does not use it
        (["name", "age", " NAME "], "Bob", True),
        (["name", "age", ""], "Bob", True),
    ],
)
def test_names_and_values_that_look_like_parts_of_a_query_are_told(header, value, tricky):
    gold = to_examples(
        [{**rows({"sel": 2, "agg": 0, "conds": [[0, 0, value]]})[0], "table": TABLE | {"header": header}}]
    )
    assert is_tricky(gold[0]) == tricky
    settings = logical_form(["x"], gold, TASK)[0].settings
    assert settings["tricky_ids"] == ["0"] * tricky


def test_a_right_query_that_cannot_be_run_is_named_and_no_answer_equals_it():
    gold = to_examples(rows({"sel": 0, "agg": 0, "conds": [[1, 0, "none"]]}))
    tally = execution(["SELECT name FROM table WHERE age = nothing"], gold, TASK)[0]
    assert tally.settings["right_queries_not_run"] == ["0"]
    assert tally.value == 0
    assert execution([gold[0].target], gold, TASK)[0].value == 100  # the same query


def test_other_tasks_have_no_tables():
    with pytest.raises(ConfigError, match="no-tables"):
        logical_form(["x"], [replace(GOLD[0], meta={})], TASK)
    with pytest.raises(ConfigError, match="no-tables"):
        execution(["x"], [replace(GOLD[0], meta={})], TASK)
    with pytest.raises(ConfigError, match=r"no-tables.*execution"):
        with_metrics(samsum.TASK, "rouge,execution")
    assert with_metrics(TASK, "execution").metrics == ("execution",)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_generated_right_answers_have_the_maximum(split):
    examples = to_examples(TASK.builtin(split))
    found = scores([example.target for example in examples], examples)
    assert not any(ambiguous(example) for example in examples)
    assert not any(found.pop("unparsed"))
    assert all(set(values) == {100} for values in found.values())


# The lab


def lab_examples(lab, split):
    return to_examples(read(lab / "data" / "wikisql", split).rows)


def returns(examples):
    """Whether each example's text, read and run on its table, gives what its sql dict gives."""
    found = []
    with closing(Engine()) as engine:
        for example in examples:
            engine.load(example.meta)
            right = engine.run(query_of(example.meta["sql"]))
            read_back = parse(example.target, example.meta["header"])
            found.append(right is not None and read_back is not None and gives(engine, read_back.query, right))
    return found


@pytest.mark.slow
def test_all_unambiguous_right_answers_of_the_lab_come_back_whole(lab):
    examples = [example for split in ("train", "validation", "test") for example in lab_examples(lab, split)]
    assert len(examples) == 26_543
    clear = [example for example in examples if not ambiguous(example)]
    assert len(examples) - len(clear) == 8  # column names that repeat
    assert sum(map(is_tricky, examples)) == 711  # the other 703 are read back as well
    found = scores([example.target for example in clear], clear)
    assert not any(found.pop("unparsed"))
    assert all(set(values) == {100} for values in found.values())
    assert all(returns(clear))  # also where the logical form is not looked at


def test_right_answers_of_the_labs_dev_split_come_back_whole(lab):
    examples = lab_examples(lab, "validation")
    assert len(examples) == 2_001
    assert not any(ambiguous(example) for example in examples)
    found = scores([example.target for example in examples], examples)
    assert not any(found.pop("unparsed"))
    assert all(set(values) == {100} for values in found.values())
    assert all(returns(examples))


@pytest.mark.parametrize(
    ("split", "count", "turned"),
    [("dev", 8_421, 2_000), pytest.param("test", 15_878, 4_000, marks=pytest.mark.slow)],
)
def test_official_questions_are_read_back_and_only_order_sets_the_two_modes_apart(lab, split, count, turned):
    path = lab / "data" / "wikisql" / "official_questions" / f"{split}.jsonl"
    queries = [json.loads(line)["sql"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(queries) == count
    header = [f"column {i}" for i in range(64)]  # their tables are not here
    turned_around = 0
    for sql in queries:
        gold = query_of(sql)
        straight = parse(sql_text(sql, header), header)
        assert straight.readings == 1
        assert straight.query.same(gold, ordered=True)
        if [c[:2] for c in sql["conds"]] != [c[:2] for c in sql["conds"][::-1]]:
            back = parse(sql_text({**sql, "conds": sql["conds"][::-1]}, header), header).query
            assert back.same(gold)
            assert not back.same(gold, ordered=True)
            turned_around += 1
    assert turned_around > turned


# Planted errors: each costs exactly what it should


def brute_force(table, query):
    """The result of a query without SQLite: texts in lower case, columns of numbers as numbers."""

    def cell(row, column):
        value = row[column]
        return float(value) if table["types"][column] == "real" else str(value).lower()

    def holds(row, column, op, value):
        wanted = float(value) if table["types"][column] == "real" else str(value).lower()
        mine = cell(row, column)
        return mine == wanted if op == 0 else mine > wanted if op == 1 else mine < wanted

    kept = [cell(row, query["sel"]) for row in table["rows"] if all(holds(row, *c) for c in query["conds"])]
    if query["agg"] == AGG_OPS.index("COUNT"):
        return [len(kept)]
    if not query["agg"] or not kept:
        return kept if not query["agg"] else [None]
    return [
        {"MAX": max, "MIN": min, "SUM": math.fsum, "AVG": lambda v: math.fsum(v) / len(v)}[AGG_OPS[query["agg"]]](kept)
    ]


def is_plain(example):
    """Whether conditions on columns of numbers have plain numbers, so that brute force can do without casts."""
    types, conds = example.meta["types"], example.meta["sql"]["conds"]
    return all(re.fullmatch(r"-?\d+(\.\d+)?", str(value)) for column, _, value in conds if types[column] == "real")


def alike(one, other):
    return len(one) == len(other) and all(
        a == b or (isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=1e-9))
        for a, b in zip(one, other, strict=True)
    )


def altered(kind, sql, table, rng):
    """A query that is wrong in one way, or None where this one cannot be made so."""
    columns, conds = len(table["header"]), [list(c) for c in sql["conds"]]
    if kind == "column":
        free = [i for i in range(columns) if i != sql["sel"] and table["header"][i] != table["header"][sql["sel"]]]
        return {**sql, "sel": rng.choice(free)} if free and sql["agg"] in (0, 3) else None
    if kind == "aggregation":
        real = table["types"][sql["sel"]] == "real"
        return {**sql, "agg": rng.choice([a for a in (range(6) if real else (0, 3)) if a != sql["agg"]])}
    if not conds:
        return None
    which = rng.randrange(len(conds))
    if kind == "operator":
        conds[which][1] = rng.choice([op for op in range(3) if op != conds[which][1]])
    elif kind == "value":
        column, _, value = conds[which]
        others = [row[column] for row in table["rows"] if str(row[column]).lower() != str(value).lower()]
        if not others:
            return None
        conds[which][2] = rng.choice(others)
    elif kind == "condition":
        del conds[which]
    return {**sql, "conds": conds}


def spelt_otherwise(kind, example):
    """The same query in another spelling, or None."""
    sql, header = example.meta["sql"], example.meta["header"]
    if kind == "order":
        return sql_text({**sql, "conds": sql["conds"][::-1]}, header) if len(sql["conds"]) > 1 else None
    if kind == "capitals":
        return example.target.upper()
    if kind == "spaces":
        return example.target.replace(" ", "   ")
    if kind == "quotes" and sql["conds"]:
        return sql_text({**sql, "conds": [[c, op, f"'{v}'"] for c, op, v in sql["conds"]]}, header)
    return None


LOSES = {
    "order": {"logical_form_ordered", "exact_match"},
    "capitals": {"exact_match"},
    "spaces": {"exact_match"},
    "quotes": {"exact_match"},
    **dict.fromkeys(("column", "aggregation", "operator", "value", "condition"), None),  # brute force tells execution
    "syntax": {"logical_form", "logical_form_ordered", "execution", "exact_match", "unparsed"},
}


@pytest.mark.parametrize("kind", LOSES)
def test_twenty_planted_errors_lose_exactly_what_they_should(lab, kind):
    rng = random.Random(f"planted {kind}")
    examples = [example for example in lab_examples(lab, "test") if is_plain(example)]
    rng.shuffle(examples)
    planted = 0
    for example in examples:
        sql, table = example.meta["sql"], example.meta
        loses = LOSES[kind]
        if kind == "syntax":
            text = rng.choice([example.target.replace(" FROM", ""), example.target + " WHERE", "SELECT * FROM table"])
            if " WHERE " in example.target and text.endswith("WHERE"):
                text = example.target.split(" WHERE ")[0] + " WHERE"
        elif loses is not None:
            text = spelt_otherwise(kind, example)
        else:
            wrong = altered(kind, sql, table, rng)
            text = None if wrong is None else sql_text(wrong, table["header"])
            loses = {"logical_form", "logical_form_ordered", "exact_match"}
            if text is not None and not alike(brute_force(table, wrong), brute_force(table, sql)):
                loses |= {"execution"}
        if text is None:
            continue
        found = scores([text], [example])
        assert {name for name, (value,) in found.items() if (value == 100) == (name == "unparsed")} == loses, text
        planted += 1
        if planted == 20:
            break
    assert planted == 20


def test_brute_force_agrees_with_the_engine(lab):
    examples = [example for example in lab_examples(lab, "test")[:500] if is_plain(example)]
    assert len(examples) > 450
    with closing(Engine()) as engine:
        for example in examples:
            engine.load(example.meta)
            assert alike(engine.run(query_of(example.meta["sql"])), brute_force(example.meta, example.meta["sql"]))
