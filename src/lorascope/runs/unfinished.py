"""What an unfinished run has so far, from its journals and checkpoints: for a page while it goes on. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lorascope.config.load import from_json
from lorascope.errors import ConfigError, RunError
from lorascope.measure import journal
from lorascope.measure.records import Column, GradientNormLog, Series
from lorascope.measure.tidy import table
from lorascope.runs import rundir
from lorascope.training.phases import outline


def so_far(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """(results, tidy table) in the shapes of a finished run's, as far as they are known.

    The journals hold every measured row; losses on validation data are those of the newest checkpoint. Raises RunError
    where nothing was measured yet.
    """
    log = log_so_far(folder)
    config = from_json((folder / rundir.CONFIG).read_text(encoding="utf-8"))
    state = newest_state(folder / rundir.CHECKPOINTS)
    by_group: dict[str, int] = {}
    for column in log.gradients.columns:
        if column.score == "grad_sq":
            by_group[column.group] = by_group.get(column.group, 0) + column.numel
    try:
        phases = outline(config)
    except ConfigError:  # phases by layers wait for the model
        phases = ()
    results = {
        "run": config.run_name,
        "status": "unfinished",
        "dataset": config.data.dataset,
        "model": config.model.model_id,
        "target": config.lora.target,
        "r": config.lora.r,
        "lora_alpha": config.lora.lora_alpha,
        "seed": config.training.seed,
        "steps": int(log.steps[-1]) if len(log.steps) else 0,
        "phases": [{"name": phase.name, **phase.to_dict()} for phase in phases],
        "training_loss": [[step, value] for step, value in log.run_series("loss")],
        "validation_loss": [
            [entry["step"], entry["eval_loss"]] for entry in state.get("log_history", ()) if "eval_loss" in entry
        ],
        "best_step": state.get("best_global_step"),
        "best_validation_loss": state.get("best_metric"),
        "parameters": {"trained": sum(by_group.values()), "by_group": by_group},
    }
    return results, table(log)


def log_so_far(folder: Path) -> GradientNormLog:
    """The log of a training that goes on, from its journals. RunError where nothing was measured yet."""
    if not (folder / rundir.GRADIENT_JOURNAL).is_file():
        raise RunError("no-measurements", f"{folder} has measured nothing yet", "wait for its first step")
    log = GradientNormLog()
    header, rows = journal.read(folder / rundir.GRADIENT_JOURNAL)
    log.gradients = _series(header["columns"], rows)
    if (folder / rundir.WEIGHT_JOURNAL).is_file():
        header, rows = journal.read(folder / rundir.WEIGHT_JOURNAL)
        log.weights = _series(header["columns"], rows)
        log.base = Series([Column(*column) for column in header["base"]["columns"]])
        log.base.append(0, np.array(header["base"]["values"], dtype=np.float64))
    return log


def _series(columns: list[list[Any]], rows: journal.Floats) -> Series:
    series = Series([Column(*column) for column in columns])
    for row in rows:
        series.append(int(row[0]), row[1:])
    return series


def newest_state(checkpoints: Path) -> dict[str, Any]:
    """trainer_state.json of the newest checkpoint that has a whole one; empty before the first."""
    found = sorted(checkpoints.glob("checkpoint-*/trainer_state.json"), key=lambda file: int(file.parent.name[11:]))
    for file in reversed(found):
        try:
            state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # just being written
            continue
        return state
    return {}
