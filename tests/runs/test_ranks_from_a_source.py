"""Ranks made of what a profile holds: what is said where it holds too little."""

from __future__ import annotations

from lorascope.analysis.allocating.methods import Evidence
from lorascope.models.target import TargetModule
from lorascope.runs.allocating import allocation_for, spectra_end


def test_a_rank_that_ends_where_a_spectrum_does_is_said():
    """Two directions of each are known. 120 parameters are 15 ranks of 8: both modules end at 2, far below them."""
    modules = [
        TargetModule(
            path=f"layers.{i}.q", layer=i, stack="decoder", projection="q", group="attention", shape=(4, 4),
            cost_per_rank=8, kind="linear",
        )
        for i in range(2)
    ]  # fmt: skip
    known = Evidence(spectra={"layers.0.q": [9.0, 8.0], "layers.1.q": [2.0, 1.0]})

    def notes(budget, evidence):
        found = allocation_for(modules, budget, "spectral", evidence, scaling=2.0, base_model="m")
        return spectra_end(modules, found, evidence)

    (said,) = notes(16, known)
    assert said.startswith("in 1 of 2 modules ranks end at the 2 directions that the profile holds")
    assert notes(8, known) == []
    whole = Evidence(spectra={path: [*values, 0.5, 0.1] for path, values in known.spectra.items()})
    assert notes(16, whole) == []
    assert notes(64, whole) == []  # 4 is all that a weight of 4 x 4 has
