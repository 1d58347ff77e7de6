"""Two profiles cell by cell: where in the model one task's gradient is rather than the other's."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from lorascope.analysis.sensitivity import COMPARED, SensitivityProfile
from lorascope.analysis.statistics import LEVEL, Estimate, holm

CELL = ("stack", "group", "projection", "layer")
"""What makes a cell; several modules of one are added up (experts)."""


def cells_between(first: SensitivityProfile, second: SensitivityProfile) -> pd.DataFrame | None:
    """Each cell's share in the second profile minus its share in the first.

    A cell's share is its signal per parameter over the sum of all cells' of attention and MLP, so that tasks with
    larger losses compare. Columns: those of CELL, first, second (shares), value, ci_low, ci_high (95 %, of this cell
    alone), p_holm (over all cells), decided (p_holm at most 0.05). The profiles must come from different batches. None
    where they have other cells.
    """
    one, other = _shares(first), _shares(second)
    if not one[0].equals(other[0]):
        return None
    cells, a, b = one[0], one[1], other[1]
    value = b.value - a.value
    variances = np.stack([a.error, b.error]) ** 2
    error = np.sqrt(variances.sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):  # without any spread there is no interval
        # Welch 1947, as `statistics.difference` does it for one unit
        df = variances.sum(axis=0) ** 2 / (variances**2 / [[a.blocks - 1], [b.blocks - 1]]).sum(axis=0)
        p = holm(2 * stats.t.sf(np.abs(value) / error, df))
    half = stats.t.ppf(0.5 + LEVEL / 2, df) * error
    return cells.assign(
        first=a.value, second=b.value, value=value, ci_low=value - half, ci_high=value + half, p_holm=p,
        decided=p <= 1 - LEVEL,
    )  # fmt: skip


def _shares(profile: SensitivityProfile) -> tuple[pd.DataFrame, Estimate]:
    """The cells of attention and MLP, in the parts' order, and the share of each."""
    parts = profile.parts[profile.parts["group"].isin(COMPARED)]
    keys = parts[list(CELL)].astype(object).where(parts[list(CELL)].notna(), None)
    rows = list(keys.itertuples(index=False, name=None))
    units = list(dict.fromkeys(rows))
    place = {unit: i for i, unit in enumerate(units)}
    members = np.zeros((len(units), len(profile.parts)))
    members[[place[row] for row in rows], np.flatnonzero(profile.parts["group"].isin(COMPARED))] = 1.0
    numel = profile.parts["numel"].to_numpy(dtype=float)
    mean = profile.scores["signal"].combined(members / (members @ numel)[:, None])
    shares = Estimate(mean.value / mean.value.sum(), mean.without / mean.without.sum(axis=0))
    return pd.DataFrame(units, columns=list(CELL), dtype=object), shares
