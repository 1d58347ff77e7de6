"""MultiNLI 1.0: does a premise entail a hypothesis, contradict it, or neither? Official files, JSON Lines.

A raw row of multinli_1.0_dev_matched.jsonl (its parses and annotators' labels are not read):

    {"gold_label": "neutral", "sentence1": "The new rights are nice enough",
     "sentence2": "Everyone really likes the newest benefits ", "genre": "slate", "pairID": "63735n"}

The test sets have no labels, so dev_matched (the genres of the training rows) is what is evaluated; dev_mismatched
(other genres) is the split validation_mismatched. Rows on which the annotators found no majority have the label "-" and
are left out, as everywhere: 185 of the 10,000 and 168 of the 10,000 lines of the two official dev files.

Source: Williams, Nangia, Bowman 2018, "A Broad-Coverage Challenge Corpus for Sentence Understanding through Inference",
mostly OANC licence; cims.nyu.edu/~sbowman/multinli. On the hub: nyu-mll/multi_nli.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lorascope.tasks.base import Example, HubSource, Reading, Row, Task
from lorascope.tasks.builtin import generator
from lorascope.tasks.files import Record, collect, field, find, jsonl_records, text_field, wrong
from lorascope.tasks.prompts import bare, layout, one_line

FILES = {
    "train": ("multinli_1.0_train.jsonl",),
    "validation": ("multinli_1.0_dev_matched.jsonl",),
    "validation_mismatched": ("multinli_1.0_dev_mismatched.jsonl",),
}
LABELS = ("entailment", "neutral", "contradiction")
"""In the order of the hub's numbers 0, 1, 2."""
NO_LABEL = ("-", -1)


def read(folder: Path, split: str) -> Reading:
    """Rows {"id", "sentence1", "sentence2", "gold_label"}; a sample, NAME_*.jsonl, may stand for an official file."""
    (name,) = FILES[split]
    path = find(folder, name, variant=name.replace(".jsonl", "_*.jsonl"))
    return read_hub(jsonl_records(path), (path,))


def read_hub(records: Iterable[Record], files: tuple[Path, ...]) -> Reading:
    """The same from the hub's records."""
    return collect(records, to_row, *files, missing="gold label")


def to_row(record: Record, number: str) -> Row | None:
    """One row; the hub's copies call the columns otherwise and number the labels."""
    premise, hypothesis = text_field(record, "sentence1", "premise"), text_field(record, "sentence2", "hypothesis")
    label = field(record, "gold_label", "label")
    if label in NO_LABEL:
        return None
    if type(label) is int and label in range(len(LABELS)):
        label = LABELS[label]
    if label not in LABELS:
        raise wrong(record, f"'gold_label' must be one of {', '.join(LABELS)} or -, got {label!r}")
    return {"id": number, "sentence1": premise, "sentence2": hypothesis, "gold_label": label}


def prompt(premise: str, hypothesis: str) -> str:
    """What training and evaluation put before the label."""
    return layout(
        "Classify the pair as entailment, neutral or contradiction.",
        ("Premise", one_line(premise)),
        ("Hypothesis", one_line(hypothesis)),
        answer="Label",
    )


def to_examples(rows: Sequence[Row]) -> list[Example]:
    """One example per row."""
    return [
        Example(
            id=row["id"],
            prompt=prompt(row["sentence1"], row["sentence2"]),
            target=row["gold_label"],
            references=(row["gold_label"],),
            group=bare(row["sentence1"]),
        )
        for row in rows
    ]


TASK = Task(
    name="multi_nli",
    title="MultiNLI: premise and hypothesis to label",
    version=1,
    files=FILES,
    read=read,
    builtin=generator("multi_nli"),
    hub=HubSource(
        repo="nyu-mll/multi_nli",
        splits={
            "train": "train",
            "validation": "validation_matched",
            "validation_mismatched": "validation_mismatched",
        },
        read=read_hub,
        unread=tuple(f"{side}_{kind}parse" for side in ("premise", "hypothesis") for kind in ("", "binary_")),
    ),
    to_examples=to_examples,
    to_evaluation=to_examples,
    evaluation_split="validation",
    group="premise",
    metrics=("accuracy", "accuracy_likelihood"),
    max_length=256,  # cuts 0.1 % of the training rows with a vocabulary of 4,096, 0.03 % with Llama's 32,000
    max_new_tokens=8,  # the longest label has 6 and 4 tokens with its end of sequence
    official_counts={"train": 392_702, "validation": 9_815, "validation_mismatched": 9_832},
    labels=LABELS,
)
