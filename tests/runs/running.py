"""What the tests of whole runs share: a tiny model, tiny official files, the command line called in this process."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from lorascope import cli
from lorascope.tasks.builtin import e2e_nlg
from toy import save_toy

GOLDEN = Path(__file__).parents[1] / "golden"
TASKS = ("e2e_nlg", "samsum", "wikisql", "multi_nli")
SMALL = shlex.split(
    "--target both --r 2 --lora_alpha 4 --batch_size 2 --grad_accum 2 --max_steps 4 --warmup_steps 1 --lr 1e-2 "
    "--max_length 400 --eval_samples 4 --max_new_tokens 8"
)
"""Flags of a run of a second or two; dropout stays on, so that the random state counts."""


@dataclass
class Typed:
    """What came back from the command line."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The lines of the error message, from "error[" on."""
        return self.err[self.err.find("error[") :] if "error[" in self.err else ""

    @property
    def tries(self) -> list[str]:
        """The commands and flags that the error offers, without the remarks behind them."""
        lines = [line.strip() for line in self.error.splitlines()[1:]]
        return [re.split(r"  +\(", line.removeprefix("try: "))[0] for line in lines if line.startswith("try: ")]


def lorascope(*words: object) -> Typed:
    """Call the command line in this process; a single text is split as a shell would."""
    given = shlex.split(words[0]) if len(words) == 1 and isinstance(words[0], str) else [str(word) for word in words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(given)
    return Typed(code, out.getvalue(), err.getvalue())


def printed(command: str) -> Typed:
    """Run a command as it was printed."""
    words = shlex.split(command)
    assert words[0] == "lorascope"
    return lorascope(*words[1:])


def make_home(folder: Path) -> Path:
    """folder/base, a checkpoint; folder/data/{task}, official files of a few dozen rows."""
    save_toy(folder / "base")
    for task in TASKS:
        (folder / "data" / task).mkdir(parents=True)
    for name, split, count in (("trainset", "train", 8), ("devset", "validation", 2), ("testset_w_refs", "test", 5)):
        with (folder / "data" / "e2e_nlg" / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("mr", "ref"))
            for values, references in e2e_nlg.restaurants(split)[:count]:
                writer.writerows((e2e_nlg.write_meaning(values), text) for text in references[:3])
    names = ("Ann", "Bob", "Cid", "Dan", "Eve", "Fay")
    dialogues = [
        {"id": str(i), "dialogue": f"{a}: tea at {i}?\r\n{b}: fine", "summary": f"{a} and {b} have tea at {i}."}
        for i, (a, b) in enumerate((a, b) for a in names for b in names if a != b)
    ]
    for name, part in (("train", dialogues[:16]), ("val", dialogues[16:18]), ("test", dialogues[18:24])):
        (folder / "data" / "samsum" / f"{name}.json").write_text(json.dumps(part))
    tables = [
        {"id": f"t{i}", "header": ["name", "area"], "types": ["text", "real"], "rows": [["Rome", 1.5], ["Oslo", i]]}
        for i in range(8)
    ]
    questions = [
        {"phase": 1, "table_id": f"t{i % 8}", "question": f"Area of {name}?",
         "sql": {"sel": 1, "agg": 0, "conds": [[0, 0, name]]}}
        for i in range(8) for name in ("Rome", "Oslo")
    ]  # fmt: skip
    for name in ("train", "dev", "test"):
        _lines(folder / "data" / "wikisql" / f"{name}.tables.jsonl", tables)
        _lines(folder / "data" / "wikisql" / f"{name}.jsonl", questions)
    pairs = [
        {"gold_label": label, "sentence1": f"{name} has {i} cups.", "sentence2": "There is tea.", "pairID": f"{i}"}
        for i, name in enumerate(names) for label in ("entailment", "neutral", "contradiction")
    ]  # fmt: skip
    for name in ("train", "dev_matched", "dev_mismatched"):
        _lines(folder / "data" / "multi_nli" / f"multinli_1.0_{name}.jsonl", pairs)
    return folder


def _lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def flags(home: Path, task: str = "e2e_nlg") -> list[str]:
    """A small run of a task."""
    return ["--model", f"{home}/base", "--data_dir", f"{home}/data/{task}", "--dataset", task, *SMALL]


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """(modification time, digest) of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def golden(name: str, text: str) -> None:
    """Compare with a file in tests/golden; LORASCOPE_GOLDEN=write writes it instead."""
    path = GOLDEN / name
    if os.environ.get("LORASCOPE_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: LORASCOPE_GOLDEN=write pytest tests/runs writes it anew"


def read(path: Path) -> object:
    """JSON of a file."""
    return json.loads(path.read_text())
