"""Chats are answered from the ids that training used, up to the end of the turn; plain texts are not answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lorascope.config.experiment import EvaluationConfig
from lorascope.errors import ConfigError, ModelError
from lorascope.evaluation.answer_loss import answer_losses
from lorascope.evaluation.judge import evaluate_examples
from lorascope.evaluation.predictions import Prediction, score_predictions
from lorascope.tasks import TASKS
from lorascope.tasks.base import Example, Message
from lorascope.tasks.split import EvaluationData
from lorascope.training.encoding import encode, prompt_ids
from tokenizers_of import chat_tokenizer
from toy import toy_model, toy_tokenizer

CHATS = replace(TASKS["samsum"], name="chats", metrics=("exact_match",), stop=None, max_new_tokens=20)
TEXTS = replace(CHATS, name="stories", metrics=())


def data(*examples: Example) -> EvaluationData:
    return EvaluationData(
        examples=list(examples), split="test", total=len(examples), chosen="all", notes=(), provenance={}
    )


def chat(name: str, *said: str) -> Example:
    turns = tuple(Message(("user", "assistant")[i % 2], text) for i, text in enumerate(said))
    return Example(id=name, prompt="user: ...\n", target=said[-1], references=(said[-1],), group="", messages=turns)


def story(name: str, text: str) -> Example:
    return Example(id=name, prompt="", target=text, references=(text,), group="")


@pytest.fixture(params=["chatml", "llama3", "zephyr", "plain"])
def tokenizer(request):
    return chat_tokenizer("bytes", request.param)


def big_toy():
    """The toy with rows for the marks of chat_tokenizer."""
    model = toy_model()
    model.resize_token_embeddings(280, mean_resizing=False)
    return model


def speaking(model, script: list[int]) -> list[list[int]]:
    """Make a model say a script over and over; returns the list that its prompts will be put into."""
    asked: list[list[int]] = []
    said: list[int] = []

    def speak(module, args, kwargs, output):
        ids = kwargs["input_ids"]
        if ids.shape[1] > 1:  # the prompt, not one more token
            asked.append(ids[0].tolist())
            said.clear()
        said.append(script[len(said) % len(script)])
        output.logits = torch.zeros_like(output.logits)
        output.logits[:, -1, said[-1]] = 1.0
        return output

    model.register_forward_hook(speak, with_kwargs=True)
    return asked


def test_generation_gets_the_prompts_of_training_and_ends_with_the_turn(tokenizer):
    examples = [chat("1", "Where?", "Here.", "When?", "Now."), chat("2", "Who?", "Me.\nAnd you.")]
    rows, _ = encode(examples, tokenizer, 400)
    model = big_toy()
    answer = rows[1].input_ids[rows[1].prompt_tokens :]
    asked = speaking(model, [*answer, *tokenizer("and so on", add_special_tokens=False)["input_ids"]])
    result = evaluate_examples(model, tokenizer, CHATS, data(*examples), EvaluationConfig(eval_batch_tokens=1))
    generated_from = asked[2:]  # the first two were for the loss
    assert sorted(generated_from) == sorted(row.input_ids[: row.prompt_tokens] for row in rows)
    assert sorted(generated_from) == sorted(prompt_ids(examples, tokenizer))
    assert [sample["prediction"] for sample in result.samples] == ["Me.\nAnd you."] * 2
    assert result.metrics["exact_match"].value == 50.0


def test_the_end_of_turn_is_recorded_where_it_is_not_the_end_of_sequence():
    for template, end in (("chatml", ["<|im_end|>"]), ("zephyr", None), ("plain", None)):
        tokenizer = chat_tokenizer("bytes", template)
        config = EvaluationConfig(max_new_tokens=2)
        result = evaluate_examples(big_toy(), tokenizer, CHATS, data(chat("1", "a", "b")), config)
        assert result.settings["decoding"].get("end_of_turn") == end


def test_the_answer_loss_of_a_chat_is_over_all_its_answers(tokenizer):
    example = chat("1", "Where?", "Here.", "When?", "Now.")
    model = big_toy()
    result = evaluate_examples(model, tokenizer, CHATS, data(example), EvaluationConfig(max_new_tokens=1))
    (row,), _ = encode([example], tokenizer, 400)
    nats, tokens = answer_losses(model, [row], pad_id=0)
    assert tokens[0] == sum(end - start for start, end in row.answers)
    assert result.metrics["answer_loss"].value == pytest.approx(nats[0] / tokens[0], rel=1e-6)
    assert "every assistant turn" in result.settings["metrics"]["answer_loss"]["rule"]
    ids = torch.tensor([row.input_ids])
    logits = model(ids).logits[0].double().log_softmax(dim=-1)
    by_hand = -sum(logits[i - 1, row.input_ids[i]].item() for start, end in row.answers for i in range(start, end))
    assert nats[0] == pytest.approx(by_hand, rel=1e-5)


def test_a_plain_text_is_judged_by_its_loss_alone():
    model, tokenizer = toy_model(), toy_tokenizer()
    texts = [story("1", "once upon a time"), story("2", "the end")]
    asked = speaking(model, [5])
    result = evaluate_examples(model, tokenizer, TEXTS, data(*texts), EvaluationConfig(eval_batch_tokens=1))
    assert len(asked) == 2  # the loss; nothing was generated
    assert set(result.metrics) == {"answer_loss"}
    assert result.settings["metrics"]["answer_loss"]["tokens"] == len("once upon a time") + len("the end") + 2
    assert "every token of the text" in result.settings["metrics"]["answer_loss"]["rule"]
    assert "decoding" not in result.settings
    assert set(result.samples[0]) == {"id", "prompt", "references", "scores"}
    assert set(result.samples[0]["scores"]) == {"answer_loss"}


def test_a_text_needs_no_room_for_an_answer():
    config = EvaluationConfig(max_new_tokens=100_000)
    evaluate_examples(toy_model(), toy_tokenizer(), TEXTS, data(story("1", "a")), config)


def test_predictions_for_plain_text_are_refused():
    with pytest.raises(ConfigError, match=r"no-metrics.*stories is plain text"):
        score_predictions(TEXTS, data(story("1", "a")), [Prediction("f:1", "b", None)], source="f")


def test_chats_without_a_template_are_refused():
    with pytest.raises(ModelError, match="no-chat-template"):
        evaluate_examples(toy_model(), toy_tokenizer(), CHATS, data(chat("1", "a", "b")))
