"""An append-only file of measured rows that survives a crash at any moment.

A line of JSON (the header: what the columns are), then rows of little-endian float64: the step, then its facts. A row
is written at once and unbuffered, so a process that is killed loses none; a row that the kill cut off is ignored.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorascope.errors import RunError
from lorascope.runs import rundir

Floats = NDArray[np.float64]
_NUMBER = np.dtype("<f8")


class Journal:
    """A journal that is open for writing; taken from `create` or `resume`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with rundir.writing(path.parent):
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        # A training that raises says no goodbye: the file is closed when the journal is forgotten.
        self._close = weakref.finalize(self, os.close, self._file)

    def append(self, step: int, row: Floats) -> None:
        """Write one row. Raises RunError where the disk is full or gone; the rows before stay whole."""
        data = memoryview(np.concatenate([[float(step)], row]).astype(_NUMBER).tobytes())
        with rundir.writing(self._path.parent):
            while data:
                data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._close()


def create(path: Path, header: dict[str, Any]) -> Journal:
    """A new journal without rows, in place of one that may be there."""
    _write(path, header, np.empty((0, 0)))
    return Journal(path)


def resume(path: Path, header: dict[str, Any], wanted: Callable[[int], bool]) -> tuple[Journal, Floats]:
    """Go on with a journal after dropping the rows whose step is not `wanted`; returns what is left, (S, 1 + C).

    Raises RunError where the journal has other columns: another model or other adapters wrote it.
    """
    found, rows = read(path)
    if json.dumps(found["columns"]) != json.dumps(header["columns"]):  # as text, in which NaN equals NaN
        raise RunError(
            "other-journal",
            f"{path} holds the measurements of another model, of other adapters or of other scores",
            "train into another folder",
        )
    rows = rows[[bool(wanted(int(step))) for step in rows[:, 0]]]
    _write(path, header, rows)
    return Journal(path), rows


def read(path: Path) -> tuple[dict[str, Any], Floats]:
    """(header, rows (S, 1 + C), the step first) without a torn last row. Raises RunError for a damaged header."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        header: dict[str, Any] = json.loads(head)
        width = 1 + len(header["columns"])
    except FileNotFoundError:
        raise RunError("no-file", f"{path} is not there") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError("damaged-run", f"{path} cannot be read: {error}") from None
    whole = len(body) // (width * _NUMBER.itemsize)
    rows = np.frombuffer(body, dtype=_NUMBER, count=whole * width).reshape(whole, width)
    return header, rows.astype(np.float64)


def _write(path: Path, header: dict[str, Any], rows: Floats) -> None:
    """The whole file or nothing: a kill while a resumed run shortens it leaves the longer one."""
    with rundir.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        try:
            part.write_bytes(json.dumps(header).encode() + b"\n" + rows.astype(_NUMBER).tobytes())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
