"""Singular values of mean gradients: how many directions a low-rank update could use, and what each is worth."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

EXACT = 1024
"""Up to this many rows or columns all singular values are computed; above, the largest by a range finder."""
ROUNDS = 6
"""Power iterations of the range finder: the gradient's tail is heavy, and every round squares the gap to it."""
DAMPING = 1e-2
"""Added to the curvature's eigenvalues, as a share of their mean: directions that the batches never saw stay finite."""


class Spectrum(NamedTuple):
    """Singular values of one weight's mean gradient, the largest first."""

    values: Tensor
    """(k,) float64; of experts the root of the sum over experts of their squares, rank by rank."""
    noise: Tensor
    """(k,) of the mean with alternating signs: the same noise without the signal. noise[0] is the edge."""


def spectrum(mean: Tensor, signed: Tensor, k: int, *, seed: int = 0) -> Spectrum:
    """Of the mean gradient (experts, out, in) and of its twin with alternating signs."""
    return Spectrum(*(_root_of_squares([singular_values(m, k, seed=seed) for m in both]) for both in (mean, signed)))


def whitened(mean: Tensor, signed: Tensor, inputs: Tensor, gradients: Tensor, k: int, *, seed: int = 0) -> Spectrum:
    """Of (Sg + e I)^-1/2 G (Sx + e I)^-1/2, for one weight (out, in).

    `inputs` Sx, `gradients` Sg: (in, in) and (out, out), or their diagonals. Under the curvature Sg x Sx the best
    update of rank r takes 1/2 of the sum of the r largest squared values off the loss, in nats; these are the same for
    x and W / c in place of c x and W.
    """
    left, right = _inverse_root(gradients), _inverse_root(inputs)

    def white(G: Tensor) -> Tensor:
        half = left[:, None] * G if left.ndim == 1 else left @ G
        return half * right if right.ndim == 1 else half @ right

    return Spectrum(*(singular_values(white(G), k, seed=seed) for G in (mean, signed)))


def singular_values(matrix: Tensor, k: int, *, seed: int = 0) -> Tensor:
    """The k largest singular values of (out, in), float64 (k,); fewer where the matrix has no more."""
    k = min(k, *matrix.shape)
    if min(matrix.shape) <= EXACT:
        return torch.linalg.svdvals(matrix)[:k].double()
    # Halko 2011, algorithm 4.4, with twice the columns that are asked for
    columns = min(2 * k + 10, *matrix.shape)
    start = torch.randn(matrix.shape[1], columns, generator=torch.Generator().manual_seed(seed)).to(matrix)
    basis = torch.linalg.qr(matrix @ start).Q
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(matrix @ torch.linalg.qr(matrix.T @ basis).Q).Q
    return torch.linalg.svdvals(basis.T @ matrix)[:k].double()


def explained_variance(second: Tensor, mean: Tensor, count: float, k: int) -> Tensor:
    """Shares of the inputs' variance along its k largest directions, float64 (k,): EVA's score (Paischer 2024).

    second (in, in): sum of x x^T, mean (in,): sum of x, over `count` tokens. Around the mean, as EVA's incremental PCA.
    """
    centre = mean.double() / count
    covariance = second.double() / count - centre[:, None] * centre
    values = torch.linalg.eigvalsh(covariance).flip(0).clamp(min=0)
    return values[:k] / values.sum()


def stable_rank(weight: Tensor) -> float:
    """|W|^2 / largest singular value^2 of (out, in): between 1 and the rank, and hardly moved by small directions."""
    top = singular_values(weight, 1)
    return float(weight.double().square().sum() / top[0] ** 2)


def _inverse_root(moment: Tensor) -> Tensor:
    """(S + e I)^-1/2, symmetric; of a diagonal, its diagonal."""
    if moment.ndim == 1:
        return _damped_rsqrt(moment.double()).to(moment.dtype)
    values, vectors = torch.linalg.eigh(moment.double())
    return ((vectors * _damped_rsqrt(values.clamp(min=0))) @ vectors.T).to(moment.dtype)


def _damped_rsqrt(values: Tensor) -> Tensor:
    damped = values + DAMPING * values.mean()
    return torch.where(damped > 0, damped.rsqrt(), 0.0)  # a layer that nothing went through has no direction


def _root_of_squares(each: list[Tensor]) -> Tensor:
    return torch.stack(each).square().sum(0).sqrt()
