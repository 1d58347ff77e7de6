"""From a configuration to a trainer: encoded rows, training arguments, progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from lorascope.config.experiment import ExperimentConfig
from lorascope.errors import ConfigError
from lorascope.evaluation.judge import longest_prompt
from lorascope.measure.callback import GradientNormCallback
from lorascope.measure.conditions import check_loss
from lorascope.models.adapters import AdaptedModel
from lorascope.models.base import BaseModel
from lorascope.tasks.base import Example, Task
from lorascope.training.batching import collate, refuse_too_few
from lorascope.training.cache import Screen, tokenise
from lorascope.training.chats import template_notes
from lorascope.training.encoding import Encoded
from lorascope.training.rows import cut_tokens
from lorascope.training.stopping import RunFlow
from lorascope.training.switching import phased
from lorascope.training.trainer import ExperimentTrainer


@dataclass(frozen=True)
class Prepared:
    """The rows of a run as token ids."""

    train: Sequence[Encoded]
    """A list; where they are many, a sequence that reads them from a file."""
    validation: Sequence[Encoded]
    max_length: int
    left_out: tuple[str, ...]
    """Ids of rows whose answer alone does not fit."""
    kind: Literal["prompts", "chats", "texts"] = "prompts"
    notes: tuple[str, ...] = ()
    """Sentences that the user should see."""

    @cached_property
    def cut(self) -> tuple[int, ...]:
        """Tokens cut from every row that was cut: at its start, or from a text at its end."""
        return tuple(n for rows in (self.train, self.validation) for n in cut_tokens(rows) if n)

    @property
    def cut_rows(self) -> int:
        """Rows that were cut."""
        return len(self.cut)


def prepare(
    config: ExperimentConfig,
    task: Task,
    base: BaseModel,
    train: Sequence[Example],
    validation: Sequence[Example],
    *,
    console: Screen | None = None,
) -> Prepared:
    """Encode the rows of a run; refuses what could not be trained or evaluated rightly, before anything is written.

    ConfigError for a max_length or max_new_tokens that the model has no positions for, DataError for rows that do not
    fill a batch, whose answers do not fit or that the chat template refuses, ModelError for chats without a chat
    template and for accumulation with a model whose loss cannot be accumulated. Where there are many rows, `console`
    shows the way, and says what the cache did.
    """
    check_loss(base.model, config.training.grad_accum)
    max_length = config.data.max_length or task.max_length
    if base.context_length is not None and max_length > base.context_length:
        if config.data.max_length is not None:
            raise ConfigError(
                "too-long",
                f"max_length {max_length} is more than the {base.context_length} positions of {base.model_id}",
                f"--max_length {base.context_length}",
            )
        max_length = base.context_length  # the task's default is a wish, not a demand
    encoded, left_out = tokenise(train, base.tokenizer, max_length, console=console)
    refuse_too_few(len(encoded), config.training.batch_size)
    if config.evaluation.enabled and task.metrics:
        longest_prompt(max_length, config.evaluation.max_new_tokens or task.max_new_tokens, base.context_length)
    held_out, left_out_too = tokenise(validation, base.tokenizer, max_length, console=console)
    chats = bool(train[0].messages)
    return Prepared(
        train=encoded,
        validation=held_out,
        max_length=max_length,
        left_out=(*left_out, *left_out_too),
        kind="chats" if chats else "texts" if train[0].is_text else "prompts",
        notes=template_notes(base.tokenizer) if chats else (),
    )


def training_arguments(
    config: ExperimentConfig, adapted: AdaptedModel, checkpoints: Path, *, resumed: bool
) -> TrainingArguments:
    """The Transformers arguments of a run."""
    t = config.training
    return TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=t.batch_size,
        gradient_accumulation_steps=t.grad_accum,
        max_steps=t.max_steps,
        learning_rate=t.lr,
        lr_scheduler_type=t.lr_scheduler,
        warmup_steps=t.warm_up,
        optim=t.optim,
        weight_decay=t.weight_decay,
        max_grad_norm=t.max_grad_norm,
        seed=t.seed,
        activation_checkpointing=t.activation_checkpointing,
        eval_strategy="steps",
        eval_steps=t.validate_every,
        eval_on_start=not resumed,
        save_strategy="steps",
        save_steps=t.checkpoint_every,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        greater_is_better=False,
        logging_steps=min(10, t.max_steps),
        report_to=t.report_to,
        run_name=config.run_name,
        remove_unused_columns=False,
        disable_tqdm=True,
        bf16=adapted.base.dtype is torch.bfloat16,
        fp16=adapted.base.dtype is torch.float16,
        use_cpu=adapted.base.device.type == "cpu",
        dataloader_pin_memory=adapted.base.device.type == "cuda",
    )


class Bar(Protocol):
    """What a progress display offers: the count done so far, and numbers to show beside it."""

    def update(self, done: int, **numbers: float) -> None:
        """Show `done` of the total."""


class ShowProgress(TrainerCallback):
    """Feeds a progress bar with the step's loss, the validation loss and the norms of attention and MLP."""

    def __init__(self, bar: Bar, gradients: GradientNormCallback) -> None:
        self.bar = bar
        self.gradients = gradients
        self.validation: dict[str, float] = {}

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Remember the newest validation loss."""
        if metrics and "eval_loss" in metrics:
            self.validation = {"val": metrics["eval_loss"]}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Show the step."""
        self.bar.update(state.global_step, **self.gradients.latest(), **self.validation)


def build_trainer(
    config: ExperimentConfig,
    adapted: AdaptedModel,
    prepared: Prepared,
    folder: Path,
    checkpoints: Path,
    *,
    resumed: bool,
) -> tuple[ExperimentTrainer, RunFlow]:
    """The trainer of a run, and the switch that stops it."""
    flow = RunFlow()
    pad = adapted.tokenizer.pad_token_id
    trainer = ExperimentTrainer(
        model=adapted.model,
        args=training_arguments(config, adapted, checkpoints, resumed=resumed),
        train_dataset=prepared.train,
        eval_dataset=prepared.validation,
        data_collator=lambda rows: collate(rows, pad, config.data.loss_on),
        processing_class=adapted.tokenizer,
        gradient_callback=GradientNormCallback(
            folder,
            log_frequency=config.gradient_analysis.log_frequency,
            weight_every=config.gradient_analysis.weight_every,
            layer_norm=config.gradient_analysis.layer_norm,
        ),
        callbacks=[flow, *phased(config, adapted.modules)],
        loss_on=config.data.loss_on,
        pad_id=pad,
        eval_batch_tokens=config.evaluation.eval_batch_tokens,
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    return trainer, flow
