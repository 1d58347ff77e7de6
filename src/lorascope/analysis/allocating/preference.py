"""Whether a profile says anything of its task: do some kinds of modules stand out, more than with wrong answers?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lorascope.analysis.sensitivity import COMPARED, SensitivityProfile
from lorascope.analysis.statistics import Estimate

LEVEL = 0.05
"""How often a profile without any difference is called one that has a preference, at most."""


@dataclass(frozen=True, kw_only=True)
class Preference:
    """The kind of module that stands out most, and whether that is more than chance."""

    decided: bool
    kind: str
    """Its projection; "" where nothing can be compared."""
    times: float
    """Its signal per weight over that of attention and MLP together."""
    control: float | None
    """The same with the answers of other prompts; None where that was not measured."""
    p: float
    """Bonferroni over the kinds; NaN where nothing can be compared."""
    above: int
    """Parts whose signal is above noise."""
    of: int

    def __str__(self) -> str:
        if not self.kind:
            return "The profile cannot tell the modules apart; that is a result."
        said = f"{self.kind} has {self.times:.2g} times the mean signal per weight"
        if self.control is not None:
            said += f", and {self.control:.2g} times with the answers of other prompts"
        if self.decided:
            return f"{said} (p {_p(self.p)} over all kinds); {self.above} of {self.of} modules above noise."
        if self.control is not None:
            return f"{said}: what stands out is not about this task (p {_p(self.p)} over all kinds). That is a result."
        return f"{said} (p {_p(self.p)} over all kinds): the profile cannot tell the modules apart; that is a result."


def preference(profile: SensitivityProfile) -> Preference:
    """Test every kind's signal per weight, relative to that of attention and MLP together.

    It is held against the same in the profile's control, the same prompts with each other's answers: some kinds stand
    out in any model, whatever it is to learn. Without one it is held against 1. The difference over its jackknife error
    is compared with Student's t with K - 1 degrees of freedom, K blocks of batches; prompts that the two share make the
    error too large, never too small. The smallest p times the number of kinds decides. Nothing is decided where no
    module is above noise, with fewer than three blocks, or with one kind.
    """
    compared = profile.parts["group"].isin(COMPARED).to_numpy()
    above, of = int(profile.above_noise()[compared].sum()), int(compared.sum())
    kinds = list(dict.fromkeys(profile.parts["projection"][compared]))
    nothing = Preference(decided=False, kind="", times=math.nan, control=None, p=math.nan, above=above, of=of)
    control = profile.control
    sides = [_relative(side, kinds) for side in ((profile,) if control is None else (profile, control))]
    blocks = min(side.blocks for side in sides)
    if len(kinds) < 2 or blocks < 3:
        return nothing
    before = sides[1].value if control is not None else np.ones(len(kinds))
    error = np.sqrt(sum(side.error**2 for side in sides))
    if not np.isfinite(error).all() or not (error > 0).all():
        return nothing
    t = np.abs(sides[0].value - before) / error
    best = int(t.argmax())
    p = min(1.0, len(kinds) * 2 * float(stats.t.sf(t[best], blocks - 1)))
    return Preference(
        decided=p < LEVEL and above > 0, kind=kinds[best], times=float(sides[0].value[best]),
        control=float(before[best]) if control is not None else None, p=p, above=above, of=of,
    )  # fmt: skip


def _relative(profile: SensitivityProfile, kinds: list[str]) -> Estimate:
    """(kinds,) signal per weight of each kind over that of attention and MLP together; NaN where the latter is not
    positive: there is no signal to share."""
    numel = profile.parts["numel"].to_numpy(dtype=float)
    compared = profile.parts["group"].isin(COMPARED).to_numpy()
    members = np.stack([compared & (profile.parts["projection"] == kind).to_numpy() for kind in kinds]) * numel
    signal = profile.scores["signal"]
    per_weight = signal.combined((members > 0) / members.sum(axis=1, keepdims=True))
    whole = signal.combined(compared[None] / (compared @ numel))
    total, each = np.where(whole.value > 0, whole.value, np.nan), np.where(whole.without > 0, whole.without, np.nan)
    return Estimate(per_weight.value / total, per_weight.without / each)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
