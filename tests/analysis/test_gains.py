"""What low-rank updates gain: values freed of noise against the signal that was put in, and sums by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facts import probe_profile
from lorascope.analysis.gains import RANKS, gain_by_rank, gains, gains_by_kind, shrunk, taken
from lorascope.analysis.profile_folder import gains_of
from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.errors import UnknownName
from lorascope.report.page_profile import profile_source
from lorascope.report.profile_view import profile_lines

OUT, WIDTH = 120, 200
SIGNAL = np.array([3.0, 1.6, 0.3])
"""In units of the noise edge: two directions above it and one that drowns."""


def measured(seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """A signal of rank 3, the same in white noise, and the edge of other noise of this kind."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(n, 3)))[0] for n in (OUT, WIDTH))
    noise, other = rng.normal(size=(2, OUT, WIDTH)) / (np.sqrt(WIDTH) + np.sqrt(OUT))
    return left * SIGNAL @ right.T, left * SIGNAL @ right.T + noise, np.linalg.svd(other, compute_uv=False)[0]


def along(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, shrunk values, and what the signal has along the same directions."""
    X, Y, edge = measured(seed)
    U, values, V = np.linalg.svd(Y, full_matrices=False)
    return values, shrunk(values, edge, OUT / WIDTH), np.einsum("ik,ij,kj->k", U, X, V)


def test_a_shrunk_value_is_what_the_signal_has_along_the_measured_direction() -> None:
    seen = [along(seed) for seed in range(20)]
    values, found, right = (np.mean([one[i] for one in seen], axis=0) for i in range(3))
    assert found[:2] == pytest.approx(right[:2], rel=0.03)
    assert (found[:2] < values[:2]).all()
    assert np.mean([(one[1][2:] > 0).sum() for one in seen]) < 2  # noise alone is above another noise's edge by chance


def test_the_gain_is_what_the_update_really_takes_off_and_less_than_it_seems() -> None:
    """The loss -<X, D> + |D|^2 / 2 of the true signal X, at the update that was read off the noisy matrix."""
    claims, real, naive, naive_real = [], [], [], []
    for seed in range(20):
        X, Y, edge = measured(seed)
        U, values, V = np.linalg.svd(Y, full_matrices=False)
        for chosen, claimed, got in ((shrunk(values, edge, OUT / WIDTH), claims, real), (values, naive, naive_real)):
            D = U[:, :2] * chosen[:2] @ V[:2]
            claimed.append(gain_by_rank(chosen)[1])
            got.append((X * D).sum() - 0.5 * (D**2).sum())
    assert np.mean(claims) == pytest.approx(np.mean(real), rel=0.03)
    assert np.mean(naive) > 1.2 * np.mean(naive_real)
    assert np.mean(real) > np.mean(naive_real)


def test_at_the_edge_nothing_is_left_and_without_noise_everything() -> None:
    values = np.array([4.0, 2.0, 1.0])
    assert shrunk(values, 2.0, 0.5)[1:].tolist() == [0.0, 0.0]
    assert shrunk(values, 0.0, 0.5).tolist() == values.tolist()
    assert shrunk(values, 1e-9, 0.5) == pytest.approx(values, rel=1e-9)
    square = 4.0 / (2.0 / 2.0)  # a square matrix's noise is half its edge: sqrt((y^2 - 2)^2 - 4) / y = sqrt(y^2 - 4)
    assert shrunk(values, 2.0, 1.0)[0] == pytest.approx(np.sqrt(square**2 - 4.0))
    assert gain_by_rank(np.array([2.0, 1.0, 0.0])).tolist() == [2.0, 2.5, 2.5]


def whitened(name: str = "whitened") -> SensitivityProfile:
    """q of two layers (4 x 4), up of one (8 x 4); the noise edges are 2, 0 and 0."""
    rows = [
        *((name, "layers.0.q", k + 1, v, n) for k, (v, n) in enumerate([(4.0, 2.0), (2.0, 1.0), (1.0, 0.5), (0.5, 0)])),
        *((name, "layers.1.q", k + 1, v, 0.0) for k, v in enumerate([2.0, 1.0, 0.0, 0.0])),
        *((name, "layers.0.up", k + 1, v, 0.0) for k, v in enumerate([1.0, 1.0])),
    ]
    spectra = pd.DataFrame(rows, columns=["spectrum", "module", "rank", "value", "noise"])
    return replace(probe_profile(spread=0.1), spectra=spectra)


def test_gains_by_rank_by_hand() -> None:
    table = gains(whitened(), ranks=(1, 2, 4, 8))
    of = {(row["module"], row["rank"]): (row["raw"], row["gain"]) for row in table.to_dict("records")}
    first = 0.5 * (4.0**2 - 4.0)
    assert of["layers.0.q", 1] == pytest.approx((8.0, first))
    assert of["layers.0.q", 2] == pytest.approx((10.0, first))  # the second one is at the edge
    assert of["layers.1.q", 2] == (2.5, 2.5)
    assert of["layers.1.q", 8] == (2.5, 2.5)  # it has rank 4 at most
    assert ("layers.0.up", 2) in of
    assert ("layers.0.up", 4) not in of  # two of its four values were kept
    assert set(table["group"]) == {"attention", "mlp"}
    sums = {(row["kind"], row["rank"]): row["gain"] for row in gains_by_kind(whitened()).to_dict("records")}
    assert sums["q", 2] == pytest.approx(first + 2.5)
    assert sums["up", 2] == 1.0
    assert ("up", 4) not in sums
    assert ("q", max(RANKS)) in sums


def test_they_are_shown_where_a_whitened_spectrum_was_taken_and_named_where_not() -> None:
    lines = profile_lines(whitened())
    at = next(i for i, line in enumerate(lines) if line.startswith("gain of the best update of rank r, "))
    assert lines[at + 2].split() == ["kind", "r", "=", "1", "r", "=", "2"]
    assert lines[at + 3].split() == ["q", "8.00", "8.50"]
    assert lines[at + 4].split() == ["up", "0.500", "1.00"]
    looked_at = dict(profile_source(Path("p"), whitened()).about["budget"])
    assert looked_at["gain at rank 2"] == "q 8.50, up 1.00 (nats per answer token, in the quadratic model)"
    bare = probe_profile(spread=0.1)
    assert taken(bare) is None
    assert gains_of(bare) == []
    assert not any("quadratic" in line for line in profile_lines(bare))
    with pytest.raises(UnknownName, match="whitened"):
        bare.gains()
    diagonal = whitened("whitened_diagonal")
    assert taken(diagonal) == "whitened_diagonal"
    assert any("(whitened diagonal)" in line for line in profile_lines(diagonal))
