"""The rows of a run: what kind they are, what was cut, and what is refused before anything is written."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lorascope.config.experiment import DataConfig, EvaluationConfig, ExperimentConfig, TrainingConfig
from lorascope.errors import ConfigError, ModelError
from lorascope.models.base import BaseModel
from lorascope.tasks import TASKS
from lorascope.tasks.base import Example, Message
from lorascope.training.run import Prepared, prepare
from tokenizers_of import CHATML, chat_tokenizer
from toy import toy_model, toy_tokenizer

CONFIG = ExperimentConfig(
    data=DataConfig(max_length=40), training=TrainingConfig(batch_size=2), evaluation=EvaluationConfig(max_new_tokens=8)
)
TURNS = (Message("user", "a"), Message("assistant", "b"))


def base(tokenizer=None) -> BaseModel:
    return BaseModel(
        model=toy_model(), tokenizer=tokenizer or toy_tokenizer(), model_id="toy", dtype=torch.float32,
        device=torch.device("cpu"), revision=None, tied=False, context_length=512, notes=(),
    )  # fmt: skip


def examples(prompt: str = "ask\n", target: str = "answer", messages=(), n: int = 4) -> list[Example]:
    return [
        Example(id=str(i), prompt=prompt, target=target, references=(), group="", messages=messages) for i in range(n)
    ]


def prepared(train, *, config=CONFIG, task=TASKS["e2e_nlg"], tokenizer=None) -> Prepared:
    return prepare(config, task, base(tokenizer), train, train[:1])


def test_prompts_chats_and_texts_are_told_apart():
    assert prepared(examples()).kind == "prompts"
    assert prepared(examples(prompt="")).kind == "texts"
    assert prepared(examples(messages=TURNS), tokenizer=chat_tokenizer("bytes", "chatml")).kind == "chats"


def test_what_was_cut_is_counted_over_training_and_validation():
    rows = prepared(examples(prompt="x" * 50 + "\n"))
    assert rows.cut == (19,) * 5  # <s>, 51 letters, 6 letters, </s>: 59 tokens
    assert rows.cut_rows == 5
    assert prepared(examples()).cut == ()


def test_a_text_that_is_cut_at_its_end_counts_too():
    assert prepared(examples(prompt="", target="y" * 60)).cut == (22,) * 5


def test_todays_date_in_the_template_is_a_note():
    tokenizer = chat_tokenizer("bytes", "chatml", side="left")
    assert prepared(examples(messages=TURNS), tokenizer=tokenizer).notes == ()
    kept, tokenizer.chat_template = tokenizer.chat_template, "{{ strftime_now('%Y') }}" + CHATML
    try:
        assert "today's date" in prepared(examples(messages=TURNS), tokenizer=tokenizer).notes[0]
        assert prepared(examples(), tokenizer=tokenizer).notes == ()  # its prompts are no chats
    finally:
        tokenizer.chat_template = kept


def test_chats_need_a_template():
    with pytest.raises(ModelError, match="no-chat-template"):
        prepared(examples(messages=TURNS))


def test_answers_need_room_where_they_are_generated():
    long = replace(CONFIG, evaluation=EvaluationConfig(max_new_tokens=512))
    with pytest.raises(ConfigError, match="leaves no room"):
        prepared(examples(), config=long)
    prepared(examples(prompt=""), config=long, task=replace(TASKS["e2e_nlg"], metrics=()))
