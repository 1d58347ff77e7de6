"""Encoder-decoders, which a run refuses, can be measured in a Seq2SeqTrainer of one's own."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
)

from lorascope import GradientNormCallback
from lorascope.errors import ModelError

T5 = T5Config(
    vocab_size=50, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4, decoder_start_token_id=0, dropout_rate=0.0
)
BART = BartConfig(
    vocab_size=50, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
    decoder_attention_heads=4, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=32, dropout=0.0,
)  # fmt: skip


def adapted(kind):
    torch.manual_seed(0)
    if kind == "t5":
        model, targets = T5ForConditionalGeneration(T5), ["q", "v", "wi", "wo"]
    else:
        model, targets = BartForConditionalGeneration(BART), ["q_proj", "v_proj", "fc1", "fc2"]
    lora = LoraConfig(r=2, target_modules=targets, init_lora_weights=False, task_type="SEQ_2_SEQ_LM")
    return get_peft_model(model, lora)


def trainer(kind, folder, callbacks, batch=4, accumulation=1):
    """One step on four rows."""
    torch.manual_seed(1)
    ids, labels = torch.randint(5, 50, (4, 8)), torch.randint(5, 50, (4, 3))
    arguments = Seq2SeqTrainingArguments(
        folder, max_steps=1, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation,
        report_to="none", use_cpu=True, disable_tqdm=True, save_strategy="no", logging_steps=1, max_grad_norm=1e9,
    )  # fmt: skip
    rows = [{"input_ids": a, "labels": b} for a, b in zip(ids, labels, strict=True)]
    return Seq2SeqTrainer(model=adapted(kind), args=arguments, train_dataset=rows, callbacks=callbacks), ids, labels


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_the_callback_measures_both_stacks_and_what_is_between(kind, tmp_path):
    callback = GradientNormCallback()
    ours, ids, labels = trainer(kind, tmp_path, [callback])
    ours.train()

    model = adapted(kind)
    model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss.backward()
    squares = {"attention": 0.0, "mlp": 0.0}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            mlp = any(part in name for part in (".wi.", ".wo.", ".fc1.", ".fc2."))
            squares["mlp" if mlp else "attention"] += parameter.grad.square().sum().item()
    (measured,) = callback.log.group_norms().to_dict("records")
    assert measured["attention"] == pytest.approx(squares["attention"] ** 0.5, rel=1e-5)
    assert measured["mlp"] == pytest.approx(squares["mlp"] ** 0.5, rel=1e-5)


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_accumulation_is_refused_since_trainer_gets_it_wrong(kind, tmp_path):
    norms = []
    for batch, accumulation in ((4, 1), (2, 2), (1, 4)):
        plain, _, _ = trainer(kind, tmp_path, [], batch, accumulation)
        plain.train()
        norms.append(next(entry["grad_norm"] for entry in plain.state.log_history if "grad_norm" in entry))
    assert norms[1:] == pytest.approx([2 * norms[0], 4 * norms[0]], rel=1e-4)  # all three should be the same
    with pytest.raises(ModelError, match=r"accumulation.*encoder-decoder.*2 times too large"):
        trainer(kind, tmp_path, [GradientNormCallback()], 2, 2)[0].train()
