"""A worker of a study: a process that imports everything once and makes one run after another.

`python -m lorascope.studies.worker` reads a line of JSON for each run {"config", "log", "fresh"} from stdin and answers
with lines of JSON on stdout: {"event": "ready"}, then for each run {"event": "step", "done", "total", "text"} and one
of {"event": "finished"}, {"event": "failed", "error"}, {"event": "stopped"}. What the run and its libraries print goes
to the log. SIGINT stops a run after its step, saved; the end of stdin ends the process at once, so that no worker
outlives its study.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from lorascope.config.load import from_json
from lorascope.errors import Interrupted, LorascopeError
from lorascope.report.terminal import Bar, Console

EVERY = 0.5
"""Seconds between two words about a run's progress."""


class Reporter(Console):
    """A console that writes to a log and passes progress on."""

    def __init__(self, log: TextIO, say: Callable[..., None]) -> None:
        super().__init__(stdout=log, stderr=log, color="never")
        self.say = say

    @contextmanager
    def progress(self, total: int, label: str) -> Iterator[Bar]:
        """A bar that says where it is, now and then."""
        yield _Passing(self, total, label)


class _Passing(Bar):
    """Progress as words to the study."""

    console: Reporter
    _last = -EVERY

    def _show(self, done: int, now: float) -> None:
        if now - self._last >= EVERY or done >= self.total:
            self._last = now
            self.console.say("step", done=done, total=self.total, text=self.label)


def make(config: str, log: Path, say: Callable[..., None], *, fresh: bool) -> str | None:
    """Make one run; what went wrong, in a line, or None. Raises Interrupted. Everything is in the log."""
    from lorascope.studies.work import work

    with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
        try:
            work(from_json(config), fresh=fresh, console=Reporter(file, say))
        except Interrupted:
            raise
        except LorascopeError as error:
            file.write(f"error{error}\n")
            return f"{error.code}: {error.what}"
        except Exception as error:
            traceback.print_exc(file=file)
            return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def _main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)

    def say(event: str, **more: Any) -> None:
        answers.write(json.dumps({"event": event, **more}) + "\n")

    asked: queue.Queue[str] = queue.Queue()
    # Taken here and not in the thread, which may begin only after stdin has become something else.
    threading.Thread(target=_listen, args=(asked, os.dup(0)), daemon=True).start()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # From here on what anything prints, a dying library too, is in the newest log.
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    import lorascope.studies.work  # noqa: F401  (everything heavy, once, before the first run)

    say("ready")
    while True:
        try:
            request = json.loads(asked.get())
            log = Path(request["log"])
            _redirect(log)
            wrong = make(request["config"], log, say, fresh=request["fresh"])
            say("finished") if wrong is None else say("failed", error=wrong)
        except (Interrupted, KeyboardInterrupt):
            say("stopped")
            return


def _listen(asked: queue.Queue[str], source: int) -> None:
    """Pass on what comes by the file descriptor; its end is the end of the study."""
    with os.fdopen(source, encoding="utf-8") as stdin:
        for line in stdin:
            asked.put(line)
    os._exit(0)


def _redirect(log: Path) -> None:
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)


def command() -> Sequence[str]:
    """What starts a worker."""
    return [sys.executable, "-m", "lorascope.studies.worker"]


if __name__ == "__main__":
    _main()
