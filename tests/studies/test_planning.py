"""The plan of a study: its time by hand, and what it tells of the grid."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from lorascope.report.terminal import Console
from lorascope.studies import planning
from lorascope.studies.builtin import STUDIES
from lorascope.studies.design import Choices, main_trials

SIZE = 3_148_224
"""Parameters of the embedded model."""


@pytest.fixture
def study():
    return replace(STUDIES["lora_sensitivity"](), seeds=(1, 2))


def test_the_operations_of_a_run_by_hand(study, tmp_path):
    first = main_trials(study, tmp_path, Choices())[0].config
    # 40 steps of 8 rows, forward and backward; 40 validation rows at steps 0, 20, 40; 100 test rows twice
    assert planning._flops(first) == SIZE * 160 * (4 * 40 * 8 + 2 * 40 * 3 + 2 * 2 * 100)


def test_a_plan_says_what_is_run_how_long_and_what_can_be_seen(study, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "_speed", lambda: 1e10)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    said = io.StringIO()
    found = planning.plan_study(study, tmp_path / "none", 2, Console(stdout=said, stderr=said))
    assert "36 runs = (8 tasks x 3 arms - 6 cells left out) x 2 seeds; runs of wikisql" in said.getvalue()
    assert "end with the early window" in said.getvalue()
    assert "H2, like lengths: 2 seeds can see no difference, however large" in said.getvalue()
    assert set(found["parameters"].values()) == {60_544}
    assert (found["runs"], found["finished"], found["jobs"]) == (36, 0, 2)
    whole = 5 + SIZE * 160 * 1920 / 1e10
    short = 5 + SIZE * 160 * (4 * 4 * 8 + 2 * 40 * 2 + 400) / 1e10
    assert found["seconds"] == pytest.approx(36 / 2 * (12 * whole + 24 * short) / 36, abs=1)
    assert not (tmp_path / "none").exists()
