"""Execution accuracy of WikiSQL: does the generated query give what the right one gives?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from lorascope.evaluation.metrics.base import Tally, mean_tally
from lorascope.evaluation.metrics.sql import Query, need_tables, parse, query_of
from lorascope.evaluation.metrics.sql_engine import Engine
from lorascope.tasks.base import Example, Task

RULE = "results of SQLite as WikiSQL's DBEngine gives them, values in the table's order; what is no query is wrong"


def execution(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """Share of queries whose result equals the right query's, in percent (Zhong 2017).

    It counts other queries with the same result as right, so that it is never below the logical form accuracy.
    """
    need_tables(examples, "execution")
    hits = [False] * len(examples)
    not_run: list[str] = []
    by_table = sorted(range(len(examples)), key=lambda i: str(examples[i].meta.get("table_id")))
    with closing(Engine()) as engine:
        for i in by_table:
            example = examples[i]
            engine.load(example.meta)
            gold = query_of(example.meta["sql"])
            right = engine.run(gold)
            if right is None:
                not_run.append(example.id)
            if (found := parse(predictions[i], example.meta["header"])) is not None:
                hits[i] = found.query.same(gold) or (right is not None and gives(engine, found.query, right))
    settings = {"rule": RULE, "right_queries_not_run": sorted(not_run)}
    return [mean_tally("execution", [100.0 * hit for hit in hits], unit="%", settings=settings)]


def gives(engine: Engine, query: Query, result: list[object]) -> bool:
    """Whether a query gives this result on the engine's table."""
    return engine.run(engine.as_stored(query)) == result
