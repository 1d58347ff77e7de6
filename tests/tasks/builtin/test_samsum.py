from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from lorascope.evaluation.metrics.rouge import rouge
from lorascope.tasks.builtin import samsum
from lorascope.tasks.builtin.words import PEOPLE, Noun
from lorascope.tasks.files import Record
from lorascope.tasks.prompts import bare
from lorascope.tasks.samsum import FILES, TASK, to_row

SPLITS = tuple(FILES)
NAMES = {person.name for person in PEOPLE}


@pytest.fixture(scope="module")
def splits():
    return {split: samsum.conversations(split) for split in SPLITS}


@pytest.fixture(scope="module")
def everything(splits):
    return [conversation for found in splits.values() for conversation in found]


def turns(conversation):
    return [tuple(line.split(": ", 1)) for line in conversation.dialogue.split("\n")]


def test_it_has_the_splits_of_the_task_in_the_sizes_it_names(splits):
    assert tuple(samsum.SIZES) == SPLITS
    assert {split: len(found) for split, found in splits.items()} == samsum.SIZES


def test_it_is_the_same_every_time():
    assert samsum.rows("test") == samsum.rows("test")


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_those_of_the_real_reader(split):
    rows = samsum.rows(split)
    assert [to_row(Record(f"file:{i}", row), str(i)) for i, row in enumerate(rows)] == rows
    assert len({row["id"] for row in rows}) == len(rows)
    assert [example.target for example in TASK.to_evaluation(rows)] == [row["summary"] for row in rows]


def test_no_dialogue_stands_twice_or_in_two_splits(everything):
    assert len({bare(conversation.dialogue) for conversation in everything}) == len(everything)


def test_dialogues_have_four_to_ten_turns_of_two_or_three_speakers_with_names(everything):
    for conversation in everything:
        said = turns(conversation)
        assert 4 <= len(said) <= 10
        speakers = {speaker for speaker, _ in said}
        assert speakers <= NAMES
        assert len(speakers) in (2, 3)
    assert 0.1 < sum(len({s for s, _ in turns(c)}) == 3 for c in everything) / len(everything) < 0.3


def test_nothing_of_the_notation_is_left(everything):
    for conversation in everything:
        assert not re.search(r"[\[\]{}|@+=]|::|  |\bP\b|\bQ\b", conversation.dialogue + conversation.summary)


def test_a_summary_states_every_fact_that_was_settled(everything):
    for conversation in everything:
        low = conversation.summary.lower()
        for fact in conversation.facts.values():
            assert fact.lower() in low, conversation


def test_summaries_speak_in_the_third_person(everything):
    for conversation in everything:
        assert not re.search(r"\b(I|I'll|my|you|your|we|our|me|us)\b", conversation.summary), conversation


def test_summaries_have_one_to_four_sentences_that_end(everything):
    for conversation in everything:
        assert 1 <= len(re.findall(r"\.(?: |$)", conversation.summary)) <= 4
        assert re.fullmatch(r"[A-Z].*\.", conversation.summary)


def test_every_name_day_and_number_of_a_summary_was_said(everything):
    kept = {"Nothing", "They", "It", "He", "She", "The", "On"}
    for conversation in everything:
        said = set(re.findall(r"\w+", conversation.dialogue))
        for word in re.findall(r"\b[A-Z]\w+|\d+", conversation.summary):
            assert word in said | kept, (word, conversation)


def test_no_single_turn_and_no_lead_says_what_was_settled(splits):
    """Facts that a summary needs stand in several turns: of ten dialogues, at most one has them all in one."""
    alone = lead = asked = 0
    for conversation in splits["test"]:
        if len(conversation.facts) < 2:
            continue
        asked += 1
        said = turns(conversation)
        facts = [fact.lower() for fact in conversation.facts.values()]
        alone += any(all(fact in text.lower() for fact in facts) for _, text in said)
        lead += all(any(fact in text.lower() for _, text in said[:3]) for fact in facts)
    assert asked > 80
    assert alone / asked < 0.1
    assert lead / asked < 0.15


def test_copying_the_lead_or_the_longest_turn_scores_low(splits):
    examples = TASK.to_evaluation(samsum.rows("test"))
    lines = [conversation.dialogue.split("\n") for conversation in splits["test"]]
    lead, longest = ([" ".join(some[:3]) for some in lines], [max(some, key=len) for some in lines])
    scores = [[tally.value for tally in rouge(texts, examples, TASK)[:2]] for texts in (lead, longest)]
    assert max(rouge1 for rouge1, _ in scores) < 40
    assert max(rouge2 for _, rouge2 in scores) < 15


def test_the_last_word_and_not_the_first_offer_counts(splits):
    """Where two times were named, the first is settled sometimes and the second sometimes."""
    first = second = 0
    for conversation in splits["train"]:
        if conversation.scene == "film":
            times = re.findall(r"(?<!\w)\d+(?::30)?", conversation.dialogue)
            times = list(dict.fromkeys(times))
            if len(times) == 2:
                first += conversation.facts["time"] == times[0]
                second += conversation.facts["time"] == times[1]
    assert min(first, second) > 5


def test_there_are_several_dozen_scenes_and_each_comes_equally_often(splits):
    assert len(samsum.scenes()) >= 36
    assert len({scene.name for scene in samsum.scenes()}) == len(samsum.scenes())
    counts = Counter(conversation.scene for conversation in splits["train"])
    assert set(counts) == {scene.name for scene in samsum.scenes()}
    assert max(counts.values()) - min(counts.values()) <= 1


def test_most_dialogues_have_a_second_matter_and_their_summaries_end_with_it(everything):
    with_it = [conversation for conversation in everything if "second" in conversation.facts]
    assert 0.5 < len(with_it) / len(everything) < 0.9
    assert all(conversation.summary.endswith(f"{conversation.facts['second']}.") for conversation in with_it)


def test_every_scene_ends_in_two_ways_at_least():
    rng = random.Random(0)
    for scene in samsum.scenes():
        ends = {tuple(re.findall(r"[a-z]+", samsum.converse(scene, rng).summary)) for _ in range(40)}
        assert len(ends) >= 2, scene.name


def test_summaries_call_only_facts_that_every_way_settles(everything):
    """A name that was never settled would be drawn from a list, or be missing there: it would raise."""
    lists = set(samsum.LISTS)
    for scene in samsum.scenes():
        for summary in scene.summaries:
            for slot in re.findall(r"\{(\w+)", summary):
                assert slot in "ABCXYZ" or slot[-1].isdigit() or slot not in lists or slot in settled(scene), (
                    scene,
                    slot,
                )


def settled(scene):
    """The facts that every way through a scene settles."""
    return {
        name
        for step in scene.steps
        if not step.optional
        for name in set.intersection(*({n for turn in way for n in names_of(turn)} for way in step.ways))
    }


def names_of(step):
    if isinstance(step, samsum.Turn):
        return {name for name, _ in step.settles}
    return set.intersection(*({n for turn in way for n in names_of(turn)} for way in step.ways))


def test_the_notation_by_hand():
    lines = ["A: Hi {B}.", "+ B: [Yes|No]  :: end=yes", "+ B: No.", "  A: {end1}", "- A: Bye.", "? B: Bye."]
    steps = samsum._steps(lines)
    assert [len(step.ways) for step in steps] == [1, 2, 1, 1]
    assert [step.optional for step in steps] == [False, False, False, True]
    assert steps[1].ways[0] == [samsum.Turn("B", "[Yes|No]", (("end", "yes"),))]
    assert [turn.speaker for turn in steps[1].ways[1]] == ["B", "A"]


def test_an_agreement_is_played_with_its_parts_given():
    (step,) = samsum._steps(["@time B A"])
    speakers = {way[0].ways[0][0].speaker for way in step.ways}
    assert speakers == {"A", "B"}
    assert settled(samsum.Scene("x", [step], [])) == {"time"}


@pytest.mark.parametrize(
    ("word", "form", "said"),
    [
        (PEOPLE[0], "she", "she"), (PEOPLE[1], "She", "He"), (PEOPLE[1], "him", "him"), (PEOPLE[0], "his", "her"),
        (Noun("shelf", "shelves"), "many", "shelves"), (Noun("oven", "ovens"), "a", "an oven"),
        ("two", "next", "three"), ("rice", "S", "Rice"),
    ],
)  # fmt: skip
def test_forms_of_a_word(word, form, said):
    assert samsum._form(word, form) == said
