"""What goes to stdout and stderr, with and without a terminal, and the exit codes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from processes import on_a_terminal, started

from lorascope import __version__
from lorascope.errors import DataError, GateNotMet, Interrupted

ESCAPE = "\x1b"


JSON_LINES = [
    ("run", "--r 4"), ("run", "run --plan"), ("run", "--r x"), ("run", "--nonsense"), ("run", "--resume nowhere"),
    ("ls", "ls"), ("ls", "ls nothing"), ("compare", "compare a"), ("compare", "compare nowhere"),
    ("check", "check"), ("check", "check --list"), ("check", "check no.yaml"), ("env", "env"),
    ("quickstart", "quickstart"), ("evaluate", "evaluate a"), ("evaluate", "evaluate a --plan"),
    ("evaluate", "evaluate"), (None, "nonsense"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "line"), JSON_LINES, ids=[line for _, line in JSON_LINES])
def test_json_is_one_document_on_stdout(runs, lorascope, run_folder, verb, line):
    run_folder("a")
    runs.act = lambda config, console: (print("a library speaks"), console.out("a table"))
    shown = lorascope(f"{line} --json")
    document = json.loads(shown.out)  # one document: anything after it is an error
    assert document["schema"] == 1
    assert document["verb"] == verb
    assert set(document) == {"schema", "verb", "files", "warnings", "next", "error" if shown.code else "result"}
    if shown.code:
        assert set(document["error"]) == {"code", "what", "try"}


def test_json_holds_result_files_warnings_and_next(runs, lorascope):
    def act(config, console):
        console.warn("3 rows were cut")
        console.next("lorascope ls runs")

    runs.act = act
    shown = lorascope("--r 4 --json")
    folder = "results/e2e_nlg_attention_only_r4_s42"
    assert json.loads(shown.out) == {
        "schema": 1,
        "verb": "run",
        "result": {
            "folder": folder,
            "results": {"steps": 100, "loss": None},
            "gradients": {},
            "evaluation": None,
            "base_evaluation": None,
        },
        "files": [folder],
        "warnings": ["3 rows were cut"],
        "next": ["lorascope ls runs"],
    }
    assert "warning: 3 rows were cut" in shown.err


def test_quiet_prints_only_the_paths_that_were_made(runs, lorascope):
    def act(config, console):
        console.note("loading")
        console.warn("careful")
        console.out("a result")
        console.table(["a"], [[1]])
        console.next("lorascope ls")
        with console.progress(10, "train") as bar:
            bar.update(10)

    runs.act = act
    for flag in ("-q", "--quiet"):
        shown = lorascope(f"--r 4 {flag}")
        assert shown.out == "results/e2e_nlg_attention_only_r4_s42\n"
        assert shown.err == ""


@pytest.mark.parametrize(
    "argv",
    [["ls"], ["--r", "x"], ["check", "--list"], ["run", "--plan"], ["run", "--help"], ["nonsense"]],
    ids=" ".join,
)
def test_no_escape_sequence_reaches_a_file(tmp_path, argv):
    result = started(*argv, cwd=tmp_path)
    assert ESCAPE not in result.stdout + result.stderr


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("argv", [["ls", "presets"], ["--r", "x"], ["run", "--plan"]], ids=" ".join)
def test_colour_changes_looks_only(tmp_path, argv):
    coloured = on_a_terminal(*argv, cwd=tmp_path)
    assert ESCAPE in coloured
    assert ESCAPE in on_a_terminal(*argv, "--color", "always", env={"NO_COLOR": "1"}, cwd=tmp_path)
    for more, env in [
        ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"}), (["--color", "never"], {}), (["--color=never"], {}),
    ]:  # fmt: skip
        assert on_a_terminal(*argv, *more, env=env, cwd=tmp_path) == plain(coloured)
    piped = started(*argv, cwd=tmp_path, env={"LC_ALL": "C"})
    assert sorted((piped.stdout + piped.stderr).splitlines()) == sorted(plain(coloured).splitlines())


def test_a_reader_that_leaves_early_is_no_error(tmp_path):
    command = f"{shlex.quote(sys.executable)} -m lorascope.cli check --list | head -1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert result.returncode == 0
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("problem", "code", "message"),
    [
        (None, 0, ""),
        (DataError("no-column", "no 'x'", "--data_dir D"), 2, "error[no-column]: no 'x'\n  try: --data_dir D\n"),
        (GateNotMet("undecided", "the verdict is undecided"), 3, "error[undecided]: the verdict is undecided\n"),
        (Interrupted("interrupted", "stopped after step 3"), 130, "error[interrupted]: stopped after step 3\n"),
        (KeyboardInterrupt(), 130, "error[interrupted]: stopped; what was saved before is whole\n"),
        (OSError(28, "No space left", "results/x"), 2, "error[refused-by-system]: No space left: results/x\n"),
        (PermissionError(13, "Denied", "results"), 2, "error[refused-by-system]: Denied: results\n"),
        (ZeroDivisionError("division by zero"), 1, "error[bug]: ZeroDivisionError: division by zero at "),
        (MemoryError(), 1, "error[bug]: MemoryError:  at "),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value)[:12],
)  # fmt: skip
@pytest.mark.parametrize("json_asked", [False, True])
def test_exit_codes(runs, lorascope, problem, code, message, json_asked):
    def act(config, console):
        if problem is not None:
            raise problem

    runs.act = act
    shown = lorascope("--r 4" + (" --json" if json_asked else ""))
    assert shown.code == code
    assert message in shown.err
    assert "Traceback" not in shown.err
    if json_asked:
        assert ("error" in json.loads(shown.out)) == bool(code)


@pytest.mark.parametrize("exists", [True, False])
def test_a_bug_saves_its_trace_and_names_the_file(runs, lorascope, tmp_path, exists):
    def act(config, console):
        raise KeyError("what nobody thought of")

    runs.act = act
    if exists:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "earlier.json").write_text("{}")
    shown = lorascope("--output_dir out")
    assert shown.code == 1
    error, hint = [line for line in shown.err.splitlines() if "lorascope 0" not in line[:11] and "loading" not in line]
    assert error.startswith("error[bug]: KeyError: 'what nobody thought of' at ")
    assert f"lorascope {__version__}" in hint
    file = Path(re.search(r"the file (\S+)", hint)[1])
    assert (file.parent == Path("out")) == exists
    assert "Traceback" in file.read_text()
    assert "what nobody thought of" in file.read_text()
    if exists:
        assert (tmp_path / "out" / "earlier.json").read_text() == "{}"
    else:
        file.unlink()
