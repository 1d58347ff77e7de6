"""The pass over the calibration batches: forward, backward, facts about every weight, sums over batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.distributed import get_rank, get_world_size, is_initialized

from lorascope.config import scores as menu
from lorascope.errors import ConfigError, DataError, pick
from lorascope.measure.probing.gradients import Batch, Loss, weight_gradients
from lorascope.measure.probing.observe import Now, watching
from lorascope.measure.probing.parts import Part, Weight
from lorascope.measure.probing.scores import OF_BATCHES
from lorascope.measure.probing.sums import Sums, any_process

Floats = NDArray[np.float64]

BLOCKS = 16
"""Blocks of batches, K: an error has K - 1 degrees of freedom."""


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """What scores of LoRA need to know, and what is taken."""

    r: int = 8
    alpha: float = 32.0
    lr: float = 2e-4
    scores: tuple[str, ...] = ()
    """Scores on request, of `config/scores.py`, beside the default ones."""
    directions: int = 64
    """Most singular values that are kept of a module; at least twice the largest rank that may be given to it."""
    seed: int = 0
    """Of LoRA's random matrices and of the sketches' signs."""
    blocks: int = BLOCKS
    trial_steps: int = 30
    """Steps of the trial training, for the scores that need one."""
    checkpointing: bool = False
    """Keep no activations: less memory, one more forward pass."""

    def __post_init__(self) -> None:
        for name in self.scores:
            pick(dict.fromkeys((*menu.DEFAULT, *menu.ON_REQUEST)), name, "score")
        for name, least in (("r", 1), ("blocks", 2), ("directions", 1), ("trial_steps", 1)):
            if getattr(self, name) < least:
                raise ConfigError("config-value", f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def of_batches(self) -> tuple[str, ...]:
        """The scores that are taken of every batch's gradient."""
        return tuple(dict.fromkeys([*menu.DEFAULT, *(name for name in self.scores if name in OF_BATCHES)]))

    @property
    def watched(self) -> tuple[str, ...]:
        """Those that need the inputs of layers and the gradients of their outputs."""
        return tuple(n for n in self.scores if n in ("fisher", "plop", "whitened", "whitened_diagonal", "eva"))

    @property
    def signed(self) -> bool:
        """Whether the gradients are added up a second time, with alternating signs."""
        return bool({"spectrum", "whitened", "whitened_diagonal", "gora"} & set(self.scores))


@dataclass(frozen=True)
class Collected:
    """What a probe saw. Legend: n batches, U parts, K blocks; a batch is a step's worth of rows."""

    parts: tuple[Part, ...]
    scores: dict[str, Floats]
    """Score -> (n, U), in the order in which the batches were given; NaN for a part that has none."""
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
    fixed: dict[str, Floats] = field(default_factory=dict)
    """Score of the weights, or of all batches together -> (U,)."""
    spectra: dict[str, dict[str, tuple[Floats, Floats]]] = field(default_factory=dict)
    """Spectrum -> path of a module -> (k,) values, and the same of the noise alone (NaN where there is no such thing).
    """

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
    sums = Sums(weights, settings)
    now = Now(mask=torch.ones(0, 0, dtype=torch.bool), tokens=1)

    def start(batch: Batch, tokens: int) -> None:
        now.mask, now.tokens = batch["attention_mask"].bool(), tokens

    watched = watching(model, weights, now, sums.watch) if settings.watched else nullcontext()
    with watched, weight_gradients(model, weights, sums.take, start, checkpointing=settings.checkpointing) as run:
        for first in range(0, len(batches), world):
            number = first + rank
            if number < len(batches):
                sums.begin(number)
                loss = run(batches[number])
                sums.end(loss, rows=sum(len(batch["input_ids"]) for batch in batches[number]))
                if progress:
                    progress(min(first + world, len(batches)), loss)
            if enough and first + world < len(batches):
                stop = enough(first + world, lambda: _collected(sums, settings, world))
                if any_process(stop, sums.device, world):
                    break
    return _collected(sums, settings, world, finish=True)


def _collected(sums: Sums, settings: ProbeSettings, world: int, *, finish: bool = False) -> Collected:
    """What was seen so far, by all processes together; `finish` adds what takes all batches."""
    rows = sums.rows(world)
    values = np.stack([row.values for row in rows])  # (n, scores, U)
    squares, gram = sums.blocks(world)
    found = sums.totals(world, n=len(rows), finish=finish)
    return Collected(
        parts=sums.parts,
        scores={name: values[:, i] for i, name in enumerate(sums.names)},
        nats=np.array([row.loss.nats for row in rows]),
        tokens=np.array([row.loss.tokens for row in rows]),
        total_sq=found.total_sq,
        squares=squares,
        gram=gram,
        settings=settings,
        fixed=found.fixed,
        spectra=found.spectra,
    )
