"""Short trainings of allocations on one loaded model, each judged by the held-out loss of every example."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import TrainerCallback
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from lorascope.config.allocation import Allocation
from lorascope.config.experiment import ExperimentConfig
from lorascope.errors import DataError
from lorascope.evaluation.answer_loss import answer_losses
from lorascope.evaluation.generate import pad_id_of
from lorascope.evaluation.metrics.base import Array
from lorascope.models.adapters import AdaptedModel, take_off, wrap
from lorascope.models.allocated import allocated_modules
from lorascope.models.base import BaseModel, load_base
from lorascope.models.modules import find_modules
from lorascope.report.terminal import Console
from lorascope.tasks import find_task
from lorascope.tasks.split import load_evaluation, load_training
from lorascope.training.encoding import Encoded, encode
from lorascope.training.run import Prepared, build_trainer, prepare


class Losses(NamedTuple):
    """The held-out loss of every example, in their order."""

    nats: Array
    tokens: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """Nats per answer token."""
        return float(self.nats.sum() / self.tokens.sum())


@dataclass(frozen=True)
class Bench:
    """A base model, and the rows of a task, as ids."""

    base: BaseModel
    rows: Prepared
    held_out: dict[str, Sequence[Encoded]]
    """validation: kept back from the training rows; test: of the task's evaluation split."""


def open_bench(config: ExperimentConfig, *, test: int, validation: int, console: Console | None = None) -> Bench:
    """Load the model and the task of a configuration once; at most so many held-out rows, the same ones every time.

    Errors: those of a run; DataError where no answer of the test rows fits.
    """
    config = replace(config, evaluation=replace(config.evaluation, enabled=False))
    task = find_task(config.data)
    training = load_training(task, config.data)
    examples = load_evaluation(task, config.data, test, training=training).examples
    base = load_base(config.model)
    rows = prepare(config, task, base, training.train, training.validation, console=console)
    encoded, _ = encode(examples, base.tokenizer, rows.max_length)
    if not encoded or not rows.validation:
        raise DataError("too-few", "no held-out row's answer fits into max_length", "--max_length, more")
    kept = [rows.validation[i] for i in range(min(validation, len(rows.validation)))]
    return Bench(base, rows, {"validation": kept, "test": encoded})


@contextmanager
def trained(config: ExperimentConfig, bench: Bench, allocation: Allocation) -> Iterator[AdaptedModel]:
    """The model with the allocation's adapters, trained from fresh as the configuration says.

    The base model is as before afterwards, also after an interruption. Nothing is written.
    """
    base = bench.base
    modules = find_modules(base.model)
    targets = allocated_modules(allocation, modules, model_id=base.model_id, tied=base.tied)
    try:
        adapted = wrap(base, config.lora, targets, seed=config.training.seed, allocation=allocation)
        train(config, bench, adapted)
        yield adapted
    finally:
        take_off(base.model)


def train(
    config: ExperimentConfig, bench: Bench, adapted: AdaptedModel, callbacks: Sequence[TrainerCallback] = ()
) -> None:
    """Train the adapters to the last step; nothing is looked at on the way, and nothing is saved."""
    steps = config.training.max_steps
    config = replace(
        config,
        training=replace(config.training, eval_every=steps, save_every=steps),
        gradient_analysis=replace(config.gradient_analysis, log_frequency=steps, weight_every=0),
        evaluation=replace(config.evaluation, enabled=False),
    )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        trainer, _ = build_trainer(config, adapted, bench.rows, place, place / "checkpoints", resumed=False)
        for callback in callbacks:
            trainer.add_callback(callback)
        trainer.args.eval_on_start = trainer.args.load_best_model_at_end = False
        trainer.args.eval_strategy, trainer.args.save_strategy = IntervalStrategy.NO, SaveStrategy.NO
        trainer.train()


def losses(bench: Bench, adapted: AdaptedModel, on: str, *, loss_on: str = "answer") -> Losses:
    """The loss on held-out rows: validation or test."""
    pad = pad_id_of(bench.base.tokenizer)
    return Losses(*answer_losses(adapted.model, bench.held_out[on], pad_id=pad, loss_on=loss_on))


def trial(config: ExperimentConfig, bench: Bench, allocation: Allocation, *, on: str = "validation") -> Losses:
    """Train the allocation as the configuration says, and take the loss on held-out rows."""
    with trained(config, bench, allocation) as adapted:
        return losses(bench, adapted, on, loss_on=config.data.loss_on)
