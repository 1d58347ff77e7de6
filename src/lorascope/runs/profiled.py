"""What a probe collected, as a sensitivity profile: torch on one side, tables with errors on the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lorascope.analysis.sensitivity import PART_COLUMNS, SensitivityProfile
from lorascope.analysis.statistics import (
    Estimate,
    Floats,
    Interval,
    mean_estimate,
    quantile,
    rescaled,
    signal_estimate,
    stability,
)
from lorascope.measure.probing.collect import Collected
from lorascope.measure.probing.trial import Trial


def profile_of(found: Collected, about: Mapping[str, Any]) -> SensitivityProfile:
    """What was collected, as a profile."""
    n, blocks = len(found.nats), found.settings.blocks
    block = np.arange(n) % blocks
    sum_sq = found.scores["grad_sq"].sum(axis=0)
    signal = signal_estimate(found.total_sq, sum_sq, found.gram, found.squares, found.counts)
    means = {name: mean_estimate(values, block) for name, values in found.scores.items()}
    grad = means["grad_sq"]
    scores = {
        "signal": signal,
        "noise": Estimate(grad.value - signal.value, grad.without - signal.without),
        **means,
        **{name: _fixed(name, values, signal.blocks) for name, values in found.fixed.items()},
    }
    losses = found.nats / found.tokens
    half = quantile(n - 1) * float(losses.std(ddof=1)) / math.sqrt(n)
    return SensitivityProfile(
        parts=_parts(found),
        scores=scores,
        n=n,
        tau=tau_of(found),
        loss=Interval(float(losses.mean()), float(losses.mean()) - half, float(losses.mean()) + half),
        about=about,
        spectra=_spectra(found),
    )


def with_trial(profile: SensitivityProfile, found: Trial) -> SensitivityProfile:
    """The profile with a trial's scores. No interval where it held out fewer rows than there are blocks."""
    blocks = profile.scores["signal"].blocks
    same = found.without.shape[1] == blocks > 2
    unknown = np.full((len(profile.parts), blocks), math.nan)
    scores = {
        **profile.scores,
        "attribution": Estimate(found.attribution, found.without if same else unknown),
        "adalora": Estimate(found.importance, unknown),
    }
    return replace(profile, scores=scores)


def _fixed(name: str, values: Floats, blocks: int) -> Estimate:
    """A number without an error: none where it is a fact of the weights, an unknown one elsewhere."""
    known = name in ("weight_sq", "stable_rank")
    return Estimate(
        values, np.repeat(values[:, None] if known else np.full((len(values), 1), math.nan), blocks, axis=1)
    )


def _parts(found: Collected) -> pd.DataFrame:
    rows = []
    for part in found.parts:
        m, (experts, out, width) = part.module, part.shape
        rows.append(
            (m.path, m.layer, m.stack, part.role, m.group, m.kind, out, width, experts, part.numel, m.cost_per_rank)
        )
    table = pd.DataFrame(rows, columns=list(PART_COLUMNS))
    table["layer"] = table["layer"].astype("Int64")
    return table


def _spectra(found: Collected) -> pd.DataFrame:
    rows = [
        (name, path, k + 1, float(value), float(noise))
        for name, modules in found.spectra.items()
        for path, (values, noises) in modules.items()
        for k, (value, noise) in enumerate(zip(values, noises, strict=True))
    ]
    return pd.DataFrame(rows, columns=["spectrum", "module", "rank", "value", "noise"]).astype(
        {"spectrum": "str", "module": "str", "rank": "int64", "value": "float64", "noise": "float64"}
    )


def tau_of(found: Collected) -> float:
    """Agreement of halves of the batches on the order of the parts by signal per parameter."""
    numel = np.array([part.numel for part in found.parts], dtype=float)
    gram, squares = rescaled(found.scores["grad_sq"].sum(axis=0), found.gram, found.squares)
    return stability(gram, squares, found.counts, numel)
