"""Rows as token ids: a few in memory, many in an Arrow file that is made once and then mapped into memory.

An entry of the cache is named by the hash of all that its ids depend on: the examples, the tokenizer, the longest
length, the versions. So it is never out of date, every run that sees the same rows shares it, and whoever needs the
disk may delete it. It lies in $LORASCOPE_CACHE/tokens, else $XDG_CACHE_HOME/lorascope/tokens, else
~/.cache/lorascope/tokens: KEY.arrow, with KEY.json (written last) that tells its size and hash.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import tokenizers
import transformers
from filelock import FileLock, Timeout
from transformers import PreTrainedTokenizerBase

from lorascope.errors import DataError
from lorascope.tasks.base import Example
from lorascope.training.chats import template_notes
from lorascope.training.encoding import VERSION, Encoded, encode, in_chunks, none_fits
from lorascope.training.rows import MappedRows, columns_of

IN_MEMORY = 20_000
"""Most rows that are kept in memory: 20,000 of 100 tokens take 60 MB there, and a few seconds to make."""
SHOWN = 5_000
"""Fewest rows whose way is shown by a bar."""

_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "input_ids": pa.list_(pa.int32()),
        "answers": pa.list_(pa.int32()),
        "cut_tokens": pa.int32(),
        "length": pa.int32(),
        "answer_tokens": pa.int32(),
    }
)


class Bar(Protocol):
    """What a progress display offers: the count done so far."""

    def update(self, done: int, **numbers: float) -> None:
        """Show `done` of the total."""


class Screen(Protocol):
    """What shows progress and speaks; the command line's console is one."""

    def progress(self, total: int, label: str) -> AbstractContextManager[Bar]:
        """A bar from 0 to `total`."""

    def note(self, *lines: str) -> None:
        """Lines about what is going on."""


@dataclass(frozen=True)
class Entry:
    """One entry of the cache."""

    folder: Path
    key: str

    @property
    def rows(self) -> Path:
        """The Arrow file."""
        return self.folder / f"{self.key}.arrow"

    @property
    def about(self) -> Path:
        """What tells that the Arrow file is whole."""
        return self.folder / f"{self.key}.json"


def tokenise(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    console: Screen | None = None,
) -> tuple[Sequence[Encoded], list[str]]:
    """`encode`, with more than IN_MEMORY examples from the cache, which is filled first if need be.

    Errors: those of `encode`; DataError where the cache cannot be written.
    """
    if len(examples) <= IN_MEMORY:
        if console is None or len(examples) < SHOWN:
            return encode(examples, tokenizer, max_length)
        with console.progress(len(examples), "tokens") as bar:
            return encode(examples, tokenizer, max_length, progress=bar.update)
    entry = Entry(cache_folder(), key_of(examples, tokenizer, max_length))
    try:
        entry.folder.mkdir(parents=True, exist_ok=True)
        with _locked(entry, console):
            rows = _open(entry, console) or _make(entry, examples, tokenizer, max_length, console)
    except OSError as error:
        raise DataError(
            "cache-not-writable",
            f"{len(examples):,} rows are tokenised into {entry.folder}, and that failed: {error.strerror or error}",
            "LORASCOPE_CACHE=FOLDER in front of the command, a folder on a disk with room",
            f"--num_samples {IN_MEMORY}   (so many rows are kept in memory)",
        ) from error
    if not rows[0]:
        raise none_fits(max_length)
    return rows


def cache_folder() -> Path:
    """Where tokenised rows lie."""
    if own := os.environ.get("LORASCOPE_CACHE"):
        return Path(own).expanduser() / "tokens"
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(shared).expanduser() / "lorascope" / "tokens"


def key_of(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> str:
    """Thirty-two hex digits over all that the ids and labels of these examples depend on."""
    template: Any = None
    if any(example.messages for example in examples):
        template = [tokenizer.chat_template, date.today().isoformat() if template_notes(tokenizer) else None]
    digest = hashlib.sha256(json.dumps([VERSION, max_length, template, *_facts(tokenizer)]).encode())
    for e in examples:
        turns = [(turn.role, turn.content) for turn in e.messages]
        digest.update(json.dumps([e.id, e.prompt, e.target, turns]).encode())
    return digest.hexdigest()[:32]


def _facts(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    """What a tokenizer makes of a text depends on."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state: Any = sorted(tokenizer.get_vocab().items())
    if backend is not None:
        state = json.loads(backend.to_str())
        state |= {"padding": None, "truncation": None}  # left there by an earlier call; every call says its own
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return [type(tokenizer).__name__, state, special, tokenizers.__version__, transformers.__version__]


@contextmanager
def _locked(entry: Entry, console: Screen | None) -> Iterator[None]:
    """Of several processes that need an entry one makes it, and the others wait and then read it."""
    lock = FileLock(entry.folder / f"{entry.key}.lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        if console:
            console.note("  tokens    another process is tokenising the same rows; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _open(entry: Entry, console: Screen | None) -> tuple[MappedRows, list[str]] | None:
    """What is in an entry; None where there is none yet, or it is damaged, which is said."""
    from datasets import Dataset  # for many rows only: importing it takes a second

    if not entry.about.exists():
        return None
    try:
        about = json.loads(entry.about.read_text(encoding="utf-8"))
        whole = entry.rows.stat().st_size == about["bytes"] and _sha256(entry.rows) == about["sha256"]
        left_out = [str(name) for name in about["left_out"]]
    except (OSError, ValueError, KeyError, TypeError):
        whole, left_out = False, []
    if not whole:
        if console:
            console.note(f"  tokens    {entry.rows} is damaged and made anew")
        return None
    rows = MappedRows(Dataset.from_file(str(entry.rows)))
    if console:
        console.note(f"  tokens    {len(rows):,} rows from {entry.rows}")
    return rows, left_out


def _make(
    entry: Entry,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    console: Screen | None,
) -> tuple[MappedRows, list[str]]:
    """Fill an entry, chunk by chunk, and read it."""
    from datasets import Dataset

    entry.about.unlink(missing_ok=True)
    part = entry.rows.with_suffix(".part")
    done, left_out = 0, list[str]()
    try:
        with (
            console.progress(len(examples), "tokens") if console else nullcontext() as bar,
            pa.OSFile(str(part), "wb") as file,
            pa.ipc.new_stream(file, _SCHEMA) as stream,
        ):
            for rows, others in in_chunks(examples, tokenizer, max_length):
                stream.write_batch(pa.RecordBatch.from_pydict(columns_of(rows), schema=_SCHEMA))
                left_out += others
                done += len(rows) + len(others)
                if bar:
                    bar.update(done)
        os.replace(part, entry.rows)
    finally:
        part.unlink(missing_ok=True)
    about = {"bytes": entry.rows.stat().st_size, "sha256": _sha256(entry.rows), "left_out": left_out}
    part.write_text(json.dumps(about), encoding="utf-8")
    os.replace(part, entry.about)
    if console:
        console.note(f"  tokens    {done - len(left_out):,} rows kept in {entry.rows}")
    return MappedRows(Dataset.from_file(str(entry.rows))), left_out


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
