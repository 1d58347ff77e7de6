"""Hypotheses as they are laid down before any run, and their verdicts: supported, contradicted or undecided.

A hypothesis has parts, a part has contrasts that look at one thing in several ways (a raw norm and a scale-free one).
A part points one way only if all its contrasts do. A hypothesis is supported if every part is as expected, contradicted
if any part is decided the other way, undecided otherwise. Holm's correction runs over all contrasts of a hypothesis, so
that a false decision is as rare as the level says, whatever the number of parts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from lorascope.analysis import paired
from lorascope.analysis.statistics import holm

Values = Mapping[tuple[str, str, str], Mapping[int, float]]
"""(task, arm, measure) -> seed -> value."""
Outcome = Literal["supported", "contradicted", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Term:
    """A number of every seed."""

    task: str
    arm: str
    measure: str
    """A column of the results."""
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What is tested: the mean over seeds of a weighted sum of terms of one seed (of their logarithms)."""

    name: str
    terms: tuple[Term, ...]
    log: bool
    """Logarithms: the sum is then that of a ratio."""
    expect: Literal[1, -1]
    """The sign that the hypothesis expects."""
    smallest: float
    """Smallest effect of interest, in the unit of the sum."""
    unit: str

    def differences(self, values: Values) -> dict[int, float]:
        """Seed -> the weighted sum, for the seeds that have every term (and, for logarithms, above 0)."""
        columns = [values.get((t.task, t.arm, t.measure), {}) for t in self.terms]
        seeds = sorted(set.intersection(*(set(column) for column in columns)))
        out = {}
        for seed in seeds:
            numbers = [column[seed] for column in columns]
            if all(math.isfinite(x) and (x > 0 or not self.log) for x in numbers):
                each = [math.log(x) if self.log else x for x in numbers]
                out[seed] = sum(t.weight * x for t, x in zip(self.terms, each, strict=True))
        return out


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that a hypothesis says, looked at in one or several ways."""

    name: str
    contrasts: tuple[Contrast, ...]


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """What is claimed, and how it is judged."""

    name: str
    claim: str
    parts: tuple[Part, ...]
    estimand: str
    window: str
    """Steps that the numbers are of."""
    note: str = ""
    """What its verdict cannot say, whatever it is."""

    @property
    def contrasts(self) -> list[Contrast]:
        """Those of all parts."""
        return [contrast for part in self.parts for contrast in part.contrasts]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the plan, with the rules that all hypotheses share."""
        return asdict(self) | {
            "unit_of_replication": "seed, paired",
            "test": f"paired t at {paired.FEWEST} to {paired.EXACT - 1} seeds, exact sign-flip from {paired.EXACT}",
            "correction": f"Holm over {len(self.contrasts)} contrasts, level {paired.ALPHA:.2f}, two-sided",
        }


@dataclass(frozen=True)
class Comparison:
    """What a contrast came to."""

    name: str
    effect: float
    ci_low: float
    ci_high: float
    """95 %, of this contrast alone."""
    n: int
    """Seeds."""
    test: str
    p: float
    """Two-sided, of this contrast alone."""
    adjusted: float
    """By Holm, over the hypothesis."""
    expect: int
    smallest: float
    unit: str
    sd: float
    """Of the differences over seeds."""
    would_decide: int | None
    """Seeds that would decide it if effect and spread stayed; None: out of sight."""

    @property
    def sign(self) -> int:
        """1 decided as expected, -1 the other way, 0 undecided."""
        if not self.adjusted <= paired.ALPHA:
            return 0
        return 1 if self.effect * self.expect > 0 else -1

    def __str__(self) -> str:
        ends = f" [{self.ci_low:+.3g}, {self.ci_high:+.3g}]" if self.n >= paired.FEWEST else ""
        return f"{self.name}: {self.effect:+.3g}{ends} {self.unit}, {self.n} seeds, p (Holm) {self.adjusted:.3g}"


@dataclass(frozen=True)
class PartVerdict:
    """A part: 1 as expected, -1 the other way, 0 undecided."""

    name: str
    sign: int
    comparisons: tuple[Comparison, ...]

    @property
    def disagree(self) -> bool:
        """Whether its ways of looking point to opposite sides, decided or not."""
        return len({math.copysign(1, c.effect) for c in self.comparisons if c.effect == c.effect}) > 1

    @property
    def opposed(self) -> bool:
        """Whether they are decided for opposite sides."""
        return {1, -1} <= {c.sign for c in self.comparisons}


@dataclass(frozen=True)
class Verdict:
    """A hypothesis judged."""

    name: str
    claim: str
    outcome: Outcome
    parts: tuple[PartVerdict, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the record; `sign` of each comparison beside its numbers."""
        plain = asdict(self)
        for part, mine in zip(plain["parts"], self.parts, strict=True):
            for row, comparison in zip(part["comparisons"], mine.comparisons, strict=True):
                row["sign"] = comparison.sign
        return plain


def judge(hypothesis: Hypothesis, values: Values) -> Verdict:
    """The verdict that the values of the runs give, as the hypothesis laid down."""
    found = _compare(hypothesis.contrasts, values)
    parts, rest = [], list(found)
    for part in hypothesis.parts:
        mine, rest = rest[: len(part.contrasts)], rest[len(part.contrasts) :]
        signs = {comparison.sign for comparison in mine}
        parts.append(PartVerdict(part.name, signs.pop() if len(signs) == 1 else 0, tuple(mine)))
    outcome: Outcome = "undecided"
    if any(part.sign < 0 for part in parts):
        outcome = "contradicted"
    elif all(part.sign > 0 for part in parts):
        outcome = "supported"
    return Verdict(hypothesis.name, hypothesis.claim, outcome, tuple(parts), tuple(_remarks(hypothesis, parts)))


def judge_all(hypotheses: Sequence[Hypothesis], values: Values) -> list[Verdict]:
    """Every verdict, each hypothesis a family of its own."""
    return [judge(hypothesis, values) for hypothesis in hypotheses]


def _compare(contrasts: Sequence[Contrast], values: Values) -> list[Comparison]:
    per_seed = [np.array(list(contrast.differences(values).values())) for contrast in contrasts]
    p = np.array([float(paired.p_values(d[None])[0]) if len(d) else math.nan for d in per_seed])
    # A contrast without a p counts too: its family was laid down before, and must not shrink where runs failed.
    adjusted = holm(np.where(np.isnan(p), 1.0, p))
    out = []
    for contrast, d, raw, holms in zip(contrasts, per_seed, p, adjusted, strict=True):
        mean = float(d.mean()) if len(d) else math.nan
        sd = float(d.std(ddof=1)) if len(d) > 1 else math.nan
        low, high = paired.interval(d)
        level = paired.ALPHA / len(contrasts)
        needed = paired.seeds_to_decide(mean / sd, level) if sd > 0 else None
        out.append(
            Comparison(
                name=contrast.name, effect=mean, ci_low=low, ci_high=high, n=len(d), test=paired.test_of(len(d)),
                p=float(raw), adjusted=float(holms), expect=contrast.expect, smallest=contrast.smallest,
                unit=contrast.unit, sd=sd, would_decide=needed,
            )
        )  # fmt: skip
    return out


def _remarks(hypothesis: Hypothesis, parts: Sequence[PartVerdict]) -> list[str]:
    """What would decide it, and what must be known before it is believed."""
    out = []
    for part in parts:
        ways = "; ".join(f"{c.name} {c.effect:+.3g}" for c in part.comparisons)
        if part.opposed:
            out.append(
                f"{part.name}: its measures point to opposite sides ({ways}), so the answer is one of scale: no number "
                "of seeds would decide it, but a measure of effect would, such as the loss without the adapters"
            )
            continue
        if part.disagree:
            out.append(f"{part.name}: its measures point to opposite sides ({ways}), though not both of them decided")
        for c in part.comparisons:
            inside = max(abs(c.ci_low), abs(c.ci_high)) < c.smallest
            if inside:
                out.append(f"{c.name}: smaller than what matters ({c.smallest:g} {c.unit}), whatever its sign")
            elif not c.sign and c.would_decide:
                out.append(f"{c.name}: about {max(c.would_decide, c.n + 1)} seeds would decide")
            elif not c.sign:
                out.append(f"{c.name}: no number of seeds in sight would decide" if c.n else f"{c.name}: no run of it")
    return [*out, hypothesis.note] if hypothesis.note else out
