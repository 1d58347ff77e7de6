"""The pass over the calibration batches: forward, backward, facts about every weight, sums over batches.

Memory beside the model: the exact sum of all gradients (4 bytes a weight, as much as the weights in float32), one
gradient at a time, and K sketches of at most 64 KiB for each part. `plan` says it beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed import ReduceOp, all_gather_object, all_reduce, get_rank, get_world_size, is_initialized

from lorascope.errors import ConfigError, DataError, pick
from lorascope.measure.probing.gradients import Batch, Loss, weight_gradients
from lorascope.measure.probing.parts import Part, Weight
from lorascope.measure.probing.scores import DEFAULT_SCORES, PROBE_SCORES, WeightGradient
from lorascope.measure.probing.sketch import BlockGram, Sketch

Floats = NDArray[np.float64]

BLOCKS = 16
"""Blocks of batches, K: an error has K - 1 degrees of freedom."""


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """What scores of LoRA need to know, and what is taken."""

    r: int = 8
    alpha: float = 32.0
    lr: float = 2e-4
    scores: tuple[str, ...] = DEFAULT_SCORES
    """Scores of every batch, names of PROBE_SCORES."""
    seed: int = 0
    """Of LoRA's random matrices and of the sketches' signs."""
    blocks: int = BLOCKS
    checkpointing: bool = False
    """Keep no activations: less memory, one more forward pass."""

    def __post_init__(self) -> None:
        for name in self.scores:
            pick(PROBE_SCORES, name, "score")
        if self.blocks < 2:
            raise ConfigError("config-value", f"blocks must be at least 2, got {self.blocks}", "16")


@dataclass(frozen=True)
class Collected:
    """What a probe saw. Legend: n batches, U parts, K blocks; a batch is a step's worth of rows."""

    parts: tuple[Part, ...]
    scores: dict[str, Floats]
    """Score -> (n, U), in the order in which the batches were given."""
    nats: Floats
    """(n,) sum over the batch's answer tokens."""
    tokens: NDArray[np.int64]
    """(n,) answer tokens."""
    total_sq: Floats
    """(U,) |sum over batches of G|^2, exact."""
    squares: Floats
    """(K, U) sums over a block's batches of |Z|^2, Z the sketch of G."""
    gram: Floats
    """(U, K, K) inner products between the blocks' sums of Z."""
    settings: ProbeSettings

    @property
    def counts(self) -> NDArray[np.int64]:
        """(K,) batches of each block."""
        return np.bincount(np.arange(len(self.nats)) % self.settings.blocks, minlength=self.settings.blocks)


Enough = Callable[[int, Callable[[], Collected]], bool]
"""(batches done by all processes, what was collected so far) -> whether that is enough. Asked after every batch. The
second argument is a call, since it takes sums over processes: it must be made, or not, by all of them alike."""


def collect(
    model: nn.Module,
    weights: Sequence[Weight],
    batches: Sequence[Sequence[Batch]],
    settings: ProbeSettings,
    *,
    enough: Enough | None = None,
    progress: Callable[[int, Loss], None] | None = None,
) -> Collected:
    """Run batches, each a sequence of micro-batches, until all are done or `enough` says so.

    With several processes each takes every P-th batch; what is returned, and what `enough` sees, is of all of them and
    the same everywhere; the first that has enough stops all. `progress(batches done by all processes, loss)` is called
    after each batch. Errors: DataError where there are fewer batches than two; TrainingError for a loss that is not
    finite.
    """
    if len(batches) < 2:
        raise DataError("too-few-rows", "a probe needs at least two batches: an error takes a difference", "more rows")
    rank, world = (get_rank(), get_world_size()) if is_initialized() else (0, 1)
    sums = _Sums(weights, settings)
    with weight_gradients(model, weights, sums.take, checkpointing=settings.checkpointing) as run:
        for start in range(0, len(batches), world):
            number = start + rank
            if number < len(batches):
                sums.begin(number % settings.blocks)
                loss = run(batches[number])
                sums.end(number, loss)
                if progress:
                    progress(min(start + world, len(batches)), loss)
            if enough and start + world < len(batches):
                stop = enough(start + world, lambda: sums.collected(world))
                if _any(stop, weights[0].parameter.device, world):
                    break
    return sums.collected(world)


class _Sums:
    """What is added up while the batches go by."""

    def __init__(self, weights: Sequence[Weight], settings: ProbeSettings) -> None:
        self.weights = weights
        self.settings = settings
        self.parts = tuple(part for weight in weights for part in weight.parts)
        self._place = {id(part): i for i, part in enumerate(self.parts)}
        self._random = [self._draw(weight, number) for number, weight in enumerate(weights)]
        self._number = {id(weight): number for number, weight in enumerate(weights)}
        self._total: dict[int, Tensor] = {}
        self._grams = [
            BlockGram(
                Sketch(
                    (part.shape[0] * part.shape[1], part.shape[2]),
                    seed=settings.seed + 1_000_000 + i,  # not the streams of the random matrices
                    device=weight.parameter.device,
                ),
                settings.blocks,
                weight.parameter.device,
            )
            for i, (weight, part) in enumerate((w, p) for w in weights for p in w.parts)
        ]
        self._rows: list[tuple[int, Loss, Floats]] = []
        self._now: dict[int, Tensor] = {}
        self._block = 0

    def _draw(self, weight: Weight, number: int) -> Tensor:
        """LoRA's random matrix as PEFT draws it: (experts, r, in); the same on every process."""
        part = weight.parts[0]
        generator = torch.Generator().manual_seed(self.settings.seed + number)
        shape = (part.shape[0], self.settings.r, part.shape[2])
        if part.module.kind == "embedding":
            drawn = torch.randn(shape, generator=generator)
        else:
            drawn = (2 * torch.rand(shape, generator=generator) - 1) / part.shape[2] ** 0.5
        return drawn.to(weight.parameter.device)

    def begin(self, block: int) -> None:
        self._block = block
        self._now = {}

    @torch.no_grad()
    def take(self, weight: Weight, gradient: Tensor) -> None:
        """Facts about one weight's gradient of one batch."""
        G, W = gradient.float(), weight.oriented(weight.parameter).float()
        number = self._number[id(weight)]
        if number in self._total:
            self._total[number] += G
        else:
            self._total[number] = G.clone()
        for part in weight.parts:
            g = part.of(G)
            seen = WeightGradient(
                G=g,
                W=part.of(W),
                A=self._random[number],
                r=self.settings.r,
                scaling=self.settings.alpha / self.settings.r,
                lr=self.settings.lr,
                variance=part.variance,
            )
            at = self._place[id(part)]
            self._now[at] = torch.stack([PROBE_SCORES[name].function(seen) for name in self.settings.scores])
            self._grams[at].add(self._block, g.reshape(-1, g.shape[-1]))

    def end(self, number: int, loss: Loss) -> None:
        """Keep the batch's scores; a weight that the loss does not depend on has the gradient 0. One transfer."""
        device = self.weights[0].parameter.device
        absent = torch.zeros(len(self.settings.scores), dtype=torch.float64, device=device)
        found = [self._now.get(i, absent).to(device) for i in range(len(self.parts))]
        self._rows.append((number, loss, torch.stack(found).cpu().numpy()))

    @torch.no_grad()
    def collected(self, world: int) -> Collected:
        """What was seen so far, by all processes together."""
        rows, grams = self._rows, self._grams
        squares = torch.stack([g.squares.to(grams[0].squares.device) for g in grams], dim=1)
        if world > 1:
            gathered: list[list[tuple[int, Loss, Floats]]] = [[] for _ in range(world)]
            all_gather_object(gathered, rows)
            rows = sorted((row for some in gathered for row in some), key=lambda row: row[0])
            squares = _summed(squares)
        total_sq = np.zeros(len(self.parts))
        for number, weight in enumerate(self.weights):
            whole = _over_processes(weight, self._total.get(number), world)
            if whole is None:  # no batch of any process reached it
                continue
            for part in weight.parts:
                norms = torch.linalg.vector_norm(part.of(whole), dim=-1).double()
                total_sq[self._place[id(part)]] = float(norms.square().sum())
        products = []
        for g in grams:
            block_sums = _summed(g.sums.clone()) if world > 1 else g.sums
            products.append((block_sums.double() @ block_sums.double().T).cpu())
        values = np.stack([row[2] for row in rows])  # (n, U, scores)
        return Collected(
            parts=self.parts,
            scores={name: values[:, :, i] for i, name in enumerate(self.settings.scores)},
            nats=np.array([loss.nats for _, loss, _ in rows]),
            tokens=np.array([loss.tokens for _, loss, _ in rows]),
            total_sq=total_sq,
            squares=squares.cpu().numpy(),
            gram=torch.stack(products).numpy(),
            settings=self.settings,
        )


def _over_processes(weight: Weight, total: Tensor | None, world: int) -> Tensor | None:
    """The sum of a weight's gradients over all processes; None where no batch of any process gave one."""
    if world == 1:
        return total
    mine = torch.zeros_like(weight.oriented(weight.parameter), dtype=torch.float32) if total is None else total.clone()
    return _summed(mine.contiguous())


def _any(mine: bool, device: torch.device, world: int) -> bool:
    """Whether any process says so."""
    return mine if world == 1 else bool(_summed(torch.tensor(float(mine), device=device)) > 0)


def _summed(tensor: Tensor) -> Tensor:
    all_reduce(tensor, op=ReduceOp.SUM)
    return tensor
