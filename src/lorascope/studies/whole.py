"""Whether a run of a study needs nothing more; no torch is loaded to know."""

from __future__ import annotations

from pathlib import Path

from lorascope.runs import rundir


def done(folder: Path) -> bool:
    """Whether the run is finished and its losses on test rows are there."""
    return rundir.state(folder) == "finished" and (folder / rundir.HELD_OUT).is_file()
