"""Where rows come from: the task's official files in a folder, its data set on the hub, or a generator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

from lorascope.config.experiment import DataConfig
from lorascope.errors import DataError, near
from lorascope.tasks.base import Example, HubSource, Origin, Reading, Row, Task
from lorascope.tasks.files import records


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The rows of one split, and where they are from."""

    rows: list[Row]
    source: str
    """"local", "builtin", or "hub:" with the data set's id."""
    revision: str | None = None
    """Commit of the data set on the hub."""
    files: tuple[Path, ...]
    sha256: str
    """Of the rows as `rows_sha256` writes them: equal for equal rows, whatever file or source they are from."""
    left_out: int
    """Rows of the files that cannot be used; `notes` says why."""
    official_rows: int | None = None
    """Published rows of the split, where rows should be those."""
    notes: tuple[str, ...]


def load_rows(task: Task, data: DataConfig, split: str) -> Loaded:
    """Read the whole split of a task. Raises DataError for whatever is missing or broken."""
    if split not in task.files:
        raise DataError("no-split", f"{task.name} has no split {split!r}; it has: {', '.join(task.files)}")
    if task.origin is not None:
        return _own(task, task.origin, split)
    match place(task, data):
        case "builtin":
            return _generated(task, split)
        case "hub":
            return _from_hub(task, data, split)
        case "local":
            return _from_folder(task, data, split)


def first_example(task: Task, data: DataConfig) -> Example | None:
    """The first training example of a task of TASKS, for a glance; None where that is not quick: on the hub, in files
    of more than QUICK bytes. DataError as of `load_rows`.
    """
    where = place(task, data)
    if where == "hub" or (where == "local" and _size(task, Path(data.data_dir or "").expanduser()) > QUICK):
        return None
    rows = load_rows(task, data, "train").rows
    return next(iter(task.to_examples(rows[:1])), None)


QUICK = 20_000_000
"""Bytes that are read in about a second."""


def _size(task: Task, folder: Path) -> int:
    """Bytes of all that lies where a task's files are looked for."""
    folder = folder / task.name if (folder / task.name).is_dir() else folder
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) if folder.is_dir() else 0


def place(task: Task, data: DataConfig) -> Literal["local", "hub", "builtin"]:
    """Where the rows of a task of TASKS will come from. DataError if the settings contradict each other.

    auto never means generated rows: what looks like a result on real data must be one.
    """
    source = data.data_source
    if source in ("hub", "builtin") and data.data_dir is not None:
        meant = "generates its rows" if source == "builtin" else "takes the data set on the hub"
        raise DataError("flags-exclude", f"--data_source {source} {meant} and reads no --data_dir", "leave one out")
    if source == "auto":
        source = "local" if data.data_dir is not None else "hub"
    if data.data_revision is not None and source != "hub":
        raise DataError(
            "flags-exclude",
            f"--data_revision is of a data set on the hub, and the rows are {_WORDS[source]}",
            "leave it out",
            "--data_source hub",
        )
    if source == "hub" and task.hub is None:
        raise DataError("no-data", f"{task.name} is not on the hub", *_remedies(task))
    if source == "local" and data.data_dir is None:
        raise DataError("no-data", f"{task.name} needs its official files, and no folder is given", *_remedies(task))
    return source


_WORDS = {"local": "in --data_dir", "builtin": "generated"}


def _remedies(task: Task) -> tuple[str, ...]:
    """What to type where a task's data cannot be had otherwise."""
    needed = ", ".join(name for split in task.files for name in task.files[split])
    ways = [f"--data_dir FOLDER   (with {needed})"] if needed else []
    if task.builtin is not None:
        ways.append("--data_source builtin --model embedded   (generated data and a tiny model, both inside lorascope)")
    return tuple(ways)


def _from_folder(task: Task, data: DataConfig, split: str) -> Loaded:
    folder = Path(data.data_dir or "").expanduser()
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
    return _loaded(task, split, reading, source="local")


def _from_hub(task: Task, data: DataConfig, split: str) -> Loaded:
    from lorascope.tasks import hub  # the hub's libraries load with it

    assert task.hub is not None  # `place` has seen to it
    source: HubSource = task.hub
    name = source.splits[split]
    got = hub.fetch(source.repo, data.data_revision, splits=(name,), tries=_remedies(task))
    files = got.files[name]
    try:
        reading = source.read(chain.from_iterable(records(file, unread=source.unread) for file in files), files)
    except DataError as error:
        if error.code in ("bad-file", "not-utf8"):
            again = f"rm -r {hub.cache_folder(got.repo)}   (it is then downloaded again)"
            raise DataError(error.code, error.what, again) from None
        raise
    loaded = _loaded(task, split, reading, source=f"hub:{got.repo}", revision=got.revision)
    return replace(loaded, notes=(*got.notes, *loaded.notes))


def _loaded(task: Task, split: str, reading: Reading, *, source: str, revision: str | None = None) -> Loaded:
    """Rows with their digest, their number compared with the published one."""
    official = task.official_counts.get(split)
    notes = list(reading.notes)
    # Some published numbers count rows that cannot be used, and some do not.
    if official is not None and not len(reading.rows) <= official <= len(reading.rows) + reading.left_out:
        there = f"{len(reading.rows):,}"
        fewer = len(reading.rows) < official
        notes.append(
            f"{there} of the official {official:,} {split} rows"
            if fewer
            else f"{there} {split} rows, of which there are {official:,} officially"
        )
    return Loaded(
        rows=reading.rows,
        source=source,
        revision=revision,
        files=reading.files,
        sha256=rows_sha256(reading.rows),
        left_out=reading.left_out,
        official_rows=official,
        notes=tuple(notes),
    )


def _own(task: Task, origin: Origin, split: str) -> Loaded:
    reading = task.read(Path(), split)
    return Loaded(
        rows=reading.rows,
        source=origin.source,
        revision=origin.revision,
        files=reading.files,
        sha256=rows_sha256(reading.rows),
        left_out=reading.left_out,
        notes=reading.notes,
    )


def _generated(task: Task, split: str) -> Loaded:
    if task.builtin is None:
        raise DataError("no-builtin", f"there is no generator for {task.name}", *_remedies(task))
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
