"""What goes to the terminal: results to stdout, progress and notes to stderr, plain ASCII, colour only where wanted.

A live bar moves with a carriage return and blanks, so without colour not one escape sequence is written.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

Color = Literal["auto", "always", "never"]

_STYLES = {"bold": "1", "red": "31", "yellow": "33", "cyan": "36"}
_BAR = 20


class Console:
    """Where a verb speaks. `warnings`, `files` and `commands` collect what `--json` puts into its document.

    Text mode: everything. `quiet`: only the paths that were made, on stdout. `json`: nothing on stdout (the caller
    prints the document), notes and warnings on stderr. `verbose`: no live bar, since library logs would run into it. Of
    several processes of one run (RANK in the environment) only the first one speaks.
    """

    def __init__(
        self,
        *,
        json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        color: Color = "auto",
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.json = json
        self.quiet = quiet
        self.verbose = verbose
        self.stdout = stdout or sys.stdout
        self.stderr = stderr or sys.stderr
        self.warnings: list[str] = []
        self.files: list[str] = []
        self.commands: list[str] = []
        self._color = color
        self.rank = int(os.environ.get("RANK", "0"))
        self._bar: _Live | None = None

    def out(self, *lines: str) -> None:
        """Lines of a result, to stdout."""
        if not self.json and not self.quiet:
            self._write(self.stdout, lines)

    def note(self, *lines: str) -> None:
        """Lines about what is going on, to stderr."""
        if not self.quiet:
            self._write(self.stderr, lines)

    def warn(self, *lines: str) -> None:
        """Things the user should look at, to stderr; kept for the `--json` document."""
        self.warnings.extend(lines)
        if not self.quiet:
            self._write(self.stderr, [f"{self.style('warning:', 'yellow', self.stderr)} {line}" for line in lines])

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table to stdout, as `table_lines` lays it out."""
        lines = table_lines(headers, rows)
        self.out(self.style(lines[0], "bold"), *lines[1:])

    def saved(self, *paths: Path | str) -> None:
        """Files or folders that were made."""
        names = [str(path) for path in paths]
        self.files.extend(names)
        if self.quiet:
            self._write(self.stdout, names)
        else:
            self.out(f"Saved {', '.join(self.style(name, 'cyan') for name in names)}")

    def next(self, *commands: str) -> None:
        """The closing line: one to three commands that run as printed."""
        self.commands.extend(commands)
        self.out(*(f"{'    ' if i else 'Next'}  {self.style(text, 'cyan')}" for i, text in enumerate(commands)))

    def style(self, text: str, name: str, stream: TextIO | None = None) -> str:
        """`text` in bold, red, yellow or cyan where `stream` (stdout) shows colour."""
        return f"\x1b[{_STYLES[name]}m{text}\x1b[0m" if self.colored(stream or self.stdout) else text

    def colored(self, stream: TextIO) -> bool:
        """Whether colour is wanted on a stream: --color, then NO_COLOR, TERM=dumb, and whether it is a terminal."""
        if self._color != "auto":
            return self._color == "always"
        return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    @contextmanager
    def progress(self, total: int, label: str) -> Iterator[Bar]:
        """Show the way to `total`: a live bar on a terminal, otherwise a line every tenth of the way or 30 seconds."""
        terminal = self.stderr.isatty() and os.environ.get("TERM") != "dumb"
        if self.rank == 0 and terminal and not (self.quiet or self.verbose):
            self._bar = _Live(self, total, label)
        try:
            yield self._bar or _Lines(self, total, label)
        finally:
            if self._bar:
                self._bar.clear()
            self._bar = None

    def _write(self, stream: TextIO, lines: Sequence[str]) -> None:
        if self.rank or not lines:
            return
        if self._bar:
            self._bar.clear()
        write(stream, "".join(f"{line}\n" for line in lines))
        if self._bar:
            self._bar.draw()


class Bar(ABC):
    """Progress towards a total. The rate counts from the first update, so that a resumed run shows its own speed."""

    def __init__(self, console: Console, total: int, label: str) -> None:
        self.console = console
        self.total = max(1, total)
        self.label = label
        self.text = ""
        self._first: tuple[float, int] | None = None

    def update(self, done: int, **numbers: float) -> None:
        """`done` of the total, and numbers to show beside it."""
        now = time.monotonic()
        self._first = self._first or (now, done)
        since, steps = now - self._first[0], done - self._first[1]
        parts = [f"{done}/{self.total}", *(f"{name} {short(value)}" for name, value in numbers.items())]
        if steps > 0 and since > 0:
            left = round((self.total - done) * since / steps)
            parts += [f"{short(steps / since)}/s", f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"]
        self.text = "  ".join(parts)
        self._show(done, now)

    @abstractmethod
    def _show(self, done: int, now: float) -> None:
        """Draw `done` and the text, if it is time."""


class _Live(Bar):
    """One line that is drawn over and over, at most ten times a second."""

    def __init__(self, console: Console, total: int, label: str) -> None:
        super().__init__(console, total, label)
        self._share = 0.0
        self._drawn = 0
        self._last = 0.0

    def _show(self, done: int, now: float) -> None:
        self._share = done / self.total
        if now - self._last >= 0.1 or done >= self.total:
            self._last = now
            self.draw()

    def draw(self) -> None:
        room = shutil.get_terminal_size().columns - 1
        width = min(_BAR, max(0, room - len(f"  {self.label:<9}   {self.text}")))
        full = round(min(1.0, self._share) * width)
        line = f"  {self.label:<9} {'#' * full}{'-' * (width - full)}  {self.text}"[:room]
        write(self.console.stderr, f"\r{line:<{min(self._drawn, room)}}")
        self._drawn = len(line)

    def clear(self) -> None:
        if self._drawn:
            write(self.console.stderr, f"\r{' ' * self._drawn}\r")
        self._drawn = 0


class _Lines(Bar):
    """A line at every tenth of the way, or after 30 seconds without one."""

    def __init__(self, console: Console, total: int, label: str) -> None:
        super().__init__(console, total, label)
        self._tenth = 0
        self._last = time.monotonic()

    def _show(self, done: int, now: float) -> None:
        tenth = 10 * done // self.total
        if tenth > self._tenth or now - self._last >= 30:
            self._tenth, self._last = tenth, now
            self.console.note(f"  {self.label:<9} {100 * done // self.total:>3} %  {self.text}")


def table_lines(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A table as text, header first. Columns of numbers stand at the right; None is "-"."""
    cells = [[cell(value) for value in row] for row in rows]
    columns = list(zip(*cells, strict=True)) if cells else [() for _ in headers]
    widths = [max(len(head), *map(len, column), 0) for head, column in zip(headers, columns, strict=True)]
    right = [bool(column) and all(_numeric(text) for text in column) for column in columns]
    lines = []
    for row in [list(headers), *cells]:
        aligned = [f"{text:>{w}}" if r else f"{text:<{w}}" for text, w, r in zip(row, widths, right, strict=True)]
        lines.append("  ".join(aligned).rstrip())
    return lines


def cell(value: object) -> str:
    """A value as a table shows it: whole numbers with thousands separators, others with three significant digits."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return short(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def short(value: float) -> str:
    """A number with three significant digits: 0.482, 41.6, 1,234, 1.00e-05."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if value else "0"


def write(stream: TextIO, text: str) -> None:
    """Write and flush; what the stream's encoding lacks is escaped."""
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except RuntimeError:  # a signal handler speaks while the same stream is being written
        os.write(stream.fileno(), text.encode("utf-8", "backslashreplace"))


def _numeric(text: str) -> bool:
    return text == "-" or text[:1].isdigit() or (text[:1] in "+-." and text[1:2].isdigit())
