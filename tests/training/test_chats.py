"""Chats through templates as families of models write them: what generation gets, and what carries the loss."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from transformers import ByT5Tokenizer

from lorascope.errors import DataError, ModelError
from lorascope.tasks.base import Example, Message
from lorascope.training.chats import template_notes
from lorascope.training.encoding import Encoded, encode, pieces, prompt_ids
from tokenizers_of import BACKENDS, CHATML, ENDS, TEMPLATES, chat_tokenizer, llama_tokenizer

TALK = (("system", "Be brief."), ("user", "Where?"), ("assistant", "Here."), ("user", "When?"), ("assistant", "Now."))


def chat(*turns: tuple[str, str], name: str = "7") -> Example:
    messages = tuple(Message(role, content) for role, content in turns)
    return Example(id=name, prompt="in plain words", target=turns[-1][1], references=(), group="", messages=messages)


def talk(template: str) -> Example:
    return chat(*(TALK[1:] if template == "gemma" else TALK))


def encoded(example: Example, tokenizer, max_length: int = 1000) -> Encoded:
    (row,), left_out = encode([example], tokenizer, max_length)
    assert left_out == []
    return row


@contextmanager
def templated(template: str):
    """A tokenizer with a template of one's own; those of chat_tokenizer are shared."""
    tokenizer = chat_tokenizer("bytes", "chatml")
    kept, tokenizer.chat_template = tokenizer.chat_template, template
    try:
        yield tokenizer
    finally:
        tokenizer.chat_template = kept


def marked(example: Example, tokenizer) -> str:
    """The row as text, with [ ] around what carries the loss."""
    shown = pieces(encoded(example, tokenizer), tokenizer, "answer")
    return "".join(f"[{text}]" if with_loss else text for text, with_loss in shown)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("chatml", "<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n[Here.<|im_end|>]\n"
         "<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\n[Now.<|im_end|>]"),
        ("llama3", "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhere?<|eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\n[Here.<|eot_id|>]<|start_header_id|>user<|end_header_id|>"
         "\n\nWhen?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n[Now.<|eot_id|>]"),
        ("llama2", "<s>[INST] Where? [/INST] [Here. </s>]<s>[INST] When? [/INST][ Now. </s>]"),
        ("gemma", "<s><start_of_turn>user\nWhere?<end_of_turn>\n<start_of_turn>model\n[Here.<end_of_turn>]\n"
         "<start_of_turn>user\nWhen?<end_of_turn>\n<start_of_turn>model\n[Now.<end_of_turn>]"),
        ("zephyr", "<|user|>\nWhere?</s>\n<|assistant|>\n[Here.</s>]\n<|user|>\nWhen?</s>\n<|assistant|>\n[Now.</s>]"),
        ("qwen3", "<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n[Here.<|im_end|>]\n<|im_start|>user\n"
         "When?<|im_end|>\n<|im_start|>assistant\n[<think>\n\n</think>\n\nNow.<|im_end|>]"),
        ("mistral", "<s>[INST] Where?[/INST] [Here.</s>][INST] When?[/INST][ Now.</s>]"),
        ("plain", "user: Where?\nassistant: [Here.]\nuser: When?\nassistant:[ Now.</s>]"),
    ],
)  # fmt: skip
def test_the_loss_is_on_every_assistant_turn_and_its_end(template, text):
    assert marked(chat(*TALK[1:]), chat_tokenizer("bytes", template)) == text


@pytest.mark.parametrize("template", [name for name in TEMPLATES if name != "gemma"])
def test_a_system_turn_stands_in_the_prompt(template):
    tokenizer = chat_tokenizer("bytes", template)
    with_system, without = (marked(chat(*turns), tokenizer) for turns in (TALK, TALK[1:]))
    assert "Be brief." in with_system
    assert with_system.count("[") == without.count("[")
    assert with_system.rpartition("[")[2] == without.rpartition("[")[2]


@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_generation_gets_what_the_template_makes_for_it(template, kind):
    tokenizer = chat_tokenizer(kind, template)
    example = talk(template)
    turns = [{"role": m.role, "content": m.content} for m in example.messages[:-1]]
    asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    row = encoded(example, tokenizer)
    assert prompt_ids([example], tokenizer) == [asked] == [row.input_ids[: row.prompt_tokens]]
    assert asked.count(tokenizer.bos_token_id) <= tokenizer.decode(asked).count("[INST]") + 1  # no second one in front


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_answer_ends_with_the_end_of_its_turn(template):
    tokenizer = chat_tokenizer("bytes", template)
    last = encoded(talk(template), tokenizer).input_ids[-1]
    assert tokenizer.convert_ids_to_tokens(last) == (ENDS[template] or "</s>")


def test_an_answer_whose_first_letter_merges_with_the_prompt_leaves_the_prompt_alone():
    tokenizer = chat_tokenizer("bytes", "chatml")  # it has a token for two newlines
    example = chat(("user", "a"), ("assistant", "\nb"))
    row = encoded(example, tokenizer)
    whole = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n\nb<|im_end|>"
    assert tokenizer.decode(row.input_ids) == whole
    assert row.input_ids != tokenizer(whole, add_special_tokens=False)["input_ids"]
    assert row.input_ids[: row.prompt_tokens] == prompt_ids([example], tokenizer)[0]


def test_an_end_that_belongs_to_the_next_turn_carries_no_loss():
    end = "{{ eos_token if m['role'] == 'user' or loop.last else '' }}"
    with templated("{% for m in messages %}{{ m['content'] }}" + end + "\n{% endfor %}") as tokenizer:
        assert marked(chat(*TALK[1:]), tokenizer) == "Where?</s>\n[Here.]\nWhen?</s>\n[Now.</s>]"


def test_reasoning_is_learnt_in_the_last_answer_and_where_the_template_keeps_it():
    said = ["<think>\nhm\n</think>\n\nb", "<think>\nso\n</think>\n\nd"]
    thoughtful = chat(("user", "a"), ("assistant", said[0]), ("user", "c"), ("assistant", said[1]))
    assert marked(thoughtful, chat_tokenizer("bytes", "qwen3")).endswith(
        "[b<|im_end|>]\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n[<think>\nso\n</think>\n\nd<|im_end|>]"
    )
    assert "[<think>\nhm\n</think>\n\nb<|im_end|>]" in marked(thoughtful, chat_tokenizer("bytes", "chatml"))


def test_a_long_chat_is_cut_at_its_start_and_the_labels_follow():
    tokenizer = chat_tokenizer("bytes", "chatml")
    whole = encoded(chat(*TALK), tokenizer)
    for length in range(len(whole.input_ids), 0, -1):
        cut = len(whole.input_ids) - length
        if length <= len("Now.") + 1:  # as the answer and its end
            with pytest.raises(DataError, match="too-long"):
                encode([chat(*TALK)], tokenizer, length)
            continue
        row = encoded(chat(*TALK), tokenizer, length)
        assert row.input_ids == whole.input_ids[cut:]
        assert row.cut_tokens == cut
        kept = [i - cut for start, end in whole.answers for i in range(start, end) if i - cut >= 1]
        assert [i for start, end in row.answers for i in range(start, end)] == kept


def test_a_beginning_of_sequence_stays_in_front_of_a_cut_chat():
    tokenizer = chat_tokenizer("bytes", "mistral")
    row = encoded(chat(*TALK), tokenizer, 30)
    assert tokenizer.decode(row.input_ids).startswith("<s>")
    assert len(row.input_ids) == 30


def test_a_tokenizer_without_template_is_refused_with_two_ways_on():
    with pytest.raises(ModelError, match=r"no-chat-template.*chats(.|\n)*--model.*(.|\n)*prompt and target"):
        encode([chat(*TALK)], chat_tokenizer("bytes", None), 100)


def test_a_template_that_takes_no_system_turn_says_what_to_do():
    with pytest.raises(DataError, match=r"takes no system turn, and row '7' has one .*System role not supported"):
        encode([chat(*TALK)], chat_tokenizer("bytes", "gemma"), 100)


@pytest.mark.parametrize(
    ("turns", "template", "why"),
    [
        ([("user", "a"), ("user", "b"), ("assistant", "c")], "llama2", r"\(user, user, assistant\).*must alternate"),
        ([("assistant", "hello")], "chatml", "empty conversation"),
        ([("system", "x"), ("system", "y"), ("assistant", "c")], "gemma", "not supported"),
    ],
)
def test_what_the_template_refuses_is_told_with_the_row_and_its_roles(turns, template, why):
    with pytest.raises(DataError, match=f"chat-template.*row '7'.*{why}"):
        encode([chat(*turns)], chat_tokenizer("bytes", template), 100)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"), "begins a chat otherwise"),
        (CHATML.replace("m['content']", "m['content'] | upper"), "does not show every answer"),
        (CHATML.replace("{{ m['content'] }}", "{{ m['content'] }}{{ m['content'] }}"), "does not show every answer"),
        (CHATML.replace("m in messages", "m in messages[-2:]"), "begins a chat otherwise"),
        ("{{ 1 + messages[0]['content'] }}", "refuses it: unsupported operand"),
    ],
)
def test_a_template_that_hides_where_answers_are_is_refused(template, why):
    with templated(template) as tokenizer, pytest.raises(DataError, match=f"chat-template.*{why}"):
        encode([chat(*TALK)], tokenizer, 1000)


def test_a_tokenizer_that_knows_no_letters_takes_chats_of_one_answer():
    tokenizer = ByT5Tokenizer()
    tokenizer.chat_template = TEMPLATES["zephyr"]
    row = encoded(chat(("user", "a"), ("assistant", "b")), tokenizer)
    assert tokenizer.decode(row.input_ids[row.prompt_tokens :]) == "b</s>"
    with pytest.raises(ModelError, match="slow-tokenizer"):
        encode([chat(*TALK[1:])], tokenizer, 1000)


def test_todays_date_in_a_template_is_told():
    assert template_notes(chat_tokenizer("bytes", "chatml")) == ()
    with templated("{{ strftime_now('%Y-%m-%d') }}" + CHATML) as tokenizer:
        (note,) = template_notes(tokenizer)
        assert "today's date" in note
        assert marked(chat(*TALK), tokenizer).startswith("20")


def test_the_llama_tokenizer_takes_the_templates_own_tokens(lab):
    tokenizer = llama_tokenizer(lab / "llama_tokenizer" / "tokenizer.bin")
    tokenizer.chat_template = TEMPLATES["llama2"]
    assert tokenizer("a b")["input_ids"][0] == 1
    row = encoded(chat(*TALK), tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(row.input_ids)
    assert tokens[row.prompt_tokens :] == ["\u2581Now", ".", "\u2581", "</s>"]
    (first, last), _ = row.answers
    assert tokens[first:last] == ["\u2581Here", ".", "\u2581", "</s>"]
    assert tokens[:2] == ["<s>", "\u2581["]
