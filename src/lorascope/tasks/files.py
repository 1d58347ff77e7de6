"""Reading the files that data comes in: CSV, JSON Lines and JSON lists, plain or gzipped, always UTF-8; and Parquet.

Every record comes with the place it was read from, and everything that is wrong with a file is one DataError that names
file and line (Parquet: the row's number). Files are read in pieces, so that memory holds the records that a task keeps
and not the file.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lorascope.errors import DataError
from lorascope.tasks.base import Reading, Row

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_FETCH = "fetch the file again: it is damaged"


class Record(NamedTuple):
    """One record of a file."""

    where: str
    """File and first line, as in "data/trainset.csv:17"; of Parquet the row, from 1: "train.parquet:row 17"."""
    fields: Mapping[str, Any]


def find(folder: Path, name: str, *, variant: str | None = None) -> Path:
    """The file `name` in `folder`, or `name` with .gz, or else the one file that matches the glob `variant`."""
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    held = sorted(entry.name for entry in folder.iterdir())
    if variant is not None:
        matches = sorted(p for pattern in (variant, f"{variant}.gz") for p in folder.glob(pattern) if p.is_file())
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise DataError(
                "two-files",
                f"{folder} has no {name}, and {len(matches)} files could stand for it: "
                + ", ".join(p.name for p in matches),
                f"keep one of them, or name it {name}",
            )
    below = sorted(p.parent for pattern in (name, f"{name}.gz") for p in folder.glob(f"*/{pattern}"))
    shown = ", ".join(held[:12]) + (f" and {len(held) - 12} more" if len(held) > 12 else "")
    raise DataError(
        "no-file",
        f"{folder} has no {name} (nor {name}.gz); it holds: {shown or 'nothing'}",
        f"--data_dir {below[0]}" if below else f"--data_dir FOLDER   (one that holds {name})",
    )


def records(path: Path, *, unread: Collection[str] = ()) -> Iterator[Record]:
    """The records of a file of any kind in `READERS`, told by its name; of Parquet without the columns `unread`."""
    kind = suffix(path.name)
    if kind is None:
        raise DataError(
            "bad-file", f"{path} is none of the files that are read: {', '.join(READERS)}", "save it as .jsonl or .csv"
        )
    return parquet_records(path, unread=unread) if kind == ".parquet" else READERS[kind](path)


def suffix(name: str) -> str | None:
    """The key of `READERS` that a file's name ends in, before a .gz (Parquet has none)."""
    stem = name.lower().removesuffix(".gz")
    kind = next((kind for kind in READERS if stem.endswith(kind)), None)
    return None if kind == ".parquet" and stem != name.lower() else kind


def csv_records(path: Path, *, delimiter: str = ",") -> Iterator[Record]:
    """The rows of a CSV file with a header (RFC 4180: quoted fields may hold commas, quotes and line ends)."""
    reader = csv.reader((text for _, text in _lines(path)), strict=True, delimiter=delimiter)
    header: list[str] | None = None
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                "bad-row",
                f"{path}:{start}: the row that starts here is no CSV ({error})",
                'quote a field that holds a comma, a line end or a quote, and double the quotes in it: "say ""so"""',
            ) from None
        if not row:  # a blank line
            continue
        if header is None:
            header = [name.strip() for name in row]
            twice = next((name for name in header if header.count(name) > 1), None)
            if twice is not None:
                raise DataError("bad-file", f"{path}:{start}: two columns are called {twice!r}", "rename one of them")
        elif len(row) != len(header):
            raise DataError(
                "bad-row",
                f"{path}:{start}: {len(row)} fields where the header has {len(header)} ({', '.join(header)}): "
                f"{_short(','.join(row))}",
                "quote a field that holds a comma, or complete the row",
            )
        else:
            yield Record(f"{path}:{start}", dict(zip(header, row, strict=True)))


def open_end(path: Path) -> tuple[str, ...]:
    """A note on a CSV file without a line end at its end: one that was cut inside its last field looks whole."""
    if path.suffix == ".gz":  # its checksum tells
        return ()
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        if file.read() in (b"\n", b"\r", b""):
            return ()
    return (f"{path} does not end in a line end; if it was cut short, its last row is too",)


def jsonl_records(path: Path) -> Iterator[Record]:
    """The objects of a JSON Lines file, one per line; blank lines hold nothing."""
    for number, text in _lines(path):
        if not text.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = _DECODER.decode(text)
        except (ValueError, RecursionError) as error:
            raise _no_json(where, error, cut=not text.endswith("\n")) from None
        yield Record(where, _object(value, text, where))


def json_list_records(path: Path) -> Iterator[Record]:
    """The objects of a file that is one JSON list, each with the line it starts in."""
    text = "".join(line for _, line in _lines(path))
    line, counted = 1, 0

    def where(at: int) -> str:
        nonlocal line, counted
        line, counted = line + text.count("\n", counted, at), at
        return f"{path}:{line}"

    at = _skip(text, 0)
    if not text.startswith("[", at):
        found = _short(text[at : at + 60]) if at < len(text) else "nothing"
        raise DataError("bad-file", f"{where(at)}: a JSON list must start with [, found {found}", _FETCH)
    at = _skip(text, at + 1)
    if text.startswith("]", at):
        at += 1
    else:
        while True:
            place, start = where(at), at
            try:
                value, at = _DECODER.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                cut = str(error).startswith("Unterminated string") or getattr(error, "pos", 0) >= len(text.rstrip())
                raise _no_json(place, error, cut=cut) from None
            yield Record(place, _object(value, text[start:at], place))
            at = _skip(text, at)
            mark = text[at : at + 1]
            if mark not in (",", "]"):
                found = f"found {_short(text[at : at + 40])}" if mark else "the file ends"
                raise DataError("bad-file", f"{where(at)}: {found} where a comma or ] belongs", _FETCH)
            at = _skip(text, at + 1)
            if mark == "]":
                break
    if _skip(text, at) < len(text):
        raise DataError("bad-file", f"{where(at)}: {_short(text[at : at + 40])} stands after the list's end", _FETCH)


def json_records(path: Path) -> Iterator[Record]:
    """The objects of a .json file: of one JSON list, or one per line, as its first character tells."""
    first = next((text.lstrip()[:1] for _, text in _lines(path) if text.strip()), "")
    return jsonl_records(path) if first == "{" else json_list_records(path)


def parquet_records(path: Path, *, unread: Collection[str] = ()) -> Iterator[Record]:
    """The rows of a Parquet file, without the columns `unread`."""
    import pyarrow as pa  # half a second, and most tasks come in other files
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = [name for name in file.schema_arrow.names if name not in unread]
            for batch in file.iter_batches(batch_size=1000, columns=names):
                for fields in _batch_rows(batch):
                    number += 1
                    yield Record(f"{path}:row {number}", fields)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError("not-utf8", f"{path}:row {number + 1}: byte 0x{byte:02x} is not UTF-8", _FETCH) from None
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DataError("unreadable", f"{path} cannot be read: {reason}", f"ls -l {path}") from None
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # OSError: pages that cannot be unpacked
        place = f"{path}:row {number + 1}" if number else str(path)
        reason = _short(str(error).partition("\n")[0], 120)
        raise DataError("bad-file", f"{place}: no whole Parquet file ({reason})", _FETCH) from None


def _batch_rows(batch: Any) -> Iterator[dict[str, Any]]:
    """The rows of a pyarrow.RecordBatch as dicts; those before a text that is no UTF-8 come before its error."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:  # raised before the first row of the batch
        for i in range(batch.num_rows):
            yield from batch.slice(i, 1).to_pylist()


READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".parquet": parquet_records,
    ".jsonl": jsonl_records,
    ".json": json_records,
    ".csv": csv_records,
    ".tsv": partial(csv_records, delimiter="\t"),
}
"""The end of a file's name -> its reader. Where a place holds several kinds, the first of these is read."""


def collect(
    records: Iterable[Record], to_row: Callable[[Record, str], Row | None], *files: Path, missing: str
) -> Reading:
    """Read records into rows.

    `to_row(record, number)` gives None for a record that cannot be used; these are counted, and `missing` says in words
    what they lack. `number` counts the rows that are kept.
    """
    rows: list[Row] = []
    left_out: list[str] = []
    for record in records:
        row = to_row(record, str(len(rows)))
        if row is None:
            left_out.append(record.where)
        else:
            rows.append(row)
    if not rows:
        names = " and ".join(map(str, files))
        raise DataError(
            "no-rows", f"{names}: no rows" + (f": all {len(left_out)} have no {missing}" if left_out else ""), _FETCH
        )
    notes = []
    if left_out:
        total = len(left_out) + len(rows)
        notes.append(
            f"{len(left_out):,} of {total:,} rows have no {missing} and are left out; the first: {left_out[0]}"
        )
    return Reading(rows=rows, files=files, left_out=len(left_out), notes=tuple(notes))


def field(record: Record, *names: str) -> Any:
    """The value under the first of `names` that the record has; several names are spellings of one column."""
    for name in names:
        if name in record.fields:
            return record.fields[name]
    others = f" (or {', '.join(map(repr, names[1:]))})" if names[1:] else ""
    raise DataError(
        "no-column",
        f"{record.where}: no column {names[0]!r}{others}; there is: {_short(', '.join(map(str, record.fields)), 200)}",
        f"name the column {names[0]}",
    )


def text_field(record: Record, *names: str) -> str:
    """The text under the first of `names` that the record has."""
    value = field(record, *names)
    if not isinstance(value, str):
        raise wrong(record, f"{names[0]!r} must be text, got {_short(json.dumps(value, default=repr))}")
    if "\0" in value:
        raise wrong(record, f"{names[0]!r} holds a NUL character")
    return value


def wrong(record: Record, what: str) -> DataError:
    """The error for a record whose values cannot be what they should be."""
    return DataError("bad-row", f"{record.where}: {what}", "mend the row, or fetch the file again")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text with its line end) of every line, without byte order mark."""
    number = 0
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                if number == 1 and raw.startswith(_UTF16):
                    raise DataError("not-utf8", f"{path} is UTF-16", f"iconv -f UTF-16 -t UTF-8 {path} > NEW_FILE")
                if b"\0" in raw:
                    raise DataError("bad-file", f"{path}:{number}: a NUL byte; the file is damaged or no text", _FETCH)
                yield number, raw.removeprefix(_BOM).decode("utf-8") if number == 1 else raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(
            "not-utf8",
            f"{path}:{number}: byte 0x{byte:02x} is not UTF-8",
            f"iconv -f WINDOWS-1252 -t UTF-8 {path} > NEW_FILE   (if that is its encoding)",
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "bad-file", f"{path}:{number + 1}: the gzip data breaks off or is damaged ({error})", _FETCH
        ) from None
    except OSError as error:
        raise DataError("unreadable", f"{path} cannot be read: {error.strerror or error}", f"ls -l {path}") from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _object(value: object, source: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(
            "bad-row", f"{where}: a JSON object is needed, got {_short(source)}", 'one {"name": value} per row'
        )
    if _SURROGATE.search(source):  # an escaped half of a pair is legal JSON and no text: no tokenizer takes it
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DataError("bad-row", f"{where}: half of a surrogate pair (\\ud800 to \\udfff)", _FETCH) from None
    return value


def _no_json(where: str, error: Exception, *, cut: bool) -> DataError:
    reason = "nested too deep" if isinstance(error, RecursionError) else getattr(error, "msg", str(error))
    if cut:
        return DataError("bad-file", f"{where}: the file breaks off in this row ({reason})", _FETCH)
    return DataError("bad-row", f"{where}: not JSON ({reason})", "mend the row, or fetch the file again")


def _skip(text: str, at: int) -> int:
    """The next position that is not white space."""
    match = _SPACE.match(text, at)
    return match.end() if match else at


_SPACE = re.compile(r"[ \t\r\n]*")


def _short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
