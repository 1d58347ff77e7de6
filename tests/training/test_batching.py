"""Joining ids, masking labels, padding, and batches of similar length."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lorascope.errors import DataError
from lorascope.tasks.base import Example
from lorascope.training.batching import (
    IGNORED,
    Encoded,
    RunSampler,
    collate,
    cut_prompt,
    encode,
    encode_prompt,
    shuffled_batches,
)
from toy import toy_tokenizer

EOS = 2


def example(prompt: str, target: str, name: str = "0") -> Example:
    return Example(id=name, prompt=prompt, target=target, references=(target,), group=name)


def test_ids_are_prompt_then_answer_then_end_of_sequence():
    tokenizer = toy_tokenizer()
    (row,), _ = encode([example("ab\n", "cd")], tokenizer, 100)
    prompt = tokenizer("ab\n")["input_ids"]
    assert row.input_ids == [*prompt, *tokenizer("cd", add_special_tokens=False)["input_ids"], EOS]
    assert row.prompt_tokens == len(prompt) == 4  # <s> a b newline
    assert row.cut_tokens == 0


@given(prompt=st.text(min_size=0, max_size=40), target=st.text(max_size=40), bos=st.booleans(), pad=st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_loss_covers_exactly_answer_and_end_of_sequence(prompt, target, bos, pad):
    tokenizer = toy_tokenizer(bos=bos, pad=pad)
    (row,), _ = encode([example(prompt + "\n", target)], tokenizer, 1000)
    labels = row.labels("answer")
    with_loss = [label for label in labels if label != IGNORED]
    assert with_loss == [*tokenizer(target, add_special_tokens=False)["input_ids"], EOS]
    assert labels[: row.prompt_tokens] == [IGNORED] * row.prompt_tokens
    assert row.input_ids[: row.prompt_tokens] == encode_prompt(prompt + "\n", tokenizer)


def test_a_tokenizer_that_closes_every_text_does_not_close_the_prompt():
    tokenizer = toy_tokenizer()

    class Closing:
        eos_token_id = EOS

        def __call__(self, text, **options):
            return {"input_ids": [*tokenizer(text)["input_ids"], EOS]}

    closing = Closing()
    assert encode_prompt("ab", closing) == tokenizer("ab")["input_ids"]


def test_a_long_prompt_is_cut_at_its_start_and_the_answer_never():
    tokenizer = toy_tokenizer()
    (row,), left_out = encode([example("abcdefgh\n", "xyz")], tokenizer, 8)
    assert len(row.input_ids) == 8
    assert tokenizer.decode(row.input_ids) == "<s>gh\nxyz</s>"
    assert row.cut_tokens == 6
    assert left_out == []


def test_rows_whose_answer_does_not_fit_are_left_out_by_name():
    rows, left_out = encode([example("a\n", "b", "short"), example("a\n", "b" * 50, "long")], toy_tokenizer(), 20)
    assert [row.id for row in rows] == ["short"]
    assert left_out == ["long"]


def test_no_row_that_fits_is_an_error():
    with pytest.raises(DataError, match="max_length 5"):
        encode([example("a\n", "b" * 50)], toy_tokenizer(), 5)


def test_cutting_keeps_the_beginning_of_sequence():
    tokenizer = toy_tokenizer()
    assert cut_prompt([1, 10, 11, 12], 3, tokenizer) == [1, 11, 12]
    assert cut_prompt([10, 11, 12], 2, tokenizer) == [11, 12]
    assert cut_prompt([1, 10], 5, tokenizer) == [1, 10]


def test_padding_is_masked_by_position_and_not_by_id():
    rows = [Encoded("a", [5, 6, EOS], 1, 0), Encoded("b", [5, 6, 7, 8, EOS], 3, 0)]
    batch = collate(rows, pad_id=EOS, loss_on="answer")
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[-100, 6, EOS, -100, -100], [-100, -100, -100, 8, EOS]]
    assert batch["input_ids"].tolist() == [[5, 6, EOS, EOS, EOS], [5, 6, 7, 8, EOS]]
    assert collate(rows, pad_id=0, loss_on="all")["labels"].tolist() == [[5, 6, EOS, -100, -100], [5, 6, 7, 8, EOS]]


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
