"""When a run validates, saves and stops: at its last step, and when the user asks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class RunFlow(TrainerCallback):
    """Saves every validation loss that is the best so far; once `stop_asked` is set, saves and stops after the step.

    Saving from `on_step_end` keeps the random state of the next step; Transformers' own signal handling saves before
    the optimizer's step, and a run resumed from there differs. All processes of a run stop after the same step, if any
    of them was asked to.
    """

    def __init__(self) -> None:
        self.stop_asked = False
        """Whether this process was asked to stop; a signal sets it at any moment."""
        self.stopped = False
        """Whether the run stops: the same in all its processes."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Find the best checkpoint of a resumed run where it lies now: the folder may have been moved."""
        if state.best_global_step:
            state.best_model_checkpoint = f"{args.output_dir}/checkpoint-{state.best_global_step}"

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Set the Trainer's flags for what follows this step."""
        self.stopped = self._agreed(args)
        if self.stopped:
            control.should_save = True
            control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A signal may come after the last step as well, while the best checkpoint is loaded, say."""
        self.stopped = self.stopped or self._agreed(args)

    def _agreed(self, args: TrainingArguments) -> bool:
        """Whether any process was asked. What was asked of this one is read once: a signal may come while they talk."""
        if args.world_size == 1:
            return self.stop_asked
        asked = torch.tensor(float(self.stop_asked), device=args.device)
        torch.distributed.all_reduce(asked, op=torch.distributed.ReduceOp.MAX)
        return bool(asked.item())

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Trainer would load the best of the checkpoints that the cadence happened to save."""
        if state.global_step and metrics["eval_loss"] < (state.best_metric or float("inf")):
            control.should_save = True


@contextmanager
def stop_on_signal(flow: RunFlow, say: Callable[[str], None]) -> Iterator[None]:
    """Route SIGINT and SIGTERM to `flow.stop_asked`; a second one ends the process at once with exit code 130."""

    def handle(number: int, frame: object) -> None:
        if flow.stop_asked:
            os._exit(130)  # the second signal means now: no clean-up that could hang
        flow.stop_asked = True
        say("stopping after this step (again: now)")

    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread (notebooks, Ray)
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
