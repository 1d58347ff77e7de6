"""BoolQ: is the answer to a question about a passage yes or no? Official files, JSON Lines.

A raw row of train.jsonl:

    {"question": "do iran and afghanistan speak the same language", "title": "Persian language", "answer": true,
     "passage": "Persian is one of the Western Iranian languages ..."}

Source: Clark et al. 2019, "BoolQ: Exploring the Surprising Difficulty of Natural Yes/No Questions", CC BY-SA 3.0;
arxiv.org/abs/1905.10044.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lorascope.tasks.base import Example, Reading, Row, Task
from lorascope.tasks.files import Record, collect, field, find, jsonl_records, text_field, wrong
from lorascope.tasks.prompts import bare, layout, one_line

FILES = {"train": ("train.jsonl",), "validation": ("dev.jsonl",)}
WORDS = {True: "yes", False: "no"}


def read(folder: Path, split: str) -> Reading:
    """Rows {"id", "question", "passage", "answer"}."""
    path = find(folder, *FILES[split])
    return collect(jsonl_records(path), to_row, path, missing="question or no passage")


def to_row(record: Record, number: str) -> Row | None:
    """One row; None leaves out one that cannot be used."""
    question, passage, answer = text_field(record, "question"), text_field(record, "passage"), field(record, "answer")
    if not isinstance(answer, bool):
        raise wrong(record, f"'answer' must be true or false, got {answer!r}")
    if not question.strip() or not passage.strip():
        return None
    return {"id": number, "question": question, "passage": passage, "answer": answer}


def prompt(question: str, passage: str) -> str:
    """What training and evaluation put before the answer."""
    return layout(
        "Answer the question with yes or no.",
        ("Passage", one_line(passage)),
        ("Question", one_line(question)),
        answer="Answer",
    )


def to_examples(rows: Sequence[Row]) -> list[Example]:
    """One example per row."""
    return [
        Example(
            id=row["id"],
            prompt=prompt(row["question"], row["passage"]),
            target=WORDS[row["answer"]],
            references=(WORDS[row["answer"]],),
            group=bare(row["passage"]),
        )
        for row in rows
    ]


TASK = Task(
    name="boolq",
    title="BoolQ: passage and question to yes or no",
    version=1,
    files=FILES,
    read=read,
    to_examples=to_examples,
    to_evaluation=to_examples,
    evaluation_split="validation",
    group="passage",
    metrics=("accuracy",),
    max_length=512,
    max_new_tokens=4,
    official_counts={"train": 9_427, "validation": 3_270},
    labels=("yes", "no"),
)
