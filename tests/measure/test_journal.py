"""The journal: what was appended is there, whatever happened to the process."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from lorascope.errors import RunError
from lorascope.measure import journal

HEADER = {"columns": [["a", None, float("nan")], ["b", 1, 2.0]], "more": 1}


def rows_of(path: Path) -> list[list[float]]:
    return journal.read(path)[1].tolist()


def test_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.journal"
    out = journal.create(path, HEADER)
    out.append(1, np.array([1 / 3, float("-inf")]))
    out.append(2, np.array([1e-308, 5.0]))
    assert rows_of(path) == [[1, 1 / 3, float("-inf")], [2, 1e-308, 5.0]]  # without closing: a killed process does not
    out.close()
    out.close()
    assert journal.read(path)[0]["more"] == 1


@pytest.mark.parametrize("lost", range(1, 24))
def test_a_torn_last_row_is_left_out_and_written_again(lost: int, tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    out = journal.create(path, HEADER)
    for step in (1, 2, 3):
        out.append(step, np.array([step, step * 2.0]))
    out.close()
    path.write_bytes(path.read_bytes()[:-lost])
    assert rows_of(path) == [[1, 1, 2], [2, 2, 4]]
    out, kept = journal.resume(path, HEADER, lambda step: step <= 2)
    assert kept.tolist() == [[1, 1, 2], [2, 2, 4]]
    out.append(3, np.array([3.0, 6.0]))
    out.close()
    assert rows_of(path) == [[1, 1, 2], [2, 2, 4], [3, 3, 6]]


def test_resuming_drops_the_rows_behind_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    out = journal.create(path, HEADER)
    for step in range(1, 8):
        out.append(step, np.zeros(2))
    out.close()
    out, kept = journal.resume(path, HEADER, lambda step: step <= 4)
    out.close()
    assert kept[:, 0].tolist() == [1, 2, 3, 4]
    assert [row[0] for row in rows_of(path)] == [1, 2, 3, 4]


def test_a_journal_of_other_columns_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal.create(path, HEADER).close()
    before = path.read_bytes()
    with pytest.raises(RunError, match="other adapters"):
        journal.resume(path, {"columns": HEADER["columns"][:1]}, lambda step: True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"not json\n", b"[1]\n", b'{"no columns": 1}\n', b"\xff\xfe\n"])
def test_a_damaged_header_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"damaged-run.*x\.journal"):
        journal.read(path)
    with pytest.raises(RunError, match="no-file"):
        journal.read(tmp_path / "other")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="not-writable"):
        journal.create(tmp_path / "file" / "x.journal", HEADER)


def test_a_forgotten_journal_closes_its_file(tmp_path: Path) -> None:
    out = journal.create(tmp_path / "x.journal", HEADER)
    close = out._close
    del out
    gc.collect()
    assert not close.alive
