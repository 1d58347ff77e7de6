"""Prompts with answers, and plain texts, as token ids; chats are in test_chats.py."""

from __future__ import annotations

import pytest

from lorascope.errors import DataError
from lorascope.tasks.base import Example
from lorascope.training.encoding import CHUNK, Encoded, cut_prompt, encode, encode_prompts, pieces, prompt_ids
from toy import toy_tokenizer

EOS = 2


def example(prompt: str, target: str, name: str = "0") -> Example:
    return Example(id=name, prompt=prompt, target=target, references=(target,), group=name)


def test_ids_are_prompt_then_answer_then_end_of_sequence():
    tokenizer = toy_tokenizer()
    (row,), _ = encode([example("ab\n", "cd")], tokenizer, 100)
    prompt = tokenizer("ab\n")["input_ids"]
    assert row.input_ids == [*prompt, *tokenizer("cd", add_special_tokens=False)["input_ids"], EOS]
    assert row.answers == ((4, 7),)  # <s> a b newline, then c d </s>
    assert row.prompt_tokens == len(prompt) == 4
    assert row.cut_tokens == 0
    assert prompt_ids([example("ab\n", "cd")], tokenizer) == [prompt]


def test_many_examples_at_once_are_encoded_as_one_by_one():
    tokenizer = toy_tokenizer()
    many = [example(f"{i} {'x' * (i % 7)}\n", "y" * (i % 90), str(i)) for i in range(2 * CHUNK + 3)]
    seen: list[int] = []
    rows, left_out = encode(many, tokenizer, 90, progress=seen.append)
    assert seen == [CHUNK, 2 * CHUNK, 2 * CHUNK + 3]
    assert set(left_out) == {e.id for e in many if len(e.target) + 1 >= 90}
    assert rows == [encode([e], tokenizer, 90)[0][0] for e in many if e.id not in left_out]


def test_a_tokenizer_that_closes_every_text_does_not_close_the_prompt():
    tokenizer = toy_tokenizer()

    class Closing:
        eos_token_id = EOS

        def __call__(self, texts, **options):
            return {"input_ids": [[*ids, EOS] for ids in tokenizer(texts)["input_ids"]]}

    assert encode_prompts(["ab", ""], Closing()) == tokenizer(["ab", ""])["input_ids"]


def test_a_long_prompt_is_cut_at_its_start_and_the_answer_never():
    tokenizer = toy_tokenizer()
    (row,), left_out = encode([example("abcdefgh\n", "xyz")], tokenizer, 8)
    assert len(row.input_ids) == 8
    assert tokenizer.decode(row.input_ids) == "<s>gh\nxyz</s>"
    assert row.answers == ((4, 8),)
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


def test_no_prompts_have_no_ids():
    assert encode_prompts([], toy_tokenizer()) == prompt_ids([], toy_tokenizer()) == []


def test_a_text_is_learnt_whole_but_its_first_token():
    tokenizer = toy_tokenizer()
    (row,), _ = encode([example("", "a text")], tokenizer, 100)
    assert tokenizer.decode(row.input_ids) == "<s>a text</s>"
    assert row.answers == ((1, 8),)
    (bare,), _ = encode([example("", "a text")], toy_tokenizer(bos=False), 100)
    assert tokenizer.decode(bare.input_ids) == "a text</s>"
    assert bare.answers == ((1, 7),)  # nothing stands before its first token to predict it from


def test_a_long_text_keeps_its_start():
    tokenizer = toy_tokenizer()
    (row,), left_out = encode([example("", "abcdefgh")], tokenizer, 5)
    assert tokenizer.decode(row.input_ids) == "<s>abcd"  # without its end: it does not end there
    assert (row.answers, row.cut_tokens, left_out) == (((1, 5),), 5, [])


def test_pieces_show_what_carries_the_loss():
    tokenizer = toy_tokenizer()
    (row,), _ = encode([example("ab\n", "c d")], tokenizer, 100)
    assert pieces(row, tokenizer, "answer") == [("<s>ab\n", False), ("c d</s>", True)]
    assert pieces(row, tokenizer, "all") == [("<s>", False), ("ab\nc d</s>", True)]
    chat = Encoded("0", [1, *tokenizer("abcd", add_special_tokens=False)["input_ids"], EOS], ((2, 3), (4, 6)), 0)
    shown = [("<s>a", False), ("b", True), ("c", False), ("d</s>", True)]
    assert pieces(chat, tokenizer, "answer") == shown


def test_a_letter_whose_bytes_part_is_shown_on_both_sides():
    tokenizer = toy_tokenizer()
    ids = tokenizer("\u00e9")["input_ids"]  # <s> and two bytes
    parted = pieces(Encoded("0", ids, ((2, 3),), 0), tokenizer, "answer")
    assert [with_loss for _, with_loss in parted] == [False, True]
    assert all(text for text, _ in parted)
