"""The gradient of every LoRA matrix, read in any Trainer at the one moment at which it is whole and not yet clipped."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import CallbackHandler

from lorascope.errors import ConfigError, TrainingError
from lorascope.measure import files, meter, own_scores
from lorascope.measure.conditions import check_loss, check_setting, trained_adapter
from lorascope.measure.records import ABSENT, RUN_SCORES, Floats, GradientNormLog, nonfinite, root
from lorascope.measure.scores import piece_norms, squares
from lorascope.models.adapters import AdapterTensor, adapter_tensors

logger = logging.getLogger(__name__)

CURVES = {"attention": "lora/attention", "mlp": "lora/mlp", "embed": "lora/embedding", "lm_head": "lora/head"}
"""Group -> name in the Trainer's log."""


class GradientNormCallback(TrainerCallback):
    """Measures the squared gradient norm of every LoRA matrix; works in any Transformers Trainer and in TRL's.

    folder: gets the journals, CSVs, table and summary of a run folder; None keeps everything in memory.
    log_frequency: steps between two gradient measurements.
    weight_every: steps between two measurements of |A|, |B| and |dW|; 0 is only at the end, which is always measured.
    layer_norm: write the view by layer.

    `callback.log` is the GradientNormLog; the main process alone has rows in it.

    Gradients are read in `on_pre_optimizer_step`: after accumulation, reduced over processes, and unscaled, since
    Trainer takes their norm right before, which unscales. It would also have clipped them by then. So this callback
    takes clipping over: from the beginning of a step until its gradients are read, `args.max_grad_norm` is 0; then it
    has its value again, and the same function clips by it, to the same bits. A step that raises leaves the 0 behind;
    the next training with this callback puts it right. An infinite gradient cannot be traced to its module: Trainer's
    own norm turns all gradients of that step into NaN, so all are flagged.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        log_frequency: int = 1,
        weight_every: int = 10,
        layer_norm: bool = True,
    ) -> None:
        if log_frequency < 1:
            raise ConfigError("config-value", f"log_frequency must be a positive whole number, got {log_frequency!r}")
        if weight_every < 0:
            raise ConfigError("config-value", f"weight_every must be at least 0, got {weight_every!r}")
        self.folder = None if folder is None else Path(folder)
        self.log_frequency = log_frequency
        self.weight_every = weight_every
        self.layer_norm = layer_norm
        self.log = GradientNormLog()
        self._tensors: list[AdapterTensor] = []
        self._scores: list[own_scores.Score] = []
        """Those of other packages."""
        self._parameters: list[nn.Parameter] = []
        """All of the model's, in its order, as Trainer clips them; finding them anew would cost more than the norms."""
        self._read: list[nn.Parameter] = []
        """The same, the adapters' first, in the order of the log's columns."""
        self._files: files.LogFiles | None = None
        self._left_out: list[nn.Parameter] = []
        self._held: float | None = None
        self._observed: dict[str, float] = {}
        self._weights_at = 0
        self._warned = False

    def observe(self, *, loss: float | Tensor | None = None, tokens: int | Tensor | None = None) -> None:
        """Tell facts about the step that is going on, over all processes: mean loss per target token, target tokens."""
        self._observed = {
            name: float(value) for name, value in (("loss", loss), ("tokens", tokens)) if value is not None
        }

    def leave_out(self, parameters: Iterable[nn.Parameter]) -> None:
        """Keep these parameters out of the step that is going on: measured like all others, then without a gradient.

        They are no part of the norm that clips, and the optimizer leaves them alone. To be told in every step, between
        its beginning and its backward pass.
        """
        self._left_out = list(parameters)

    def latest(self) -> dict[str, float]:
        """The newest measurement: the loss if it was observed, and the gradient norm of each group that has one."""
        last = self.log.gradients.last()
        units, sums = last.sums("group")
        norms = {unit: float(root(sums[0, i])) for i, unit in enumerate(units) if len(last) and sums[0, i] != ABSENT}
        loss = [value for _, value in last.fact("loss")]
        return ({"loss": loss[0]} if loss else {}) | norms

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Refuse what cannot be measured, find the adapters, open the files."""
        self._give_back(args)
        check_setting(args, AcceleratorState())
        adapter = trained_adapter(model)
        check_loss(model, args.gradient_accumulation_steps)
        self._tensors = adapter_tensors(model, adapter)
        for broken in own_scores.extend().values():
            logger.warning("%s", broken.sentence("score"))
        self._scores = list(own_scores.SCORES.values())
        self._parameters = list(model.parameters())
        adapters = [tensor.parameter for tensor in self._tensors]
        known = {id(parameter) for parameter in adapters}
        self._read = [*adapters, *(p for p in self._parameters if id(p) not in known)]
        self._left_out = []
        self._go_first()
        if args.max_grad_norm > 0:
            logger.info(
                "gradients are measured before they are clipped to %g; lorascope clips in Trainer's stead",
                args.max_grad_norm,
            )
        self._begin(state)
        off_cadence = self.weight_every == 0 or state.global_step % self.weight_every
        if state.global_step >= state.max_steps and off_cadence:
            self._measure_weights(state)  # stopped after its last step: no step will end, and `start` dropped the row

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep Trainer from clipping this step's gradients before they are read."""
        self._held = args.max_grad_norm
        args.max_grad_norm = 0.0

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Read the gradients, then clip them."""
        if self._held is None or args.max_grad_norm != 0:
            raise TrainingError(
                "clipped-before",
                "the gradients may be clipped already: something else set max_grad_norm during the step",
                "give the Trainer one GradientNormCallback",
            )
        max_norm = self._give_back(args)
        step = state.global_step + 1
        observed, self._observed = self._observed, {}
        left_out, self._left_out = self._left_out, []
        if step % self.log_frequency:
            _drop(left_out)
            clip(self._parameters, max_norm)
            return
        grads = [parameter.grad for parameter in self._read]
        norms, owners = piece_norms(grads)
        if not owners:
            raise TrainingError("no-gradient", f"no parameter has a gradient before the update of step {step}")
        own = own_scores.row(self._tensors, self._scores)
        _drop(left_out)
        factor = clip(self._parameters, max_norm)
        read = torch.cat([norms, factor.reshape(1).to(norms)]).cpu()  # the one transfer of the step
        facts = squares(read[:-1], owners, len(grads), ABSENT).numpy()
        idle = {id(parameter) for parameter in left_out}
        applied = np.array([id(parameter) not in idle for parameter in self._read]) & (facts != ABSENT)
        run = {
            **observed,
            "grad_total_sq": float(facts[applied].sum()),
            "clip_coef": float(read[-1]),
            "learning_rate": float(optimizer.param_groups[0]["lr"]),
        }
        row = np.concatenate([facts[: len(self._tensors)], own, [run.get(score, ABSENT) for score in RUN_SCORES]])
        if state.is_world_process_zero:
            self._record(step, row)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Measure the weight side at its cadence, with the weights that this step has made."""
        if self.weight_every and state.global_step % self.weight_every == 0:
            self._measure_weights(state)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the weight side after the last step, before Trainer may put its best checkpoint in their place."""
        if control.should_training_stop:
            self._measure_weights(state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Bring the CSVs up to the checkpoint."""
        if self._files is not None:
            self._files.flush()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None:
        """Add the norm of each group to what Trainer logs about training."""
        if logs is None or "loss" not in logs or not len(self.log.gradients):
            return
        curves = {CURVES[name]: norm for name, norm in self.latest().items() if name in CURVES}
        logs.update(curves)
        if state.log_history:
            state.log_history[-1].update(curves)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write what was measured, whole."""
        self._give_back(args)
        if self._files is not None:
            self._files.finish()
            logger.info("gradient norms are in %s", self.folder)
            self._files = None

    def _give_back(self, args: TrainingArguments) -> float:
        """Put back the max_grad_norm that was taken, and return it."""
        if self._held is not None:
            args.max_grad_norm = self._held
        self._held = None
        return float(args.max_grad_norm or 0)

    def _begin(self, state: TrainerState) -> None:
        """An empty log, or after a resume one with the rows up to here."""
        before = self.log
        self.log = GradientNormLog(
            [*meter.gradient_columns(self._tensors), *own_scores.columns(self._tensors, self._scores)],
            meter.weight_columns(self._tensors),
            meter.base_columns(self._tensors),
        )
        self.log.base.append(0, meter.base_row(self._tensors))
        self._weights_at = 0
        self._warned = False
        self._observed = {}
        if not state.is_world_process_zero:
            return
        if self.folder is not None:
            self._files = files.start(
                self.folder,
                self.log,
                after=state.global_step,
                weight_every=self.weight_every,
                layer_norm=self.layer_norm,
            )
        elif state.global_step and repr(before.gradients.columns) == repr(self.log.gradients.columns):
            self.log.gradients = before.gradients.keep(files.before(state.global_step))
            self.log.weights = before.weights.keep(files.before(state.global_step, self.weight_every))

    def _record(self, step: int, row: Floats) -> None:
        self.log.gradients.append(step, row)
        if self._files is not None:
            self._files.add_gradients(step, row)
        bad = np.flatnonzero(nonfinite(row[: len(self._tensors)]))
        if len(bad) and not self._warned:
            self._warned = True
            first = self._tensors[bad[0]]
            logger.warning(
                "step %d: %d of %d gradients are not finite (%s, matrix %s); such steps are left out of the statistics",
                step, len(bad), len(self._tensors), first.module.path, first.matrix,
            )  # fmt: skip

    def _measure_weights(self, state: TrainerState) -> None:
        if self._weights_at == state.global_step:
            return
        self._weights_at = state.global_step
        row = meter.weight_row(self._tensors)  # sharded weights need every process
        if state.is_world_process_zero:
            self.log.weights.append(state.global_step, row)
            if self._files is not None:
                self._files.add_weights(state.global_step, row)

    def _go_first(self) -> None:
        """Stand before the experiment trackers in Trainer's list of callbacks.

        They are added before a user's callbacks and read the log before these are asked, so the curves would reach only
        the progress bar. Standing first also means that the other callbacks find the gradients clipped, as without this
        one. Trainer does not hand its list to callbacks; it is found in the frame that called. Moving forward within
        the list that is being walked shifts what stands between by one place: no callback is left out or asked twice.
        """
        handler = callback_handler()
        if handler is None:
            names = ", ".join(CURVES.values())
            logger.warning("this Trainer keeps its callbacks elsewhere; trackers may not show the curves %s", names)
            return
        handler.callbacks.remove(self)
        handler.callbacks.insert(1, self)  # after DefaultFlowCallback, which decides what a step logs and saves


def callback_handler() -> CallbackHandler | None:
    """The handler that is calling a callback right now, with all callbacks of its Trainer; None where there is none."""
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, CallbackHandler):
            return owner
        frame = frame.f_back
    return None


def _drop(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None


@torch.no_grad()
def clip(parameters: list[nn.Parameter], max_norm: float) -> Tensor:
    """Clip the gradients to `max_norm` as Trainer does, bit for bit; 0 is off. Returns the factor that was applied."""
    if max_norm <= 0:
        return torch.ones(())
    total = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    total = total.full_tensor() if hasattr(total, "full_tensor") else total
    return torch.clamp(max_norm / (total + 1e-6), max=1.0)  # the same arithmetic as in clip_grad_norm_
