"""The four tasks' official files, tiny: what each writer returns is what a right reader must find."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

E2E = {
    "train": [
        ("name[Blue Spice], eatType[pub]", "Blue Spice is a pub."),
        ("name[Zizzi], eatType[pub]", 'A pub, called "Zizzi".'),
        ("name[Blue Spice], eatType[pub]", "There is a pub:\r\n  Blue Spice."),
        ("name[Café], priceRange[more than £30]", " Dear café. "),
    ],
    "validation": [("name[Alimentum], area[city centre]", "Alimentum is central.")],
    "test": [
        ("name[Giraffe], food[Indian]", "Giraffe cooks Indian food."),
        ("name[Wildwood], food[French]", "Wildwood is French."),
        ("name[Giraffe], food[Indian]", "Indian food at Giraffe."),
    ],
}

SAMSUM = {
    "train": [
        {"id": "t1", "summary": "Ann has cake.", "dialogue": "Ann: cake?\r\nBob: yes!"},
        {"id": "t2", "summary": " Cid is late. ", "dialogue": "Cid: late\nDan: ok 🙂"},
        {"id": "t3", "summary": "Ann asks for cake.", "dialogue": "Ann: cake?\nBob:  yes"},
    ],
    "validation": [{"id": "v1", "summary": "Eve waves.", "dialogue": "Eve: hi"}],
    "test": [
        {"id": "x1", "summary": "Ann offers cake.", "dialogue": "Ann: Cake?\nBob: yes!"},
        {"id": "x2", "summary": "Fay leaves.", "dialogue": "Fay: bye\r\n"},
    ],
}

TABLES = [
    {"id": "1-1", "header": ["name", "area", "country"], "types": ["text", "real", "text"],
     "rows": [["Paris", 105.4, "France"]]},
    {"id": "2-7", "header": ["Player  No.", "Year"], "types": ["real", "real"], "rows": [[7, 1995], [8, 1996]]},
]  # fmt: skip
QUESTIONS = [
    {"phase": 1, "table_id": "1-1", "question": "What is the area of France?",
     "sql": {"sel": 1, "conds": [[2, 0, "France"]], "agg": 0}},
    {"phase": 2, "table_id": "2-7", "question": " How many\nplayers? ", "sql": {"sel": 0, "conds": [], "agg": 3}},
    {"phase": 2, "table_id": "2-7", "question": "Best late number?",
     "sql": {"sel": 0, "conds": [[1, 1, 1995], [0, 2, 8.5]], "agg": 1}},
]  # fmt: skip

NLI = [
    {"gold_label": "entailment", "sentence1": "A dog runs.", "sentence2": "An animal moves. ", "pairID": "1e"},
    {"gold_label": "-", "sentence1": "It rains.", "sentence2": "It pours.", "pairID": "2-"},
    {"gold_label": "neutral", "sentence1": "A dog runs.", "sentence2": "A dog is brown.", "pairID": "1n"},
    {"gold_label": "contradiction", "sentence1": "She sings.", "sentence2": "She is silent.", "pairID": "3c"},
]  # fmt: skip


def write_csv(
    path: Path, rows: list[tuple[str, str]], header: tuple[str, str] = ("mr", "ref"), end: str = "\r\n"
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator=end).writerows([header, *rows])


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_list(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n", encoding="utf-8")


def others(notes: tuple[str, ...]) -> tuple[str, ...]:
    """The notes but the one that all of these small files get: fewer rows than officially."""
    return tuple(note for note in notes if " of the official " not in note)


def write_all(folder: Path) -> Path:
    """folder/{task}/{official file} for the four tasks."""
    for task in ("e2e_nlg", "samsum", "wikisql", "multi_nli"):
        (folder / task).mkdir(parents=True)
    for split, name in {"train": "trainset", "validation": "devset", "test": "testset_w_refs"}.items():
        write_csv(folder / "e2e_nlg" / f"{name}.csv", E2E[split], end="\n" if split == "test" else "\r\n")
    for split, name in {"train": "train", "validation": "val", "test": "test"}.items():
        write_list(folder / "samsum" / f"{name}.json", SAMSUM[split])
    for name in ("train", "dev", "test"):
        write_jsonl(folder / "wikisql" / f"{name}.jsonl", QUESTIONS)
        write_jsonl(folder / "wikisql" / f"{name}.tables.jsonl", TABLES)
    for name in ("train", "dev_matched", "dev_mismatched"):
        write_jsonl(folder / "multi_nli" / f"multinli_1.0_{name}.jsonl", NLI)
    return folder
