"""One file per metric; each is a function from predictions and examples to one or more named numbers."""

from __future__ import annotations

from dataclasses import replace

from lorascope import registry
from lorascope.config.experiment import EvaluationConfig
from lorascope.errors import ConfigError, pick
from lorascope.evaluation.metrics.accuracy import accuracy
from lorascope.evaluation.metrics.base import Metric
from lorascope.evaluation.metrics.bleu import bleu
from lorascope.evaluation.metrics.bleu_e2e import bleu_e2e
from lorascope.evaluation.metrics.cider import cider
from lorascope.evaluation.metrics.exact_match import exact_match
from lorascope.evaluation.metrics.execution import execution
from lorascope.evaluation.metrics.logical_form import logical_form
from lorascope.evaluation.metrics.meteor import meteor
from lorascope.evaluation.metrics.nist_e2e import nist_e2e
from lorascope.evaluation.metrics.rouge import rouge
from lorascope.evaluation.metrics.rouge_l_coco import rouge_l_coco
from lorascope.evaluation.metrics.sql import no_tables
from lorascope.tasks.base import Task

METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "bleu": bleu,
    "bleu_e2e": bleu_e2e,
    "cider": cider,
    "exact_match": exact_match,
    "execution": execution,
    "logical_form": logical_form,
    "meteor": meteor,
    "nist_e2e": nist_e2e,
    "rouge": rouge,
    "rouge_l_coco": rouge_l_coco,
}
"""The names that a task may list under `metrics`."""

FROM_MODEL = {"accuracy_likelihood"}
"""Names that a task may list too: they are asked of the model, not of its answers, so that predictions that were made
elsewhere cannot have them."""

NEED_LABELS = {"accuracy", "accuracy_likelihood"}
"""They need a closed set of answers."""

NEED_TABLES = {"execution", "logical_form"}
"""They judge queries; a task whose examples have tables names one of them itself."""

ENTRY_POINTS = "lorascope.metrics"
"""The entry points of this group in other packages are metrics, each under its own name."""


def register(metric: Metric) -> Metric:
    """Make a metric known by the name of its function; a decorator. ConfigError where the name is taken."""
    return registry.put(METRICS, metric.__name__, metric, "metric")


def extend() -> dict[str, registry.Broken]:
    """Register the metrics of all installed packages; returns those that cannot be used."""
    return registry.extend(METRICS, "metric", group=ENTRY_POINTS, accept=_accept)


def find_metric(name: str) -> Metric:
    """The metric of that name, ours or of an installed package. UnknownName, or ConfigError for a broken package."""
    return registry.lookup(METRICS, name, "metric", group=ENTRY_POINTS, accept=_accept)


def metric_names(text: str) -> tuple[str, ...]:
    """The metrics that a text with commas names. UnknownName for one that is not known."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ConfigError("config-value", f"metrics names none: {text!r}", f"--metrics {','.join(sorted(METRICS))}")
    for name in names:
        if name in FROM_MODEL:
            continue
        if registry.find(METRICS, name, "metric", group=ENTRY_POINTS, accept=_accept) is None:
            pick(dict.fromkeys((*METRICS, *FROM_MODEL)), name, "metric")
    return names


def with_metrics(task: Task, names: str | None) -> Task:
    """The task, judged by other metrics: names with commas between them; None leaves its own.

    Refuses what could only fail after the training: unknown names, a metric that the task's answers do not allow.
    """
    if names is None:
        return task
    chosen = metric_names(names)
    if not task.metrics:
        raise ConfigError(
            "no-metrics", f"{task.name} is plain text without answers, so that no metric applies", "leave --metrics out"
        )
    if (labelled := NEED_LABELS & {*chosen}) and not task.labels:
        raise ConfigError(
            "no-labels",
            f"{', '.join(sorted(labelled))} needs a closed set of answers, and {task.name} has none (of your own data: "
            "at most 100 different ones)",
            "--metrics exact_match",
        )
    if NEED_TABLES & {*chosen} and not NEED_TABLES & {*task.metrics}:
        raise no_tables(", ".join(sorted(NEED_TABLES & {*chosen})))
    return replace(task, metrics=chosen, metrics_note=None)


def as_asked(task: Task, evaluation: EvaluationConfig) -> Task:
    """The task as an evaluation judges it. Refuses what could only fail after the training, as `with_metrics` does."""
    if evaluation.constrained and task.grammar is None:
        raise no_grammar(task)
    return with_metrics(task, evaluation.metrics)


def no_grammar(task: Task) -> ConfigError:
    """What to say where answers cannot be constrained."""
    return ConfigError(
        "no-grammar",
        f"answers of {task.name} are free text: there is no grammar that decoding could be constrained to",
        "leave --constrained out",
    )


def _accept(name: str, value: object) -> Metric:
    if not callable(value):
        raise ConfigError("broken-plugin", f"it is no function but {type(value).__name__}")
    found: Metric = value
    return found
