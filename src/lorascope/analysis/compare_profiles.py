"""Profiles side by side: attention's share in each, the differences with intervals, and how alike the rankings are."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from lorascope.analysis.sensitivity import COMPARED, SensitivityProfile
from lorascope.analysis.statistics import LEVEL, difference, holm, kendall
from lorascope.errors import RunError

LONGER = 1.5
"""From this ratio of mean lengths on, two tasks' answers or prompts are called of different length."""


@dataclass(frozen=True)
class Side:
    """One profile, in a line."""

    name: str
    """A letter."""
    folder: str
    model: str
    dataset: str
    batches: int
    tau: float | None
    loss: float
    """Nats per answer token, before any training."""
    prompt_tokens: float | None
    """Mean of a row."""
    answer_tokens: float | None
    attention: float | None
    """Share of the signal per parameter; None where the model has not both groups."""
    ci_low: float | None
    ci_high: float | None
    verdict: str


@dataclass(frozen=True)
class Contrast:
    """Two profiles: difference of attention's shares, and agreement of the rankings."""

    first: str
    second: str
    effect: float
    """Attention's share in the first minus that in the second."""
    ci_low: float
    ci_high: float
    p_holm: float
    """After Holm, over all pairs that are compared here."""
    decided: bool
    tau: float | None
    """Kendall's tau of the modules' signal per parameter; None where the models have other modules."""

    def __str__(self) -> str:
        ends = f"{self.effect:+.2f} [{self.ci_low:+.2f}, {self.ci_high:+.2f}]"
        if self.ci_low != self.ci_low:
            return f"{self.first} and {self.second}: undecided, too few batches for an interval"
        if not self.decided:
            return f"{self.first} and {self.second}: undecided, attention's share differs by {ends}"
        more, less = (self.first, self.second) if self.effect > 0 else (self.second, self.first)
        return f"attention has the larger share in {more} than in {less}: {ends}"


@dataclass(frozen=True)
class Profiles:
    """Profiles and their pairs."""

    sides: tuple[Side, ...]
    contrasts: tuple[Contrast, ...]
    kinds: dict[str, list[float | None]]
    """Kind of module -> its share in each profile; None where a model has none of it."""
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        pairs = [asdict(contrast) | {"sentence": str(contrast)} for contrast in self.contrasts]
        return {
            "profiles": [asdict(side) for side in self.sides],
            "pairs": pairs,
            "kinds": self.kinds,
            "remarks": list(self.remarks),
        }


def compare_profiles(folders: Sequence[Path | str]) -> Profiles:
    """Read profiles and lay them side by side, in the given order. RunError for a folder that holds none."""
    profiles = [SensitivityProfile.load(folder) for folder in folders]
    if len(profiles) < 2:
        raise RunError("no-profile", "a comparison takes at least two profiles", "lorascope compare FOLDER FOLDER")
    names = [string.ascii_uppercase[i] if i < 26 else f"P{i + 1}" for i in range(len(profiles))]
    sides = tuple(_side(*item) for item in zip(names, map(str, folders), profiles, strict=True))
    return Profiles(sides, tuple(contrasts(profiles, names)), _kinds(profiles), tuple(_remarks(sides, profiles)))


def contrasts(profiles: Sequence[SensitivityProfile], names: Sequence[str]) -> list[Contrast]:
    """Every pair of profiles that have both groups. The profiles must come from different batches."""
    both = [i for i, profile in enumerate(profiles) if _has_both(profile)]
    pairs = list(combinations(both, 2))
    found = [difference(profiles[i].share_of("attention"), profiles[j].share_of("attention")) for i, j in pairs]
    adjusted = holm(np.array([d.p for d in found], dtype=float))
    return [
        Contrast(
            first=names[i],
            second=names[j],
            effect=d.value,
            ci_low=d.low,
            ci_high=d.high,
            p_holm=float(p),
            decided=bool(p <= 1 - LEVEL),
            tau=_agreement(profiles[i], profiles[j]),
        )
        for (i, j), d, p in zip(pairs, found, adjusted, strict=True)
    ]


def _has_both(profile: SensitivityProfile) -> bool:
    return set(COMPARED) <= set(profile.parts["group"])


def _side(name: str, folder: str, profile: SensitivityProfile) -> Side:
    share = profile.share_of("attention") if _has_both(profile) else None
    low, high = (float(end[0]) for end in share.interval()) if share else (None, None)
    tokens = profile.about.get("tokens_per_row", {})
    return Side(
        name=name,
        folder=folder,
        model=str(profile.about.get("model", "?")),
        dataset=str(profile.about.get("dataset", "?")),
        batches=profile.n,
        tau=profile.tau if profile.tau == profile.tau else None,
        loss=profile.loss.value,
        prompt_tokens=tokens.get("prompt"),
        answer_tokens=tokens.get("answer"),
        attention=float(share.value[0]) if share else None,
        ci_low=low,
        ci_high=high,
        verdict=str(profile.verdict or "attention against mlp: this model has not both"),
    )


def _kinds(profiles: Sequence[SensitivityProfile]) -> dict[str, list[float | None]]:
    tables = [profile.table(by="projection", scale="share") for profile in profiles]
    shares = [dict(zip(table["projection"], table["value"], strict=True)) for table in tables]
    kinds = dict.fromkeys(kind for table in shares for kind, value in table.items() if value == value)
    return {kind: [share.get(kind) for share in shares] for kind in kinds}


def _agreement(one: SensitivityProfile, other: SensitivityProfile) -> float | None:
    keys = [list(zip(profile.parts["module"], profile.parts["projection"], strict=True)) for profile in (one, other)]
    if keys[0] != keys[1]:
        return None
    values = [p.scores["signal"].value / p.parts["numel"].to_numpy(dtype=float) for p in (one, other)]
    return kendall(*values)


def _remarks(sides: Sequence[Side], profiles: Sequence[SensitivityProfile]) -> list[str]:
    remarks = ["Intervals are over batches of these rows. One task of a kind is one: they say nothing of other tasks."]
    for what, lengths in (
        ("answers", [side.answer_tokens for side in sides]),
        ("prompts", [side.prompt_tokens for side in sides]),
    ):
        there = [length for length in lengths if length]
        if len(there) == len(sides) and max(there) > LONGER * min(there):
            spread = ", ".join(f"{side.name} {length:.0f}" for side, length in zip(sides, there, strict=True))
            remarks.append(
                f"The {what} are of different length ({spread} tokens): a difference may be one of length. "
                "lorascope probe --datasets ... --match_lengths takes rows of like length."
            )
    if len({side.model for side in sides}) > 1:
        remarks.append("The models differ; shares compare what is attention and what is MLP in each.")
    if any(not _has_both(profile) for profile in profiles):
        remarks.append("A model without attention or without MLP has no share.")
    return remarks
