"""Inputs and output gradients of linear layers while a probe runs, for the scores that a weight's gradient cannot give.

A linear layer sees x (input) and g = dL/dy (of its output y) at every token; G = sum over tokens of g x^T. Experts and
routers are computed from their raw weights, without a layer that could be watched: they have none of these.
Legend: B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lorascope.measure.probing.parts import Part, Weight, computed, computed_in
from lorascope.models.modules import bare


@dataclass(frozen=True)
class Seen:
    """What went through one linear layer in one micro-batch, float32 or better."""

    x: Tensor
    """(B, T, in)"""
    y: Tensor
    """(B, T, out), the bias taken off."""
    g: Tensor
    """(B, T, out), the gradient of the batch's mean loss; 0 where a token pads."""
    mask: Tensor
    """(B, T) True where a token is no padding."""
    tokens: int
    """Tokens with a loss in the whole batch."""

    def of(self, part: Part) -> Seen:
        """The outputs of one part."""
        return replace(self, y=self.y[..., part.rows], g=self.g[..., part.rows])


@dataclass
class Now:
    """The micro-batch that runs."""

    mask: Tensor
    """(B, T) bool."""
    tokens: int
    """Tokens with a loss in the whole batch."""


@contextmanager
def watching(
    model: nn.Module, weights: Sequence[Weight], now: Now, watch: Callable[[Weight, Seen], None]
) -> Iterator[None]:
    """Call `watch` for every linear layer among `weights`, once a micro-batch, when backward reaches it.

    At backward and not at forward, since activation checkpointing runs forward twice. `now` is the caller's to set
    before each micro-batch.
    """
    root = bare(model)
    handles = []

    def at(weight: Weight) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not output.requires_grad:
                return
            x, y = inputs[0].detach(), output.detach()

            def backward(g: Tensor) -> None:
                bias = getattr(module, "bias", None)
                plain = y if bias is None else y - bias.detach()
                watch(weight, Seen(_rows(x), _rows(plain), _rows(g.detach()), _mask(x, now), now.tokens))

            output.register_hook(backward)

        return hook

    try:
        for weight in weights:
            if weight.parts[0].module.kind in ("linear", "conv1d"):
                module = bare(_submodule(root, weight.parts[0].module.path))
                handles.append(module.register_forward_hook(at(weight)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _submodule(root: nn.Module, path: str) -> nn.Module:
    module = root
    for name in path.split("."):
        module = getattr(bare(module), name)
    return module


def _rows(tensor: Tensor) -> Tensor:
    """(B, T, n); a layer that gets its tokens in one row, or the head that gets some of them, makes one row of them."""
    return computed(tensor if tensor.ndim == 3 else tensor.reshape(1, -1, tensor.shape[-1]))


def _mask(x: Tensor, now: Now) -> Tensor:
    """Which of a layer's tokens are no padding; all of them where they are not those of the batch."""
    shape = x.shape[:2] if x.ndim == 3 else (1, x.numel() // x.shape[-1])
    mask = now.mask.to(x.device)
    if mask.numel() != shape[0] * shape[1]:
        return torch.ones(shape, dtype=torch.bool, device=x.device)
    return mask.reshape(shape)


def fisher(seen: Seen) -> Tensor:
    """Sum over rows of |gradient of the row's own nats|^2, nats^2; its mean is the trace of the empirical Fisher.

    |sum_t g_t x_t^T|^2 = sum over pairs of tokens of <x_t, x_u> <g_t, g_u>: two T x T products a row instead of a
    gradient for each (Goodfellow 2015 for one vector a row; with a gradient of its own for each row where that is less
    work).
    """
    g = seen.g * seen.tokens  # of the sum of nats, not of their mean
    length, out, width = seen.x.shape[1], g.shape[2], seen.x.shape[2]
    if length * (out + width) < out * width:
        return ((seen.x @ seen.x.mT) * (g @ g.mT)).double().sum()
    return sum(((gi.T @ xi).double().square().sum() for gi, xi in zip(g, seen.x, strict=True)), torch.zeros(()))


def feature_norms(seen: Seen) -> Tensor:
    """(sum over tokens of |W x| / |x|, number of tokens) without padding: the numerator of PLoP's score."""
    x, y = (torch.linalg.vector_norm(t, dim=-1)[seen.mask].double() for t in (seen.x, seen.y))
    there = x > 0
    return torch.stack([(y[there] / x[there]).sum(), there.sum().double()])


def random_feature_norm(W: Tensor, *, seed: int, draws: int = 256) -> float:
    """Mean of |W u| / |u| over Gaussian u: the denominator of PLoP's score. W (out, in)."""
    # A random model may have been drawn from a small seed too, and must not meet its own numbers here.
    u = torch.randn(draws, W.shape[1], generator=torch.Generator().manual_seed(seed + 2**31)).to(W)
    return float((torch.linalg.vector_norm(u @ W.T, dim=1) / torch.linalg.vector_norm(u, dim=1)).double().mean())


class Moments:
    """Second moments of one layer's inputs and output gradients, and the mean input, over all batches.

    Sx = E[x x^T] over tokens that are no padding; Sg = mean over batches of N sum_t g_t g_t^T, N the batch's tokens
    that carry a loss: sum_t d_t d_t^T / N for the gradients d of the nats themselves. Sx and Sg are the factors of the
    mean loss's Fisher information if tokens are independent (K-FAC, Martens 2015; "expand" in Eschenhagen 2023).
    """

    def __init__(self, weight: Weight, *, diagonal: bool, gradients: bool) -> None:
        _, out, width = weight.oriented(weight.parameter).shape
        device, dtype = weight.parameter.device, computed_in(weight.parameter.dtype)
        self.diagonal = diagonal
        self.x = torch.zeros((width,) if diagonal else (width, width), device=device, dtype=dtype)
        self.g = torch.zeros((out,) if diagonal else (out, out), device=device, dtype=dtype) if gradients else None
        self.mean = torch.zeros(width, device=device, dtype=dtype)
        self.count = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, seen: Seen) -> None:
        """One micro-batch."""
        x = seen.x[seen.mask]
        g = seen.g[seen.mask] * seen.tokens**0.5
        self.x += x.square().sum(0) if self.diagonal else x.T @ x
        if self.g is not None:
            self.g += g.square().sum(0) if self.diagonal else g.T @ g
        self.mean += x.sum(0)
        self.count += len(x)

    def reduced(self, over_processes: Callable[[Tensor], Tensor]) -> Moments:
        """The sums of all processes, in place."""
        for tensor in (self.x, self.g, self.mean, self.count):
            if tensor is not None:
                over_processes(tensor)
        return self

    def factors(self, n: int, *, diagonal: bool) -> tuple[Tensor, Tensor]:
        """Sx and Sg after n batches, or their diagonals."""
        assert self.g is not None
        found = (self.x / float(self.count), self.g / n)
        sx, sg = (m.diagonal() if diagonal and m.ndim == 2 else m for m in found)
        return sx, sg
