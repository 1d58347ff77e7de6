"""Generated rows for machines without network. One file per task, each with `SIZES` and `rows(split)`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from lorascope.tasks.base import Row


def generator(name: str) -> Callable[[str], list[Row]]:
    """`rows` of the module `name` in this folder, which is imported when it is first called."""

    def rows(split: str) -> list[Row]:
        made: list[Row] = import_module(f"{__name__}.{name}").rows(split)
        return made

    return rows
