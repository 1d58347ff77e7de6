"""Pages travel: none holds a home, an account, a machine, a token or the environment; a sent one no row of the data."""

from __future__ import annotations

import json
import os

import pytest
from paged import make_run
from studied import make_study

from facts import probe_profile
from lorascope.cli import main
from lorascope.report.page import unpack
from lorascope.runs import rundir

HOME = "/home/wilhelmina"
MACHINE = "hal-9000-lab"
TOKEN = "hf_" + "Q7" * 17
KEY = "correct-horse-battery-staple"
ROW = "Blue Spice is a secret pub"
"""Of the user's own data."""
TOLD = f"read {HOME}/work/rows.csv as wilhelmina on {MACHINE}.example.org with {TOKEN} and {KEY}"
PRIVATE = ("wilhelmina", MACHINE, "example.org", TOKEN, KEY, "/work/")


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """An account and a machine that have names, and a secret in the environment."""
    monkeypatch.setenv("HOME", HOME)
    monkeypatch.setenv("SERVICE_API_KEY", KEY)
    monkeypatch.setattr("getpass.getuser", lambda: "wilhelmina")
    monkeypatch.setattr("socket.gethostname", lambda: f"{MACHINE}.example.org")


def run_folder(folder):
    """A run in whose every free text all of it stands, and whose rows are somebody's."""
    make_run(folder, notes=[TOLD], model=f"{HOME}/models/base", dataset=f"{HOME}/data/rows.csv")
    results = rundir.read_json(folder / rundir.RESULTS)
    results["data"]["training"] |= {"source": f"{HOME}/data", "task": "rows.csv"}
    (folder / rundir.RESULTS).write_text(json.dumps(results))
    (folder / rundir.LOG).write_text(f"2026-01-01 00:00:00,0 WARNING x: {TOLD}\n")
    rows = [{"id": str(i), "prompt": f"{ROW} {i} {HOME} {TOKEN}", "references": [ROW], "prediction": ROW, "scores": {}}
            for i in range(3)]  # fmt: skip
    (folder / rundir.SAMPLES).write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = rundir.read_json(folder / rundir.CONFIG)
    config["model"]["model_id"] = f"{HOME}/models/base"
    config["data"] |= {"dataset": f"{HOME}/data/rows.csv", "data_dir": f"{HOME}/data"}
    (folder / rundir.CONFIG).write_text(json.dumps(config))
    environment = rundir.read_json(folder / rundir.ENVIRONMENT) | {"platform": f"Linux {MACHINE}", "python": TOLD}
    (folder / rundir.ENVIRONMENT).write_text(json.dumps(environment))
    return folder


def probe_folder(folder):
    environment = {"python": TOLD, "platform": MACHINE, "device": "cpu", "packages": {}, "gpus": [], "cpus": 2,
                   "processes": 1}  # fmt: skip
    profile = probe_profile(
        rows=8, tokens=9, model=f"{HOME}/models/base", dataset=f"{HOME}/rows.csv", notes=[TOLD], environment=environment
    )
    profile.save(folder)
    return folder


def study_folder(folder):
    return make_study(folder, text=f" {TOLD}", notes=[TOLD])


KINDS = {"run": run_folder, "probe": probe_folder, "study": study_folder}


def text_of(path):
    """Everything that a page holds, packed or not."""
    page = path.read_text(encoding="utf-8")
    return page + json.dumps(unpack(page)[0], ensure_ascii=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_says_nothing_of_who_made_it_and_where(kind, tmp_path):
    folder = KINDS[kind](tmp_path / "made")
    assert main(["report", str(folder), "-q"]) == 0
    text = text_of(folder / rundir.REPORT)
    for private in (*PRIVATE, str(tmp_path)):
        assert private not in text, private
    assert "rows.csv" in text  # the last name of a path stays
    for name, value in os.environ.items():
        if len(value) >= 24 and name not in ("PYTEST_CURRENT_TEST", "LS_COLORS"):
            assert value not in text, name


def test_a_page_that_is_sent_has_no_row_of_the_data_unless_asked_for(tmp_path):
    folder = run_folder(tmp_path / "made")
    assert main(["report", str(folder), "-q"]) == 0
    assert ROW in text_of(folder / rundir.REPORT)
    sent = tmp_path / "sent.html"
    assert main(["report", str(folder), "-q", "-o", str(sent)]) == 0
    assert ROW not in text_of(sent)
    assert main(["report", str(folder), "-q", "-o", str(sent), "--samples", "2"]) == 0
    (source,) = unpack(sent.read_text(encoding="utf-8"))[0]["sources"]
    assert len(source["samples"]["rows"]) == 2
    assert source["samples"]["rows"][0]["prompt"].startswith(ROW)
    assert HOME not in text_of(sent)
    assert TOKEN not in text_of(sent)


def test_several_runs_on_one_page_have_no_row_of_the_data_either(tmp_path, monkeypatch):
    folders = [run_folder(tmp_path / name) for name in ("one", "other")]
    monkeypatch.chdir(tmp_path)
    assert main(["report", *map(str, folders), "-q"]) == 0
    text = text_of(tmp_path / rundir.REPORT)
    assert ROW not in text
    assert not [private for private in PRIVATE if private in text]
