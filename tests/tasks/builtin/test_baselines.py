from __future__ import annotations

import random

import pytest

from lorascope.tasks import TASKS
from lorascope.tasks.base import Example


def nli(premise, hypothesis, label="neutral"):
    row = {"id": "0", "sentence1": premise, "sentence2": hypothesis, "gold_label": label}
    return TASKS["multi_nli"].to_examples([row])[0]


def restaurant(mr, ref=""):
    return TASKS["e2e_nlg"].to_examples([{"id": "0", "mr": mr, "ref": ref}])[0]


def dialogue(text, summary=""):
    return TASKS["samsum"].to_examples([{"id": "0", "dialogue": text, "summary": summary}])[0]


def query(header, question, sel=0, agg=0, conds=()):
    row = {"id": "0", "table_id": "1-1-1", "question": question, "sql": {"sel": sel, "agg": agg, "conds": list(conds)},
           "table": {"header": header, "types": ["text"] * len(header), "rows": []}}  # fmt: skip
    return TASKS["wikisql"].to_examples([row])[0]


def plain(prompt, target):
    return Example(id="0", prompt=prompt, target=target, references=(target,), group=prompt)


RNG = random.Random(0)


def test_the_frequent_answer_is_that_of_most_training_rows(baselines):
    train = [plain("", answer) for answer in ("no", "yes", "yes")]
    assert baselines.frequent(train, [plain("x", "")] * 2, RNG) == ["yes", "yes"]


def test_the_nearest_shares_most_words_for_its_length(baselines):
    train = [plain("a b c d e f g", "long"), plain("a b x", "short"), plain("y z", "other")]
    # Jaccard indices with "a b c": 3 of 7, 2 of 4, 0 of 5.
    assert baselines.nearest_answer(train, [plain("A, b. C!", "")], RNG) == ["short"]


def test_of_several_that_are_as_near_one_is_drawn(baselines):
    train = [plain("a b", "one"), plain("b a", "two")]
    answers = {baselines.nearest_answer(train, [plain("a", "")], random.Random(seed))[0] for seed in range(20)}
    assert answers == {"one", "two"}


def test_values_of_shared_attributes_are_swapped(baselines):
    found = restaurant("name[The Red Fox], food[Thai], area[riverside]", "The Red Fox has Thai food at the riverside.")
    asked = restaurant("name[Blue Bell], eatType[pub], food[French]")
    assert baselines.swap_values(found, asked) == "Blue Bell has French food at the riverside."
    assert baselines.copy_values([], [asked], RNG) == ["Blue Bell pub French"]


def test_speakers_are_swapped_in_order(baselines):
    found = dialogue("Ann: hi\nBob: yes?\nAnn: bye", "Ann says bye to Bob and Annie.")
    asked = dialogue("Cid: so\nDan: a long turn\nCid: no\nDan: well")
    assert baselines.swap_speakers(found, asked) == "Cid says bye to Dan and Annie."
    assert baselines.lead([], [asked], RNG) == ["so a long turn no"]
    assert baselines.longest([], [asked], RNG) == ["Dan: a long turn"]


def test_a_query_gets_the_columns_and_values_of_the_question_in_order(baselines):
    found = query(["film", "year", "price"], "?", sel=2, agg=1, conds=[[0, 0, "Red Rose"], [1, 1, 1980]])
    asked = query(["town", "home town", "age", "number"], "What is the largest age of the town Milton, home town 7.5?")
    assert baselines.swap_query(found, asked) == "SELECT MAX age FROM table WHERE town = Milton AND home town > 7.5"


def test_a_query_keeps_its_own_where_the_question_names_nothing(baselines):
    found = query(["film", "year", "price"], "?", sel=2, conds=[[1, 0, "Red Rose"]])
    asked = query(["town", "mayor"], "Who?")
    assert baselines.swap_query(found, asked) == "SELECT town FROM table WHERE mayor = Red Rose"


def test_naive_bayes_reads_the_hypothesis_alone(baselines):
    train = [nli("same", "A dog ran.", "entailment"), nli("same", "Nobody ran.", "contradiction")] * 3
    test = [nli("Nobody", "Nobody sang."), nli("Nobody", "A dog sang.")]
    assert baselines.naive_bayes(train, test, RNG) == ["contradiction", "entailment"]


def test_overlap_learns_from_how_many_words_are_shared(baselines):
    train = [nli("a b c", "a b c", "entailment"), nli("a b c", "x y z", "neutral")] * 5
    assert baselines.overlap(train, [nli("k l m", "l k m"), nli("k l m", "o p q")], RNG) == ["entailment", "neutral"]


@pytest.mark.slow
def test_the_tables_are_printed(baselines, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["baselines.py", "wikisql"])
    baselines.main()
    assert "| wikisql | " in capsys.readouterr().out
