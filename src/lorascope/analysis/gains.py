"""What low-rank updates could gain: spectra of mean gradients, freed of their noise, added up rank by rank.

Near the weights a loss falls by -<G, D> - 1/2 |D|^2 for an update D, both in coordinates in which the curvature is 1
(`measure/probing/spectra.py` whitens by inputs and output gradients). The best update of rank r is minus the first r
singular directions of G and takes 1/2 sum of sigma_k^2 off, in nats. But G is a mean over batches: its noise has
singular values too, and bends the directions. The curvature holds nearby alone, and modules mend the same errors:
gains compare modules and ranks, they do not add up to what training brings. Legend: k values of a module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.analysis.statistics import Floats

RANKS = (1, 2, 4, 8, 16, 32, 64)
WHITENED = ("whitened", "whitened_diagonal")
"""Spectra whose squares are nats, the better one first."""


def shrunk(values: Floats, edge: float, aspect: float) -> Floats:
    """Singular values y of signal and noise as what the signal alone has along the same directions, (k,).

    edge: the largest singular value of the noise alone; aspect: smaller side / larger side of the matrix, b. White
    noise of deviation t fills the values up to t (1 + sqrt(b)) = edge; of a low-rank signal X the direction u v' at y
    above it keeps <X, u v'> = t^2 / y sqrt((y^2 / t^2 - b - 1)^2 - 4 b), and nothing below it is known (Gavish and
    Donoho 2017, the shrinker for the Frobenius norm). So 1/2 of the sum of their squares is what the update along
    these directions really takes off, not what it seems to. As they are where there is no noise.
    """
    if not edge > 0:
        return values.copy()
    noise = edge / (1 + math.sqrt(aspect))
    above = values > edge
    y = np.where(above, values, edge) / noise
    inside = np.maximum((y**2 - aspect - 1) ** 2 - 4 * aspect, 0.0)
    return np.where(above, noise * np.sqrt(inside) / y, 0.0)


def gain_by_rank(values: Floats) -> Floats:
    """What the best update of rank 1, 2, ..., k takes off, nats: 1/2 sum of the squares so far."""
    result: Floats = 0.5 * np.cumsum(np.square(values))
    return result


def gains(profile: SensitivityProfile, spectrum: str | None = None, ranks: Sequence[int] = RANKS) -> pd.DataFrame:
    """A row for each module and rank: module, layer, kind, group, rank, raw, gain; nats per answer token.

    raw: of the values as they are, which noise adds to; gain: of the `shrunk` ones. A rank beyond what a module can
    have gains no more; one beyond what was kept of it (`directions`) is left out. `spectrum`: one of WHITENED, the
    first that was taken unless it is named. UnknownName where it was not.
    """
    rows: list[tuple[Any, ...]] = []
    spectrum = spectrum or taken(profile) or WHITENED[0]
    table = profile.spectra[profile.spectra["spectrum"] == spectrum]
    if table.empty:
        profile.spectrum(spectrum, "")  # says what there is
    for path in dict.fromkeys(table["module"]):
        parts = profile.parts[profile.parts["module"] == path]
        out, width = int(parts["out"].sum()), int(parts["in"].iloc[0])
        values, noise = profile.spectrum(spectrum, path)
        raw = gain_by_rank(values)
        clean = gain_by_rank(shrunk(values, float(noise.max()), min(out, width) / max(out, width)))
        layer, group = parts["layer"].iloc[0], parts["group"].iloc[0]
        whole = len(values) == min(out, width)
        for rank in ranks:
            if rank <= len(values) or whole:
                at = min(rank, len(values)) - 1
                kind = _kind(list(parts["projection"]))
                rows.append((path, layer, kind, group, rank, float(raw[at]), float(clean[at])))
    found = pd.DataFrame(rows, columns=["module", "layer", "kind", "group", "rank", "raw", "gain"])
    return found.astype({"layer": "Int64"})


def gains_by_kind(profile: SensitivityProfile, spectrum: str | None = None) -> pd.DataFrame:
    """kind, rank, raw, gain: summed over the modules of a kind, for ranks that all of them have."""
    table = gains(profile, spectrum)
    count = table.groupby("kind", sort=False)["module"].nunique()
    grouped = table.groupby(["kind", "rank"], sort=False)
    sums = grouped[["raw", "gain"]].sum().reset_index()
    there = grouped["module"].nunique().to_numpy() == sums["kind"].map(count).to_numpy()
    found: pd.DataFrame = sums[there].reset_index(drop=True)
    return found


def taken(profile: SensitivityProfile) -> str | None:
    """The whitened spectrum that a profile holds; None without."""
    there = set(profile.spectra["spectrum"])
    return next((name for name in WHITENED if name in there), None)


def _kind(roles: Sequence[str]) -> str:
    """A module's kind: its role, or those of a fused one together: qkv, gate+up."""
    return ("" if all(len(role) == 1 for role in roles) else "+").join(roles)
