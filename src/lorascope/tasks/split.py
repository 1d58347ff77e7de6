"""What a run sees of a task: the rows drawn, validation rows kept back without leakage, the examples to evaluate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from lorascope.config.experiment import DataConfig
from lorascope.errors import DataError
from lorascope.tasks.base import Example, Row, Task
from lorascope.tasks.sources import Loaded, load_rows, rows_sha256

T = TypeVar("T")

EVALUATION_SEED = 0
"""Of the evaluation subset: it is the same in every run, so that scores of other seeds, and of other draws of training
rows, compare."""
_ROWS_AT_ONCE = 10_000
_DRAW, _SPLIT = 1, 2  # apart, so that the validation rows do not depend on how the draw used its random numbers


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The rows of a run."""

    train: list[Example]
    validation: list[Example]
    """For the validation loss; no group of these is in `train`."""
    groups: frozenset[int]
    """Hashes of the groups of the whole split that the rows were drawn from."""
    notes: tuple[str, ...]
    provenance: dict[str, Any]
    """JSON-ready: task, version, source, files, rows, sha256 of the split and of the drawn rows, seed."""

    def describe(self) -> str:
        """What was loaded, a line; then a line per note."""
        p = self.provenance
        there = p["rows"] - sum(p["dropped"].values())
        head = (
            f"  data      {p['task']}: {len(self.train):,} rows to train on, {len(self.validation):,} for validation; "
            f"{'all' if p['drawn'] == there else 'drawn from the'} {there:,} {_whence(p)}"
        )
        return "\n".join([head, *(f"  note      {note}" for note in self.notes)])


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """The examples to evaluate, in the split's official order."""

    examples: list[Example]
    split: str
    total: int
    """Examples of the whole split."""
    chosen: str
    """Why these ones, and why so many, in words."""
    notes: tuple[str, ...]
    provenance: dict[str, Any]
    """JSON-ready: task, version, source, files, rows, sha256 of the split, why this split, how many were asked for,
    overlap with the training rows."""

    def describe(self) -> str:
        """What was loaded, a line; then a line per note."""
        head = f"  evaluate  {self.count()} ({self.chosen})"
        return "\n".join([head, *(f"  note      {note}" for note in self.notes)])

    def count(self) -> str:
        """How many of which split, in words."""
        return f"{len(self.examples):,} of {self.total:,} {self.split} examples"


def load_training(task: Task, data: DataConfig) -> TrainingData:
    """Read the training split, draw `num_samples` of its rows, keep `validation_split` of them back by whole groups.

    With `drop_duplicates`, rows that repeat another's prompt and answer, and rows whose group is in the evaluated split
    too, leave the split before the draw; without, they are counted.
    """
    loaded = load_rows(task, data, "train")
    survey = _survey(task, loaded.rows)
    notes = list(loaded.notes)
    kept, groups = loaded.rows, survey.groups
    dropped = {"duplicates": 0, "in_evaluation": 0}
    if data.drop_duplicates:
        split_rows = load_rows(task, data, task.evaluation_split).rows
        evaluated = {hash(example.group) for example in task.to_evaluation(split_rows)}
        stay = [i for i in range(len(loaded.rows)) if i not in survey.repeats and groups[i] not in evaluated]
        kept, groups = [loaded.rows[i] for i in stay], [groups[i] for i in stay]
        leaks = len(loaded.rows) - len(survey.repeats) - len(stay)
        dropped = {"duplicates": len(survey.repeats), "in_evaluation": leaks}
        notes.append(
            f"{len(survey.repeats):,} rows that repeat another's prompt and answer are dropped, and {leaks:,} whose "
            f"{task.group} is in the {task.evaluation_split} split too; {len(stay):,} are left"
        )
    elif survey.repeats:
        notes.append(
            f"{len(survey.repeats):,} of the {len(loaded.rows):,} training rows repeat another's prompt and answer "
            "(--drop_duplicates drops them)"
        )
    rows = draw(kept, data.num_samples, data.data_seed)
    train, validation = split(task.to_examples(rows), data.validation_split, data.data_seed, group=task.group)
    if data.num_samples > len(rows):
        notes.append(f"num_samples asks for {data.num_samples:,} rows and there are {len(rows):,}: all are taken")
    return TrainingData(
        train=train,
        validation=validation,
        groups=frozenset(groups),
        notes=tuple(notes),
        provenance={
            **_provenance(task, loaded, "train"),
            "duplicates": len(survey.repeats),
            "dropped": dropped,
            "drawn": len(rows),
            "drawn_sha256": loaded.sha256 if len(rows) == len(loaded.rows) else rows_sha256(rows),
            "data_seed": data.data_seed,
            "train": len(train),
            "validation": len(validation),
        },
    )


def load_evaluation(
    task: Task, data: DataConfig, n: int, *, split: str | None = None, training: TrainingData | None = None
) -> EvaluationData:
    """The examples to evaluate: `n` of a split (0 is all; the task's evaluation split unless another is named).

    A subset is drawn with a fixed seed and kept in the official order; a larger `n` holds the smaller one's examples.
    With `training`, groups that the split shares with the training split are counted in `notes` and in `provenance`:
    `split_groups` over both whole splits, `groups` between the examples and rows in use.
    """
    split = split or task.evaluation_split
    loaded = load_rows(task, data, split)
    everything = task.to_evaluation(loaded.rows)
    _check_ids(everything, loaded)
    examples = draw(everything, n, EVALUATION_SEED)
    part = len(examples) < len(everything)
    notes = [*loaded.notes, *([task.metrics_note] if task.metrics_note else [])]
    if n > len(everything):
        notes.append(f"eval_samples asks for {n:,} examples and {split} has {len(everything):,}: all are taken")
    provenance = {
        **_provenance(task, loaded, split),
        "why_split": why_split(task, split),
        "eval_samples": n,
        "examples": len(examples),
        "total": len(everything),
    }
    if training is not None:
        overlap = _overlap(everything, examples, training)
        provenance["overlap"] = overlap
        if overlap["split_groups"]:
            notes.append(
                f"{overlap['split_groups']:,} {task.group}s of the {split} split are in the training split too, in "
                f"{overlap['split_examples']:,} of its {len(everything):,} examples; {overlap['examples']:,} of the "
                f"{len(examples):,} evaluated share theirs with rows in use (--drop_duplicates drops these rows)"
            )
    return EvaluationData(
        examples=examples,
        split=split,
        total=len(everything),
        chosen=f"eval_samples {n:,}, the same ones in every run: seed {EVALUATION_SEED}, official order"
        if part
        else "all of the split, in its order",
        notes=tuple(notes),
        provenance=provenance,
    )


def why_split(task: Task, split: str) -> str:
    """Why a split is the one that is evaluated, in words."""
    if split != task.evaluation_split:
        return "asked for"
    return "the task's test split" if split == "test" else "there is no test split with right answers"


def draw(items: Sequence[T], num: int, seed: int) -> list[T]:
    """`num` of the items without replacement, in their own order; 0, or more than there are, is all.

    A larger `num` with the same seed holds the smaller one's items.
    """
    if not 0 < num < len(items):
        return list(items)
    order = np.random.default_rng([_DRAW, seed]).permutation(len(items))
    return [items[i] for i in sorted(order[:num])]


def split(
    examples: Sequence[Example], share: float, seed: int, *, group: str = "group"
) -> tuple[list[Example], list[Example]]:
    """(train, validation) by whole groups, both in the examples' order.

    Validation gets as nearly round(share * n) rows as whole groups can; at least one is taken and one is left. Raises
    DataError where there are fewer than two (`group` is its word for one).
    """
    if len({example.group for example in examples}) < 2:
        there = f"all {len(examples)} rows share one {group}" if examples else "there is none"
        raise DataError(
            "too-few",
            f"training and validation need rows of at least two different {group}s, and {there}",
            "--num_samples 0   (all rows)",
        )
    held = hold_back([example.group for example in examples], round(share * len(examples)), [_SPLIT, seed])
    return [e for i, e in enumerate(examples) if i not in held], [examples[i] for i in sorted(held)]


def hold_back(groups: Sequence[str], wanted: int, seed: Sequence[int]) -> set[int]:
    """Positions of about `wanted` rows, given the group of each: whole groups, not none and not all.

    The groups are shuffled, and those taken that bring their rows as near to `wanted` as whole groups can. There must
    be two groups at least.
    """
    members: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    rows = list(members.values())
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    wanted = min(max(1, wanted), len(groups) - 1)
    return {i for chosen in nearest_sum([len(group) for group in shuffled], wanted) for i in shuffled[chosen]}


def nearest_sum(sizes: Sequence[int], wanted: int) -> list[int]:
    """Positions of some sizes, not none and not all, whose sum is the nearest to `wanted` that there is.

    sizes: at least two, positive. Of two sums that are as near, the smaller. The search reads sizes from the front
    until it meets `wanted`, so that of shuffled sizes it takes almost all that it read: a random choice. Time: sizes
    read times wanted / 64.
    """
    end = min(sum(sizes) - 1, wanted + max(sizes)) + 1  # the nearest sum is never farther than one size above
    sums, last = 1, dict[int, int]()  # bit s of sums: s can be met; last[s]: the position that met it first
    for position, size in enumerate(sizes):
        new = (sums << size) & ~sums & ((1 << end) - 1)
        sums |= new
        while new:
            lowest = new & -new
            last[lowest.bit_length() - 1] = position
            new ^= lowest
        if wanted in last:
            break
    rest = min(last, key=lambda total: (abs(total - wanted), total))
    chosen = []
    while rest:  # what is left was met before this position, so no position comes twice
        chosen.append(last[rest])
        rest -= sizes[last[rest]]
    return chosen


class _Survey(NamedTuple):
    """What there is to know about the rows of a whole split."""

    groups: list[int]
    """Hash of each row's group."""
    repeats: set[int]
    """Positions of rows whose prompt and answer an earlier row has too."""


def _survey(task: Task, rows: Sequence[Row]) -> _Survey:
    """Groups and repeats; a part of the rows at a time, so that memory holds numbers and not every prompt."""
    groups: list[int] = []
    seen: set[int] = set()
    repeats: set[int] = set()
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        for i, example in enumerate(task.to_examples(rows[start : start + _ROWS_AT_ONCE]), start):
            groups.append(hash(example.group))
            learnt = hash((example.prompt, example.target))
            if learnt in seen:
                repeats.add(i)
            seen.add(learnt)
    return _Survey(groups, repeats)


def _overlap(everything: Sequence[Example], examples: Sequence[Example], training: TrainingData) -> dict[str, int]:
    """Groups that training and evaluation share, and the examples that have them: of those in use, of both splits."""
    used = shared_groups(examples, (*training.train, *training.validation))
    whole = {example.group for example in everything if hash(example.group) in training.groups}
    return {
        "examples": sum(example.group in used for example in examples),
        "groups": len(used),
        "split_examples": sum(example.group in whole for example in everything),
        "split_groups": len(whole),
    }


def shared_groups(some: Iterable[Example], others: Iterable[Example]) -> set[str]:
    """Groups that both sides have examples of."""
    return {example.group for example in some} & {example.group for example in others}


def _check_ids(examples: Sequence[Example], loaded: Loaded) -> None:
    """Predictions are matched by id, so that an id must name one example."""
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise DataError(
                "same-id",
                f"{loaded.files[0] if loaded.files else loaded.source}: two rows have the id {example.id!r}",
                "give every row its own id",
            )
        seen.add(example.id)


def _whence(provenance: Mapping[str, Any]) -> str:
    if provenance["revision"] is not None:
        return f"in {provenance['source'].removeprefix('hub:')} on the hub, commit {provenance['revision'][:12]}"
    return f"in {', '.join(provenance['files'])}" if provenance["files"] else f"({provenance['source']})"


def _name(file: Path, loaded: Loaded) -> str:
    """A file's name; on the hub with its folders, since all splits' files may be called 0000.parquet."""
    parts = file.parts
    return "/".join(parts[parts.index(loaded.revision) + 1 :]) if loaded.revision in parts else file.name


def _provenance(task: Task, loaded: Loaded, split: str) -> dict[str, Any]:
    return {
        "task": task.name,
        "task_version": task.version,
        "source": loaded.source,
        "revision": loaded.revision,
        "split": split,
        "files": [_name(file, loaded) for file in loaded.files],
        "rows": len(loaded.rows),
        "official_rows": loaded.official_rows,
        "left_out": loaded.left_out,
        "sha256": loaded.sha256,
    }
