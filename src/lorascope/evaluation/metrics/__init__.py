"""One file per metric; each is a function from predictions and examples to one or more named numbers."""

from __future__ import annotations

from lorascope.evaluation.metrics.accuracy import accuracy
from lorascope.evaluation.metrics.base import Metric
from lorascope.evaluation.metrics.bleu import bleu
from lorascope.evaluation.metrics.exact_match import exact_match
from lorascope.evaluation.metrics.meteor import meteor
from lorascope.evaluation.metrics.rouge import rouge

METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "bleu": bleu,
    "exact_match": exact_match,
    "meteor": meteor,
    "rouge": rouge,
}
"""The names that a task may list under `metrics`."""
