"""SAMSum: a summary of a messenger dialogue. Official files and splits, JSON lists.

A raw row of test.json:

    {"id": "13862856",
     "summary": "Hannah needs Betty's number but Amanda doesn't have it. She needs to contact Larry.",
     "dialogue": "Hannah: Hey, do you have Betty's number?\\r\\nAmanda: Lemme check\\r\\n..."}

The corpus repeats 42 training dialogues in test and 47 in validation, with other summaries; one published training row
has an empty dialogue and is left out.

Source: Gliwa, Mochol, Biesek, Wawer 2019, "SAMSum Corpus: A Human-annotated Dialogue Dataset for Abstractive
Summarization", CC BY-NC-ND 4.0; arxiv.org/abs/1911.12237. On the hub: knkarthick/samsum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lorascope.tasks.base import Example, HubSource, Reading, Row, Task
from lorascope.tasks.builtin import generator
from lorascope.tasks.files import Record, collect, find, json_list_records, text_field
from lorascope.tasks.prompts import bare, layout, lines, one_line

FILES = {"train": ("train.json",), "validation": ("val.json",), "test": ("test.json",)}


def read(folder: Path, split: str) -> Reading:
    """Rows {"id", "dialogue", "summary"}."""
    path = find(folder, *FILES[split])
    return read_hub(json_list_records(path), (path,))


def read_hub(records: Iterable[Record], files: tuple[Path, ...]) -> Reading:
    """The same from the hub's records, whose columns have the same names."""
    return collect(records, to_row, *files, missing="dialogue or no summary")


def to_row(record: Record, number: str) -> Row | None:
    """One row, under the file's own id. Copies have null for the empty dialogue."""
    if any(record.fields.get(name, "") is None for name in ("dialogue", "summary")):
        return None
    id, dialogue, summary = (text_field(record, name) for name in ("id", "dialogue", "summary"))
    return {"id": id, "dialogue": dialogue, "summary": summary} if dialogue.strip() and summary.strip() else None


def prompt(dialogue: str) -> str:
    """What training and evaluation put before the summary."""
    return layout("Summarize the dialogue.", ("Dialogue", lines(dialogue)), answer="Summary")


def to_examples(rows: Sequence[Row]) -> list[Example]:
    """One example per row."""
    return [
        Example(
            id=row["id"],
            prompt=prompt(row["dialogue"]),
            target=(summary := one_line(row["summary"])),
            references=(summary,),
            group=bare(row["dialogue"]),
        )
        for row in rows
    ]


TASK = Task(
    name="samsum",
    title="SAMSum: dialogue to summary",
    version=1,
    files=FILES,
    read=read,
    builtin=generator("samsum"),
    hub=HubSource(repo="knkarthick/samsum", splits={split: split for split in FILES}, read=read_hub),
    to_examples=to_examples,
    to_evaluation=to_examples,
    evaluation_split="test",
    group="dialogue",
    metrics=("rouge", "bleu", "meteor"),
    max_length=768,  # cuts 0.8 % of the training rows with a vocabulary of 4,096, 0.3 % with Llama's 32,000
    max_new_tokens=128,  # no summary is longer: at most 124 and 101 tokens
    official_counts={"train": 14_732, "validation": 818, "test": 819},
)
