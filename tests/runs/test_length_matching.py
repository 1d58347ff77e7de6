"""Rows of like length: every bin of prompt and answer length is filled alike, and nothing else is made up."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from lorascope.errors import DataError
from lorascope.runs.length_matching import _bin, match_lengths
from lorascope.tasks.base import Example
from lorascope.training.encoding import encode
from toy import toy_tokenizer


def task(prompts: range, answers: range, *, count: int = 300, seed: int = 0) -> list[Example]:
    """Rows of random lengths in letters; one token a letter."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        prompt, target = "p" * int(rng.choice(prompts)) + "\n", "t" * int(rng.choice(answers))
        found.append(Example(id=str(i), prompt=prompt, target=target, references=(target,), group=str(i)))
    return found


def bins(examples: list[Example]) -> Counter[tuple[int, int]]:
    rows, _ = encode(examples, toy_tokenizer(), 512)
    return Counter((_bin(r.prompt_tokens), _bin(len(r.input_ids) - r.prompt_tokens)) for r in rows)


def matched(*tasks: list[Example]) -> list[list[Example]]:
    return match_lengths(tasks, toy_tokenizer(), max_length=512, loss_on="answer", seed=0)


def test_every_bin_of_lengths_is_filled_alike_from_each_tasks_own_rows() -> None:
    short, long = task(range(5, 40), range(2, 30)), task(range(20, 60), range(10, 40), seed=1)
    first, second = matched(short, long)
    assert bins(first) == bins(second)
    assert 20 < len(first) == len(second) < 300
    assert len({e.id for e in first}) == len(first)
    assert {e.prompt + e.target for e in first} <= {e.prompt + e.target for e in short}
    theirs = bins(short)
    assert all(count == min(theirs[key], bins(long)[key]) for key, count in bins(first).items())


def test_bins_are_half_a_doubling_wide() -> None:
    assert [_bin(n) for n in (1, 2, 3, 4, 5, 6, 8, 11, 12, 16)] == [0, 2, 3, 4, 4, 5, 6, 6, 7, 8]


def test_tasks_without_a_common_length_are_refused() -> None:
    with pytest.raises(DataError, match="like length"):
        matched(task(range(5, 9), range(2, 4)), task(range(60, 80), range(40, 60)))
