"""`lorascope.load`: what a folder holds, a finished run or a probe's profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lorascope.runs import rundir

if TYPE_CHECKING:
    from lorascope.analysis.sensitivity import SensitivityProfile
    from lorascope.runs.experiment import RunRecord


def load(folder: Path | str) -> RunRecord | SensitivityProfile:
    """Read a folder that lorascope wrote. RunError for one that holds neither a finished run nor a profile."""
    if (Path(folder) / rundir.PROFILE).is_file():
        from lorascope.analysis.sensitivity import SensitivityProfile

        return SensitivityProfile.load(folder)
    from lorascope.runs.experiment import load as load_run

    return load_run(folder)
