"""A study on the screen: a live table on a terminal, a line for each run elsewhere."""

from __future__ import annotations

import io

import pytest

from lorascope.report.terminal import Console
from lorascope.studies import view
from lorascope.studies.design import Choices, main_trials


class Terminal(io.StringIO):
    """A screen that remembers everything."""

    def isatty(self):
        return True


@pytest.fixture
def trials(grid, tmp_path):
    return main_trials(grid, tmp_path, Choices())


def go_through(trials, screen):
    with view.watching(Console(stdout=screen, stderr=screen), 3, 1, "runs") as progress:
        progress.show(view.Seen(0, trials[0], 4, 10, "train"))
        progress.show(view.Seen(1, trials[1], 0, 10, "starts"))
        if screen.isatty():
            progress.live.refresh()  # which happens four times a second otherwise
        progress.finished(trials[0])
        progress.failed(trials[1], "nan-loss: no number", again=True)
        progress.failed(trials[1], "nan-loss: no number", again=False)
    return screen.getvalue()


def test_elsewhere_each_run_is_a_line(trials):
    said = go_through(trials, io.StringIO())
    assert "runs    2/3  e2e_nlg attention seed 1" in said
    assert "e2e_nlg mlp seed 1 failed: nan-loss: no number; it is tried once more" in said
    assert said.count("it is tried once more") == 1


def test_on_a_terminal_a_table_says_what_each_worker_does(trials, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    said = go_through(trials, Terminal())
    assert "worker" in said
    assert "e2e_nlg attention seed 1" in said
    assert "4/10" in said
    assert "runs: 1 of 3 runs" in said
    assert "e2e_nlg mlp seed 1 failed: nan-loss: no number; it is tried once more" in said
    assert said.isascii()
