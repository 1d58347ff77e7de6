"""Accuracy by likelihood: every label's loss against brute force, one row at a time."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import log_softmax
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from lorascope.config.experiment import DataConfig, EvaluationConfig, ModelConfig
from lorascope.errors import ConfigError, DataError
from lorascope.evaluation.answer_loss import answer_losses
from lorascope.evaluation.judge import evaluate_examples
from lorascope.evaluation.likelihood import label_losses, likelihood_tally
from lorascope.evaluation.metrics import with_metrics
from lorascope.evaluation.predictions import evaluate_predictions
from lorascope.models.base import load_base
from lorascope.tasks import TASKS
from lorascope.tasks.base import Example, Message
from lorascope.tasks.split import EvaluationData, load_evaluation
from lorascope.training.encoding import encode, encode_prompts
from tokenizers_of import chat_tokenizer
from toy import toy_model, toy_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft reads the old name

TASK = TASKS["multi_nli"]
LABELS = TASK.labels


def asked(n=7, *, width=5):
    return [
        Example(
            id=str(i),
            prompt=f"{'ab ' * (width * i % 17)}?\n",
            target=LABELS[i % 3],
            references=(LABELS[i % 3],),
            group="",
        )
        for i in range(n)
    ]


def brute_force(model, tokenizer, prompt, label):
    """Nats of the label and its end of sequence: the whole row through the model, token by token."""
    (ids,) = encode_prompts([prompt], tokenizer)
    answer = [*tokenizer(label, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        logs = log_softmax(model(torch.tensor([ids + answer]), use_cache=False).logits[0].float(), dim=-1)
    return -sum(float(logs[len(ids) - 1 + i, token]) for i, token in enumerate(answer))


def expected(model, tokenizer, examples, labels=LABELS):
    return np.array([[brute_force(model, tokenizer, e.prompt, label) for label in labels] for e in examples])


@pytest.mark.parametrize("batch_tokens", [1, 200, 8192])
def test_labels_have_the_losses_of_brute_force_in_batches_of_any_size(batch_tokens):
    model, tokenizer, examples = toy_model(), toy_tokenizer(), asked()
    found = label_losses(model, tokenizer, examples, LABELS, max_length=256, batch_tokens=batch_tokens)
    np.testing.assert_allclose(found.nats, expected(model, tokenizer, examples), rtol=1e-5)
    assert found.tokens.tolist() == [[len(label) + 1 for label in LABELS]] * 7
    assert found.prompts_cut == 0


def other_model(kind):
    """Small random models that keep what they have read in other ways, or mark places otherwise."""
    torch.manual_seed(1)
    sizes = {"vocab_size": 259, "hidden_size": 32, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    if kind == "learned positions":
        sizes |= {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
        return GPT2LMHeadModel(GPT2Config(**{k: v for k, v in sizes.items() if k != "hidden_size"}))
    if kind == "alibi":
        return BloomForCausalLM(BloomConfig(**sizes, n_layer=2, n_head=4))
    if kind == "sliding window":
        return MistralForCausalLM(
            MistralConfig(
                **sizes, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                sliding_window=9, max_position_embeddings=256,
            )
        )  # fmt: skip
    return MambaForCausalLM(MambaConfig(**sizes, state_size=4, num_hidden_layers=2))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["learned positions", "alibi", "sliding window", "a state and no cache"])
def test_other_kinds_of_models_too(kind):
    model, tokenizer, examples = other_model(kind).eval(), toy_tokenizer(), asked(5)
    found = label_losses(model, tokenizer, examples, LABELS, max_length=256, batch_tokens=400)
    np.testing.assert_allclose(found.nats, expected(model, tokenizer, examples), rtol=1e-5)


def test_the_labels_of_a_chat_are_its_last_answers():
    tokenizer = chat_tokenizer("bytes", "chatml")
    model = toy_model()
    model.resize_token_embeddings(len(tokenizer))
    examples = [
        Example(
            id=str(i), prompt="", target="yes", references=("yes",), group="",
            messages=(
                Message("user", "a" * i), Message("assistant", "no"), Message("user", "b"), Message("assistant", "yes")
            ),
        )
        for i in range(1, 5)
    ]  # fmt: skip
    found = label_losses(model, tokenizer, examples, ("no", "yes"), max_length=256, batch_tokens=200)
    for k, label in enumerate(("no", "yes")):
        turned = [replace(e, target=label, messages=(*e.messages[:-1], Message("assistant", label))) for e in examples]
        rows = [replace(row, answers=row.answers[-1:]) for row in encode(turned, tokenizer, 256)[0]]
        nats, tokens = answer_losses(model, rows, pad_id=0, batch_tokens=1)
        np.testing.assert_allclose(found.nats[:, k], nats, rtol=1e-5)
        assert found.tokens[:, k].tolist() == tokens.tolist()


def test_the_loss_of_the_right_label_is_the_answer_loss():
    model, tokenizer, examples = toy_model(), toy_tokenizer(), asked()
    nats, _ = answer_losses(model, encode(examples, tokenizer, 256)[0], pad_id=0)
    found = label_losses(model, tokenizer, examples, LABELS, max_length=256).nats
    right = [found[i, LABELS.index(e.target)] for i, e in enumerate(examples)]
    np.testing.assert_allclose(right, nats, rtol=1e-5)


def test_all_labels_see_the_same_prompt_where_it_has_to_be_cut():
    model, tokenizer = toy_model(), toy_tokenizer()
    long = replace(asked(1)[0], prompt="x" * 50 + "\n")
    found = label_losses(model, tokenizer, [long, *asked(1)], LABELS, max_length=40)
    room = 40 - len("contradiction") - 1
    kept = replace(long, prompt="x" * (room - 2) + "\n")  # the beginning of sequence stays
    np.testing.assert_allclose(found.nats[:1], expected(model, tokenizer, [kept]), rtol=1e-5)
    assert found.prompts_cut == 1
    with pytest.raises(DataError, match="too-long"):
        label_losses(model, tokenizer, [long], LABELS, max_length=14)


def test_labels_have_the_white_space_that_answers_have():
    model, tokenizer = toy_model(), toy_tokenizer()
    examples = [replace(e, target=f" {e.target}") for e in asked(4)]
    found = label_losses(model, tokenizer, examples, LABELS, max_length=256)
    np.testing.assert_allclose(
        found.nats, expected(model, tokenizer, examples, [f" {label}" for label in LABELS]), rtol=1e-5
    )


def test_the_model_is_afterwards_as_before_and_its_dropout_off():
    lora = LoraConfig(target_modules=["q_proj"], lora_dropout=0.5, task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(2)
    model, tokenizer = get_peft_model(toy_model(), lora).train(), toy_tokenizer()
    model.config.use_cache = False
    first = label_losses(model, tokenizer, asked(), LABELS, max_length=256).nats
    assert model.training
    assert model.config.use_cache is False
    np.testing.assert_array_equal(first, label_losses(model, tokenizer, asked(), LABELS, max_length=256).nats)
    np.testing.assert_allclose(first, expected(model.eval(), tokenizer, asked()), rtol=1e-5)


def test_progress_counts_to_the_end():
    seen, model, tokenizer = [], toy_model(), toy_tokenizer()
    label_losses(model, tokenizer, asked(), LABELS, max_length=256, batch_tokens=1, progress=lambda *c: seen.append(c))
    assert seen == [(i, 7) for i in range(1, 8)]


def test_accuracy_by_hand():
    examples = asked(4)  # entailment, neutral, contradiction, entailment
    losses = label_losses(toy_model(), toy_tokenizer(), examples, LABELS, max_length=256)
    nats = np.array([[1.0, 2, 3], [1, 2, 3], [9, 8, 7], [5, 5, 6]])  # of equal ones the first
    tally = likelihood_tally(replace(losses, nats=nats), examples, LABELS, max_length=256)
    assert (tally.name, tally.unit, tally.higher_is_better) == ("accuracy_likelihood", "%", True)
    assert tally.per_example.tolist() == [100, 0, 100, 100]
    assert tally.value == 75
    assert tally.settings["confusion"] == {
        "entailment": {"entailment": 2},
        "neutral": {"entailment": 1},
        "contradiction": {"contradiction": 1},
    }
    assert tally.settings["per_label"]["neutral"] == {"examples": 1, "right": 0}
    assert tally.settings["tokens"] == {"entailment": 11, "neutral": 8, "contradiction": 14}
    assert "end of sequence" in tally.settings["rule"]


def test_labels_that_differ_in_nothing_that_counts_are_one():
    labels = ("Yes", "no", "yes.")
    examples = [replace(e, target="yes.", references=("yes.",)) for e in asked(2)]
    losses = label_losses(toy_model(), toy_tokenizer(), examples, labels, max_length=256)
    tally = likelihood_tally(replace(losses, nats=np.array([[2.0, 3, 1], [1, 2, 3]])), examples, labels)
    assert tally.per_example.tolist() == [100, 100]


def held_out(n=6):
    return EvaluationData(examples=asked(n), split="validation", total=n, chosen="all", notes=(), provenance={})


def test_an_evaluation_has_both_accuracies_and_their_confusion():
    model, tokenizer = toy_model(), toy_tokenizer()
    result = evaluate_examples(model, tokenizer, TASK, held_out())
    assert list(result.metrics) == ["accuracy", "accuracy_likelihood", "answer_loss"]
    best = expected(model, tokenizer, asked(6)).argmin(axis=1)
    right = [100.0 * (LABELS[k] == e.target) for k, e in zip(best, asked(6), strict=True)]
    assert [sample["scores"]["accuracy_likelihood"] for sample in result.samples] == right
    score = result.metrics["accuracy_likelihood"]
    assert score.value == np.mean(right)
    assert score.ci_low <= score.value <= score.ci_high
    assert {"rule", "labels", "tokens", "confusion", "per_label"} <= set(
        result.settings["metrics"]["accuracy_likelihood"]
    )
    json.dumps(result.to_dict(), allow_nan=False)


def test_by_likelihood_alone_nothing_is_generated():
    result = evaluate_examples(
        toy_model(), toy_tokenizer(), with_metrics(TASK, "accuracy_likelihood"), held_out(), EvaluationConfig()
    )
    assert list(result.metrics) == ["accuracy_likelihood", "answer_loss"]
    assert "decoding" not in result.settings
    assert "prediction" not in result.samples[0]


def test_it_needs_labels():
    with pytest.raises(ConfigError, match="no-labels"):
        evaluate_examples(toy_model(), toy_tokenizer(), replace(TASK, labels=()), held_out())
    with pytest.raises(ConfigError, match=r"no-labels.*accuracy_likelihood needs a closed set"):
        with_metrics(TASKS["samsum"], "rouge,accuracy_likelihood")


def test_answers_made_elsewhere_have_no_likelihood_and_the_record_says_so(tmp_path):
    rows = [
        {"gold_label": label, "sentence1": "a", "sentence2": f"b {i}", "pairID": str(i)}
        for i, label in enumerate(LABELS)
    ]
    (tmp_path / "multinli_1.0_dev_matched.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "said.jsonl").write_text("".join(json.dumps({"prediction": label}) + "\n" for label in LABELS))
    data = DataConfig(dataset="multi_nli", data_dir=str(tmp_path))
    result = evaluate_predictions(tmp_path / "said.jsonl", data)
    assert {name: score.value for name, score in result.metrics.items()} == {"accuracy": 100}
    assert "made elsewhere" in result.settings["left_out"]["accuracy_likelihood"]
    with pytest.raises(ConfigError, match=r"no-metrics.*accuracy_likelihood: asked of a model"):
        evaluate_predictions(tmp_path / "said.jsonl", data, metrics="accuracy_likelihood")


@pytest.mark.parametrize(("split", "n"), [("validation", 8), ("validation_mismatched", 8)])
def test_real_rows_of_both_splits_on_a_real_model(lab, split, n):
    base = load_base(ModelConfig(model_id=str(lab / "base"), dtype="float32"), device=torch.device("cpu"))
    data = DataConfig(dataset="multi_nli", data_dir=str(lab / "data" / "multi_nli"))
    examples = load_evaluation(TASK, data, n, split=split).examples
    found = label_losses(base.model, base.tokenizer, examples, LABELS, max_length=256, batch_tokens=2000)
    for k, label in enumerate(LABELS):
        rows, _ = encode([replace(e, target=label) for e in examples], base.tokenizer, 256)
        nats, _ = answer_losses(base.model, rows, pad_id=0, batch_tokens=2000)
        np.testing.assert_allclose(found.nats[:, k], nats, rtol=1e-5)
