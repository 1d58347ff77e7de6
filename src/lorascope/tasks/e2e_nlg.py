"""E2E NLG: a sentence or two from a restaurant's attributes. Official files and splits, CSV.

A raw row of trainset.csv:

    mr   name[Blue Spice], eatType[coffee shop], area[city centre]
    ref  A coffee shop in the city centre area called Blue Spice.

Several rows share a meaning representation. In evaluation each distinct one is asked once, in order of first
appearance, with all its references, as the official metrics do.

Source: Novikova, Dusek, Rieser 2017, "The E2E Dataset: New Challenges for End-to-End Generation", CC BY-SA 4.0;
github.com/tuetschek/e2e-dataset. On the hub: tuetschek/e2e_nlg.

`CLEANED` is another data set: meaning representations corrected to what the references say (Dusek, Howcroft, Rieser
2019, "Semantic Noise Matters for Neural Natural Language Generation"; github.com/tuetschek/e2e-cleaning), on the hub as
GEM/e2e_nlg. Scores on the two do not compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from lorascope.tasks.base import Example, HubSource, Reading, Row, Task
from lorascope.tasks.builtin import generator
from lorascope.tasks.files import Record, collect, csv_records, field, find, open_end, text_field, wrong
from lorascope.tasks.prompts import layout, one_line

FILES = {"train": ("trainset.csv",), "validation": ("devset.csv",), "test": ("testset_w_refs.csv",)}
CLEANED_FILES = {
    "train": ("train-fixed.no-ol.csv",),
    "validation": ("devel-fixed.no-ol.csv",),
    "test": ("test-fixed.csv",),
}
_SPLITS = {split: split for split in FILES}
_MISSING = "meaning representation or no reference"


def read(folder: Path, split: str) -> Reading:
    """Rows {"id", "mr", "ref"}."""
    path = find(folder, *FILES[split])
    reading = collect(csv_records(path), to_row, path, missing=_MISSING)
    return replace(reading, notes=(*reading.notes, *open_end(path)))


def to_row(record: Record, number: str) -> Row | None:
    """One row; the hub's copies call the columns otherwise."""
    mr, ref = text_field(record, "mr", "meaning_representation"), text_field(record, "ref", "human_reference")
    return {"id": number, "mr": mr, "ref": ref} if mr.strip() and ref.strip() else None


def read_hub(records: Iterable[Record], files: tuple[Path, ...]) -> Reading:
    """The rows of `read` from records of the hub's columns."""
    return collect(records, to_row, *files, missing=_MISSING)


def read_cleaned(folder: Path, split: str) -> Reading:
    """Rows of the cleaned files, whose further columns (the old meaning representation) are not read."""
    path = find(folder, *CLEANED_FILES[split])
    reading = collect(csv_records(path), to_row, path, missing=_MISSING)
    return replace(reading, notes=(*reading.notes, *open_end(path)))


def read_cleaned_hub(records: Iterable[Record], files: tuple[Path, ...]) -> Reading:
    """GEM has one record per meaning representation in validation and test, with a list of references: a row each."""
    return collect(chain.from_iterable(map(_apart, records)), to_row, *files, missing=_MISSING)


def _apart(record: Record) -> Iterator[Record]:
    references = field(record, "references")
    if not isinstance(references, list):
        raise wrong(record, f"'references' must be a list, got {references!r:.80}")
    for text in references or [field(record, "target")]:
        yield Record(record.where, {"mr": field(record, "meaning_representation"), "ref": text})


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
    hub=HubSource(repo="tuetschek/e2e_nlg", splits=_SPLITS, read=read_hub),
    to_examples=to_examples,
    to_evaluation=to_evaluation,
    evaluation_split="test",
    group="meaning representation",
    metrics=("bleu_e2e", "nist_e2e", "meteor", "rouge_l_coco", "cider", "bleu", "rouge"),
    max_length=192,  # cuts 0.02 % of the training rows with a vocabulary of 4,096, none with Llama's 32,000
    max_new_tokens=96,  # longest reference of the test split: 110 and 98 tokens; above 96: 0.02 % with either
    official_counts={"train": 42_061, "validation": 4_672, "test": 4_693},
)

CLEANED = replace(
    TASK,
    name="GEM_e2e_nlg",
    title="E2E NLG, cleaned: meaning representation to description",
    files=CLEANED_FILES,
    read=read_cleaned,
    builtin=None,
    hub=HubSource(repo="GEM/e2e_nlg", splits=_SPLITS, read=read_cleaned_hub),
    official_counts={"train": 33_525, "validation": 4_299, "test": 4_693},
)
