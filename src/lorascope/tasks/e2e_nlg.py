"""E2E NLG: a sentence or two from a restaurant's attributes. Official files and splits, CSV.

A raw row of trainset.csv:

    mr   name[Blue Spice], eatType[coffee shop], area[city centre]
    ref  A coffee shop in the city centre area called Blue Spice.

Several rows share a meaning representation. In evaluation each distinct one is asked once, in order of first
appearance, with all its references, as the official metrics do.

Source: Novikova, Dusek, Rieser 2017, "The E2E Dataset: New Challenges for End-to-End Generation", CC BY-SA 4.0;
github.com/tuetschek/e2e-dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lorascope.tasks.base import Example, Reading, Row, Task
from lorascope.tasks.builtin import generator
from lorascope.tasks.files import Record, collect, csv_records, find, open_end, text_field
from lorascope.tasks.prompts import layout, one_line

FILES = {"train": ("trainset.csv",), "validation": ("devset.csv",), "test": ("testset_w_refs.csv",)}


def read(folder: Path, split: str) -> Reading:
    """Rows {"id", "mr", "ref"}."""
    path = find(folder, *FILES[split])
    reading = collect(csv_records(path), to_row, path, missing="meaning representation or no reference")
    return replace(reading, notes=(*reading.notes, *open_end(path)))


def to_row(record: Record, number: str) -> Row | None:
    """One row; the hub's copies call the columns otherwise."""
    mr, ref = text_field(record, "mr", "meaning_representation"), text_field(record, "ref", "human_reference")
    return {"id": number, "mr": mr, "ref": ref} if mr.strip() and ref.strip() else None


def prompt(mr: str) -> str:
    """What training and evaluation put before the description."""
    return layout(
        "Generate a description from the meaning representation.",
        ("Meaning representation", mr),
        answer="Description",
    )


def to_examples(rows: Sequence[Row]) -> list[Example]:
    """One example per row, each with its own reference alone."""
    return [_example(row["id"], one_line(row["mr"]), (one_line(row["ref"]),)) for row in rows]


def to_evaluation(rows: Sequence[Row]) -> list[Example]:
    """One example per distinct meaning representation in order of first appearance, with all its references."""
    references: dict[str, list[str]] = {}
    for row in rows:
        references.setdefault(one_line(row["mr"]), []).append(one_line(row["ref"]))
    return [_example(str(number), mr, tuple(refs)) for number, (mr, refs) in enumerate(references.items())]


def _example(id: str, mr: str, references: tuple[str, ...]) -> Example:
    return Example(id=id, prompt=prompt(mr), target=references[0], references=references, group=mr)


TASK = Task(
    name="e2e_nlg",
    title="E2E NLG: meaning representation to description",
    version=1,
    files=FILES,
    read=read,
    builtin=generator("e2e_nlg"),
    to_examples=to_examples,
    to_evaluation=to_evaluation,
    evaluation_split="test",
    group="meaning representation",
    metrics=("bleu", "rouge", "meteor"),
    max_length=192,  # cuts 0.02 % of the training rows with a vocabulary of 4,096, none with Llama's 32,000
    max_new_tokens=96,  # longest reference of the test split: 110 and 98 tokens; above 96: 0.02 % with either
    official_counts={"train": 42_061, "validation": 4_672, "test": 4_693},
)
