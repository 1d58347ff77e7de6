"""Scores of a probe: pure functions of a weight and the gradient of one batch's loss. No model, no file, no adapter.

A score of a batch is a sum over the numbers, rows or experts of a weight, so that it adds up over parts of a weight and
over modules; norms, shares and means are derived later. To add one: a function, and the line above it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

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


class ProbeScore(NamedTuple):
    """A score of one weight and one batch."""

    unit: str
    source: str
    function: Callable[[WeightGradient], Tensor]
    """One weight -> a float64 tensor without dimensions. It adds up over experts and over rows of the weight."""


PROBE_SCORES: dict[str, ProbeScore] = {}
"""The scores that a probe can take of every batch, by name."""


_Function = Callable[[WeightGradient], Tensor]


def _probe_score(*, unit: str, source: str) -> Callable[[_Function], _Function]:
    def put(function: _Function) -> _Function:
        PROBE_SCORES[function.__name__] = ProbeScore(unit, source, function)
        return function

    return put


@_probe_score(unit="(nats/token)^2", source="squared norm of the full gradient; its mean is eFIM's score")
def grad_sq(w: WeightGradient) -> Tensor:
    """|G|^2, the squared Frobenius norm; >= 0. Divided by the number of weights it is their mean squared gradient."""
    return w.row_norms.square().sum()


@_probe_score(unit="(nats/token)^2", source="the study, section 4, before the first step; Hu 2022; He 2015 for A")
def lora_sq(w: WeightGradient) -> Tensor:
    """Squared gradient norm of a LoRA adapter at its start, the mean over draws of A: s^2 r Var(a) |G|^2; >= 0.

    The gradient of B is s G A^T, that of A is 0. With PEFT's Var(a) = 1 / (3 in) this is s^2 r |G|^2 / (3 in).
    """
    return w.scaling**2 * w.r * w.variance * w.row_norms.square().sum()


@_probe_score(unit="(nats/token)^2", source="the study, section 4, at the first step")
def lora_draw_sq(w: WeightGradient) -> Tensor:
    """The same for one draw of A, as a training would measure it: s^2 |G A^T|^2; >= 0."""
    return w.scaling**2 * (w.G @ w.A.mT).double().square().sum()


@_probe_score(unit="nats/token", source="Adam, Kingma and Ba 2015; LoRA, Hu 2022; derived in METHODS")
def adam_step(w: WeightGradient) -> Tensor:
    """What the first LoRA step of Adam takes off this batch's loss, to first order, the mean over draws of A; >= 0.

    Adam's first step moves every number of B by lr against the sign of its gradient, which takes lr |s G A^T|_1 off.
    A row of G A^T is close to normal with deviation |G_i| sqrt(Var(a)): lr s r sqrt(2 Var(a) / pi) |G|_{2,1}, with
    |G|_{2,1} the sum over rows of their 2-norms. PEFT's Var(a) gives sqrt(2 / (3 pi in)).
    """
    return w.lr * w.scaling * w.r * math.sqrt(2 * w.variance / math.pi) * w.row_norms.sum()


@_probe_score(unit="nats/token", source="Molchanov 2019, first order, with its sign")
def taylor(w: WeightGradient) -> Tensor:
    """<G, W>: the slope of the loss along the weight itself; taking the weight away changes the loss by its negative.

    Signed. It is 0 in the mean where only the direction of W matters (a norm follows).
    """
    return torch.linalg.vecdot(w.G, w.W).double().sum()


@_probe_score(unit="nats/token", source="SNIP, Lee 2019; per number of the weight: GoRA, He 2025, of one batch")
def snip(w: WeightGradient) -> Tensor:
    """Sum of |W o G| over all numbers, of one batch; >= 0. GoRA's importance is its mean, of the mean gradient."""
    return torch.linalg.vector_norm(w.G * w.W, ord=1, dim=-1).double().sum()


DEFAULT_SCORES = ("grad_sq", "lora_sq", "lora_draw_sq", "taylor", "adam_step")
"""What a probe takes where nothing else is asked for. The signal comes from sums over batches, not from one batch."""


class AskedScore(NamedTuple):
    """A score that is taken only where it is asked for, and not from one batch's gradient alone."""

    unit: str
    source: str
    what: str


ON_REQUEST: dict[str, AskedScore] = {
    "fisher": AskedScore(
        "nats^2", "empirical Fisher information, per row", "mean over rows of |gradient of the row's nats|^2"
    ),
    "plop": AskedScore("1", "PLoP, Hayou 2025", "mean |W x| / |x| over tokens, over the same for Gaussian x"),
    "gora": AskedScore("nats/token", "GoRA, He 2025", "sum of |W o mean G|; per parameter it is GoRA's importance"),
    "weight": AskedScore("1", "the study, hypothesis 1", "|W|^2, and the stable rank |W|^2 / largest singular value^2"),
    "spectrum": AskedScore("nats/token", "LoRA-GA, Wang 2024", "singular values of the mean gradient"),
    "whitened": AskedScore("nats^(1/2)", "K-FAC, Martens 2015", "the same under the curvature of x and g"),
    "whitened_diagonal": AskedScore("nats^(1/2)", "as whitened", "the same under the diagonal of that curvature"),
    "eva": AskedScore("1", "EVA, Paischer 2025", "shares of the inputs' variance along their largest directions"),
}
"""Scores on request, beside those of PROBE_SCORES that are not in DEFAULT_SCORES."""

SPECTRA = ("spectrum", "whitened", "whitened_diagonal", "eva")
"""Those that are a row of numbers for each module."""
