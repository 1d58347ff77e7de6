"""A short training that is taken back: which module took how much off the loss, and what AdaLoRA would make of it.

Uniform LoRA is put on, or what is on the model is used, and trained by AdamW at a constant learning rate. At every
point of the path the gradient of a held-out loss L is taken, one block of held-out rows at a time. The loss falls by
the integral of -<dL/dtheta, dtheta> along the path, which adds up over modules; by the trapezoidal rule module m has

    c_m = - sum over steps t of 1/2 <g_m(t) + g_m(t+1), theta_m(t+1) - theta_m(t)>.

How far the sum over modules is off the measured drop says how far the steps are too large for the rule.
Legend: T steps, U parts, K blocks of held-out rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lorascope.config.experiment import LoRAConfig
from lorascope.errors import DataError
from lorascope.measure.probing.gradients import IGNORED, Batch, count_tokens, sum_of_nats, without_activations
from lorascope.measure.probing.parts import Weight
from lorascope.models.adapters import AdapterTensor, adapter_tensors, take_off, wrap
from lorascope.models.base import BaseModel
from lorascope.models.modules import bare
from lorascope.models.target import TargetModule

Floats = NDArray[np.float64]

HELD_OUT = 4
"""Batches whose rows are held out, as long as these are no more than a third of all."""
BETA = 0.85
"""Of both moving averages in AdaLoRA's importance, its own default."""


@dataclass(frozen=True)
class Trial:
    """What a trial found, for the same parts as the probe; NaN for a part without an adapter."""

    attribution: Floats
    """(U,) c_m, nats per held-out answer token; positive where the module took loss off."""
    without: Floats
    """(U, K) the same without each block of held-out rows."""
    importance: Floats
    """(U,) AdaLoRA's importance at the last step."""
    drop: float
    """Held-out loss before minus after, as measured."""
    steps: int
    rows: int
    """Held-out rows."""

    @property
    def off(self) -> float:
        """How far the sum of all parts is off the measured drop, as a share of the drop."""
        return abs(float(np.nansum(self.attribution)) / self.drop - 1) if self.drop else float("inf")


def trial(
    model: nn.Module,
    weights: Sequence[Weight],
    targets: Sequence[TargetModule],
    batches: Sequence[Sequence[Batch]],
    *,
    steps: int,
    r: int,
    alpha: float,
    lr: float,
    seed: int,
    blocks: int,
    checkpointing: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Trial:
    """Train adapters on `targets` for some steps, attribute the fall of the held-out loss, and take everything back.

    Of the batches the first HELD_OUT, or a third where there are fewer, are held out; the others are the steps, again
    from the first one where they run out. With adapters on the model already these are trained instead. With several
    processes each does the same. DataError where there are fewer than three batches.
    """
    held = min(HELD_OUT, len(batches) // 3)
    if not held:
        raise DataError("too-few-rows", f"{len(batches)} batches are too few to hold one out of three", "more rows")
    pieces = cut(batches[:held], blocks)
    with adapted(model, targets, r=r, alpha=alpha, seed=seed) as tensors:
        places = Places(weights, tensors)
        path = _Path(bare(model), tensors, places, pieces)
        with without_activations(model, on=checkpointing):
            path.walk(batches[held:], steps, lr, progress)
    tokens = np.array([count_tokens(model, piece) for piece in pieces])
    nats = path.taken.cpu().numpy()  # (K, U)
    without = (nats.sum(0) - nats) / (tokens.sum() - tokens)[:, None]
    absent = ~places.there
    return Trial(
        attribution=np.where(absent, np.nan, nats.sum(0) / tokens.sum()),
        without=np.where(absent, np.nan, without).T,
        importance=np.where(absent, np.nan, path.importance.cpu().numpy()),
        drop=float((path.losses[0] - path.losses[-1]) / tokens.sum()),
        steps=steps,
        rows=sum(len(piece["input_ids"]) for piece in pieces),
    )


def cut(batches: Sequence[Sequence[Batch]], blocks: int) -> list[Batch]:
    """The rows of all batches dealt out to at most so many blocks, each one micro-batch padded on the right."""
    rows = [
        {name: value[i] for name, value in micro.items()}
        for batch in batches
        for micro in batch
        for i in range(len(micro["input_ids"]))
    ]
    padding = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED}
    return [
        {name: pad_sequence([row[name] for row in rows[k::blocks]], True, padding[name]) for name in padding}
        for k in range(min(blocks, len(rows)))
    ]


@contextmanager
def adapted(
    model: nn.Module, targets: Sequence[TargetModule], *, r: int, alpha: float, seed: int
) -> Iterator[list[AdapterTensor]]:
    """The model's adapters, or fresh ones on `targets`, ready to be trained; as before afterwards."""
    inner = bare(model)
    flags = [(p, p.requires_grad, p.grad) for p in inner.parameters()]
    modes = [(module, module.training) for module in inner.modules()]
    own = any(isinstance(module, LoraLayer) for module in inner.modules())
    kept: list[tuple[Tensor, Tensor]] = []
    try:
        if not own:
            lora = LoRAConfig(r=r, lora_alpha=alpha, lora_dropout=0.0)
            wrap(as_base(inner), lora, targets, seed=seed)
        tensors = adapter_tensors(inner)
        kept = [(t.parameter, t.parameter.detach().clone()) for t in tensors]
        inner.eval()
        for p in inner.parameters():
            p.requires_grad_(False)
            p.grad = None
        for tensor in tensors:
            tensor.parameter.requires_grad_(True)
        yield tensors
    finally:
        for parameter, before in kept:
            with torch.no_grad():
                parameter.copy_(before)
            parameter.grad = None
        if not own:
            take_off(inner)
        for p, flag, grad in flags:
            p.requires_grad_(flag)
            p.grad = grad
        for module, training in modes:
            module.training = training


def as_base(model: Any) -> BaseModel:
    """The model as `wrap` takes it."""
    parameter = next(model.parameters())
    return BaseModel(
        model=model, tokenizer=None, model_id=type(model).__name__, dtype=parameter.dtype, device=parameter.device,
        revision=None, tied=False, context_length=None, notes=(),
    )  # fmt: skip


class Places:
    """Which parts an adapter belongs to, and what of it: B row by row, A, which all rows share, by their number."""

    def __init__(self, weights: Sequence[Weight], tensors: Sequence[AdapterTensor]) -> None:
        numbers: dict[str, list[int]] = {}
        self.parts = [part for weight in weights for part in weight.parts]
        for u, part in enumerate(self.parts):
            numbers.setdefault(part.module.path, []).append(u)
        self.of = [numbers[tensor.module.path] for tensor in tensors]
        self.there = np.zeros(len(self.parts), dtype=bool)
        self.there[[u for places in self.of for u in places]] = True

    def share(self, i: int, tensor: AdapterTensor, values: Tensor) -> Iterator[tuple[int, Tensor]]:
        """(part, its sum) of values that stand for the numbers of the i-th adapter tensor."""
        places = self.of[i]
        whole = sum(self.parts[u].shape[1] for u in places)
        for u in places:
            part = self.parts[u]
            if len(places) == 1:
                yield u, values.sum(dtype=torch.float64)
            elif tensor.matrix == "B":
                yield u, values[part.rows].sum(dtype=torch.float64)
            else:
                yield u, values.sum(dtype=torch.float64) * (part.shape[1] / whole)


class Importance:
    """AdaLoRA's importance of every number (Zhang 2023, equations 8 to 10): |w dL/dw|, smoothed, times its unrest."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.smooth = [torch.zeros_like(p) for p in parameters]
        self.unrest = [torch.zeros_like(p) for p in parameters]

    def update(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """After a step: the new numbers and the gradients that led to them, as PEFT takes them."""
        for p, g, smooth, unrest in zip(parameters, gradients, self.smooth, self.unrest, strict=True):
            sensitivity = (p.detach() * g).abs()
            smooth.mul_(BETA).add_(sensitivity, alpha=1 - BETA)
            unrest.mul_(BETA).add_((sensitivity - smooth).abs(), alpha=1 - BETA)

    def means(self, matrices: Sequence[str]) -> list[Tensor]:
        """For every number its share of the triplets' importance: smooth x unrest, divided by the rows that a rank's
        mean is taken over; A (r, in), B (out, r)."""
        found = []
        for smooth, unrest, matrix in zip(self.smooth, self.unrest, matrices, strict=True):
            found.append(smooth * unrest / smooth.shape[1 if matrix == "A" else 0])
        return found


class _Path:
    """The training, and what is added up along it."""

    def __init__(self, model: nn.Module, tensors: Sequence[AdapterTensor], places: Places, held: Sequence[Batch]):
        self.model, self.tensors, self.places, self.held = model, tensors, places, held
        self.parameters = [tensor.parameter for tensor in tensors]
        device = self.parameters[0].device
        self.taken = torch.zeros(len(held), len(places.parts), dtype=torch.float64, device=device)
        self.importance = torch.zeros(len(places.parts), dtype=torch.float64, device=device)
        self.losses: list[float] = []

    def walk(self, batches: Sequence[Sequence[Batch]], steps: int, lr: float, progress: Callable[[int], None]) -> None:
        """Train; at every point the held-out gradients meet half of the step before and half of the step after."""
        optimizer = torch.optim.AdamW(self.parameters, lr=lr, weight_decay=0.0)
        importance = Importance(self.parameters)
        before = [torch.zeros_like(p) for p in self.parameters]
        for step in range(steps + 1):
            here = [p.detach().clone() for p in self.parameters]
            after = [torch.zeros_like(p) for p in self.parameters]
            if step < steps:
                self._gradients(batches[step % len(batches)])
                optimizer.step()
                importance.update(self.parameters, [p.grad for p in self.parameters if p.grad is not None])
                after = [p.detach() - h for p, h in zip(self.parameters, here, strict=True)]
                self._put(here)
            self._held_out([(a + b) / 2 for a, b in zip(before, after, strict=True)])
            self._put([h + a for h, a in zip(here, after, strict=True)])
            before = after
            progress(step)
        matrices = [tensor.matrix for tensor in self.tensors]
        for i, values in enumerate(importance.means(matrices)):
            for u, value in self.places.share(i, self.tensors[i], values):
                self.importance[u] += value.to(self.importance.device)

    def _gradients(self, micro_batches: Sequence[Batch]) -> float:
        """Gradients of the mean loss of a batch, into the parameters; the sum of its nats."""
        tokens = sum(count_tokens(self.model, batch) for batch in micro_batches)
        nats = 0.0
        for p in self.parameters:
            p.grad = torch.zeros_like(p)  # an expert that no token reaches has the gradient 0
        with torch.enable_grad():
            for batch in micro_batches:
                loss = sum_of_nats(self.model, batch)
                (loss / tokens).backward()
                nats += float(loss.detach())
        return nats

    def _held_out(self, half_steps: Sequence[Tensor]) -> None:
        nats = 0.0
        for k, piece in enumerate(self.held):
            tokens = count_tokens(self.model, piece)
            nats += self._gradients([piece])
            for i, (tensor, step) in enumerate(zip(self.tensors, half_steps, strict=True)):
                assert tensor.parameter.grad is not None
                for u, value in self.places.share(i, tensor, tensor.parameter.grad * step):
                    self.taken[k, u] -= tokens * value.to(self.taken.device)
        self.losses.append(nats)

    def _put(self, numbers: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for p, number in zip(self.parameters, numbers, strict=True):
                p.copy_(number)
