"""Files as people have them: every damage is the right rows or one error that names file and line."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import official
import pytest

from lorascope.config.experiment import DataConfig
from lorascope.errors import DataError
from lorascope.tasks import TASKS
from lorascope.tasks.sources import Loaded, load_rows, rows_sha256


def load(folder: Path, task: str, split: str = "train") -> Loaded:
    return load_rows(TASKS[task], DataConfig(dataset=task, data_dir=str(folder / task)), split)


def refused(folder: Path, task: str, split: str = "train") -> DataError:
    with pytest.raises(DataError) as caught:
        load(folder, task, split)
    assert caught.value.tries, "an error says what to do"
    return caught.value


FILES = {
    "e2e_nlg": "trainset.csv",
    "samsum": "train.json",
    "wikisql": "train.jsonl",
    "multi_nli": "multinli_1.0_train.jsonl",
}


@pytest.fixture(params=FILES)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    before = path.read_bytes()
    after = change(before)
    assert after != before, "the test changes nothing"
    path.write_bytes(after)


# What gives the right rows


def test_a_byte_order_mark_changes_nothing(official_files: Path, task: str) -> None:
    before = load(official_files, task)
    rewrite(official_files / task / FILES[task], lambda b: b"\xef\xbb\xbf" + b)
    assert load(official_files, task).rows == before.rows


@pytest.mark.parametrize("name", ["samsum", "wikisql", "multi_nli"])
def test_crlf_between_json_rows_changes_nothing(official_files: Path, name: str) -> None:
    before = load(official_files, name)
    rewrite(official_files / name / FILES[name], lambda b: b.replace(b"\n", b"\r\n"))
    assert load(official_files, name).sha256 == before.sha256


def test_line_ends_between_csv_rows_change_nothing(official_files: Path) -> None:
    path = official_files / "e2e_nlg" / "trainset.csv"
    crlf = load(official_files, "e2e_nlg")
    official.write_csv(path, official.E2E["train"], end="\n")
    assert load(official_files, "e2e_nlg").sha256 == crlf.sha256


def test_blank_lines_hold_nothing(official_files: Path) -> None:
    for name, end in (("e2e_nlg", b"\r\n\r\n\r\n"), ("wikisql", b"\n \n\n"), ("multi_nli", b"\n\n")):
        before = load(official_files, name)
        rewrite(official_files / name / FILES[name], lambda b, end=end: end.lstrip() + b + end)
        assert load(official_files, name).rows == before.rows


def test_gzipped_files_are_the_same_rows(official_files: Path, task: str) -> None:
    before = load(official_files, task)
    for path in [*(official_files / task).iterdir()]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    after = load(official_files, task)
    assert (after.rows, after.sha256) == (before.rows, before.sha256)
    assert all(file.suffix == ".gz" for file in after.files)


def test_more_columns_and_another_order_change_nothing(official_files: Path) -> None:
    before = load(official_files, "e2e_nlg")
    lines = [
        "n,ref,mr",
        *(f'{i},"{ref.replace(chr(34), chr(34) * 2)}","{mr}"' for i, (mr, ref) in enumerate(official.E2E["train"])),
    ]
    (official_files / "e2e_nlg" / "trainset.csv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    assert load(official_files, "e2e_nlg").rows == before.rows


def test_rows_with_an_empty_text_are_left_out_and_counted(official_files: Path) -> None:
    empty = {"id": "t4", "summary": "Nobody speaks.", "dialogue": " \r\n"}
    before = load(official_files, "samsum")
    official.write_list(official_files / "samsum" / "train.json", [empty, *official.SAMSUM["train"]])
    after = load(official_files, "samsum")
    assert (after.rows, after.left_out) == (before.rows, 1)
    assert "1 of 4 rows have no dialogue or no summary and are left out; the first: " in after.notes[0]
    assert after.notes[0].endswith("train.json:2")


def test_sha256_is_of_the_rows_as_canonical_json() -> None:
    rows = [{"b": "é", "a": 1}, {"a": [1.5, None]}]
    assert rows_sha256(rows) == hashlib.sha256('{"a":1,"b":"é"}\n{"a":[1.5,null]}\n'.encode()).hexdigest()


def test_a_changed_word_changes_the_sha256(official_files: Path, task: str) -> None:
    before = load(official_files, task)
    old, new = {"e2e_nlg": (b"Zizzi", b"Pizza"), "samsum": (b"late", b"soon"), "wikisql": (b"area of", b"size of")}.get(
        task, (b"sings", b"talks")
    )
    rewrite(official_files / task / FILES[task], lambda b: b.replace(old, new))
    assert load(official_files, task).sha256 != before.sha256


def test_a_long_line_is_read_and_a_csv_field_beyond_the_limit_is_refused(official_files: Path) -> None:
    words = "word " * 1_000_000
    row = {**official.NLI[0], "sentence1": words}
    official.write_jsonl(official_files / "multi_nli" / FILES["multi_nli"], [row])
    assert load(official_files, "multi_nli").rows[0]["sentence1"] == words
    official.write_csv(official_files / "e2e_nlg" / "trainset.csv", [*official.E2E["train"], ("name[X]", words)])
    error = refused(official_files, "e2e_nlg")
    assert "trainset.csv:7: the row that starts here is no CSV (field larger than field limit" in error.what


# What is refused: per file the damage, and what the error says after the file's name


def swap(old: str, new: str, count: int = -1) -> Callable[[bytes], bytes]:
    return lambda b: b.replace(old.encode(), new.encode(), count)


def put(text: str) -> Callable[[bytes], bytes]:
    return lambda b: text.encode()


def add(text: str) -> Callable[[bytes], bytes]:
    return lambda b: b + text.encode()


def cut(b: bytes) -> bytes:
    return b[: len(b.rstrip()) - 9]


DAMAGE: dict[str, list[tuple[Callable[[bytes], bytes], str]]] = {
    "e2e_nlg/trainset.csv": [
        (swap("is a pub.", "is, a pub."), ":2: 3 fields where the header has 2 (mr, ref): "),
        (add("name[Half]"), ":7: 1 fields where the header has 2"),
        (add('"name[Open]","no end\r\n'), ":7: the row that starts here is no CSV (unexpected end of data)"),
        (add('"name[X]" pub,"ref"\r\n'), ":7: the row that starts here is no CSV ("),
        (swap("mr,ref", "mr,text"), ":2: no column 'ref' (or 'human_reference'); there is: mr, text"),
        (put("mr;ref\na;b\n"), ":2: no column 'mr' (or 'meaning_representation'); there is: mr;ref"),
        (lambda b: b.decode().encode("latin-1"), ":6: byte 0xe9 is not UTF-8"),
        (lambda b: b.decode().encode("utf-16"), " is UTF-16"),
        (swap("Dear", "\0\0\0\0"), ":6: a NUL byte"),
        (put(""), ": no rows"),
        (put("mr,ref\r\n"), ": no rows"),
        (put("mr,ref\r\nname[X],\r\n"), ": no rows: all 1 have no meaning representation or no reference"),
    ],
    "samsum/train.json": [
        (cut, ":4: the file breaks off in this row"),
        (lambda b: b.rstrip()[:-1], ":5: the file ends where a comma or ] belongs"),
        (swap("},\n", "}\n", 1), ':3: found {"id": "t2"'),
        (swap("}\n]", "},\n]"), ":5: not JSON"),
        (add("[]"), ":6: [] stands after the list's end"),
        (put('{"data": []}'), ':1: a JSON list must start with [, found {"data": []}'),
        (put(""), ":1: a JSON list must start with [, found nothing"),
        (put("[]"), ": no rows"),
        (put("[\n17]"), ":2: a JSON object is needed, got 17"),
        (swap("summary", "abstract"), ":2: no column 'summary'; there is: id, abstract, dialogue"),
        (swap('"t2"', "2"), ":3: 'id' must be text, got 2"),
        (swap('"Ann has cake."', '["Ann"]'), ":2: 'summary' must be text, got [\"Ann\"]"),
        (swap("Cid: late", "Cid: \0"), ":3: a NUL byte"),
        (swap("Cid: late", "Cid:\\u0000"), ":3: 'dialogue' holds a NUL character"),
        (swap("🙂", "\\ud83d"), ":3: half of a surrogate pair"),
        (lambda b: b.replace("🙂".encode(), b"\xe9"), ":3: byte 0xe9 is not UTF-8"),
    ],
    "multi_nli/multinli_1.0_train.jsonl": [
        (cut, ":4: the file breaks off in this row"),
        (swap("}\n", "\n", 1), ":1: not JSON (Expecting ',' delimiter)"),
        (swap("{", "[1]\n{", 1), ":1: a JSON object is needed, got [1]"),
        (swap('"A dog runs."', "NaN", 1), ":1: not JSON (NaN is no JSON value)"),
        (add('{"a":' + "[" * 200_000 + "\n"), ":5: not JSON (nested too deep)"),
        (swap("neutral", "unsure"), ":3: 'gold_label' must be one of entailment, neutral, contradiction or -, got"),
        (swap('"neutral"', "3"), ":3: 'gold_label' must be one of"),
        (swap('"neutral"', "true"), ":3: 'gold_label' must be one of"),
        (swap("It rains.", "It \0"), ":2: a NUL byte"),
        (swap("It rains.", "It \\u0000"), ":2: 'sentence1' holds a NUL character"),
        (swap('"A dog is brown."', "17"), ":3: 'sentence2' must be text, got 17"),
        (swap('"A dog is brown."', "null"), ":3: 'sentence2' must be text, got null"),
        (lambda b: b.replace(b"sings", b"sings caf\xe9"), ":4: byte 0xe9 is not UTF-8"),
        (lambda b: b.decode().encode("utf-16"), " is UTF-16"),
        (swap("gold_label", "gold"), ":1: no column 'gold_label' (or 'label'); there is: gold, sentence1"),
        (lambda b: b.splitlines(keepends=True)[1], ": no rows: all 1 have no gold label"),
    ],
    "wikisql/train.jsonl": [
        (swap('"sel": 1', '"sel": 3'), ":1: 'sql' must be {sel, agg, conds} with columns below 3"),
        (swap('"sel": 1', '"sel": -1'), ":1: 'sql' must be"),
        (swap('"agg": 3', '"agg": 6'), ":2: 'sql' must be"),
        (swap("[1, 1, 1995]", "[1, 4, 1995]"), ":3: 'sql' must be"),
        (swap("[1, 1, 1995]", "[1, 1]"), ":3: 'sql' must be"),
        (swap("[1, 1, 1995]", "[1, 1, null]"), ":3: 'sql' must be"),
        (put('{"table_id": "1-1", "question": "q", "sql": "SELECT"}\n'), ":1: 'sql' must be"),
        (swap('"2-7"', '"9-9"'), ":2: table '9-9' is not among the 2 of "),
        (cut, ":3: the file breaks off in this row"),
        (swap("Best late", "Best \0"), ":3: a NUL byte"),
        (swap('"Best late number?"', '["Best"]'), ":3: 'question' must be text, got [\"Best\"]"),
        (swap('"table_id": "1-1"', '"table_id": 1'), ":1: 'table_id' must be text, got 1"),
        (lambda b: b.replace(b"Best", b"B\xe9st"), ":3: byte 0xe9 is not UTF-8"),
        (put(""), " and "),
    ],
    "wikisql/train.tables.jsonl": [
        (swap('["real", "real"]', '["real"]'), ":2: 'header' and 'types' must be lists of as many texts"),
        (swap("[7, 1995]", "[7, 1995, 1]"), ":2: 'rows' must be lists of 2 cells"),
        (swap('["Player  No.", "Year"]', "[]"), ":2: 'header'"),
        (swap('"id": "2-7"', '"name": "2-7"'), ":2: no column 'id'"),
        (cut, ":2: the file breaks off in this row"),
        (swap("Paris", "Par\0is"), ":1: a NUL byte"),
        (swap('["name", "area", "country"]', '"name"'), ":1: 'header' and 'types' must be lists of as many texts"),
        (swap('"id": "2-7"', '"id": 27'), ":2: 'id' must be text, got 27"),
    ],
}


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [pytest.param(file, *case, id=f"{file}{case[1]}") for file, cases in DAMAGE.items() for case in cases],
)
def test_damage_is_refused_with_file_and_line(
    file: str, change: Callable[[bytes], bytes], says: str, official_files: Path
) -> None:
    rewrite(official_files / file, change)
    error = refused(official_files, file.split("/")[0])
    assert f"{official_files / file}{says}" in error.what, error.what


def test_questions_without_tables_are_refused(official_files: Path) -> None:
    (official_files / "wikisql" / "train.tables.jsonl").unlink()
    error = refused(official_files, "wikisql")
    assert "has no train.tables.jsonl (nor train.tables.jsonl.gz); it holds: dev.jsonl, dev.tables.jsonl" in error.what


def test_damaged_gzip_is_refused(official_files: Path) -> None:
    path = official_files / "e2e_nlg" / "trainset.csv"
    whole = gzip.compress(path.read_bytes())
    path.unlink()
    for data in (whole[:-12], b"mr,ref\nname[X],no gzip\n", whole[:20] + b"\xff" * 20 + whole[40:]):
        path.with_name("trainset.csv.gz").write_bytes(data)
        error = refused(official_files, "e2e_nlg")
        assert error.code in ("bad-file", "bad-row")
        assert "trainset.csv.gz:" in error.what


def test_a_file_cut_at_any_byte_gives_no_wrong_row(official_files: Path, task: str) -> None:
    """The rows before the cut, or an error; a CSV row that is cut in its last field looks whole, and is noted."""
    path = official_files / task / FILES[task]
    whole, right = path.read_bytes(), load(official_files, task).rows
    read = 0
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            loaded = load(official_files, task)
        except DataError:
            continue
        read += 1
        rows = loaded.rows
        if rows != right[: len(rows)]:
            assert task == "e2e_nlg"
            assert rows[:-1] == right[: len(rows) - 1]
            (note,) = official.others(loaded.notes)
            assert note == f"{path} does not end in a line end; if it was cut short, its last row is too"
    assert read >= (1 if task == "samsum" else 2)


def test_rows_stay_as_the_file_has_them(official_files: Path) -> None:
    rows = load(official_files, "wikisql").rows
    assert rows[1] == {
        "id": "1",
        "table_id": "2-7",
        "question": " How many\nplayers? ",
        "sql": official.QUESTIONS[1]["sql"],
        "table": {key: official.TABLES[1][key] for key in ("header", "types", "rows")},
    }
    assert json.dumps(load(official_files, "samsum").rows[0]["dialogue"]) == '"Ann: cake?\\r\\nBob: yes!"'
