"""Runs in parallel: what is there is kept, failures are tried twice, deaths and signals leave a state to go on from."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lorascope.errors import RunError
from lorascope.report.terminal import Console
from lorascope.studies.experiment import run_study
from lorascope.studies.local import THREADS, run_local, slots


def environments(count=2, **met):
    return [{"FAKE": json.dumps(met), "OMP_NUM_THREADS": "1"}] * count


def execute(count=2, **met):
    return lambda trials, logs, progress: run_local(trials, environments(count, **met), logs, progress)


def run(study, folder, count=2, **met):
    return run_study(study, folder, execute(count, **met), Console(quiet=True))


def test_every_run_is_made_and_the_table_has_a_row_for_each(fake, grid, tmp_path):
    record = run(grid, tmp_path / "grid")
    assert len(record.table) == 6
    assert list(record.table["arm"]) == ["attention", "mlp"] * 3
    assert record.verdicts[0].parts[0].comparisons[0].effect == pytest.approx(0.1)
    assert (
        (tmp_path / "grid" / "results.csv")
        .read_text()
        .startswith("task,arm,seed,stage,lr,steps,folder,config_hash,test_loss")
    )
    assert r"e2e\_nlg & mlp & 10 & 3 & 1,000 & 2.1200 (0.0100)" in (tmp_path / "grid" / "results.tex").read_text()
    plan = json.loads((tmp_path / "grid" / "plan.json").read_text())
    assert plan["hypotheses"][0]["unit_of_replication"] == "seed, paired"


def test_workers_are_warm(fake, grid, tmp_path):
    run(grid, tmp_path / "grid", count=2)
    pids = {path.read_text().split()[0] for path in (tmp_path / "grid" / "logs").glob("e2e*.txt")}
    assert len(pids) <= 2


def test_finished_runs_are_not_made_again(fake, grid, tmp_path):
    run(grid, tmp_path / "grid")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "grid" / "runs").rglob("*.json")}
    run(grid, tmp_path / "grid", **{"1": "fail", "2": "die"})
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "grid" / "runs").rglob("*.json")}


@pytest.mark.parametrize("what", ["fail once", "die once"])
def test_a_run_that_fails_is_tried_once_more(fake, grid, tmp_path, what):
    assert len(run(grid, tmp_path / "grid", **{"2": what}).table) == 6


@pytest.mark.parametrize(("what", "said"), [("fail", "nan-loss: no number"), ("die", "its process died (SIGKILL)")])
def test_a_run_that_fails_twice_is_named_with_its_log_and_the_others_are_finished(fake, grid, tmp_path, what, said):
    with pytest.raises(RunError) as caught:
        run(grid, tmp_path / "grid", **{"2": what})
    assert caught.value.code == "study-failed"
    assert "2 of 6 runs failed twice: e2e_nlg" in caught.value.what
    assert said in caught.value.what
    assert ".txt" in caught.value.what
    assert len(pd.read_csv(tmp_path / "grid" / "results.csv")) == 4
    assert len(run(grid, tmp_path / "grid").table) == 6


def test_the_learning_rate_is_chosen_on_validation_rows(fake, grid, tmp_path):
    record = run(replace(grid, lrs=("1e-2", "1e-3")), tmp_path / "grid")
    main = record.table[record.table["stage"] == "main"]
    assert set(main["lr"]) == {1e-3}
    assert len(record.table) == 4 + 6


def test_another_plan_does_not_go_into_the_folder_of_a_study(fake, grid, tmp_path):
    run(grid, tmp_path / "grid")
    with pytest.raises(RunError) as caught:
        run(replace(grid, seeds=(1, 2)), tmp_path / "grid")
    assert caught.value.code == "other-study"
    assert "(seeds)" in caught.value.what
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="holds no study"):
        run(grid, tmp_path / "mine")


def test_slots_share_cores_and_gpus(monkeypatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots(None)] == ["0", "3"]
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots(3)] == ["0", "3", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [slot["OMP_NUM_THREADS"] for slot in slots(4)] == ["2"] * 4
    assert "CUDA_VISIBLE_DEVICES" not in slots(1)[0]
    assert len(slots(None)) == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # for all of them: MKL with more threads than asked for is slower
    assert {slots(4)[0][name] for name in THREADS} == {"3"}


# ---- the study itself is stopped ------------------------------------------------------------------------------------

STUDY = """
import json, sys
from pathlib import Path
sys.path[:0] = {paths}
import conftest
from lorascope.errors import LorascopeError
from lorascope.studies import local, results
from lorascope.report.terminal import Console
from test_local import run
local.command = lambda: conftest.WORKER
results.pd.read_parquet = lambda *args: conftest.EMPTY
study = conftest.make_grid()
try:
    run(study, Path(sys.argv[1]), **json.loads(sys.argv[2]))
except LorascopeError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@contextmanager
def child(folder, **met):
    """A study in a process of its own, ended with the block whatever happens there."""
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    words = [sys.executable, "-c", STUDY.format(paths=paths), str(folder), json.dumps(met)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as study:
        try:
            yield study
        finally:
            study.kill()


def until(there, seconds=120):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.005)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_ctrl_c_stops_the_runs_and_the_same_command_goes_on(fake, grid, tmp_path):
    with child(tmp_path / "grid", **{"2": "hang"}) as study:
        until(lambda: len(list(tmp_path.rglob("held_out.json"))) >= 2 and len(list(tmp_path.rglob("e2e*.txt"))) >= 4)
        study.send_signal(signal.SIGINT)
        out, _ = study.communicate(timeout=60)
    assert study.returncode == 130, out
    assert "the same command again" in out
    assert len(run(grid, tmp_path / "grid").table) == 6


@pytest.mark.slow
def test_killed_at_ten_moments_it_ends_in_the_same_table(fake, grid, tmp_path):
    run(grid, tmp_path / "whole")
    moments, folder = random.Random(0), tmp_path / "killed"
    for _ in range(10):
        with child(folder, pause=0.2) as study:
            until(lambda: study.poll() is not None or any(folder.glob("logs/worker-*.txt")))
            time.sleep(moments.random())
            study.kill()
            study.wait()
    run(grid, folder)
    assert (folder / "results.parquet").read_bytes() == (tmp_path / "whole" / "results.parquet").read_bytes()


def test_no_worker_outlives_a_study_that_is_killed(tmp_path):
    with child(tmp_path / "grid", **{str(seed): "hang" for seed in (1, 2, 3)}) as study:
        until(lambda: len([p for p in tmp_path.rglob("e2e*.txt") if p.read_text()]) == 2)
        pids = [int(path.read_text().split()[0]) for path in tmp_path.rglob("e2e*.txt")]
        assert all(map(alive, pids))
        study.kill()
        study.wait()
        until(lambda: not any(map(alive, pids)))
