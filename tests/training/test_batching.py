"""Padding, labels, and batches of similar length."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lorascope.errors import DataError
from lorascope.training.batching import RunSampler, collate, shuffled_batches
from lorascope.training.encoding import Encoded

EOS = 2


def test_padding_is_masked_by_position_and_not_by_id():
    rows = [Encoded("a", [5, 6, EOS], ((1, 3),), 0), Encoded("b", [5, 6, 7, 8, EOS], ((3, 5),), 0)]
    batch = collate(rows, pad_id=EOS, loss_on="answer")
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[-100, 6, EOS, -100, -100], [-100, -100, -100, 8, EOS]]
    assert batch["input_ids"].tolist() == [[5, 6, EOS, EOS, EOS], [5, 6, 7, 8, EOS]]
    assert collate(rows, pad_id=0, loss_on="all")["labels"].tolist() == [[5, 6, EOS, -100, -100], [5, 6, 7, 8, EOS]]


def test_every_answer_of_a_chat_carries_the_loss_and_what_is_between_does_not():
    row = Encoded("chat", [1, 10, 11, EOS, 12, 13, EOS], ((2, 4), (5, 7)), 0)
    assert collate([row], 0, "answer")["labels"].tolist() == [[-100, -100, 11, EOS, -100, 13, EOS]]
    assert collate([row], 0, "all")["labels"].tolist() == [row.input_ids]


@given(st.lists(st.integers(1, 500), min_size=8, max_size=400), st.integers(1, 8), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_an_epoch_has_full_batches_and_no_row_twice(lengths, size, seed):
    batches = shuffled_batches(lengths, size, seed)
    rows = [row for batch in batches for row in batch]
    assert all(len(batch) == size for batch in batches)
    assert len(rows) == len(set(rows)) == len(lengths) - len(lengths) % size
    assert batches == shuffled_batches(lengths, size, seed)


def test_grouping_by_length_saves_padding_and_leaves_no_trend():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(20, 300, (4000,), generator=generator).tolist()
    longest = [max(lengths[i] for i in batch) for batch in shuffled_batches(lengths, 8, 0)]
    computed = 8 * sum(longest)
    plain = torch.randperm(4000, generator=generator).view(-1, 8).tolist()
    assert computed < 1.05 * sum(lengths)
    assert 8 * sum(max(lengths[i] for i in batch) for batch in plain) > 1.4 * sum(lengths)
    position = (
        torch.arange(len(longest), dtype=torch.float64) % 50
    )  # a window sorted by length would correlate with this
    assert abs(torch.corrcoef(torch.stack([position, torch.tensor(longest, dtype=torch.float64)]))[0, 1]) < 0.15


def test_a_run_has_exactly_its_batches_and_every_epoch_every_row():
    sampler = RunSampler([3] * 10, batch_size=2, num_batches=12, seed=4)
    assert len(list(sampler)) == len(sampler) == 24
    first, second = list(sampler)[:10], list(sampler)[10:20]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_fewer_rows_than_a_batch_is_an_error():
    with pytest.raises(DataError, match="--batch_size 3"):
        RunSampler([1, 2, 3], batch_size=4, num_batches=1, seed=0)
