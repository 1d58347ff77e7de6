"""Where rows come from: a folder with the task's official files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lorascope.config.experiment import DataConfig
from lorascope.errors import DataError, near
from lorascope.tasks.base import Row, Task


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The rows of one split, and where they are from."""

    rows: list[Row]
    source: str
    """"local" or "builtin"."""
    files: tuple[Path, ...]
    sha256: str
    """Of the rows as `rows_sha256` writes them: equal for equal rows, whatever file or source they are from."""
    left_out: int
    """Rows of the files that cannot be used; `notes` says why."""
    notes: tuple[str, ...]


def load_rows(task: Task, data: DataConfig, split: str) -> Loaded:
    """Read the whole split of a task. Raises DataError for whatever is missing or broken."""
    if split not in task.files:
        raise DataError("no-split", f"{task.name} has no split {split!r}; it has: {', '.join(task.files)}")
    if data.data_source == "builtin":
        return _generated(task, data, split)
    if data.data_dir is None:
        needed = ", ".join(name for split in task.files for name in task.files[split])
        raise DataError(
            "no-data",
            f"{task.name} needs its official files, and no folder is given",
            f"--data_dir FOLDER   (with {needed})",
        )
    folder = Path(data.data_dir).expanduser()
    try:
        _check_folder(folder)
        if (folder / task.name).is_dir():  # a folder with a folder for every task, so that --batch needs one flag
            folder = folder / task.name
        reading = task.read(folder, split)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            "unreadable", f"{error.filename or folder} cannot be read: {reason}", f"ls -l {folder}"
        ) from None
    return Loaded(
        rows=reading.rows,
        source="local",
        files=reading.files,
        sha256=rows_sha256(reading.rows),
        left_out=reading.left_out,
        notes=reading.notes,
    )


def _generated(task: Task, data: DataConfig, split: str) -> Loaded:
    if task.builtin is None:
        raise DataError("no-builtin", f"there is no generator for {task.name}", "--data_dir FOLDER")
    if data.data_dir is not None:
        raise DataError(
            "flags-exclude", "--data_source builtin generates its rows and reads no --data_dir", "leave one of them out"
        )
    rows = task.builtin(split)
    return Loaded(rows=rows, source="builtin", files=(), sha256=rows_sha256(rows), left_out=0, notes=())


def rows_sha256(rows: Iterable[Row]) -> str:
    """Hex digest over one line of canonical JSON per row: keys sorted, no spaces, UTF-8 unescaped."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_CANONICAL.encode(row).encode() + b"\n")
    return digest.hexdigest()


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _check_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    if folder.exists():
        raise DataError("no-folder", f"--data_dir {folder} is a file, not a folder", f"--data_dir {folder.parent}")
    if not folder.parent.is_dir():
        raise DataError(
            "no-folder", f"--data_dir {folder}: neither it nor {folder.parent} is there", "--data_dir FOLDER"
        )
    beside = sorted(entry.name for entry in folder.parent.iterdir() if entry.is_dir())
    guess = near(folder.name, beside)
    raise DataError(
        "no-folder",
        f"--data_dir {folder} is not there; {folder.parent} holds: {', '.join(beside[:12]) or 'no folder'}",
        f"--data_dir {folder.parent / guess}" if guess else "--data_dir FOLDER",
    )
