"""The Transformers Trainer, with every gradient measured before clipping, and our batches."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback
from transformers.loss.loss_utils import ForCausalLMLoss

from lorascope.errors import TrainingError
from lorascope.evaluation.answer_loss import answer_losses
from lorascope.evaluation.generate import base_of
from lorascope.measure.callback import GradientNormCallback
from lorascope.training.batching import IGNORED, RunSampler
from lorascope.training.encoding import Encoded
from lorascope.training.rows import lengths


class GradientMeasuringTrainer(Trainer):
    """A Trainer that measures the gradient of every LoRA matrix and stops at a loss that is not finite.

    Takes what `transformers.Trainer` takes, and `gradient_callback`, a GradientNormCallback (one that keeps its log in
    memory if none is given). The callback alone gives the same norms in any other Trainer; here it also learns each
    step's loss and answer tokens. The log is `trainer.gradient_callback.log`.
    """

    def __init__(
        self,
        model: Any = None,
        args: Any = None,
        *,
        gradient_callback: GradientNormCallback | None = None,
        callbacks: Sequence[TrainerCallback] | None = None,
        **kwargs: Any,
    ) -> None:
        self.gradient_callback = gradient_callback or GradientNormCallback()
        # The seed's users hand the callback over twice, here and in `callbacks`; it must run once.
        others = [callback for callback in callbacks or () if callback is not self.gradient_callback]
        super().__init__(model, args, callbacks=[self.gradient_callback, *others], **kwargs)
        self.args.logging_nan_inf_filter = False  # it would hide in the log what training_step stops at
        self._step_loss = torch.zeros(())

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One micro-batch; at the last of a step, report the step's loss and refuse one that is not finite."""
        labels = inputs["labels"]
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._step_loss = self._step_loss.to(loss.device) + loss
        if self.accelerator.sync_gradients:
            # With tokens averaged over processes each holds its part times their number: the mean is the step's loss.
            total = self.accelerator.reduce(self._step_loss, reduction="mean").item()
            self._step_loss = torch.zeros(())
            step = self.state.global_step + 1
            if not math.isfinite(total):
                raise TrainingError(
                    "nan-loss",
                    f"the loss of step {step} is {total}; no weight was changed by this step",
                    f"a learning rate of {self.args.learning_rate / 10:g}   (a tenth of what was used)",
                )
            tokens = num_items_in_batch if num_items_in_batch is not None else (labels[..., 1:] != IGNORED).sum()
            self.gradient_callback.observe(loss=total, tokens=int(tokens))
        return loss


class ExperimentTrainer(GradientMeasuringTrainer):
    """The trainer of a run: length-grouped batches, logits for answers only, validation loss per answer token.

    `train_dataset` and `eval_dataset` are sequences of Encoded.
    """

    def __init__(self, *, loss_on: str, pad_id: int, eval_batch_tokens: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loss_on = loss_on
        self.pad_id = pad_id
        self.eval_batch_tokens = eval_batch_tokens
        self._short_logits = self.model_accepts_loss_kwargs and _takes_short_logits(
            self.accelerator.unwrap_model(self.model)
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> RunSampler:
        rows = cast("Sequence[Encoded]", self.train_dataset)
        batches = self.args.max_steps * self.args.gradient_accumulation_steps * self.args.world_size
        return RunSampler(lengths(rows), self.args.train_batch_size, batches, self.args.seed)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The model's own loss; where it is the plain shifted cross entropy, without the logits that carry no loss.

        Positions that predict no labelled token in any row of the batch never meet the head: the same loss and gradient
        for less time and memory.
        """
        if return_outputs or not self._short_logits:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"][:, 1:]
        keep = (labels != IGNORED).any(dim=0).nonzero().squeeze(1)
        logits = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], logits_to_keep=keep
        ).logits
        loss = ForCausalLMLoss(
            logits,
            None,
            logits.shape[-1],
            num_items_in_batch=num_items_in_batch,
            shift_labels=labels[:, keep].contiguous(),
        )
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # DDP averages gradients; the token count is already global
        return loss

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Validation loss in nats per answer token, over all rows of all processes together."""
        rows = cast("Sequence[Encoded]", self.eval_dataset if eval_dataset is None else eval_dataset)
        mine = rows[self.accelerator.process_index :: self.accelerator.num_processes]
        nats, tokens = answer_losses(
            self.accelerator.unwrap_model(self.model),
            mine,
            pad_id=self.pad_id,
            loss_on=self.loss_on,
            batch_tokens=self.eval_batch_tokens,
        )
        sums = torch.tensor([nats.sum(), tokens.sum()], dtype=torch.float64, device=self.args.device)
        total, count = self.accelerator.reduce(sums, reduction="sum").tolist()
        loss = total / count
        if not math.isfinite(loss):
            raise TrainingError(*_no_validation_loss(loss, self.state.global_step))
        metrics = {f"{metric_key_prefix}_loss": loss}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _no_validation_loss(loss: float, step: int) -> tuple[str, ...]:
    """Code, sentence and tries where the validation loss is NaN or infinite."""
    if step:
        return "nan-loss", f"the validation loss after step {step} is {loss}", "a smaller learning rate"
    return (
        "nan-model",
        f"the base model's own loss is {loss}: it cannot compute in this number format, or its weights are damaged",
        "another copy of the checkpoint, or --dtype float32",
    )


def _takes_short_logits(model: nn.Module) -> bool:
    """Whether the loss is the plain shifted cross entropy, over logits that `logits_to_keep` can select by position."""
    base: Any = base_of(model)
    return (
        "logits_to_keep" in inspect.signature(base.forward).parameters
        and getattr(base, "loss_function", None) is ForCausalLMLoss
        and not getattr(base.config, "output_router_logits", False)
    )
