"""Parquet as people have it: every damage is the right rows or one error that names file and row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import official
import official_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hub
from lorascope.errors import DataError
from lorascope.tasks import TASKS, e2e_nlg
from lorascope.tasks.base import Reading
from lorascope.tasks.files import records

CONTENT: dict[str, bytes] = {
    "e2e_nlg": hub.e2e(official.E2E["train"]),
    "GEM_e2e_nlg": hub.parquet(official_hub.CLEANED["test"]),
    "samsum": hub.parquet(official.SAMSUM["train"]),
    "wikisql": hub.wikisql(official.QUESTIONS, official.TABLES),
    "multi_nli": hub.multi_nli(official.NLI),
}
"""Task -> a file as the hub has it."""


def read(path: Path, task: str) -> Reading:
    source = (e2e_nlg.CLEANED if task == "GEM_e2e_nlg" else TASKS[task]).hub
    assert source is not None
    return source.read(records(path, unread=source.unread), (path,))


@pytest.fixture(params=CONTENT)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refused(path: Path, task: str) -> DataError:
    with pytest.raises(DataError) as caught:
        read(path, task)
    assert caught.value.tries, "an error says what to do"
    return caught.value


def test_a_file_cut_at_any_byte_is_refused(task: str, tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    for end in range(0, len(CONTENT[task]), 41):
        path.write_bytes(CONTENT[task][:end])
        error = refused(path, task)
        assert (error.code, error.what.startswith(f"{path}: no whole Parquet file (")) == ("bad-file", True)


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    for content in (b"", b"mr,ref\nname[A],A\n", b"PAR1" + b"\xff" * 50 + b"PAR1", b"\x1f\x8b" * 30):
        path.write_bytes(content)
        assert refused(path, "e2e_nlg").code == "bad-file"
    assert "no whole Parquet file" in refused(path, "e2e_nlg").what


def test_flipped_bytes_in_checked_pages_never_give_another_text(tmp_path: Path) -> None:
    rows = [{"meaning_representation": mr, "human_reference": ref} for mr, ref in official.E2E["train"]]
    path = tmp_path / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, write_page_checksum=True, compression="none")
    whole, right = path.read_bytes(), read(path, "e2e_nlg").rows
    refusals = 0
    for at in range(0, len(whole) // 2, 3):  # what follows the pages is the description of the columns
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            assert read(path, "e2e_nlg").rows == right
        except DataError:
            refusals += 1
    assert refusals > len(whole) // 12


def _set(*path: Any) -> Callable[[list[dict[str, Any]]], None]:
    """Set rows[path[0]][path[1]]... to path[-1]."""

    def change(rows: list[dict[str, Any]]) -> None:
        at: Any = rows
        for part in path[:-2]:
            at = at[part]
        at[path[-2]] = path[-1]

    return change


def _all(name: str, make: Callable[[int], Any]) -> Callable[[list[dict[str, Any]]], None]:
    """Give a column other values: a Parquet column has one type."""

    def change(rows: list[dict[str, Any]]) -> None:
        for number, row in enumerate(rows):
            row[name] = make(number)

    return change


def _rename(old: str, new: str) -> Callable[[list[dict[str, Any]]], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row[new] = row.pop(old)

    return change


CONDS = {"column_index": [0], "operator_index": [0], "condition": ["x", "y"]}
DAMAGE: list[tuple[str, Callable[[list[dict[str, Any]]], None], str]] = [
    ("e2e_nlg", _set(2, "human_reference", None), ":row 3: 'ref' must be text, got null"),
    ("e2e_nlg", _all("human_reference", lambda i: i), ":row 1: 'ref' must be text, got 0"),
    ("e2e_nlg", _all("human_reference", lambda i: b"x"), ":row 1: 'ref' must be text, got \"b'x'\""),
    ("e2e_nlg", _set(1, "human_reference", "a\0b"), ":row 2: 'ref' holds a NUL character"),
    ("e2e_nlg", _rename("human_reference", "text"), ":row 1: no column 'ref' (or 'human_reference'); there is: "),
    ("GEM_e2e_nlg", _set(1, "references", None), ":row 2: 'references' must be a list, got None"),
    ("GEM_e2e_nlg", _set(0, "references", 1, None), ":row 1: 'ref' must be text, got null"),
    ("GEM_e2e_nlg", _all("references", lambda i: "one"), ":row 1: 'references' must be a list, got 'one'"),
    ("samsum", _set(1, "id", None), ":row 2: 'id' must be text, got null"),
    ("samsum", _all("summary", lambda i: ["a"]), ":row 1: 'summary' must be text, got [\"a\"]"),
    ("multi_nli", _set(1, "hypothesis", None), ":row 2: 'sentence2' must be text, got null"),
    ("multi_nli", _set(2, "label", 3), ":row 3: 'gold_label' must be one of"),
    ("multi_nli", _set(2, "label", None), ":row 3: 'gold_label' must be one of"),
    ("multi_nli", _all("label", float), ":row 1: 'gold_label' must be one of"),
    ("wikisql", _set(1, "table", None), ":row 2: 'table' must hold named values, got None"),
    ("wikisql", _set(1, "table", "header", None), ":row 2: 'header' and 'types' must be lists of as many texts"),
    ("wikisql", _set(1, "table", "rows", 0, ["1"]), ":row 2: 'rows' must be lists of 2 cells, one per column"),
    ("wikisql", _set(0, "sql", "conds", CONDS), ":row 1: 'conds' must be lists of as many numbers, numbers and texts"),
    ("wikisql", _set(0, "sql", "conds", "condition", None), ":row 1: 'conds' must be lists of as many numbers"),
    ("wikisql", _set(0, "sql", "conds", None), ":row 1: 'conds' must be lists of as many numbers"),
    ("wikisql", _set(0, "sql", "conds", "column_index", [9]), ":row 1: 'sql' must be {sel, agg, conds} with columns"),
    ("wikisql", _set(2, "sql", "agg", 6), ":row 3: 'sql' must be {sel, agg, conds} with columns below 2"),
    ("wikisql", _set(2, "question", None), ":row 3: 'question' must be text, got null"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "change", "says"), DAMAGE, ids=[f"{task}{says}" for task, _, says in DAMAGE])
def test_a_wrong_cell_is_refused_with_file_and_row(
    task: str, change: Callable[[list[dict[str, Any]]], None], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(CONTENT[task])
    rows = pq.read_table(path).to_pylist()
    change(rows)
    path.write_bytes(hub.parquet(rows))
    error = refused(path, task)
    assert error.what.startswith(f"{path}{says}"), error.what


def test_conditions_may_lie_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(CONTENT["wikisql"])
    right, rows = read(path, "wikisql").rows, pq.read_table(path).to_pylist()
    for row in rows:
        conds = row["sql"]["conds"]
        row["sql"]["conds"] = [dict(zip(conds, values, strict=True)) for values in zip(*conds.values(), strict=True)]
    path.write_bytes(hub.parquet(rows))
    assert read(path, "wikisql").rows == right


def test_an_empty_text_of_samsum_may_be_null(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(hub.parquet([*official.SAMSUM["train"], {"id": "t4", "summary": "Nobody.", "dialogue": None}]))
    reading = read(path, "samsum")
    assert (len(reading.rows), reading.left_out) == (3, 1)
    assert reading.notes[0].endswith(f"the first: {path}:row 4")


def test_a_text_that_is_no_utf8_is_refused_with_its_row(tmp_path: Path) -> None:
    texts = pa.array([b"A pub."] * 1200 + [b"caf\xe9"], type=pa.binary())
    raw = pa.StringArray.from_buffers(len(texts), texts.buffers()[1], texts.buffers()[2])
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"mr": ["name[A]"] * 1201, "ref": raw}), path)
    error = refused(path, "e2e_nlg")
    assert (error.code, error.what) == ("not-utf8", f"{path}:row 1201: byte 0xe9 is not UTF-8")


def test_only_pieces_of_a_file_are_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(CONTENT["e2e_nlg"])
    assert isinstance(records(path), Iterator)
    big = pa.table({"mr": ["name[A]"] * 20_000, "ref": [f"{i} " * 500 for i in range(20_000)]})
    assert big.nbytes > 50_000_000
    pq.write_table(big, path, row_group_size=1000)
    del big
    used = pa.total_allocated_bytes()
    most = max(pa.total_allocated_bytes() - used for _ in records(path))
    assert most < 20_000_000


def test_columns_of_no_use_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(CONTENT["multi_nli"])
    source = TASKS["multi_nli"].hub
    assert source is not None
    first = next(records(path, unread=source.unread))
    assert (first.where, set(first.fields)) == (
        f"{path}:row 1", {"promptID", "pairID", "premise", "hypothesis", "genre", "label"},
    )  # fmt: skip


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.parquet cannot be read: No such file") as caught:
        list(records(tmp_path / "no.parquet"))
    assert caught.value.code == "unreadable"
