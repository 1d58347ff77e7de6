"""Scores of predictions that were made elsewhere. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorascope.config.experiment import DataConfig
from lorascope.errors import ConfigError, DataError
from lorascope.evaluation.metrics import FROM_MODEL, with_metrics
from lorascope.evaluation.result import Evaluation, assemble
from lorascope.tasks import find_task
from lorascope.tasks.base import Example, Task
from lorascope.tasks.files import jsonl_records
from lorascope.tasks.split import EvaluationData, load_evaluation

NEEDS_MODEL = "asked of a model, and these answers were made elsewhere"
"""Why a number is missing."""


@dataclass(frozen=True)
class Prediction:
    """One line of a predictions file."""

    where: str
    """File and line."""
    text: str
    id: str | None


def evaluate_predictions(
    path: Path, data: DataConfig, *, split: str | None = None, metrics: str | None = None
) -> Evaluation:
    """Score a predictions file against a split of `data.dataset` (its evaluation split unless another is named)."""
    task = with_metrics(find_task(data), metrics)
    predictions = read_predictions(path)  # first: it is quick, and the more likely one to be wrong
    return score_predictions(task, load_evaluation(task, data, 0, split=split), predictions, source=path.name)


def score_predictions(
    task: Task, data: EvaluationData, predictions: Sequence[Prediction], *, source: str
) -> Evaluation:
    """Score predictions against `data`, as a rule the whole split; `source` names them in the record.

    With ids, in any order, a part of the examples may be answered, and the record says so; without, prediction i
    answers example i, so that their numbers must agree. Errors: DataError.
    """
    if not task.metrics:
        raise ConfigError("no-metrics", f"{task.name} is plain text: there is nothing that an answer could be held to")
    left_out = [name for name in task.metrics if name in FROM_MODEL]
    if len(left_out) == len(task.metrics):
        raise ConfigError(
            "no-metrics",
            f"{', '.join(left_out)}: asked of a model, not of its answers",
            "--model ID_OR_FOLDER, or a run's folder, instead of --predictions",
        )
    if predictions[0].id is not None:
        answered = _by_id(predictions, data, task)
        if len(answered) < len(data.examples):
            data = replace(data, chosen="those that the predictions name by id")
        data = replace(data, examples=answered)
    elif len(predictions) != len(data.examples):
        raise DataError(
            "predictions-count",
            f"{source} has {len(predictions):,} predictions without ids, and they answer {len(data.examples):,} "
            f"{data.split} examples of {task.name}",
            *(["--split all   (every row of the file)"] if "all" in task.files else []),
            "one line per example in the split's order   (e2e_nlg: per distinct meaning representation)",
            'an id in every line: {"id": ..., "prediction": ...}',
        )
    settings: dict[str, Any] = {"predictions": source}
    if left_out:
        settings["left_out"] = dict.fromkeys(left_out, NEEDS_MODEL)
    return assemble(task, data, [p.text for p in predictions], settings=settings)


def read_predictions(path: Path) -> list[Prediction]:
    """Read JSON Lines with `prediction` and, in all lines or in none, `id`. A DataError names the wrong line."""
    found: list[Prediction] = []
    for record in jsonl_records(path):
        text, given = record.fields.get("prediction"), record.fields.get("id")
        if not isinstance(text, str):
            has = ", ".join(map(str, record.fields)) or "nothing"
            raise DataError("bad-row", f'{record.where}: needs a text under "prediction"; it has: {has}')
        prediction = Prediction(record.where, text, None if given is None else str(given))
        if found and (prediction.id is None) != (found[0].id is None):
            raise DataError("predictions-ids", f"{record.where}: either every line has an id or none has one")
        found.append(prediction)
    if not found:
        raise DataError("no-rows", f"{path} holds no prediction")
    return found


def _by_id(predictions: Sequence[Prediction], data: EvaluationData, task: Task) -> list[Example]:
    known = {example.id: example for example in data.examples}
    seen: dict[str, str] = {}
    for p in predictions:
        key = str(p.id)
        if key not in known:
            there = f"its ids go from {data.examples[0].id!r} to {data.examples[-1].id!r}"
            raise DataError(
                "predictions-ids", f"{p.where}: split {data.split} of {task.name} has no id {key!r}; {there}"
            )
        if key in seen:
            raise DataError("predictions-ids", f"{p.where}: id {key!r} came in {seen[key]} already")
        seen[key] = p.where
    return [known[key] for key in seen]
