"""What a probe adds up while the batches go by, and what it makes of it at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed import ReduceOp, all_gather_object, all_reduce

from lorascope.measure.probing.gradients import Loss
from lorascope.measure.probing.observe import Moments, Seen, feature_norms, fisher, random_feature_norm
from lorascope.measure.probing.parts import Part, Weight, computed, computed_in
from lorascope.measure.probing.scores import OF_BATCHES, WeightGradient
from lorascope.measure.probing.sketch import BlockGram, Sketch
from lorascope.measure.probing.spectra import explained_variance, spectrum, stable_rank, whitened

if TYPE_CHECKING:
    from lorascope.measure.probing.collect import ProbeSettings

Floats = NDArray[np.float64]


class Row(NamedTuple):
    """One batch."""

    number: int
    loss: Loss
    values: Floats
    """(scores, U)"""


@dataclass
class Totals:
    """What takes all batches."""

    total_sq: Floats
    fixed: dict[str, Floats] = field(default_factory=dict)
    spectra: dict[str, dict[str, tuple[Floats, Floats]]] = field(default_factory=dict)

    def keep(self, name: str, path: str, values: Tensor, noise: Tensor) -> None:
        """Note a module's spectrum."""
        self.spectra.setdefault(name, {})[path] = (values.cpu().numpy(), noise.cpu().numpy())


class Sums:
    """Facts batch by batch, sums of gradients, sketches of blocks, moments of inputs."""

    def __init__(self, weights: Sequence[Weight], settings: ProbeSettings) -> None:
        self.weights = weights
        self.settings = settings
        self.parts = tuple(part for weight in weights for part in weight.parts)
        self.device = weights[0].parameter.device
        self.names = (*settings.of_batches, *(name for name in ("fisher", "plop") if name in settings.scores))
        """Scores of a batch, in the order of a row's values."""
        place = {id(part): i for i, part in enumerate(self.parts)}
        self._places = {id(weight): [place[id(part)] for part in weight.parts] for weight in weights}
        self._number = {id(weight): number for number, weight in enumerate(weights)}
        self.drawn = [self._draw(weight, number) for number, weight in enumerate(weights)]
        """LoRA's random matrix of each weight: (experts, r, in)."""
        self._plain: dict[int, Tensor] = {}
        self._signed: dict[int, Tensor] = {}
        self._grams = [self._gram(weight, part) for weight in weights for part in weight.parts]
        self._moments = self._empty_moments()
        self._norms = self._random_norms() if "plop" in settings.scores else {}
        self._rows: list[Row] = []
        self._batch = 0
        self._taken: dict[int, Tensor] = {}
        self._watched: dict[tuple[str, int], Tensor] = {}

    def _draw(self, weight: Weight, number: int) -> Tensor:
        """LoRA's random matrix as PEFT draws it: (experts, r, in); the same on every process."""
        part = weight.parts[0]
        generator = torch.Generator().manual_seed(self.settings.seed + number + 2**32)
        shape = (part.shape[0], self.settings.r, part.shape[2])
        if part.module.kind == "embedding":
            drawn = torch.randn(shape, generator=generator)
        else:
            drawn = (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(part.shape[2])
        return drawn.to(weight.parameter.device, computed_in(weight.parameter.dtype))

    def _gram(self, weight: Weight, part: Part) -> BlockGram:
        seed = self.settings.seed + self.parts.index(part) + 2**33  # not the streams of the random matrices
        device, dtype = weight.parameter.device, computed_in(weight.parameter.dtype)
        sketch = Sketch((part.shape[0] * part.shape[1], part.shape[2]), seed=seed, device=device)
        return BlockGram(sketch, self.settings.blocks, device, dtype)

    def _random_norms(self) -> dict[int, float]:
        with torch.no_grad():
            return {
                place: random_feature_norm(computed(part.of(weight.oriented(weight.parameter))[0]), seed=place)
                for weight in self.weights
                for part, place in zip(weight.parts, self._places[id(weight)], strict=True)
                if part.module.kind in ("linear", "conv1d")
            }

    def _empty_moments(self) -> dict[int, Moments]:
        wanted = {"eva", "whitened", "whitened_diagonal"} & set(self.settings.scores)
        return {
            number: Moments(weight, diagonal=wanted == {"whitened_diagonal"}, gradients=bool(wanted - {"eva"}))
            for number, weight in enumerate(self.weights)
            if wanted and weight.parts[0].module.kind in ("linear", "conv1d")
        }

    # ---- one batch ---------------------------------------------------------------------------------------------------

    def begin(self, number: int) -> None:
        """The batch of this number comes."""
        self._batch = number
        self._taken, self._watched = {}, {}

    @torch.no_grad()
    def take(self, weight: Weight, gradient: Tensor) -> None:
        """One weight's gradient of the batch: (experts, out, in)."""
        settings, number = self.settings, self._number[id(weight)]
        G, W = computed(gradient), computed(weight.oriented(weight.parameter))
        _add(self._plain, number, G, 1.0)
        if settings.signed:
            _add(self._signed, number, G, -1.0 if self._batch % 2 else 1.0)
        for part, place in zip(weight.parts, self._places[id(weight)], strict=True):
            g = part.of(G)
            seen = WeightGradient(
                G=g,
                W=part.of(W),
                A=self.drawn[number],
                r=settings.r,
                scaling=settings.alpha / settings.r,
                lr=settings.lr,
                variance=part.variance,
            )
            self._taken[place] = torch.stack([OF_BATCHES[name](seen) for name in settings.of_batches])
            self._grams[place].add(self._batch % settings.blocks, g.reshape(-1, g.shape[-1]))

    @torch.no_grad()
    def watch(self, weight: Weight, seen: Seen) -> None:
        """What one layer saw of a micro-batch."""
        for name, fact in (("fisher", fisher), ("plop", feature_norms)):
            if name in self.settings.scores:
                for part, place in zip(weight.parts, self._places[id(weight)], strict=True):
                    value = fact(seen.of(part)).double()
                    self._watched[name, place] = self._watched.get((name, place), 0.0) + value
        if self._moments:
            self._moments[self._number[id(weight)]].add(seen)

    def end(self, loss: Loss, *, rows: int) -> None:
        """Keep the batch's scores; a weight that the loss does not depend on has the gradient 0. One transfer."""
        of_weights = torch.zeros(len(self.settings.of_batches), dtype=torch.float64, device=self.device)
        columns = []
        for place in range(len(self.parts)):
            column = [self._taken.get(place, of_weights).to(self.device)]
            for name in self.names[len(self.settings.of_batches) :]:
                column.append(self._watched_score(name, place, rows).to(self.device).reshape(1))
            columns.append(torch.cat(column))
        self._rows.append(Row(self._batch, loss, torch.stack(columns, dim=1).cpu().numpy()))

    def _watched_score(self, name: str, place: int, rows: int) -> Tensor:
        """The batch's value of a watched score; NaN for what is no linear layer."""
        found = self._watched.get((name, place))
        if found is None:
            return torch.tensor(math.nan, dtype=torch.float64)
        return found / rows if name == "fisher" else found[0] / found[1] / self._norms[place]

    # ---- all batches -------------------------------------------------------------------------------------------------

    def rows(self, world: int) -> list[Row]:
        """Every batch of every process, in order."""
        if world == 1:
            return self._rows
        gathered: list[list[Row]] = [[] for _ in range(world)]
        all_gather_object(gathered, self._rows)
        return sorted((row for some in gathered for row in some), key=lambda row: row.number)

    @torch.no_grad()
    def blocks(self, world: int) -> tuple[Floats, Floats]:
        """squares (K, U) and gram (U, K, K)."""
        squares = _summed(torch.stack([g.squares.to(self.device) for g in self._grams], dim=1), world)
        grams = []
        for g in self._grams:
            sums = _summed(g.sums.clone() if world > 1 else g.sums, world).double()
            grams.append((sums @ sums.T).cpu())
        return squares.cpu().numpy(), torch.stack(grams).numpy()

    @torch.no_grad()
    def totals(self, world: int, *, n: int, finish: bool) -> Totals:
        """Squared sums of all n gradients; with `finish` everything else that takes all batches."""
        found = Totals(np.zeros(len(self.parts)))
        for number, weight in enumerate(self.weights):
            plain = self._whole(self._plain, number, world)
            for part, place in zip(weight.parts, self._places[id(weight)], strict=True):
                found.total_sq[place] = float(torch.linalg.vector_norm(part.of(plain), dim=-1).double().square().sum())
            if finish and self.settings.scores:
                signed = self._whole(self._signed, number, world) if self.settings.signed else plain
                self._finish(number, plain / n, signed / n, n, world, found)
        return found

    def _finish(self, number: int, mean: Tensor, signed: Tensor, n: int, world: int, found: Totals) -> None:
        """The scores on request of one weight, into `found`."""
        asked, k, weight = self.settings.scores, self.settings.directions, self.weights[number]
        W = computed(weight.oriented(weight.parameter))
        path = weight.parts[0].module.path

        def put(name: str, place: int, value: float) -> None:
            found.fixed.setdefault(name, np.full(len(self.parts), math.nan))[place] = value

        for part, place in zip(weight.parts, self._places[id(weight)], strict=True):
            if "gora" in asked:
                for name, G in (("gora", mean), ("gora_noise", signed)):
                    norms = torch.linalg.vector_norm(part.of(W) * part.of(G), ord=1, dim=-1)
                    put(name, place, float(norms.double().sum()))
            if "weight" in asked:
                put("weight_sq", place, float(part.of(W).double().square().sum()))
                ranks = [stable_rank(expert) for expert in part.of(W)]
                put("stable_rank", place, sum(ranks) / len(ranks))
        if "spectrum" in asked:
            found.keep("spectrum", path, *spectrum(mean, signed, k, seed=number))
        if number not in self._moments:
            return
        moments = self._moments[number].reduced(lambda tensor: _summed(tensor, world))
        if not moments.count:  # its weight is used without the layer
            return
        for name in ("whitened", "whitened_diagonal"):
            if name in asked:
                curved = whitened(mean[0], signed[0], *moments.factors(n, diagonal=name != "whitened"), k, seed=number)
                found.keep(name, path, *curved)
        if "eva" in asked:
            shares = explained_variance(moments.x, moments.mean, float(moments.count), k)
            found.keep("eva", path, shares, torch.full_like(shares, math.nan))

    def _whole(self, sums: dict[int, Tensor], number: int, world: int) -> Tensor:
        """A weight's sum over all processes: (experts, out, in)."""
        weight = self.weights[number]
        mine = sums.get(number)
        if mine is None:
            mine = torch.zeros_like(weight.oriented(weight.parameter), dtype=computed_in(weight.parameter.dtype))
        return mine if world == 1 else _summed(mine.clone().contiguous(), world)

    # ---- what it takes ---------------------------------------------------------------------------------------------

    @staticmethod
    def sketch_numbers(part: Part) -> int:
        """Numbers of one sketch."""
        return math.prod(Sketch.size(length) for length in (part.shape[0] * part.shape[1], part.shape[2]))

    @staticmethod
    def moment_numbers(weight: Weight, settings: ProbeSettings) -> int:
        """Numbers of a layer's moments."""
        if weight.parts[0].module.kind not in ("linear", "conv1d"):
            return 0
        _, out, width = weight.oriented(weight.parameter).shape
        wanted = {"eva", "whitened", "whitened_diagonal"} & set(settings.scores)
        if wanted == {"whitened_diagonal"}:
            return out + width
        return width**2 + (out**2 if wanted - {"eva"} else 0)


def any_process(mine: bool, device: torch.device, world: int) -> bool:
    """Whether any process says so."""
    return mine if world == 1 else bool(_summed(torch.tensor(float(mine), device=device), world) > 0)


def _add(sums: dict[int, Tensor], number: int, G: Tensor, sign: float) -> None:
    if number in sums:
        sums[number].add_(G, alpha=sign)
    else:
        sums[number] = sign * G


def _summed(tensor: Tensor, world: int) -> Tensor:
    if world > 1:
        all_reduce(tensor, op=ReduceOp.SUM)
    return tensor
