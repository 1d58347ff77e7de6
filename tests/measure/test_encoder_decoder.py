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


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_the_callback_measures_both_stacks_and_what_is_between(kind, tmp_path):
    torch.manual_seed(1)
    ids, labels = torch.randint(5, 50, (4, 8)), torch.randint(5, 50, (4, 3))
    callback = GradientNormCallback()
    arguments = Seq2SeqTrainingArguments(
        tmp_path, max_steps=1, per_device_train_batch_size=4, report_to="none", use_cpu=True, disable_tqdm=True,
        save_strategy="no",
    )  # fmt: skip
    rows = [{"input_ids": a, "labels": b} for a, b in zip(ids, labels, strict=True)]
    Seq2SeqTrainer(model=adapted(kind), args=arguments, train_dataset=rows, callbacks=[callback]).train()

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
