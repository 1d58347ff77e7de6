"""A probe's profile: every score of every module with its error, summed over whatever units one asks for.

A score adds up over rows, modules and layers, and so do its values without each block of batches; sums come first, then
division, root or share, and the interval last. Nothing is drawn or written here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from lorascope.analysis.statistics import Estimate, Floats, Interval, more_batches, ratio
from lorascope.errors import ConfigError, pick

if TYPE_CHECKING:
    from matplotlib.figure import Figure

By = Literal["part", "module", "projection", "layer", "group"]
Scale = Literal["per_parameter", "sum", "norm", "rms", "share"]

LEVELS: dict[str, tuple[str, ...]] = {
    "part": ("module", "layer", "stack", "projection", "group"),
    "module": ("module", "layer", "stack", "group"),
    "projection": ("projection", "group"),
    "layer": ("stack", "layer", "group"),
    "group": ("group",),
}
"""Level -> the columns that make a unit. A part is a module, or one role in a fused module."""

SCALES = {
    "per_parameter": "sum over the unit / number of its weights",
    "sum": "sum over the unit; grows with its size",
    "norm": "sqrt(sum)",
    "rms": "sqrt(sum / number of weights)",
    "share": "per parameter, as a share of all attention and MLP units",
}
"""Scale -> what it is."""

COMPARED = ("attention", "mlp")
"""The groups that shares and the verdict are about; what is neither is shown and not compared."""

_SIGNED = ("taylor", "attribution")
INTENSIVE = ("plop", "stable_rank")
"""Scores that do not add up over parts: of several, their mean."""

PART_COLUMNS = (
    *("module", "layer", "stack", "projection", "group", "kind"),
    *("out", "in", "experts", "numel", "cost_per_rank"),
)
"""What a profile knows of a part."""


@dataclass(frozen=True)
class Comparison:
    """One unit against another: how much more signal per parameter the first one has, and how much of that is the
    task's."""

    first: str
    second: str
    effect: float
    """(first - second) / (first + second) of the signals per parameter: 1 all in the first, -1 all in the second."""
    ci_low: float
    """-1 and 1 where nothing can be said; NaN where there are too few batches for an interval."""
    ci_high: float
    control: float | None
    """The effect with the answers of other prompts, which any model shows; None where that was not measured."""
    task: Interval
    """effect - control with its 95 % interval; NaN without a control."""
    n: int
    """Batches."""
    more: int | None
    """More batches that would decide it; 0 if it is decided, None where that is out of sight or without a control."""
    test: str

    @property
    def decided(self) -> bool:
        """Whether the interval of effect - control leaves 0 out."""
        return self.task.decided

    def __str__(self) -> str:
        if self.decided and self.control is not None:
            leader, other = (self.first, self.second) if self.task.value > 0 else (self.second, self.first)
            low, high = sorted((abs(self.task.low), abs(self.task.high)))
            return (
                f"the task favours {leader} over {other} by {abs(self.task.value):.2f} [{low:.2f}, {high:.2f}]: "
                f"{self.effect:+.2f} here, {self.control:+.2f} with shuffled answers, {self.n} batches"
            )
        return f"{self.first} against {self.second}: undecided, {self._why()}"

    def _why(self) -> str:
        if math.isnan(self.ci_low):
            return f"{self.n} batches give no interval"
        if self.ci_high - self.ci_low == 2.0:
            return f"no signal above the noise of {self.n} batches"
        if self.control is None:
            return f"{self.effect:+.2f} [{self.ci_low:+.2f}, {self.ci_high:+.2f}] without a control"
        some = "batch" if self.more == 1 else "batches"
        more = f"about {self.more:,} more {some} would decide" if self.more else "more batches will not decide it"
        ends = f"difference {self.task.value:+.2f} [{self.task.low:+.2f}, {self.task.high:+.2f}]"
        return f"{self.effect:+.2f} here and {self.control:+.2f} with shuffled answers, {ends}; {more}"


@dataclass(frozen=True)
class SensitivityProfile:
    """What a probe found. Legend: U parts, K blocks of batches."""

    parts: pd.DataFrame
    """U rows: module, layer (missing outside the layers), stack, projection (the role), group, kind, out, in, experts,
    numel, cost_per_rank (of the whole module)."""
    scores: Mapping[str, Estimate]
    """Score -> its value in each part: signal, noise, and the means over batches of what else was taken."""
    n: int
    """Batches."""
    tau: float
    """Agreement of halves of the batches on the order of the parts by signal per parameter: `statistics.stability`."""
    loss: Interval
    """Nats per answer token, before any training."""
    about: Mapping[str, Any]
    """Model, data, settings, why it stopped, what the user should know: JSON-ready."""
    spectra: pd.DataFrame
    """Rows of numbers of whole modules, where they were asked for: spectrum, module, rank (from 1), value, noise (what
    the same number is without the signal; NaN where there is no such thing)."""
    control: SensitivityProfile | None = None
    """The same prompts with each other's answers: what stands out there, stands out whatever is to be learnt. None
    where it was not measured."""

    def table(self, score: str = "signal", *, by: By = "projection", scale: Scale = "per_parameter") -> pd.DataFrame:
        """One row for each unit of a level: its columns, value, ci_low, ci_high (95 %), numel, above, of.

        `above` of `of` parts have a signal above noise: an interval that lies above 0. Ends are NaN where a score has
        no error. Of an INTENSIVE score the value is the mean over the unit's parts, whatever the scale. ConfigError for
        a root of a score that has a sign.
        """
        estimate = pick(self.scores, score, "score")
        pick(SCALES, scale, "scale")
        if scale in ("norm", "rms") and score in _SIGNED:
            raise ConfigError("signed-score", f"{score} can be negative, so it has no {scale}", "scale='per_parameter'")
        units, members = self._units(by)
        numel = members @ self.parts["numel"].to_numpy(dtype=float)
        weights = members if scale in ("sum", "norm") else members / numel[:, None]
        if score in INTENSIVE:
            scale, weights = "sum", members / members.sum(axis=1, keepdims=True)
        if scale == "share":
            value, low, high = self._shares(estimate, units, weights)
        else:
            sums = estimate.combined(weights)
            value, (low, high) = sums.value, sums.interval()
        if scale in ("norm", "rms"):
            value, low, high = (np.sqrt(np.maximum(ends, 0.0)) for ends in (value, low, high))
        above = self.above_noise()
        return units.assign(
            value=value, ci_low=low, ci_high=high, numel=numel.astype(int),
            above=(members @ above).astype(int), of=members.sum(axis=1).astype(int),
        )  # fmt: skip

    def above_noise(self) -> Floats:
        """(U,) 1 where the 95 % interval of a part's signal lies above 0, else 0."""
        low, _ = self.scores["signal"].interval()
        return (low > 0).astype(float)

    def compare(self, first: str, second: str) -> Comparison:
        """Two groups or projections by signal per parameter, held against the same in the control."""
        found = self._effect(first, second)
        control = self.control._effect(first, second) if self.control is not None else None
        task = found.minus(control) if control is not None else Interval(math.nan, math.nan, math.nan)
        return Comparison(
            first=first,
            second=second,
            effect=found.value,
            ci_low=found.low,
            ci_high=found.high,
            control=control.value if control is not None else None,
            task=task,
            n=self.n,
            more=more_batches(task, self.n),
            test=f"delete-block jackknife over {self.scores['signal'].blocks} blocks, Fieller; less the control, MOVER",
        )

    def _effect(self, first: str, second: str) -> Interval:
        a, b = self._mean_of(first), self._mean_of(second)
        return clipped(ratio(self.scores["signal"], a - b, a + b))

    def share_of(self, group: str = "attention") -> Estimate:
        """Share of a group in the signal per parameter of attention and MLP, with its values without each block."""
        one = self._mean_of(group)
        rest = sum((self._mean_of(name) for name in COMPARED), np.zeros(len(self.parts)))
        pair = self.scores["signal"].combined(np.stack([one, rest]))
        return Estimate(pair.value[:1] / pair.value[1:], pair.without[:1] / pair.without[1:])

    def strongest(self, projection: str, count: int = 3) -> list[int]:
        """Layers of a projection by signal per parameter, the strongest first."""
        table = self.table(by="part")
        rows = table[(table["projection"] == projection) & table["layer"].notna()]
        return [int(layer) for layer in rows.sort_values("value", ascending=False)["layer"][:count]]

    @property
    def verdict(self) -> Comparison | None:
        """Attention against MLP, less the same in the control; None where the model has not both."""
        return self.compare(*COMPARED) if set(COMPARED) <= set(self.parts["group"]) else None

    def spectrum(self, name: str, module: str) -> tuple[Floats, Floats]:
        """A spectrum of a module and the same of the noise alone, the largest first, each (k,).

        UnknownName for a spectrum that was not taken or a module that has none.
        """
        rows = self.spectra[self.spectra["spectrum"] == name]
        if rows.empty:
            pick(dict.fromkeys(self.spectra["spectrum"]), name, "spectrum")
        pick(dict.fromkeys(rows["module"]), module, "module")
        rows = rows[rows["module"] == module]
        return rows["value"].to_numpy(dtype=float), rows["noise"].to_numpy(dtype=float)

    def directions_above_noise(self, name: str = "spectrum") -> dict[str, int]:
        """Path of a module -> how many values of a spectrum lie above the largest that noise alone gives."""
        rows = self.spectra[self.spectra["spectrum"] == name]
        if rows.empty:
            pick(dict.fromkeys(self.spectra["spectrum"]), name, "spectrum")
        edge = rows.groupby("module", sort=False)["noise"].transform("max")
        return {str(m): int(n) for m, n in (rows["value"] > edge).groupby(rows["module"], sort=False).sum().items()}

    def gains(self, spectrum: str | None = None) -> pd.DataFrame:
        """What the best update of each module takes off, by rank, nats per answer token: `analysis.gains.gains`."""
        from lorascope.analysis import gains

        return gains.gains(self, spectrum)

    def to_pandas(self) -> pd.DataFrame:
        """Every score of every part: the columns of the parts, score, value, ci_low, ci_high."""
        tables = []
        for name, estimate in self.scores.items():
            low, high = estimate.interval()
            tables.append(self.parts.assign(score=name, value=estimate.value, ci_low=low, ci_high=high))
        return pd.concat(tables, ignore_index=True)

    def __repr__(self) -> str:
        from lorascope.report.profile_view import profile_lines

        return "\n".join(profile_lines(self))

    def plot(self) -> Figure:
        """The map of the model as a Matplotlib Figure; of a model without layers its groups with their intervals."""
        from lorascope.report.profile_plots import draw_profile

        about = self.about
        title = f"{about.get('dataset', 'examples')} on {about.get('model', 'a model')}, {self.n} batches"
        return next(iter(draw_profile(self, title=title).values()))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from lorascope.report.notebook import profile_html

        return profile_html(self)

    def save(self, folder: Path | str) -> Path:
        """Write the profile into a folder: profile.parquet, spectra.parquet, profile.json. Returns the folder."""
        from lorascope.analysis import profile_folder

        return profile_folder.save(self, Path(folder))

    @classmethod
    def load(cls, folder: Path | str) -> SensitivityProfile:
        """Read a profile's folder. RunError for one that holds none, or a damaged one."""
        from lorascope.analysis import profile_folder

        return profile_folder.load(Path(folder))

    def _units(self, by: By) -> tuple[pd.DataFrame, Floats]:
        """The units of a level in the parts' order, and which parts belong to each: (V, U) of 0 and 1."""
        columns = list(pick(LEVELS, by, "level"))
        keys = self.parts[columns].astype(object).where(self.parts[columns].notna(), None)
        rows = list(keys.itertuples(index=False, name=None))
        units = list(dict.fromkeys(rows))
        place = {unit: i for i, unit in enumerate(units)}
        members = np.zeros((len(units), len(rows)))
        members[[place[row] for row in rows], np.arange(len(rows))] = 1.0
        frame = pd.DataFrame(units, columns=columns)
        if "layer" in columns:
            frame["layer"] = frame["layer"].astype("Int64")
        return frame, members

    def _mean_of(self, name: str) -> Floats:
        """(U,) weights that make the mean per parameter of a group or projection."""
        numel = self.parts["numel"].to_numpy(dtype=float)
        for column in ("group", "projection"):
            mask = (self.parts[column] == name).to_numpy()
            if mask.any():
                weights: Floats = mask / numel[mask].sum()
                return weights
        known = dict.fromkeys([*self.parts["group"], *self.parts["projection"]])
        pick(known, name, "unit")
        raise AssertionError("unreachable")

    def _shares(self, estimate: Estimate, units: pd.DataFrame, weights: Floats) -> tuple[Floats, Floats, Floats]:
        counted = units["group"].isin(COMPARED).to_numpy() if "group" in units else np.ones(len(units), dtype=bool)
        whole = weights[counted].sum(axis=0)
        rows = [
            clipped(ratio(estimate, weight, whole), 0.0) if there else Interval(math.nan, math.nan, math.nan)
            for weight, there in zip(weights, counted, strict=True)
        ]
        value, low, high = np.array(rows, dtype=float).T
        return value, low, high


def clipped(found: Interval, least: float = -1.0) -> Interval:
    """An interval of a ratio that lies between `least` and 1 if what it is made of is not negative."""
    value, low, high = (min(1.0, max(least, end)) if end == end else end for end in found)
    return Interval(value, low, high)
