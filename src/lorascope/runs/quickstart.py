"""One small experiment from end to end, on a machine without network: its own tiny model, its own data."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lorascope.config.experiment import (
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    LoRAConfig,
    ModelConfig,
    TrainingConfig,
)
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.runs.experiment import RunRecord, run
from lorascope.runs.logs import captured
from lorascope.tasks.builtin import e2e_nlg

SENTENCES, STEPS, BATCH, LENGTH = 4000, 100, 24, 64
"""Pretraining: sentences, optimizer steps, rows of a batch, tokens of a row."""


def quickstart(console: Console | None = None, *, output_dir: str = "results") -> RunRecord:
    """Make a tiny Llama that knows the words but not the task, then run the default experiment on it.

    The model (0.6 M parameters) is pretrained in the first half minute on generated sentences; the task, restaurant
    descriptions from attributes, is generated too, in the files of E2E NLG. Its numbers show how lorascope works; they
    say nothing about large models.
    """
    console = console or Console()
    home = Path(output_dir) / "quickstart_base"
    if not (home / "base" / "config.json").is_file():
        console.note("making the quickstart's data and pretraining its tiny Llama: half a minute, once")
        e2e_nlg.write_official(home / "data", train=700, validation=60, test=60, seed=1)
        with console.progress(STEPS, "pretrain") as bar, captured():
            pretrain(home / "base", bar.update)
    return run(_config(home, output_dir), console=console)


def _config(home: Path, output_dir: str) -> ExperimentConfig:
    return ExperimentConfig(
        model=ModelConfig(model_id=str(home / "base")),
        lora=LoRAConfig(target="both", r=8, lora_alpha=16, lora_dropout=0.0),
        training=TrainingConfig(batch_size=8, grad_accum=1, max_steps=200, lr=1e-2, seed=0),
        data=DataConfig(
            dataset="e2e_nlg", data_dir=str(home / "data"), num_samples=0, validation_split=0.05, max_length=256
        ),
        evaluation=EvaluationConfig(eval_samples=0, eval_batch_size=32),
        experiment_name="quickstart",
        output_dir=output_dir,
    )


def pretrain(folder: Path, show: object = None) -> None:
    """Train a tokenizer and a Llama (4 layers, hidden 96, grouped-query attention) on sentences; save them."""
    texts = list(e2e_nlg.sentences(SENTENCES, seed=0))
    tokenizer = word_tokenizer(texts)
    ids = torch.tensor(
        list(chain.from_iterable([*row, tokenizer.eos_token_id] for row in tokenizer(texts)["input_ids"]))
    )
    rows = ids[: len(ids) // LENGTH * LENGTH].view(-1, LENGTH)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer), hidden_size=96, intermediate_size=256, num_hidden_layers=4,
                num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=512,
                tie_word_embeddings=False, use_cache=False,
                bos_token_id=1, eos_token_id=2, pad_token_id=0,
            )
        )  # fmt: skip
        optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=STEPS)
        for step in range(STEPS):
            batch = rows[torch.randint(len(rows), (BATCH,))]
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if callable(show):
                show(step + 1, loss=loss.item())
    with rundir.writing(folder):
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)


def word_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on `texts`: ids 0 <pad>, 1 <s>, 2 </s>, at most 800 tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=800,
            special_tokens=["<pad>", "<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=512
    )
