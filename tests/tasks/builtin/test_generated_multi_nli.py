from __future__ import annotations

import itertools
import json
import random
import re
import zlib
from collections import Counter

import pytest

from lorascope.tasks.builtin import multi_nli, words
from lorascope.tasks.builtin.statements import REASONING, Fact, judge
from lorascope.tasks.multi_nli import FILES, LABELS, TASK
from lorascope.tasks.prompts import bare

SPLITS = tuple(FILES)


@pytest.fixture(scope="module")
def everything():
    return {split: multi_nli.rows(split) for split in SPLITS}


@pytest.fixture(scope="module")
def all_rows(everything):
    return [row for rows in everything.values() for row in rows]


@pytest.fixture(scope="module")
def examples(everything):
    return {split: TASK.to_examples(rows) for split, rows in everything.items()}


@pytest.fixture(scope="module")
def drawn():
    rng = random.Random(1)
    triples = [multi_nli.triple(rng, ["Well,"]) for _ in range(1500)]
    return [triple for triple in triples if triple]


def test_it_has_the_splits_of_the_task_in_the_sizes_it_names(everything):
    assert tuple(multi_nli.SIZES) == SPLITS
    assert {split: len(rows) for split, rows in everything.items()} == multi_nli.SIZES


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_those_that_the_reader_finds_in_official_files(split, everything, tmp_path):
    lines = [{key: value for key, value in row.items() if key != "id"} for row in everything[split]]
    (tmp_path / FILES[split][0]).write_text("".join(json.dumps(line) + "\n" for line in lines))
    reading = TASK.read(tmp_path, split)
    assert reading.rows == everything[split]
    assert reading.left_out == 0


def test_another_process_makes_the_same_rows(checksums, everything):
    here = {split: zlib.crc32(json.dumps(rows).encode()) for split, rows in everything.items()}
    assert json.loads(checksums(multi_nli.__name__)) == here


def test_every_hypothesis_stands_once_under_each_label(everything):
    for rows in everything.values():
        labels = {}
        for row in rows:
            labels.setdefault(row["sentence2"], []).append(row["gold_label"])
        assert all(sorted(found) == sorted(LABELS) for found in labels.values())


def test_no_premise_and_no_hypothesis_is_in_two_splits_and_no_premise_twice(everything):
    premises = {split: [bare(row["sentence1"]) for row in rows] for split, rows in everything.items()}
    assert all(len(set(texts)) == len(texts) for texts in premises.values())
    for one, other in itertools.combinations(SPLITS, 2):
        assert not set(premises[one]) & set(premises[other])
        texts = [{row["sentence2"] for row in everything[split]} for split in (one, other)]
        assert not texts[0] & texts[1]


def test_the_order_of_rows_does_not_tell_the_label(everything):
    for rows in everything.values():
        same = sum(one["gold_label"] == other["gold_label"] for one, other in itertools.pairwise(rows))
        assert 0.26 < same / len(rows) < 0.40


def test_texts_are_short_sentences_without_leftover_slots(all_rows):
    for row in all_rows:
        for text in (row["sentence1"], row["sentence2"]):
            assert re.fullmatch(r"[A-Z][A-Za-z',.: ]*\.", text), text
            assert "  " not in text
            assert text.count(".") <= 3
        assert len(row["sentence1"].split()) <= 30
        assert len(row["sentence2"].split()) <= 14


def test_premises_of_other_genres_open_in_other_ways(everything):
    def opened(split, genres):
        starts = tuple(start for several in genres.values() for start in several)
        return sum(row["sentence1"].startswith(starts) for row in everything[split]) / len(everything[split])

    ours, others = multi_nli.GENRES, multi_nli.OTHER_GENRES
    assert 0.3 < opened("validation", ours) < 0.5
    assert 0.3 < opened("validation_mismatched", others) < 0.5
    assert opened("validation", others) == opened("validation_mismatched", ours) == 0


# --- labels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("premise", "label"),
    [
        ([("x", "a")], "entailment"),
        ([("x", "ab")], "entailment"),
        ([("x", "c")], "contradiction"),
        ([("x", "bc")], "neutral"),
        ([("x", "bc"), ("x", "ab")], "entailment"),
        ([("x", "bc"), ("x", "cd")], "contradiction"),
        ([("y", "a")], "neutral"),
        ([("y", "c"), ("x", "a")], "entailment"),
        ([], "neutral"),
    ],
)
def test_a_label_follows_from_what_is_possible(premise, label):
    facts = [Fact((variable,), frozenset(allowed), "") for variable, allowed in premise]
    assert judge(facts, Fact(("x",), frozenset("ab"), "")) == label


def test_labels_hold_in_a_count_of_all_worlds(drawn):
    """A world gives a variable a value: one of those that some clause about a variable of its kind names."""
    values = {}
    for pair in (pair for triple in drawn for pair in triple.values()):
        for fact in (*pair.facts, pair.claim):
            values.setdefault(fact.variable[1:], set()).update(fact.allowed)
    for label, pair in ((label, pair) for triple in drawn for label, pair in triple.items()):
        worlds = values[pair.claim.variable[1:]] | {"any other"}
        left = [w for w in worlds if all(w in f.allowed for f in pair.facts if f.variable == pair.claim.variable)]
        held = [world in pair.claim.allowed for world in left]
        assert held
        assert label == ("entailment" if all(held) else "neutral" if any(held) else "contradiction"), pair


def test_a_premise_says_one_thing_about_one_matter_and_the_texts_say_the_facts(drawn):
    for pair in (pair for triple in drawn for pair in triple.values()):
        assert len({fact.variable for fact in pair.facts}) == len(pair.facts)
        for fact in pair.facts:
            ends = re.split(r"\{\w+\}", fact.clause)
            assert all(end.strip().lower() in pair.premise.lower() for end in ends), pair
            assert fact.variable[0] in pair.premise


def test_every_kind_of_reasoning_is_there_in_about_its_share():
    assert sum(share for share, _ in REASONING.values()) == pytest.approx(1)
    rng = random.Random(0)
    for _, draw in REASONING.values():
        facts = draw(rng)(words.PEOPLE[0], words.PEOPLE[1])
        assert len({fact.variable for fact in facts}) == 1
        labels = {judge([fact], claim) for fact in facts for claim in facts}
        assert {"entailment", "contradiction"} <= labels


WHO = r"(?P<who>[A-Z][a-z]+|[Ss]he|[Hh]e|[Hh]im|[Hh]er)"
WHOSE = r"(?:(?P<whose>[A-Z][a-z]+)'s|(?P<their>[Hh]er|[Hh]is))"
READ = {
    "home": [rf"{WHO} lives in (\w+)", rf"{WHOSE} home is in (\w+)", rf"[Tt]he town where {WHO} lives is (\w+)"],
    "childhood": [
        rf"{WHO} grew up in (\w+)", rf"{WHO} spent (?:his|her) childhood in (\w+)", rf"{WHO} was a child in (\w+)"
    ],
    "birthday": [
        rf"{WHO} was born in (\w+)", rf"{WHOSE} birthday is in (\w+)", rf"[Tt]he month of {WHOSE} birthday is (\w+)"
    ],
    "sport": [
        rf"{WHOSE} favourite sport is (\w+)", rf"[Tt]he sport that {WHO} likes best is (\w+)",
        rf"[Tt]he only sport for {WHO} is (\w+)",
    ],
    "pet": [
        rf"{WHOSE} only pet is an? (\w+)", rf"{WHO} has one pet, an? (\w+)",
        rf"[Tt]he only pet that {WHO} has is an? (\w+)",
    ],
}  # fmt: skip
"""A reader of five matters, written from the texts alone."""
NAMES = {person.name for person in words.PEOPLE}


def read(text):
    """{(who, matter): value}; a pronoun is the person named last."""
    found = {}
    for matter, patterns in READ.items():
        for match in itertools.chain.from_iterable(re.finditer(pattern, text) for pattern in patterns):
            groups = match.groupdict()
            who = groups.get("who") or groups.get("whose") or groups.get("their")
            if who not in NAMES:
                who = [name for name in re.findall(r"[A-Z][a-z]+", text[: match.start()]) if name in NAMES][-1]
            assert (who, matter) not in found
            found[who, matter] = match.groups()[-1]
    return found


def test_labels_are_what_a_reader_of_the_texts_finds(all_rows):
    read_ones = 0
    for row in all_rows:
        claim = read(row["sentence2"])
        if not claim:
            continue
        ((about, value),) = claim.items()
        told = read(row["sentence1"]).get(about)
        label = "neutral" if told is None else "entailment" if told == value else "contradiction"
        assert label == row["gold_label"], row
        read_ones += 1
    assert read_ones > 1000


# --- what cannot be had cheaply ------------------------------------------------------------------------------------


def accuracy(answers, examples):
    return 100 * sum(answer == example.target for answer, example in zip(answers, examples, strict=True)) / len(answers)


@pytest.mark.parametrize("split", ["validation", "validation_mismatched"])
def test_hypotheses_alone_tell_nothing(split, examples, baselines):
    answers = baselines.naive_bayes(examples["train"], examples[split], random.Random(0))
    assert accuracy(answers, examples[split]) == pytest.approx(100 / 3)  # each hypothesis is there under all labels


@pytest.mark.parametrize("split", ["validation", "validation_mismatched"])
def test_shared_words_alone_tell_little(split, examples, baselines):
    answers = baselines.overlap(examples["train"], examples[split], random.Random(0))
    assert 33 < accuracy(answers, examples[split]) < 55


def test_premises_alone_tell_little(examples, baselines):
    def of_premise(split):
        swapped = {"Premise": "Hypothesis", "Hypothesis": "Premise"}
        turn = re.compile("(?<=### )(?:Premise|Hypothesis)(?=:)")
        return [
            type(one)(**{**vars(one), "prompt": turn.sub(lambda found: swapped[found[0]], one.prompt)})
            for one in examples[split]
        ]

    answers = baselines.naive_bayes(of_premise("train"), of_premise("validation"), random.Random(0))
    assert accuracy(answers, examples["validation"]) < 43


def test_what_is_claimed_is_often_said_of_somebody_else_and_often_not(drawn):
    lured = Counter()
    for label, pair in ((label, pair) for triple in drawn for label, pair in triple.items()):
        who, *matter = pair.claim.variable
        lured[label] += any(
            fact.variable[0] != who and list(fact.variable[1:]) == matter and fact.allowed == pair.claim.allowed
            for fact in pair.facts
        )
    for label in ("neutral", "contradiction"):
        assert 0.3 < lured[label] / len(drawn) < 0.5
    assert lured["entailment"] / len(drawn) < 0.02
