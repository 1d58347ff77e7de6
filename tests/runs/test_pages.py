"""`lorascope.report` writes the page that the verb writes, and shows itself in a notebook."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import lorascope
import lorascope.report.page as page
from facts import probe_profile
from lorascope.cli import main
from lorascope.errors import ConfigError, RunError
from lorascope.runs.pages import Page


@pytest.fixture
def folder(tmp_path):
    return probe_profile(rows=8, tokens=9, dataset="<b>mine</b>").save(tmp_path / "toy")


def test_it_writes_what_the_verb_writes_and_says_the_verdict(folder, tmp_path):
    found = lorascope.report(folder)
    assert found.path == folder / "report.html"
    ours = found.path.read_text(encoding="utf-8")
    assert main(["report", str(folder), "-q"]) == 0
    assert found.path.read_text(encoding="utf-8") == ours
    assert list(found.said) == page.unpack(ours)[0]["verdict"]
    assert os.fspath(found) == str(found) == str(found.path)
    other = lorascope.report(folder, folder, output=tmp_path / "two.html")
    assert len(page.unpack(other.path.read_text(encoding="utf-8"))[0]["sources"]) == 2


def test_in_a_notebook_it_is_a_link_and_the_first_screen_without_script(tmp_path):
    shown = Page(tmp_path / "a<b>.html", ("H1 <i>x</i>.", "More."))._repr_html_()
    assert "<i>" not in shown
    assert "<strong>H1 &lt;i&gt;x&lt;/i&gt;.</strong>" in shown
    assert 'a&lt;b&gt;.html" target' in shown
    assert "<script" not in shown


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="no folder was given"):
        lorascope.report()
    with pytest.raises(RunError, match="holds no run"):
        lorascope.report(tmp_path / "nothing")


def test_a_folder_is_no_file_to_write(folder, tmp_path):
    with pytest.raises(ConfigError, match="is a folder"):
        lorascope.report(folder, output=tmp_path)


@pytest.mark.parametrize("first", ["", "import lorascope.report.page; "])
def test_the_name_is_the_function_whatever_was_imported_before(first):
    said = "print(json.dumps([callable(report), 'torch' in sys.modules]))"
    code = f"{first}from lorascope import report; import sys, json; {said}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [True, False]


def test_a_profile_plots_itself():
    figure = probe_profile(spread=0.1, dataset="mine").plot()
    words = " ".join(text.get_text() for text in figure.texts)
    assert "Where the task's gradient is" in words
    assert "mine on toy, 32 batches" in words
