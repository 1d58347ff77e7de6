"""Accuracy of a classification task whose labels are generated as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from lorascope.errors import ConfigError
from lorascope.evaluation.metrics.base import Tally, mean_tally
from lorascope.tasks.base import Example, Task

RULE = "the whole answer is the label; case, surrounding white space and punctuation do not count"
EDGES = " \t\r\n.,:;!?\"'`*"
OTHER = "(other)"
"""In the confusion matrix: an answer that is no label."""


def accuracy(predictions: Sequence[str], examples: Sequence[Example], task: Task) -> list[Tally]:
    """Share of right labels, in percent. What is no label counts as wrong; the settings tell how often that was.

    They also have the confusion matrix, {right label: {answered label: examples}}, and per right label how many
    examples there are and how many of them are answered rightly.
    """
    if not task.labels:
        raise ConfigError("no-labels", f"accuracy needs a closed set of labels, and task {task.name} has none")
    found = [label_of(text, task.labels) for text in predictions]
    hits, facts = judge_labels(found, examples, task.labels)
    settings = {"rule": RULE, "answers_without_label": found.count(None), **facts}
    return [mean_tally("accuracy", [100.0 * hit for hit in hits], unit="%", settings=settings)]


def judge_labels(
    found: Sequence[str | None], examples: Sequence[Example], labels: Sequence[str]
) -> tuple[list[bool], dict[str, Any]]:
    """Whether each label (None: none) is a right one; for the record, labels, confusion matrix, counts per label."""
    hits = [
        label is not None and label in {label_of(answer, labels) for answer in (example.target, *example.references)}
        for label, example in zip(found, examples, strict=True)
    ]
    truth = [label_of(example.target, labels) or OTHER for example in examples]
    return hits, {
        "labels": list(labels),
        "confusion": confusion(truth, [label or OTHER for label in found], (*labels, OTHER)),
        "per_label": {
            label: {
                "examples": truth.count(label),
                "right": sum(h for t, h in zip(truth, hits, strict=True) if t == label),
            }
            for label in labels
        },
    }


def confusion(truth: Sequence[str], answers: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """{right label: {answered label: examples}} in the order of `names`; what never occurred is left out."""
    count = Counter(zip(truth, answers, strict=True))
    rows = {right: {answer: count[right, answer] for answer in names if count[right, answer]} for right in names}
    return {right: row for right, row in rows.items() if row}


def label_of(text: str, labels: Sequence[str]) -> str | None:
    """The label that a text is, or None."""
    return _known(tuple(labels)).get(_bare(text))


@lru_cache(maxsize=64)
def _known(labels: tuple[str, ...]) -> dict[str, str]:
    """Labels without what does not count -> labels; of two that are the same without it, the first."""
    return {_bare(label): label for label in reversed(labels)}


def _bare(text: str) -> str:
    """Without what does not count; a label of nothing else stands for itself."""
    return text.strip(EDGES).casefold() or text.strip()
