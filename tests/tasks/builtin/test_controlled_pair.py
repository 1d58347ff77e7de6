from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from lorascope.config.experiment import DataConfig
from lorascope.evaluation.metrics import METRICS
from lorascope.tasks import find_task
from lorascope.tasks.builtin import controlled_pair as pair
from lorascope.tasks.builtin.controlled_pair import FAR_COPY, KINDS, LOCAL_MAP, SIZES, WORDS
from lorascope.tasks.sources import load_rows
from lorascope.tasks.split import load_training

SPLITS = tuple(SIZES)


@pytest.fixture(scope="module")
def both():
    return {split: [pair.examples(kind, split) for kind in KINDS] for split in SPLITS}


def answers(examples):
    return [example.target.split()[1:] for example in examples]


def parts(example):
    """(lines of the notes as lists of words, the word asked for)."""
    notes = example.prompt.split("### Notes:\n")[1].split("\n\n")[0]
    word = example.prompt.split("The word is ")[1].split("\n")[0]
    return [line.split()[1:] for line in notes.split("\n")], word


def test_it_is_the_same_every_time_and_as_large_as_it_says(both):
    assert pair.rows("far_copy", "test") == pair.rows("far_copy", "test")
    assert {split: len(far) for split, (far, _) in both.items()} == SIZES
    assert len(WORDS) == len(set(WORDS)) == 24


@pytest.mark.parametrize("split", SPLITS)
def test_the_prompts_of_the_two_tasks_are_the_same_letter_for_letter(split, both):
    far, local = both[split]
    assert [example.prompt for example in far] == [example.prompt for example in local]
    assert [example.id for example in far] == [example.id for example in local]


@pytest.mark.parametrize("split", SPLITS)
def test_the_answers_of_the_two_tasks_have_the_same_words_equally_often_at_every_place(split, both):
    far, local = both[split]
    assert {len(answer) for answer in answers(far) + answers(local)} == {5}
    for place in range(5):
        counts = Counter(answer[place] for answer in answers(far))
        assert counts == Counter(answer[place] for answer in answers(local))
        assert set(counts) == set(WORDS)
        assert set(counts.values()) == {len(far) // 24}


@pytest.mark.parametrize("split", SPLITS)
def test_the_far_answer_is_what_follows_the_word_in_the_notes(split, both):
    for example in both[split][0]:
        lines, word = parts(example)
        (asked,) = [line for line in lines if word in line]
        assert asked[0] == word
        assert example.target == " ".join(["then", *asked[1:]])


def test_notes_are_lines_of_six_different_words_and_the_asked_one_stands_anywhere(both):
    places = Counter()
    for example in both["train"][0]:
        lines, word = parts(example)
        assert [len(line) for line in lines] == [6, 6, 6]
        assert len({w for line in lines for w in line}) == 18
        places[next(i for i, line in enumerate(lines) if word in line)] += 1
    assert min(places.values()) > 900


def test_the_local_answer_follows_one_fixed_circle_in_every_split(both):
    after = {}
    for split in SPLITS:
        for example in both[split][1]:
            chain = [parts(example)[1], *example.target.split()[1:]]
            for word, following in pairwise(chain):
                assert after.setdefault(word, following) == following
    assert set(after) == set(after.values()) == set(WORDS)


def test_the_words_alone_say_nothing_about_the_far_answer(both):
    """After a word, every other one comes about equally often: no table of successors does better than chance."""
    follows = Counter()
    for example in both["train"][0]:
        chain = [parts(example)[1], *example.target.split()[1:]]
        follows.update(pairwise(chain))
    expected = 3000 * 5 / (24 * 23)
    assert len(follows) == 24 * 23
    assert max(follows.values()) < 2.5 * expected


def test_the_notes_say_nothing_about_the_local_answer(both):
    """The next word on the fixed circle follows its word in the notes as rarely as any other."""
    hits = asked = 0
    for example in both["train"][1]:
        (line,) = [line for line in parts(example)[0] if parts(example)[1] in line]
        asked += 5
        hits += sum(a == b for a, b in zip(line[1:], example.target.split()[1:], strict=True))
    assert hits / asked < 2 / 23


def test_the_answer_stands_at_least_forty_words_back_and_no_word_of_it_in_between(both):
    for example in both["test"][0]:
        between = example.prompt.split("### Text:\n")[1].split("\n\n")[0]
        words = between.replace(".", "").split()
        assert len(words) == 40
        assert not set(words) & set(WORDS)


def test_steps_along_a_circle_by_hand():
    assert pair.follow("c", "abcd", (1, 3, 2)) == ["d", "b", "a"]


def test_no_prompt_stands_twice(both):
    prompts = [example.prompt for split in SPLITS for example in both[split][0]]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize(("task", "kind"), [(FAR_COPY, "far_copy"), (LOCAL_MAP, "local_map")])
def test_the_tasks_need_no_files(task, kind, both):
    assert task.name == f"builtin_{kind}"
    assert set(task.metrics) <= METRICS.keys()
    assert task.read(Path(), "test").rows == task.builtin("test") == pair.rows(kind, "test")
    loaded = load_rows(task, DataConfig(dataset=task.name), "validation")
    assert (loaded.source, loaded.files) == ("builtin", ())
    assert task.to_examples(loaded.rows) == both["validation"][KINDS.index(kind)]


def test_the_pair_is_found_by_name_and_loads_without_a_flag():
    for kind in KINDS:
        data = DataConfig(dataset=f"builtin_{kind}", num_samples=0)
        training = load_training(find_task(data), data)
        assert len(training.train) + len(training.validation) == SIZES["train"]
        assert training.provenance["source"] == "builtin"
