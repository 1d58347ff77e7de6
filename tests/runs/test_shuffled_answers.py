"""Answers in another order: none keeps its place, none is lost, and nothing else changes."""

from __future__ import annotations

from lorascope.runs.shuffled_answers import shuffle_answers
from lorascope.tasks.base import Example, Message


def example(i, turns=()):
    target = turns[-1].content if turns else f"answer {i}"
    return Example(
        id=str(i), prompt=f"prompt {i}", target=target, references=(target, "other"), group=f"g{i}", messages=turns
    )


def test_every_answer_goes_to_another_prompt():
    rows = [example(i) for i in range(50)]
    found = shuffle_answers(rows, 0)
    assert sorted(row.target for row in found) == sorted(row.target for row in rows)
    assert all(new.target != old.target for new, old in zip(found, rows, strict=True))
    assert [(row.prompt, row.group, row.id) for row in found] == [(row.prompt, row.group, row.id) for row in rows]
    assert all(row.references == (row.target,) for row in found)
    assert shuffle_answers(rows, 0) == found != shuffle_answers(rows, 1)


def test_of_chats_every_answer_moves_and_every_question_stays():
    rows = []
    for i in range(9):
        turns = [("system", "be short"), ("user", f"q{i}"), ("assistant", f"a{i}"), ("user", f"r{i}")]
        rows.append(example(i, tuple(Message(*turn) for turn in [*turns, ("assistant", f"b{i}")])))
    found = shuffle_answers(rows, 0)
    for new, old in zip(found, rows, strict=True):
        assert [turn.role for turn in new.messages] == [turn.role for turn in old.messages]
        for mine, theirs in zip(new.messages, old.messages, strict=True):
            assert (mine == theirs) == (mine.role != "assistant")
        assert new.target == new.messages[-1].content
    said = [turn.content for row in found for turn in row.messages if turn.role == "assistant"]
    assert sorted(said) == sorted(f"{letter}{i}" for letter in "ab" for i in range(9))


def test_one_answer_stays_where_it_is():
    assert shuffle_answers([example(0)], 0)[0].target == "answer 0"
