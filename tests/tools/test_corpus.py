import random
import re
import sqlite3
from itertools import islice

import pytest
from corpus import KINDS, STAGES, VERDICTS, documents, drills, statements, tables, talks

from lorascope.tasks.builtin import multi_nli, words
from lorascope.tasks.builtin.statements import Fact, judge


def some(kind: str, count: int = 200, seed: str = "test") -> list[str]:
    return [text for _, text in islice(documents(seed, kind), count)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_documents_and_another_seed_others(kind: str):
    assert some(kind, 30) == some(kind, 30)
    assert not set(some(kind, 30)) & set(some(kind, 30, "another"))


@pytest.mark.parametrize("kind", KINDS)
def test_documents_of_a_kind_differ_and_fit_into_a_row(kind: str):
    texts = some(kind)
    assert len(set(texts)) == len(texts)
    assert max(map(len, texts)) < 2500
    # Words that are compared begin with a space, the first one, too: it is part of the token.
    assert all(text.strip() and text.removeprefix(" ") == text.strip() for text in texts)
    assert not any("{" in text or "|]" in text for text in texts)


@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_kinds_come_by_their_shares(stage: int):
    drawn = [kind for kind, _ in islice(documents("shares", stage=stage), 2000)]
    assert sum(STAGES[stage]) == pytest.approx(1)
    for kind, share in zip(KINDS, STAGES[stage], strict=True):
        assert drawn.count(kind) / 2000 == pytest.approx(share, abs=0.04)


def test_no_document_has_a_prompts_layout():
    for _, text in islice(documents("layout"), 2000):
        assert "###" not in text
        assert "Instruction:" not in text


def test_no_premise_of_the_task_is_in_the_corpus():
    premises = {row["sentence1"] for row in multi_nli.rows("validation")}
    told = " ".join(some("statements", 2000))
    assert not any(premise in told for premise in premises)


def test_a_claims_verdict_is_what_the_facts_imply():
    """ "{C}? Yes." documents are read back: texts of facts and claims, each found again by its clause."""
    anna = next(person for person in words.PEOPLE if person.name == "Anna")
    milton, oakham = (
        Fact(("Anna", "home"), frozenset([town]), f"{{whose}} home is {town}") for town in ("Milton", "Oakham")
    )
    rng = random.Random(3)
    assert statements.tell(rng, [(anna, milton)]) == "Anna's home is Milton."
    assert [judge([milton], claim) for claim in (milton, oakham)] == ["entailment", "contradiction"]
    assert statements._reason(oakham, [(anna, milton)]) == "Anna's home is Milton"
    assert statements._reason(Fact(("Tom", "home"), frozenset(), ""), [(anna, milton)]) == "nothing was said about that"


def test_facts_in_other_words_keep_their_meaning():
    anna = next(person for person in words.PEOPLE if person.name == "Anna")
    home = [Fact(("Anna", "home"), frozenset([town]), f"{{who}} {way} {town}") for town in ("Milton", "Oakham")
            for way in ("lives in", "is at home in")]  # fmt: skip
    for seed in range(20):
        text = statements._restated(random.Random(seed), [(anna, home[0])], [(anna, fact) for fact in home[1:]])
        assert "Anna is at home in Milton" in text


def test_every_verdict_is_as_frequent_as_the_others():
    lines = "\n".join(some("statements", 1500)).splitlines()
    counts = [sum(line.startswith("Is it true") and verdict in line.lower().split("?")[1] for line in lines)
              for verdict in ("yes", "perhaps", "no.")]  # fmt: skip
    assert min(counts) > 30
    assert min(counts) > 0.6 * max(counts)


def test_a_query_and_its_answer_agree_with_a_database():
    rng = random.Random(5)
    compared = 0
    for _ in range(300):
        drawn = tables.draw(rng)
        names = [name.replace(" ", "_") for name, _ in drawn.columns]
        base = sqlite3.connect(":memory:")
        base.execute(f"create table {drawn.name} ({', '.join(names)})")
        base.executemany(f"insert into {drawn.name} values ({', '.join('?' * len(names))})", drawn.rows)
        query = tables.ask(rng, drawn)
        text = tables.sql(drawn, query, loud=rng.random() < 0.5)
        for (name, _), safe in zip(drawn.columns, names, strict=True):
            text = text.replace(name, safe)
        found = [row[0] for row in base.execute(text)]
        answer = tables.answer(drawn, query)
        if query.over == "avg" and found != [None]:
            assert float(answer) == pytest.approx(found[0], rel=1e-4)
        elif found in ([], [None]):
            assert answer == "nothing"
        else:
            assert answer == ", ".join(dict.fromkeys(map(str, found)))
        compared += 1
    assert compared == 300


def test_a_talks_outcome_names_what_was_settled_last():
    rng = random.Random(8)
    for _ in range(200):
        turns, end = talks._agree(rng, "day", "A")
        value = end.removeprefix("on ")
        assert any(value.lower() in text.lower() for _, text in turns)
        assert {who for who, _ in turns} == {"A", "B"}


def test_a_list_is_copied_word_by_word():
    for _ in range(50):
        text = drills.repeated(random.Random(_))
        if text.startswith("List:"):
            first, again = text.removeprefix("List:\n").split("\nCopy:\n")
            assert first.endswith(again)


SAID = {"yes": True, "same": True, "true": True, "right": True, "no": False, "different": False, "false": False,
        "wrong": False}  # fmt: skip


def test_what_is_compared_is_the_same_exactly_if_it_is_said_to_be():
    compared = [
        (one == two, SAID[verdict.lower()])
        for line in "\n".join(some("comparisons", 100)).splitlines()
        if " / " in line
        for one, two, verdict in [line.split(" / ")]
    ]
    compared += [
        (one == two, SAID[verdict])
        for text in some("pairs", 100)
        for one, two, verdict in re.findall(r" ([A-Za-z ]+) and ([A-Za-z ]+): (\w+)", text)
    ]
    assert len(compared) > 300
    assert all(same is said for same, said in compared)
    assert 0.4 < sum(same for same, _ in compared) / len(compared) < 0.6


def test_a_value_is_a_persons_exactly_if_it_is_said_to_be():
    asked = []
    for text in some("facts", 200):
        told = dict(re.findall(r"^ (\w+) has ([\w ]+)$", text, re.MULTILINE))
        claims = re.findall(r"^ (\w+) has ([\w ]+)[?:] (\w+)$", text, re.MULTILINE)
        asked += [(told[person] == value, SAID[verdict]) for person, value, verdict in claims]
    for text in some("bound", 400):
        first, *lines = text.splitlines()
        told = dict(re.findall(r"(\w+) has ([\w ]+)", first))
        claims = [re.fullmatch(r"(\w+) has ([\w ]+)[?:] (\w+)", line) for line in lines]
        for person, value, verdict in (claim.groups() for claim in claims if claim):
            if verdict.lower() in SAID:
                asked.append((told[person] == value, SAID[verdict.lower()]))
            else:
                assert person not in told
    assert len(asked) > 250
    assert all(same is said for same, said in asked)


def test_every_kind_with_verdicts_uses_the_words_that_count_more():
    for kind in ("pairs", "comparisons", "facts", "bound", "simple statements"):
        assert all(set(re.findall(r"\w+", text)) & set(VERDICTS) for text in some(kind, 50))


def test_a_simple_claim_differs_in_a_word_at_most():
    assert statements._near("{whose} hat is red", "{whose} hat is blue")
    assert statements._near("{whose} hat is red", "{whose} hat is red")
    assert not statements._near("{whose} hat is red", "the colour of {whose} hat is red")
