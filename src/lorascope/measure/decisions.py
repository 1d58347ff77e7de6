"""What was decided from a log while it grew: lines of JSON beside its journals, read again by a run that goes on.

A line is written at once and unbuffered, like a journal's row; one that a kill cut off is ignored and decided anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lorascope.errors import RunError
from lorascope.runs import rundir


def start(folder: Path, *, after: int) -> list[dict[str, Any]]:
    """The decisions that a training goes on with after step `after`: those made by then; the file keeps no others.

    A training that begins (`after` 0) has none. Raises RunError for a line that is damaged before the end.
    """
    path = folder / rundir.DECISIONS
    kept = [entry for entry in read(folder) if entry["start_step"] <= after] if after else []
    if path.is_file():
        rundir.write_lines(path, kept)
    return kept


def read(folder: Path) -> list[dict[str, Any]]:
    """All decisions of a run folder, in their order; none where it has no such file."""
    path = folder / rundir.DECISIONS
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # behind the last line break: nothing, or a torn line
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise RunError("damaged-run", f"{path} cannot be read: {error}") from None


def add(folder: Path, entry: dict[str, Any]) -> None:
    """Write one decision. Raises RunError where the disk is full or gone."""
    path = folder / rundir.DECISIONS
    data = memoryview((json.dumps(entry, allow_nan=False) + "\n").encode())
    with rundir.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            while data:
                data = data[os.write(file, data) :]
        finally:
            os.close(file)
