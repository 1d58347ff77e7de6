"""The same prompts with each other's answers: what stands out in a probe of them is not about the task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from lorascope.tasks.base import Example, Message


def shuffle_answers(examples: Sequence[Example], seed: int) -> list[Example]:
    """The examples with the answers in another order, in which no answer keeps its place; of chats every answer."""
    answers = [answer for example in examples for answer in _answers(example)]
    order = np.random.default_rng(seed).permutation(len(answers))
    moved = list(answers)
    for here, there in zip(order, np.roll(order, 1), strict=True):
        moved[here] = answers[there]
    left = iter(moved)
    return [_answered(example, left) for example in examples]


def _answers(example: Example) -> list[str]:
    return [turn.content for turn in example.messages if turn.role == "assistant"] or [example.target]


def _answered(example: Example, answers: Iterator[str]) -> Example:
    """The example with the next answers; its references are of the old ones and go."""
    turns = [Message(turn.role, next(answers)) if turn.role == "assistant" else turn for turn in example.messages]
    target = turns[-1].content if turns else next(answers)
    return replace(example, target=target, references=(target,), messages=tuple(turns))
