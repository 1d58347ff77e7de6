"""Accuracy of a classification task whose labels are generated as text."""

from __future__ import annotations

from collections.abc import Sequence

from lorascope.errors import ConfigError
from lorascope.evaluation.metrics.base import Tally, mean_tally
from lorascope.tasks.base import Example, Task

RULE = "the whole answer is the label; case, surrounding white space and punctuation do not count"
EDGES = " \t\r\n.,:;!?\"'`*"


def accuracy(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """Share of right labels, in percent. What is no label counts as wrong; the settings tell how often that was."""
    if not task.labels:
        raise ConfigError("no-labels", f"accuracy needs a closed set of labels, and task {task.name} has none")
    known = {_bare(label): label for label in reversed(task.labels)}
    found = [known.get(_bare(text)) for text in predictions]
    hits = [
        label is not None and label in {known.get(_bare(answer)) for answer in (example.target, *example.references)}
        for label, example in zip(found, examples, strict=True)
    ]
    settings = {"rule": RULE, "labels": list(task.labels), "answers_without_label": found.count(None)}
    return [mean_tally("accuracy", [100.0 * hit for hit in hits], unit="%", settings=settings)]


def label_of(text: str, labels: Sequence[str]) -> str | None:
    """The label that a text is, or None."""
    return {_bare(label): label for label in reversed(labels)}.get(_bare(text))


def _bare(text: str) -> str:
    """Without what does not count; a label of nothing else stands for itself."""
    return text.strip(EDGES).casefold() or text.strip()
