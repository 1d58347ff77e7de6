"""A profile on disk: two tables and a JSON file, which is written last, so that a folder that has it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lorascope.analysis.gains import gains_by_kind, taken
from lorascope.analysis.sensitivity import PART_COLUMNS, SensitivityProfile
from lorascope.analysis.statistics import Estimate, Interval
from lorascope.errors import RunError
from lorascope.runs import rundir

VERSION = 1


def save(profile: SensitivityProfile, folder: Path) -> Path:
    """Write a profile and its control. RunError where that cannot be done; what the folder held of it is replaced."""
    with rundir.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / rundir.PROFILE).unlink(missing_ok=True)
        if (folder / rundir.SHUFFLED).is_dir():
            rundir.remove(folder / rundir.SHUFFLED)
        _scores(profile).to_parquet(folder / rundir.PROFILE_TABLE, index=False)
        profile.spectra.to_parquet(folder / rundir.PROFILE_SPECTRA, index=False)
    if profile.control is not None:
        save(profile.control, folder / rundir.SHUFFLED)
    rundir.write_json(
        folder / rundir.PROFILE,
        {
            "version": VERSION,
            "batches": profile.n,
            "tau": profile.tau,
            "loss": dict(zip(("value", "ci_low", "ci_high"), profile.loss, strict=True)),
            "verdict": summary(profile),
            "gains": gains_of(profile),
            "about": dict(profile.about),
        },
    )
    return folder


def load(folder: Path) -> SensitivityProfile:
    """Read what `save` wrote, digit for digit."""
    if not (folder / rundir.PROFILE).is_file():
        raise RunError("no-profile", f"{folder} holds no profile", "lorascope probe --help")
    meta = rundir.read_json(folder / rundir.PROFILE)
    if meta.get("version") != VERSION:
        raise RunError(
            "damaged-run", f"{folder} was written by another version (its profiles are {meta.get('version')})",
            "lorascope probe, the same command again",
        )  # fmt: skip
    try:
        table = pd.read_parquet(folder / rundir.PROFILE_TABLE)
        spectra = pd.read_parquet(folder / rundir.PROFILE_SPECTRA)
        without = [name for name in table.columns if name.startswith("without_")]
        names = list(dict.fromkeys(table["score"]))
        of = {name: table[table["score"] == name].reset_index(drop=True) for name in names}
        parts = of[names[0]][list(PART_COLUMNS)]
        scores = {
            name: Estimate(rows["value"].to_numpy(dtype=float), rows[without].to_numpy(dtype=float))
            for name, rows in of.items()
        }
        loss = meta["loss"]
        return SensitivityProfile(
            parts=parts,
            scores=scores,
            n=int(meta["batches"]),
            tau=_number(meta["tau"]),
            loss=Interval(_number(loss["value"]), _number(loss["ci_low"]), _number(loss["ci_high"])),
            about=meta["about"],
            spectra=spectra,
            control=load(folder / rundir.SHUFFLED) if (folder / rundir.SHUFFLED).is_dir() else None,
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RunError("damaged-run", f"{folder} cannot be read: {error}", "lorascope probe, the same again") from None


def summary(profile: SensitivityProfile) -> dict[str, Any] | None:
    """The verdict as plain data; None where there is nothing to compare."""
    found = profile.verdict
    if found is None:
        return None
    names = ("first", "second", "effect", "ci_low", "ci_high", "control", "n", "more", "decided", "test")
    task = dict(zip(("value", "ci_low", "ci_high"), found.task, strict=True))
    return {**{name: getattr(found, name) for name in names}, "task": task, "sentence": str(found)}


def gains_of(profile: SensitivityProfile) -> list[dict[str, Any]]:
    """What updates of low rank gain, by kind and rank; empty where no whitened spectrum was taken."""
    spectrum = taken(profile)
    if spectrum is None:
        return []
    rows = gains_by_kind(profile, spectrum).itertuples(index=False, name=None)
    return [
        {"spectrum": spectrum, "kind": kind, "rank": int(rank), "raw": float(raw), "gain": float(gain)}
        for kind, rank, raw, gain in rows
    ]


def _scores(profile: SensitivityProfile) -> pd.DataFrame:
    """A row for each score of each part: what the part is, the value, its 95 % interval, and it without each block."""
    table = profile.to_pandas()
    without = np.concatenate([estimate.without for estimate in profile.scores.values()])
    names = [f"without_{k}" for k in range(without.shape[1])]
    return pd.concat([table, pd.DataFrame(without, columns=names)], axis=1)


def _number(value: float | None) -> float:
    """JSON has no NaN: it is null there."""
    return float("nan") if value is None else float(value)
