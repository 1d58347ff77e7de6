"""Watching a run that goes on: its page grows with it, for this machine alone, and Ctrl-C ends the watching only."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys

import pytest
from children import until
from running import flags

from lorascope.report.page import unpack
from lorascope.runs import rundir

NAME = "e2e_nlg_both_r2_s42"
STEPS = 40


@pytest.fixture
def watched(nursery, home, tmp_path, no_pictures):
    """(run, watch process, port) of a slow run in a process of its own."""
    argv = ["run", *flags(home), "--max_steps", str(STEPS), "--eval_every", "10", "--no_eval", "--output_dir", tmp_path]
    run = nursery.start(argv, tmp_path, tmp_path / NAME, meet="slow_steps")
    run.until(lambda: run.steps() >= 1)
    command = [sys.executable, "-m", "lorascope", "watch", str(run.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        assert watch.stdout
        said = watch.stdout.readline()
        yield run, watch, int(re.fullmatch(r"watching at http://127\.0\.0\.1:(\d+)/ .*\n", said)[1])
        watch.kill()


def ask(port, path="/", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def shown(port):
    """The run as the served page has it."""
    status, body = ask(port)
    assert status == 200, body
    content = unpack(body)[0]
    assert content["live"]
    return content["sources"][0]


def test_the_page_goes_on_with_the_run_and_ctrl_c_ends_the_watching_alone(watched):
    run, watch, port = watched
    before = shown(port)
    assert before["state"] == "unfinished"
    assert f" of {STEPS} steps done." in " ".join(before["verdict"])
    version = ask(port, "/version")[1]
    assert ask(port, host="evil.example")[0] == 403
    until(lambda: ask(port, "/version")[1] != version)
    first, last = (source["losses"]["training"][-1][0] for source in (before, shown(port)))
    assert last > first
    assert run.ended() == [0]
    after = shown(port)
    assert after["state"] == "finished"
    assert after["losses"]["training"][-1][0] == STEPS
    watch.send_signal(signal.SIGINT)
    out, err = watch.communicate(timeout=60)
    assert watch.returncode == 0, err
    assert err.splitlines() == ["stopped watching; the run itself is untouched"]
    assert out == ""
    assert rundir.state(run.folder) == "finished"
