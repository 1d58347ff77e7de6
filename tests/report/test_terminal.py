"""The console: streams, tables, numbers, progress."""

from __future__ import annotations

import io

import pytest

from lorascope.report import terminal
from lorascope.report.terminal import Console, cell, short, table_lines


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def console():
    return Console(stdout=io.StringIO(), stderr=io.StringIO())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (0.4821, "0.482"), (41.649, "41.6"), (2.0, "2.00"), (999.4, "999"), (999.6, "1,000"),
        (1234.5, "1,234"), (-0.5, "-0.500"), (1e-5, "1.00e-05"), (float("nan"), "nan"), (float("-inf"), "-inf"),
    ],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value, text):
    assert short(value) == text


def test_cells_show_counts_whole_and_nothing_as_a_dash():
    assert [cell(v) for v in (2534400, None, 0.25, True, "x")] == ["2,534,400", "-", "0.250", "True", "x"]


def test_a_table_puts_numbers_right_and_words_left():
    assert table_lines(
        ["run", "loss", "note"], [["a", 1.5, "12 x"], ["long name", None, "-"], ["b", 1234567, "4"]]
    ) == [
        "run             loss  note",
        "a               1.50  12 x",
        "long name          -     -",
        "b          1,234,567     4",
    ]
    assert table_lines(["a", "b"], []) == ["a  b"]


def test_results_and_notes_go_to_their_streams(console):
    console.out("result")
    console.note("note", "another")
    console.warn("careful")
    console.saved("results/x")
    console.next("lorascope ls", "lorascope env")
    assert console.stdout.getvalue() == "result\nSaved results/x\nNext  lorascope ls\n      lorascope env\n"
    assert console.stderr.getvalue() == "note\nanother\nwarning: careful\n"
    assert (console.warnings, console.files, console.commands) == (
        ["careful"],
        ["results/x"],
        ["lorascope ls", "lorascope env"],
    )


def test_only_the_first_of_several_processes_speaks(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    console = Console(stdout=io.StringIO(), stderr=io.StringIO())
    console.out("result")
    console.note("note")
    with console.progress(1, "train") as bar:
        bar.update(1)
    assert console.stdout.getvalue() == console.stderr.getvalue() == ""


def test_what_a_stream_cannot_show_is_escaped():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Console(stdout=stream, stderr=io.StringIO()).out("caf\u00e9")
    assert raw.getvalue() == b"caf\\xe9\n"


def test_without_a_terminal_there_is_a_line_every_tenth(console, clock):
    with console.progress(200, "train") as bar:
        for step in range(1, 201):
            clock[0] += 0.5
            bar.update(step, loss=1 / step)
    lines = console.stderr.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0] == "  train      10 %  20/200  loss 0.0500  2.00/s  0:01:30 left"
    assert lines[-1] == "  train     100 %  200/200  loss 0.00500  2.00/s  0:00:00 left"
    assert "\r" not in console.stderr.getvalue()


def test_without_a_terminal_30_seconds_are_never_silent(console, clock):
    with console.progress(1000, "train") as bar:
        for step in range(1, 10):
            clock[0] += 31
            bar.update(step)
    assert len(console.stderr.getvalue().splitlines()) == 9


def test_the_rate_of_a_resumed_run_is_its_own(console, clock):
    with console.progress(100, "train") as bar:
        for step in range(50, 61):
            clock[0] += 1
            bar.update(step)
    assert console.stderr.getvalue().splitlines()[-1] == "  train      60 %  60/100  1.00/s  0:00:40 left"


def test_a_live_bar_fits_the_terminal_and_is_gone_in_the_end(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(stdout=io.StringIO(), stderr=Terminal())
    with console.progress(1000, "train") as bar:
        for step in range(1, 513):
            clock[0] += 0.25
            bar.update(step, loss=0.482, val=0.511)
        shown = console.stderr.getvalue().split("\r")[-1]
        assert shown == "  train     ######------  512/1000  loss 0.482  val 0.511  4.00/s  0:02:02 left"
    written = console.stderr.getvalue()
    assert max(map(len, written.split("\r"))) <= 79
    assert "\x1b" not in written
    assert "\n" not in written
    assert written.endswith("\r" + " " * 79 + "\r")


def test_a_live_bar_is_drawn_at_most_ten_times_a_second(clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    console = Console(stdout=io.StringIO(), stderr=Terminal())
    with console.progress(10_000, "train") as bar:
        for step in range(1, 1001):
            clock[0] += 0.001
            bar.update(step)
    assert console.stderr.getvalue().count("\r") <= 14


def test_a_note_stands_above_the_live_bar(clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    console = Console(stdout=io.StringIO(), stderr=Terminal())
    with console.progress(10, "train") as bar:
        clock[0] += 1
        bar.update(5)
        console.note("stopping after this step")
    _, drawn, blank, noted, *_ = console.stderr.getvalue().split("\r")
    assert drawn.startswith("  train")
    assert blank.strip() == ""
    assert noted == "stopping after this step\n"


@pytest.mark.parametrize("mode", [{"quiet": True}, {"verbose": True}])
def test_quiet_shows_no_bar_and_verbose_no_live_one(clock, monkeypatch, mode):
    monkeypatch.setenv("TERM", "xterm")
    console = Console(stdout=io.StringIO(), stderr=Terminal(), **mode)
    with console.progress(10, "train") as bar:
        bar.update(5)
    assert "\r" not in console.stderr.getvalue()
    assert bool(console.stderr.getvalue()) == ("verbose" in mode)


@pytest.mark.parametrize(
    ("color", "env", "terminal_", "colored"),
    [
        ("auto", {"TERM": "xterm"}, True, True),
        ("auto", {"TERM": "xterm"}, False, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("auto", {"TERM": "xterm", "NO_COLOR": ""}, True, False),
        ("never", {"TERM": "xterm"}, True, False),
        ("always", {"TERM": "dumb", "NO_COLOR": "1"}, False, True),
    ],
)
def test_colour_is_asked_for_then_taken_from_the_environment(monkeypatch, color, env, terminal_, colored):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    console = Console(color=color, stdout=Terminal() if terminal_ else io.StringIO(), stderr=io.StringIO())
    assert console.style("x", "red") == ("\x1b[31mx\x1b[0m" if colored else "x")
