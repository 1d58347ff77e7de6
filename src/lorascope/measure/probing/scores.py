"""Scores of a probe: pure functions of a weight and the gradient of one batch's loss. No model, no file, no adapter.

A score of a batch is a sum over the numbers, rows or experts of a weight, so that it adds up over parts of a weight and
over modules; norms, shares and means are derived later. To add one: a function, the line above it, and its words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class WeightGradient:
    """A weight and the gradient of one batch's loss, as a score sees them; float32, E experts in a leading dimension.

    Both matrices are (..., out, in): the input is the side on which LoRA starts with random numbers, the output the
    side on which it starts with zeros. In an embedding these are (..., vocabulary, width).
    """

    G: Tensor
    """dL/dW, nats per token."""
    W: Tensor
    A: Tensor
    """(..., r, in): one draw of LoRA's random matrix, PEFT's initialisation."""
    r: int
    scaling: float
    """alpha / r."""
    lr: float
    variance: float
    """Of a number in A: 1 / (3 in) as PEFT draws it, 1 in embeddings."""

    @cached_property
    def row_norms(self) -> Tensor:
        """2-norm of each row of G, float64 (..., out)."""
        return torch.linalg.vector_norm(self.G, dim=-1).double()


Score = Callable[[WeightGradient], Tensor]
"""One weight and one batch -> a float64 tensor without dimensions that adds up over experts and rows of the weight."""

OF_BATCHES: dict[str, Score] = {}
"""The scores that are taken of every batch's gradient, by name; in words they stand in `config/scores.py`."""


def _score(function: Score) -> Score:
    OF_BATCHES[function.__name__] = function
    return function


@_score
def grad_sq(w: WeightGradient) -> Tensor:
    """|G|^2, the squared Frobenius norm, (nats/token)^2; >= 0. Per weight it is the mean squared gradient."""
    return w.row_norms.square().sum()


@_score
def lora_sq(w: WeightGradient) -> Tensor:
    """Squared gradient norm of a LoRA adapter at its start, the mean over draws of A: s^2 r Var(a) |G|^2; >= 0.

    (nats/token)^2. The gradient of B is s G A^T, that of A is 0. PEFT's Var(a) = 1 / (3 in) gives s^2 r |G|^2 / (3 in).
    """
    return w.scaling**2 * w.r * w.variance * w.row_norms.square().sum()


@_score
def lora_draw_sq(w: WeightGradient) -> Tensor:
    """The same for one draw of A, as a training would measure it: s^2 |G A^T|^2; >= 0."""
    return w.scaling**2 * (w.G @ w.A.mT).double().square().sum()


@_score
def adam_step(w: WeightGradient) -> Tensor:
    """What the first LoRA step of Adam takes off this batch's loss, to first order, the mean over draws of A; nats.

    Adam's first step moves every number of B by lr against the sign of its gradient, which takes lr |s G A^T|_1 off.
    A row of G A^T is close to normal with deviation |G_i| sqrt(Var(a)): lr s r sqrt(2 Var(a) / pi) |G|_{2,1}, with
    |G|_{2,1} the sum over rows of their 2-norms. PEFT's Var(a) gives sqrt(2 / (3 pi in)).
    """
    return w.lr * w.scaling * w.r * math.sqrt(2 * w.variance / math.pi) * w.row_norms.sum()


@_score
def taylor(w: WeightGradient) -> Tensor:
    """<G, W>: the slope of the loss along the weight itself; taking the weight away changes the loss by its negative.

    Signed. It is 0 in the mean where only the direction of W matters (a norm follows).
    """
    return torch.linalg.vecdot(w.G, w.W).double().sum()


@_score
def snip(w: WeightGradient) -> Tensor:
    """Sum of |W o G| over all numbers, of one batch; >= 0. GoRA's importance is its mean, of the mean gradient."""
    return torch.linalg.vector_norm(w.G * w.W, ord=1, dim=-1).double().sum()
