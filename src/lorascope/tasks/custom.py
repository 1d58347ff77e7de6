"""Data of one's own as a task: a file, a folder with files for its splits, or any data set on the hub.

What the four tasks state, such as metrics and lengths, is read off the rows here, by rules that a note repeats.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from lorascope.config.experiment import DataConfig
from lorascope.errors import DataError, UnknownName, near
from lorascope.tasks.base import Example, Message, Origin, Reading, Row, Task
from lorascope.tasks.columns import Columns, recognise, to_row
from lorascope.tasks.files import READERS, Record, collect, open_end, records, suffix
from lorascope.tasks.split import EVALUATION_SEED, hold_back
from lorascope.tasks.splits import SPLITS, by_split, stem, whole

Files = Mapping[str, tuple[Path, ...]]
"""Split -> its files."""

WHOLE = "all"
"""Split of a file that has to give training and test rows both: every row of it."""

TEST_SHARE, MOST_TEST_ROWS = 0.1, 1000
FEW_TEST_ROWS, SHARE_OF_FEW = 20, 0.2
"""Held out of training rows that have no others beside them: a tenth, at most 1,000; of a small file up to twenty rows,
though not more than a fifth: an interval over two examples says nothing."""

MOST_LABELS = 100
MAX_LENGTH, MAX_NEW_TOKENS = 512, 128
_HELD_OUT = 3  # keeps this choice of rows apart from the other random ones


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What can be said of a data set before it is read."""

    title: str
    evaluation_split: str | None
    """None where it is not known yet."""
    first: Example | None = None
    """The first training example, where reading one is quick."""


# ---- where it is ----------------------------------------------------------------------------------------------------


def locate(dataset: str, known: Iterable[str]) -> Path | None:
    """The file or folder that a name means; None where it can only be a data set on the hub, OWNER/NAME.

    Raises an error with the near miss among `known` (the tasks) and among the files beside it.
    """
    path = Path(dataset).expanduser()
    if path.exists():
        return path
    beside = path.parent.is_dir()
    shaped = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", dataset) and suffix(path.name) is None
    if shaped and not beside:
        return None
    entries = sorted(entry.name for entry in path.parent.iterdir()) if beside else []
    file = near(path.name, [name for name in entries if suffix(name) or (path.parent / name).is_dir()])
    named = [f"did you mean: {path.parent / file}"] if file else []
    kinds = f"a file ({', '.join(READERS)}), a folder with a train file, or a hub id OWNER/NAME"
    if "/" in dataset or "." in dataset:
        raise DataError("no-file", f"there is no {dataset}; data of your own is {kinds}", *named, "--dataset FILE")
    known = sorted(known)
    task = near(dataset, known)
    raise UnknownName(
        "unknown-task",
        f"no task {dataset!r}; known: {', '.join(known)}; nor is it {kinds}",
        *([f"did you mean: {task}"] if task else []),
        *named,
    )


def files_of(path: Path) -> dict[str, tuple[Path, ...]]:
    """The files of a folder by split, or the one file under "all". DataError where there is nothing to train on."""
    if path.is_file():
        if suffix(path.name) is None:
            raise DataError(
                "bad-file", f"{path} is none of {', '.join(READERS)} (.gz behind it is fine)", "--dataset FILE"
            )
        return {WHOLE: (path,)}
    for depth in ("*", "*/*"):
        data = sorted(file.relative_to(path).as_posix() for file in path.glob(depth) if suffix(file.name))
        found = _by_split(path, data)
        if "train" in found:
            return {split: tuple(path / name for name in names) for split, names in found.items()}
    held = sorted(entry.name for entry in path.iterdir())
    shown = ", ".join(held[:12]) + (f" and {len(held) - 12} more" if len(held) > 12 else "")
    single = [path / name for name in held if suffix(name)]
    raise DataError(
        "no-file",
        f"{path} has no training file, as train.jsonl would be; it holds: {shown or 'nothing'}",
        *([f"--dataset {single[0]}"] if len(single) == 1 else []),
        "lorascope ls tasks   (a task's own official files are read with --data_dir)",
    )


def _by_split(folder: Path, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Split -> its files; DataError where several could be one split, or where a part of one is missing."""
    found: dict[str, tuple[str, ...]] = {}
    for kind in dict.fromkeys(suffix(name) for name in names):
        for split, files in by_split([name for name in names if suffix(name) == kind], place=str(folder)).items():
            also = found.get(split, ())[:1]
            called = {stem(Path(name).name) for name in files} & set(SPLITS[split])
            packed = len({name.removesuffix(".gz") for name in files}) < len(files)
            if also or len(called) > 1 or packed:
                listed = ", ".join((*also, *files[:4]))
                raise DataError("two-files", f"{folder}: which is the split {split}? {listed}", "keep one of them")
            if not whole(files):
                raise DataError("no-file", f"{folder}: some parts of {files[0]} are missing", "fetch the rest of them")
            found[split] = files
    return found


# ---- the task -------------------------------------------------------------------------------------------------------


def own_task(files: Files, data: DataConfig, *, name: str, origin: Origin, notes: Sequence[str] = ()) -> Task:
    """The task of one's own rows. The training rows are read and kept, other splits read when they are asked for.

    `name` is what a title calls the data, `notes` come before those of the training rows. DataError for whatever is
    wrong with a file or a row, ConfigError for columns that do not exist.
    """
    parts = _parts(files, name)
    columns = recognise(_first(parts["train"], name), data)
    if WHOLE in parts:
        everything = _read(parts[WHOLE], columns)
        readings = {WHOLE: everything, **_held_out(everything, columns, name)}
    else:
        readings = {"train": _read(parts["train"], columns)}
    evaluation_split = "test" if "test" in parts else "validation"
    facts = _facts(readings["train"].rows, columns)
    about = [*notes, f"{name}: {columns.words}", *facts.notes]
    readings["train"] = replace(readings["train"], notes=(*about, *readings["train"].notes))

    def read(folder: Path, split: str) -> Reading:
        return readings[split] if split in readings else _read(parts[split], columns)

    return Task(
        name=data.task_name,
        title=f"{name}: {columns.words}",
        version=1,
        files={split: tuple(file.name for file in paths) for split, paths in parts.items()},
        read=read,
        to_examples=lambda rows: [to_example(row, columns) for row in rows],
        to_evaluation=lambda rows: [to_example(row, columns) for row in rows],
        evaluation_split=evaluation_split,
        group={"pair": "prompt", "chat": "opening", "text": "text"}[columns.kind],
        metrics=facts.metrics,
        metrics_note=facts.metrics_note,
        max_length=MAX_LENGTH,
        max_new_tokens=facts.max_new_tokens,
        official_counts={},
        labels=facts.labels,
        stop=facts.stop,
        origin=origin,
    )


def glance(files: Files, data: DataConfig, *, name: str) -> Glance:
    """What `own_task` will make of the files, from the first record alone."""
    parts = _parts(files, name)
    first = _first(parts["train"], name)
    columns = recognise(first, data)
    row = to_row(first, columns, "0")
    return Glance(
        title=f"{name}: {columns.words}",
        evaluation_split="test" if "test" in parts else "validation",
        first=to_example(row, columns) if row else None,
    )


def to_example(row: Row, columns: Columns) -> Example:
    """One row as an example. A prompt that does not end in white space gets a line end.

    Prompt and answer are encoded apart, so that something must part them. Rows of one group: the same prompt, but for
    case and white space; of chats the same opening (up to the user's first turn), since a chat is often cut into
    several rows, each with one turn more.
    """
    if columns.kind == "text":
        return Example(
            id=row["id"], prompt="", target=row["text"], references=(row["text"],), group=_plain(row["text"])
        )
    if columns.kind == "chat":
        turns = tuple(Message(turn["role"], turn["content"]) for turn in row["messages"])
        asked = next((i for i, turn in enumerate(turns) if turn.role == "user"), len(turns) - 2)
        target = turns[-1].content
        return Example(
            id=row["id"],
            prompt=_in_words(turns[:-1]) + f"{turns[-1].role}:\n",
            target=target,
            references=(target,),
            group=_plain(_in_words(turns[: asked + 1])),
            messages=turns,
        )
    prompt: str = row["prompt"]
    return Example(
        id=row["id"],
        prompt=prompt if prompt[-1].isspace() else f"{prompt}\n",
        target=row["target"],
        references=tuple(row["references"]),
        group=_plain(prompt),
    )


def _in_words(turns: Iterable[Message]) -> str:
    return "".join(f"{turn.role}: {turn.content}\n" for turn in turns)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


# ---- reading --------------------------------------------------------------------------------------------------------


def _parts(files: Files, name: str) -> Files:
    """Split -> files, of every split that there will be: training files alone have to give the test rows too."""
    if WHOLE not in files and "train" not in files:
        raise DataError("no-split", f"{name} has no training split; it has: {', '.join(files) or 'no files'}",
                        "--dataset FILE   (a single file is divided into training and test rows)")  # fmt: skip
    if WHOLE in files or set(files) == {"train"}:
        return dict.fromkeys(("train", "test", WHOLE), next(iter(files.values())))
    return files


def _first(files: Sequence[Path], name: str) -> Record:
    first = next(records(files[0]), None)
    if first is None:
        raise DataError("no-rows", f"{files[0]}: no rows", f"put rows into {name}")
    return first


def _read(files: Sequence[Path], columns: Columns) -> Reading:
    """All rows of some files, each under an id that no other has."""
    go_on = 0

    def row_of(record: Record, number: str) -> Row | None:
        nonlocal go_on
        row = to_row(record, columns, number)
        if row is None or columns.kind != "chat":
            return row
        go_on += bool(row["more"])
        return {"id": row["id"], "messages": row["messages"]}

    reading = collect(chain.from_iterable(map(records, files)), row_of, *files, missing=columns.missing)
    notes = [*reading.notes, *chain.from_iterable(open_end(f) for f in files if suffix(f.name) in (".csv", ".tsv"))]
    if go_on:
        notes.append(f"{go_on:,} chats go on after the assistant's last turn; what follows it is not used")
    rows, numbered = _numbered(reading.rows)
    if numbered:
        notes.append("two rows have the same id: the rows' numbers are taken instead")
    return replace(reading, rows=rows, notes=tuple(notes))


def _numbered(rows: list[Row]) -> tuple[list[Row], bool]:
    """The rows, under their numbers if their own ids are not distinct; and whether that was so."""
    if len({row["id"] for row in rows}) == len(rows):
        return rows, False
    return [{**row, "id": str(number)} for number, row in enumerate(rows)], True


def _held_out(whole: Reading, columns: Columns, name: str) -> dict[str, Reading]:
    """Training and test rows of a file that has both; no group is on both sides, and every run holds out the same."""
    groups = [to_example(row, columns).group for row in whole.rows]
    if len(set(groups)) < 2:
        raise DataError(
            "too-few",
            f"{name}: training and test need rows with two different prompts, and all {len(groups)} share one",
            "a folder with train and test files",
        )
    held = hold_back(groups, _test_rows(len(groups)), [_HELD_OUT, EVALUATION_SEED])
    note = (
        f"{name} has no test rows of its own: {len(held):,} of its {len(groups):,} rows are held out as the test "
        "split, the same ones in every run"
    )
    train = [row for i, row in enumerate(whole.rows) if i not in held]
    test = [row for i, row in enumerate(whole.rows) if i in held]
    return {
        "train": replace(whole, rows=train, notes=(*whole.notes, note)),
        "test": replace(whole, rows=test, left_out=0, notes=()),
    }


def _test_rows(n: int) -> int:
    return min(MOST_TEST_ROWS, round(max(TEST_SHARE * n, min(FEW_TEST_ROWS, SHARE_OF_FEW * n))))


# ---- what the rows tell ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Facts:
    metrics: tuple[str, ...]
    metrics_note: str
    labels: tuple[str, ...] = ()
    stop: str | None
    max_new_tokens: int = MAX_NEW_TOKENS
    notes: tuple[str, ...] = ()


def _facts(rows: Sequence[Row], columns: Columns) -> _Facts:
    """Metrics, labels and where an answer ends, from the training rows."""
    if columns.kind == "text":
        return _Facts(metrics=(), metrics_note="evaluated by the loss alone: plain text has no answers", stop=None)
    targets = [_target(row) for row in rows]
    counts = Counter(target.strip() for target in targets)
    words = median(len(target.split()) for target in targets)
    if len(counts) <= 20 and len(targets) >= 5 * len(counts):
        metric, why = "accuracy", f"{len(targets):,} training rows have {len(counts)} different answers"
    elif words <= 5:
        metric, why = "exact_match", f"answers are short (median length in words: {words:g})"
    else:
        metric, why = "rouge", f"answers are long (median length in words: {words:g})"
    longest = max(len(target.encode()) for target in targets)
    cut = (
        f"the longest answer has {longest:,} bytes: the {MAX_NEW_TOKENS} tokens that are generated unless "
        "--max_new_tokens says otherwise may not hold it"
    )
    return _Facts(
        metrics=(metric, "accuracy_likelihood") if metric == "accuracy" else (metric,),
        metrics_note=f"evaluated by {metric}: {why} (--metrics takes others)",
        labels=tuple(sorted(counts)) if len(counts) <= MOST_LABELS else (),
        stop=None if any("\n" in target.strip() for target in targets) else "\n",
        # No tokenizer makes more tokens than bytes; one may be a blank in front, one is the end of sequence.
        max_new_tokens=min(MAX_NEW_TOKENS, longest + 2),
        notes=(cut,) if longest > 4 * MAX_NEW_TOKENS else (),
    )


def _target(row: Mapping[str, Any]) -> str:
    target: str = row["messages"][-1]["content"] if "messages" in row else row["target"]
    return target
