"""What other libraries say while a run goes on: into log.txt, and counted, not onto the screen."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers.utils import logging as transformers_logging

LIBRARIES = (
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "huggingface_hub",
    "torch",
    "py.warnings",
    "lorascope",
    "trl",
)


class _Log(logging.FileHandler):
    """A log file; a line that does not fit onto the disk is dropped, since a run's results do not depend on it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Print no traceback."""


class Captured(logging.Handler):
    """Keeps log records until there is a file for them; `warnings` counts those worth a look."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.warnings = 0
        self._waiting: list[logging.LogRecord] = []
        self._file: logging.FileHandler | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep or write one record."""
        self.warnings += record.levelno >= logging.WARNING
        if self._file:
            self._file.emit(record)
        else:
            self._waiting.append(record)

    def write_to(self, path: Path) -> None:
        """Append what was kept, and all that follows, to `path`."""
        self._file = _Log(path, encoding="utf-8")
        self._file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        for record in self._waiting:
            self._file.emit(record)
        self._waiting.clear()

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
        super().close()


@contextmanager
def captured(*, verbose: bool = False) -> Iterator[Captured]:
    """Catch the libraries' log records and Python's warnings; with `verbose` they go to the screen as well."""
    caught = Captured()
    handlers: list[logging.Handler] = [caught, logging.StreamHandler()] if verbose else [caught]
    before = {}
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        before[name] = (logger.handlers[:], logger.propagate, logger.level)
        logger.handlers, logger.propagate = handlers[:], False
        logger.setLevel(logging.INFO if name == "lorascope" else logging.WARNING)
    shown = warnings.showwarning
    logging.captureWarnings(True)
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield caught
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
        logging.captureWarnings(False)
        warnings.showwarning = shown
        for name, (old, propagate, level) in before.items():
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = old, propagate
            logger.setLevel(level)
        caught.close()
