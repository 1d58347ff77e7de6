"""The files of a log while it is recorded: journals row by row, CSVs every few rows, everything whole at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lorascope.measure import journal
from lorascope.measure.records import Floats, GradientNormLog, Series, csv_text
from lorascope.runs import rundir

logger = logging.getLogger(__name__)

CSV_EVERY = 10
"""Measured steps between two additions to the CSVs; the journals get every step at once."""


class LogFiles:
    """Writes a log into a run folder as it grows; taken from `start`."""

    def __init__(
        self,
        folder: Path,
        log: GradientNormLog,
        gradients: journal.Journal,
        weights: journal.Journal,
        *,
        layer_norm: bool,
    ) -> None:
        self._folder = folder
        self._log = log
        self._gradients = gradients
        self._weights = weights
        self._layer_norm = layer_norm
        self._views = {rundir.GROUP_NORMS: log.group_norms} | (
            {rundir.LAYER_NORMS: log.layer_norms} if layer_norm else {}
        )
        self._in_csv = len(log.gradients)
        for name, view in self._views.items():
            rundir.write_text(folder / name, csv_text(view()))

    def add_gradients(self, step: int, row: Floats) -> None:
        """Write a row that the log already has."""
        self._gradients.append(step, row)
        if len(self._log.gradients) - self._in_csv >= CSV_EVERY:
            self.flush()

    def add_weights(self, step: int, row: Floats) -> None:
        """Write a row of the weight side."""
        self._weights.append(step, row)

    def flush(self) -> None:
        """Bring the CSVs up to the log."""
        if len(self._log.gradients) == self._in_csv:
            return
        with rundir.writing(self._folder):
            for name, view in self._views.items():
                with (self._folder / name).open("a", encoding="utf-8") as file:
                    file.write(csv_text(view(start=self._in_csv), header=False))
        self._in_csv = len(self._log.gradients)

    def finish(self) -> None:
        """Write CSVs, summary and table from the log. The journals stay, for a run that goes on later."""
        self._log.save(self._folder, layer_norm=self._layer_norm)
        self._gradients.close()
        self._weights.close()


def start(folder: Path, log: GradientNormLog, *, after: int, weight_every: int, layer_norm: bool) -> LogFiles:
    """Begin to write a log without rows; where a training goes on after step `after` > 0, it gets the rows up to it.

    Raises RunError where the folder cannot be written, or where its journals belong to other adapters.
    """
    with rundir.writing(folder):
        for stale in (rundir.GRADIENT_TABLE, rundir.GRADIENT_SUMMARY):
            (folder / stale).unlink(missing_ok=True)  # of an earlier end: they would pass for the end of this run
    ((_, base),) = log.base.rows()
    gradients = _open(folder / rundir.GRADIENT_JOURNAL, log.gradients, after, before(after))
    weights = _open(
        folder / rundir.WEIGHT_JOURNAL,
        log.weights,
        after,
        before(after, weight_every),
        base={"columns": log.base.columns, "values": base.tolist()},
    )
    if after and not len(log.gradients):
        logger.warning("%s has no measurements of the steps up to %d; they begin after it", folder, after)
    return LogFiles(folder, log, gradients, weights, layer_norm=layer_norm)


def before(step: int, every: int = 1) -> Callable[[int], bool]:
    """Whether a row belongs to a run that goes on after `step`: a row of its steps, at its cadence.

    A run that was stopped has a row of the weight side at its last step, which an undisturbed run does not have.
    """
    return lambda measured: measured <= step and every > 0 and measured % every == 0


def _open(path: Path, series: Series, after: int, wanted: Callable[[int], bool], **more: Any) -> journal.Journal:
    header = {"columns": series.columns, **more}
    if not after or not path.is_file():
        return journal.create(path, header)
    found, rows = journal.resume(path, header, wanted)
    for row in rows:
        series.append(int(row[0]), row[1:])
    return found
