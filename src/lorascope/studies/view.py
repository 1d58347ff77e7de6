"""A study on the screen while it goes on: a live table on a terminal, a line for each run elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lorascope.report.terminal import Console
from lorascope.studies.design import Trial


@dataclass(frozen=True)
class Seen:
    """What a worker does at this moment."""

    slot: int
    trial: Trial
    done: int
    total: int
    text: str


class Progress:
    """Counts what is done and writes lines; `live` makes one that draws a table besides."""

    def __init__(self, console: Console, total: int, ready: int, label: str) -> None:
        self.console, self.total, self.label = console, total, label
        self.ready = ready
        self.done = ready
        self.begun = time.monotonic()
        self.now: dict[int, Seen] = {}

    def show(self, seen: Seen) -> None:
        """A worker has come further."""
        self.now[seen.slot] = seen
        self.tick()

    def finished(self, trial: Trial) -> None:
        """A run is whole."""
        self.done += 1
        self._drop(trial)
        self.console.note(f"  {self.label:<7} {self.done}/{self.total}  {trial.name}{self._left()}")

    def failed(self, trial: Trial, error: str, *, again: bool) -> None:
        """A run has failed."""
        self._drop(trial)
        self.console.warn(f"{trial.name} failed: {error}" + ("; it is tried once more" if again else ""))

    def note(self, text: str) -> None:
        """Something to say beside the table."""
        self.console.note(f"  {text}")

    def tick(self) -> None:
        """Time has passed."""

    def _drop(self, trial: Trial) -> None:
        self.now = {slot: seen for slot, seen in self.now.items() if seen.trial is not trial}

    def _left(self) -> str:
        """Time that is left, by the runs so far."""
        made = self.done - self.ready
        seconds = round((time.monotonic() - self.begun) / made * (self.total - self.done)) if made else 0
        return f"  {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left" if seconds else ""


class _Live(Progress):
    """The same with a table of the runs that go on, drawn in place by rich."""

    def __init__(self, console: Console, total: int, ready: int, label: str, live: Any) -> None:
        super().__init__(console, total, ready, label)
        self.live = live

    def finished(self, trial: Trial) -> None:
        self.done += 1
        self._drop(trial)
        self.tick()

    def failed(self, trial: Trial, error: str, *, again: bool) -> None:
        self._drop(trial)
        self.console.warnings.append(f"{trial.name} failed: {error}")
        self.note(f"{trial.name} failed: {error}" + ("; it is tried once more" if again else ""))

    def note(self, text: str) -> None:
        self.live.console.print(f"  {text}", markup=False, highlight=False)

    def tick(self) -> None:
        self.live.update(self._table())

    def _table(self) -> Any:
        from rich.box import ASCII2
        from rich.table import Table

        title = f"{self.label}: {self.done} of {self.total} runs{self._left()}"
        table = Table("worker", "run", "step", "what", box=ASCII2, title=title, title_justify="left", min_width=60)
        for slot, seen in sorted(self.now.items()):
            table.add_row(str(slot), seen.trial.name, f"{seen.done}/{seen.total}", seen.text)
        return table


@contextmanager
def watching(console: Console, total: int, ready: int, label: str) -> Iterator[Progress]:
    """Progress over `total` runs, of which `ready` were there before."""
    terminal = console.stderr.isatty() and os.environ.get("TERM") != "dumb"
    if not terminal or console.quiet or console.verbose:
        yield Progress(console, total, ready, label)
        return
    from rich.console import Console as Screen
    from rich.live import Live

    screen = Screen(file=console.stderr, no_color=not console.colored(console.stderr), highlight=False)
    with Live(console=screen, refresh_per_second=4, transient=True) as live:
        yield _Live(console, total, ready, label, live)
