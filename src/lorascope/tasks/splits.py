"""Which of a place's files hold which split, told by their names alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import PurePosixPath

from lorascope.errors import DataError
from lorascope.tasks.files import READERS, suffix

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "devel", "eval"),
    "test": ("test", "testing"),
}
"""Split -> the words for it in names of files and folders."""

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})(-[0-9a-f]+)?$")
_NUMBER = re.compile(r"\d{4}")


def by_split(
    names: Iterable[str], splits: Collection[str] | None = None, *, place: str = "it"
) -> dict[str, tuple[str, ...]]:
    """Split -> its files among `names` (paths with slashes), sorted; a split without files has no key.

    `splits`: those looked for, under the names that the place has for them; None is train, validation and test. A split
    is, in this order of trust, the name of a file before its shard number ("data/train-00000-of-00003.parquet",
    "val.csv"), the name of its folder ("default/test/0000.parquet"), or a word of its name ("samsum_train.csv"). Where
    the same split is there in several kinds of file, the first of READERS is taken, unless it is no more than a word of
    different names. DataError if several files or
    folders could be the split, as with a data set of several configurations; `place` is its name there.
    """
    data = [name for name in names if suffix(name) and not any(part.startswith(".") for part in name.split("/"))]
    found = {}
    for split in SPLITS if splits is None else splits:
        words = SPLITS.get(split, (split,))
        candidates = _first_group(data, words)
        if len(candidates) > 1:
            listed = sorted(candidates)
            raise DataError(
                "two-files",
                f"{place} has the split {split} {len(listed)} times: {', '.join(listed[:12])}"
                + (f" and {len(listed) - 12} more" if len(listed) > 12 else ""),
            )
        for files in candidates.values():
            found[split] = tuple(sorted(files))
    return found


def _first_group(data: Collection[str], words: tuple[str, ...]) -> dict[str, list[str]]:
    """{what tells the candidates apart: their files}, by the most trusted rule that finds any."""
    word = re.compile(rf"(?<![a-z0-9])({'|'.join(map(re.escape, words))})(?![a-z0-9])")
    rules: tuple[Callable[[PurePosixPath], str | None], ...] = (
        lambda path: str(path.parent) if stem(path.name) in words else None,
        lambda path: str(path.parent) if path.parent.name.lower() in words else None,
        lambda path: str(path.with_name(stem(path.name))) if word.search(stem(path.name)) else None,
    )
    for rule in rules:
        groups: dict[tuple[str, str], list[str]] = {}
        for name in data:
            if (group := rule(PurePosixPath(name))) is not None:
                groups.setdefault((group, suffix(name) or ""), []).append(name)
        if groups:
            order = list(READERS)
            kinds = {group: min((k for g, k in groups if g == group), key=order.index) for group, _ in groups}
            if rule is not rules[-1]:
                first = min(kinds.values(), key=order.index)
                kinds = {group: kind for group, kind in kinds.items() if kind == first}
            return {group: groups[group, kind] for group, kind in kinds.items()}
    return {}


def stem(name: str) -> str:
    """A file's name in small letters, without what its kind, packing and shard number add."""
    kind = suffix(name)
    bare = name.lower().removesuffix(".gz")
    return _SHARD.sub("", bare.removesuffix(kind) if kind else bare)


def whole(names: Collection[str]) -> bool:
    """Whether the shards of a split are all there, as far as their names tell: 3 of "-of-00003", or 0000, 0001, ..."""
    stems = [PurePosixPath(name).name.lower().removesuffix(".gz") for name in names]
    stems = [name.removesuffix(suffix(name) or "") for name in stems]
    shards = [match for name in stems if (match := _SHARD.search(name))]
    if shards:
        return len(shards) == int(shards[0][2])
    numbers = sorted(int(name) for name in stems if _NUMBER.fullmatch(name))
    return numbers == list(range(len(numbers)))
