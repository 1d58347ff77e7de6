"""For any text, any tokenizer and any template: generation gets the prompt's ids, and the loss is on the answers."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorascope.tasks.base import Example, Message
from lorascope.training.batching import IGNORED, collate
from lorascope.training.encoding import Encoded, encode, prompt_ids
from tokenizers_of import BACKENDS, ENDS, TEMPLATES, chat_tokenizer, llama_tokenizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=30) | st.text(
    "ab \n\u00e9", max_size=12
)
"""The second kind meets the merges of the tokenizers."""
TOKENIZERS = st.builds(
    chat_tokenizer,
    st.sampled_from(list(BACKENDS)),
    st.none(),
    bos=st.booleans(),
    pad_is_eos=st.booleans(),
    side=st.sampled_from(["left", "right"]),
)


def example(prompt: str, target: str, messages: tuple[Message, ...] = ()) -> Example:
    return Example(id="0", prompt=prompt, target=target, references=(), group="", messages=messages)


def labels(row: Encoded, pad_id: int, loss_on: str = "answer") -> list[int]:
    """Labels of a row in a batch with a longer one, its own part."""
    longer = Encoded("long", [7] * (len(row.input_ids) + 3), ((1, 2),), 0)
    batch = collate([row, longer], pad_id, loss_on)
    n = len(row.input_ids)
    assert batch["attention_mask"][0].tolist() == [1] * n + [0] * 3
    assert batch["labels"][0, n:].tolist() == [IGNORED] * 3
    assert batch["input_ids"][0].tolist() == [*row.input_ids, *[pad_id] * 3]
    found: list[int] = batch["labels"][0, :n].tolist()
    return found


@given(prompt=TEXTS, target=TEXTS, tokenizer=TOKENIZERS)
@settings(max_examples=200, deadline=None)
def test_the_loss_covers_exactly_answer_and_end_of_sequence(prompt, target, tokenizer):
    asked = example(prompt + "\n", target)
    ((row,), _), (given_to_generation,) = encode([asked], tokenizer, 1000), prompt_ids([asked], tokenizer)
    answer = [*tokenizer(target, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert row.input_ids == given_to_generation + answer
    assert given_to_generation == tokenizer(prompt + "\n")["input_ids"]
    assert labels(row, tokenizer.pad_token_id) == [IGNORED] * len(given_to_generation) + answer
    assert labels(row, tokenizer.pad_token_id, "all") == row.input_ids


@given(prompt=TEXTS, target=TEXTS, tokenizer=TOKENIZERS, length=st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_cutting_takes_from_the_prompts_start_alone(prompt, target, tokenizer, length):
    asked = example(prompt + "\n", target)
    ((whole,), _) = encode([asked], tokenizer, 1000)
    answer = whole.input_ids[whole.prompt_tokens :]
    if length <= len(answer):
        return
    ((row,), _) = encode([asked], tokenizer, length)
    kept = row.input_ids[: row.prompt_tokens]
    has_bos = whole.input_ids[0] == tokenizer.bos_token_id
    assert row.input_ids[row.prompt_tokens :] == answer == [i for i in labels(row, 0) if i != IGNORED]
    assert len(row.input_ids) == min(length, len(whole.input_ids)) == len(whole.input_ids) - row.cut_tokens
    if row.cut_tokens and has_bos and len(kept) > 1:
        assert kept[0] == tokenizer.bos_token_id
        kept = kept[1:]
    assert whole.input_ids[: whole.prompt_tokens][-len(kept) :] == kept


@given(text=TEXTS, tokenizer=TOKENIZERS, length=st.integers(2, 30))
@settings(max_examples=100, deadline=None)
def test_a_text_carries_the_loss_from_its_second_token_on(text, tokenizer, length):
    ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    if len(ids) < 2:
        return
    ((row,), _) = encode([example("", text)], tokenizer, length)
    assert row.input_ids == ids[:length]
    assert labels(row, tokenizer.pad_token_id) == [IGNORED, *ids[1:length]]
    assert row.cut_tokens == max(0, len(ids) - length)


@st.composite
def chats(draw):
    """A template, and turns that it takes."""
    template = draw(st.sampled_from(list(TEMPLATES)))
    turns = []
    if template != "gemma" and draw(st.booleans()):
        turns.append(Message("system", draw(TEXTS)))
    for _ in range(draw(st.integers(1, 3))):
        turns += [Message("user", draw(TEXTS)), Message("assistant", draw(TEXTS))]
    return template, tuple(turns)


@given(
    chat=chats(),
    kind=st.sampled_from(list(BACKENDS)),
    bos=st.booleans(),
    pad_is_eos=st.booleans(),
    side=st.sampled_from(["left", "right"]),
)
@settings(max_examples=400, deadline=None)
def test_the_loss_covers_exactly_the_assistants_turns(chat, kind, bos, pad_is_eos, side):
    template, turns = chat
    tokenizer = chat_tokenizer(kind, template, bos=bos, pad_is_eos=pad_is_eos, side=side)
    talk = example("", turns[-1].content, turns)
    ((row,), _), (given_to_generation,) = encode([talk], tokenizer, 10_000), prompt_ids([talk], tokenizer)

    plain = [{"role": turn.role, "content": turn.content} for turn in turns]
    asked = tokenizer.apply_chat_template(plain[:-1], add_generation_prompt=True)["input_ids"]
    assert row.input_ids[: row.prompt_tokens] == given_to_generation == asked

    stretches, found = [], labels(row, tokenizer.pad_token_id)
    for i, label in enumerate(found):
        if label != IGNORED:
            assert label == row.input_ids[i]
            if found[i - 1] == IGNORED:
                stretches.append([])
            stretches[-1].append(label)
    said = [turn.content for turn in turns if turn.role == "assistant"]
    end = ENDS[template]
    ends = [end or ""] * (len(said) - 1) + [end or "</s>"]
    told = [close(tokenizer.decode(ids, clean_up_tokenization_spaces=False), "") for ids in stretches]
    expected = [close(content, mark) for content, mark in zip(said, ends, strict=True)]
    if template == "qwen3":
        expected[-1] = "<think></think>" + expected[-1]
    # without an end of turn, an empty answer in the middle has nothing that the loss could be on
    assert [text for text in told if text] == [text for text in expected if text]


def close(content: str, mark: str) -> str:
    """Without white space: where a token holds letters of an answer and white space around it, it carries the loss."""
    return "".join((content + mark).split())


@cache
def llama(file):
    return llama_tokenizer(file)


@given(prompt=TEXTS, target=TEXTS)
@settings(max_examples=50, deadline=None)
def test_the_llama_tokenizer_too(llama_file, prompt, target):
    tokenizer, asked = llama(llama_file), example(prompt + "\n", target)
    ((row,), _), (given_to_generation,) = encode([asked], tokenizer, 10_000), prompt_ids([asked], tokenizer)
    answer = [*tokenizer(target, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert row.input_ids == given_to_generation + answer
    assert labels(row, tokenizer.pad_token_id) == [IGNORED] * len(given_to_generation) + answer


@pytest.fixture(scope="session")
def llama_file(lab):
    return lab / "llama_tokenizer" / "tokenizer.bin"
