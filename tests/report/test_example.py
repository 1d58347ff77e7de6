"""One row in the terminal: twelve lines at most, marks that need no colour, nothing a terminal acts upon."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from lorascope.report.example import WIDTH, example_lines, show_example
from lorascope.report.run_summary import show_rows
from lorascope.report.terminal import Console


def shown(pieces, color: str = "never") -> list[str]:
    stdout = io.StringIO()
    show_example(pieces, Console(color=color, stdout=stdout, stderr=io.StringIO()))
    return stdout.getvalue().splitlines()


def test_what_carries_the_loss_stands_in_brackets():
    assert shown([("<s>Name it.\n\nAnswer:\n", False), ("a fox</s>", True)]) == [
        "first training row, the loss on what stands between [[ ]]:",
        "  | <s>Name it.",
        "  |",
        "  | Answer:",
        "  | [[a fox</s>]]",
    ]


def test_every_line_of_an_answer_has_its_own_brackets():
    lines = shown([("a\n", False), ("b\n\nc", True), (" d\n", False), ("e", True)])
    assert lines[1:] == ["  | a", "  | [[b]]", "  |", "  | [[c]] d", "  | [[e]]"]


def test_colour_changes_looks_only():
    plain, coloured = (shown([("a ", False), ("b", True)], color) for color in ("never", "always"))
    assert coloured[1] == "  | a \x1b[36m[[b]]\x1b[0m"
    assert coloured[1].replace("\x1b[36m", "").replace("\x1b[0m", "") == plain[1]


def test_a_long_row_loses_its_middle():
    lines = shown([("".join(f"line {i}\n" for i in range(40)), False), ("the end", True)])
    assert len(lines) == 1 + 12
    assert lines[1:6] == [f"  | line {i}" for i in range(5)]
    assert lines[6:] == ["  | ...", *(f"  | line {i}" for i in range(35, 40)), "  | [[the end]]"]


def test_a_row_of_twelve_lines_keeps_them_all():
    assert shown([("\n".join(f"{i}" for i in range(12)), True)])[1:] == [f"  | [[{i}]]" for i in range(12)]


def test_long_lines_are_broken_and_nothing_is_lost():
    pieces = [("a" * 100, False), ("b" * 200 + "\n" + "c" * WIDTH, True)]
    lines = example_lines(pieces)
    assert all(sum(len(text) for text, _ in line) <= WIDTH for line in lines)
    assert "".join(text for line in lines for text, _ in line) == "a" * 100 + "b" * 200 + "c" * WIDTH
    assert "".join(text for line in lines for text, with_loss in line if with_loss) == "b" * 200 + "c" * WIDTH
    assert len(lines) == 6


def test_lines_are_broken_between_words():
    text = " ".join(f"word{i}" for i in range(30))
    lines = example_lines([("<s>", False), (text, True)])
    assert [line[0][0].split()[0] for line in lines] == ["<s>", "word11", "word21"]
    assert "".join(part for line in lines for part, _ in line) == f"<s>{text}"
    assert all(len(part) <= WIDTH for line in lines for part, _ in line)


def test_no_letter_moves_the_cursor_or_changes_the_colour():
    (line,) = shown([("a\x1b[31mb\tc\rd\u202ee\x00", False)])[1:]
    assert line == "  | a\\x1b[31mb\\tc\\rd\\u202ee\\x00"


BOTH = "1 prompts cut at their start to fit 64 tokens; 1 rows left out: the answer alone is longer"


@pytest.mark.parametrize(
    ("kind", "cut", "left_out", "words"),
    [
        ("prompts", (), (), "none longer than 64 tokens"),
        ("prompts", (3, 4), (), "2 prompts cut at their start to fit 64 tokens"),
        ("chats", (3, 1), (), "2 chats cut at their start to fit 64 tokens"),
        ("prompts", (1,), ("7",), BOTH),
        ("texts", (1000, 500), (), "2 texts cut at their end to fit 64 tokens, 1,500 tokens of them unused"),
        ("texts", (), ("7",), "1 rows left out: no text"),
    ],
)
def test_what_max_length_did_is_told(kind, cut, left_out, words):
    stdout = io.StringIO()
    rows = SimpleNamespace(train=range(1200), validation=range(3), max_length=64, kind=kind, cut=cut, left_out=left_out)
    show_rows(rows, Console(color="never", stdout=stdout, stderr=io.StringIO()))
    assert stdout.getvalue() == f"1,200 training and 3 validation rows; {words}\n"
