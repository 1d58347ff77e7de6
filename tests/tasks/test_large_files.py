"""Lines of 100 MB: the right row or one error, in seconds and without gigabytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIZE = 100_000_000
ROWS = {
    "e2e_nlg": ("trainset.csv", 'mr,ref\r\nname[X],"', '"\r\n'),
    "samsum": ("train.json", '[\n{"id": "1", "summary": "s", "dialogue": "', '"}\n]\n'),
    "wikisql": (
        "train.jsonl", '{"table_id": "1", "sql": {"sel": 0, "agg": 0, "conds": []}, "question": "', '"}\n',
    ),
    "multi_nli": (
        "multinli_1.0_train.jsonl", '{"gold_label": "neutral", "sentence2": "x", "sentence1": "', '"}\n',
    ),
}  # fmt: skip
"""Task -> its file, and what stands before and after the long text."""

READ = """
import sys, time
from lorascope.config.experiment import DataConfig
from lorascope.errors import DataError
from lorascope.tasks import TASKS
from lorascope.tasks.sources import load_rows
def peak():
    # Not ru_maxrss, which a process has from the one that started it.
    return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
start, before = time.process_time(), peak()
try:
    (row,) = load_rows(TASKS[sys.argv[1]], DataConfig(dataset=sys.argv[1], data_dir=sys.argv[2]), "train").rows
    said = max(len(value) for value in row.values() if isinstance(value, str))
except DataError as error:
    said = error.code
print(said, time.process_time() - start, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read where Linux tells it")
@pytest.mark.parametrize("end", ["whole", "cut"])
@pytest.mark.parametrize("task", ROWS)
def test_a_line_of_a_hundred_megabytes_is_a_row_or_an_error(task: str, end: str, tmp_path: Path) -> None:
    name, before, after = ROWS[task]
    text = "word " * (SIZE // 5)
    (tmp_path / name).write_text(before + text + (after if end == "whole" else ""), encoding="utf-8", newline="")
    (tmp_path / "train.tables.jsonl").write_text('{"id": "1", "header": ["a"], "types": ["text"], "rows": [["b"]]}\n')
    done = subprocess.run([sys.executable, "-c", READ, task, str(tmp_path)], capture_output=True, text=True, check=True)
    said, seconds, megabytes = done.stdout.split()
    if task == "e2e_nlg":
        assert said == "bad-row"  # no CSV field has more than 131,072 characters
    else:
        assert said == (str(SIZE) if end == "whole" else "bad-file")
    assert float(seconds) < 10
    assert 50 < int(megabytes) < 1000
