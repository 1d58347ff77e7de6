"""Logical form accuracy of WikiSQL: is the generated text the right query?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lorascope.evaluation.metrics.base import Tally, mean_tally
from lorascope.evaluation.metrics.sql import ambiguous, is_tricky, need_tables, parse, query_of
from lorascope.tasks.base import Example, Task

GRAMMAR = "SELECT [agg] column FROM table [WHERE column op value {AND ...}]; case, spacing and quotes do not count"


def logical_form(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """Share of right queries, in percent, and share of texts that are no query (`unparsed`, lower is better).

    `logical_form` compares conditions as sets, `logical_form_ordered` as lists: the official scorer's two modes (Zhong
    2017; its default is the former). The settings list, by id, the examples whose right answer is ambiguous as text,
    and those whose names or values look like parts of a query.
    """
    need_tables(examples, "logical_form")
    found = [parse(text, example.meta["header"]) for text, example in zip(predictions, examples, strict=True)]
    gold = [query_of(example.meta["sql"]) for example in examples]
    sets = [p is not None and p.query.same(g) for p, g in zip(found, gold, strict=True)]
    lists = [p is not None and p.query.same(g, ordered=True) for p, g in zip(found, gold, strict=True)]
    settings = {"grammar": GRAMMAR, **ambiguity_settings(examples)}
    unparsed = mean_tally("unparsed", _percent([p is None for p in found]), unit="%", settings={"grammar": GRAMMAR})
    return [
        mean_tally("logical_form", _percent(sets), unit="%", settings={"conditions": "unordered", **settings}),
        mean_tally("logical_form_ordered", _percent(lists), unit="%", settings={"conditions": "ordered", **settings}),
        replace(unparsed, higher_is_better=False),
    ]


def ambiguity_settings(examples: Sequence[Example]) -> dict[str, Any]:
    """How many right answers are ambiguous as text, and which; the same of those with keywords inside, or odd names."""
    ids = [example.id for example in examples if ambiguous(example)]
    tricky = [example.id for example in examples if is_tricky(example)]
    return {"ambiguous": len(ids), "ambiguous_ids": ids, "tricky": len(tricky), "tricky_ids": tricky}


def _percent(hits: Sequence[bool]) -> list[float]:
    return [100.0 * hit for hit in hits]
