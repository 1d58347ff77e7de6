"""The encoded rows of a run: a list, or an Arrow file that is mapped into memory and read row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lorascope.training.encoding import Encoded


class MappedRows(Sequence[Encoded]):
    """Rows of a `datasets.Dataset` with the columns of `columns_of`: nothing of it is in memory but what is asked for.

    A slice is such a sequence again.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    @overload
    def __getitem__(self, key: int) -> Encoded: ...

    @overload
    def __getitem__(self, key: slice) -> MappedRows: ...

    def __getitem__(self, key: int | slice) -> Encoded | MappedRows:
        if isinstance(key, slice):
            return MappedRows(self.dataset.select(range(*key.indices(len(self)))))
        row = self.dataset[key]
        ends = row["answers"]
        answers = tuple(zip(ends[::2], ends[1::2], strict=True))
        return Encoded(row["id"], row["input_ids"], answers, row["cut_tokens"])

    def __iter__(self) -> Iterator[Encoded]:
        return (self[i] for i in range(len(self)))

    def column(self, name: str) -> NDArray[np.int64]:
        """One number of every row: length, answer_tokens or cut_tokens."""
        return np.asarray(self.dataset.with_format("numpy", columns=[name])[:][name], dtype=np.int64)


def columns_of(rows: Sequence[Encoded]) -> dict[str, list[Any]]:
    """Rows as columns; `answers` are start, end, start, end, ..."""
    return {
        "id": [row.id for row in rows],
        "input_ids": [row.input_ids for row in rows],
        "answers": [[end for answer in row.answers for end in answer] for row in rows],
        "cut_tokens": [row.cut_tokens for row in rows],
        "length": [len(row.input_ids) for row in rows],
        "answer_tokens": [_answer_tokens(row) for row in rows],
    }


def lengths(rows: Sequence[Encoded]) -> list[int]:
    """Tokens of every row."""
    if isinstance(rows, MappedRows):
        return rows.column("length").tolist()
    return [len(row.input_ids) for row in rows]


def loss_tokens(rows: Sequence[Encoded], loss_on: str) -> list[int]:
    """Tokens of every row that carry the loss; the first one, which nothing predicts, is none of them."""
    if loss_on == "all":
        return [length - 1 for length in lengths(rows)]
    if isinstance(rows, MappedRows):
        return rows.column("answer_tokens").tolist()
    return [_answer_tokens(row) for row in rows]


def cut_tokens(rows: Sequence[Encoded]) -> list[int]:
    """Tokens of every row that were cut."""
    if isinstance(rows, MappedRows):
        return rows.column("cut_tokens").tolist()
    return [row.cut_tokens for row in rows]


def _answer_tokens(row: Encoded) -> int:
    return sum(end - start for start, end in row.answers)
