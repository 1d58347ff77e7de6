"""What an unfinished run has so far is what its log holds."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lorascope.config.experiment import ExperimentConfig
from lorascope.config.load import to_json
from lorascope.errors import RunError
from lorascope.measure import files
from lorascope.measure.records import RUN_COLUMNS, Column, GradientNormLog, Series
from lorascope.report.page import page_of, unpack
from lorascope.report.page_run import run_source
from lorascope.runs import rundir
from lorascope.runs.unfinished import so_far

MODULE = "model.layers.0.self_attn.q_proj"


def column(matrix, score):
    return Column(MODULE, 0, "decoder", "q", "attention", matrix, score, 10, 4.0, 8)


@pytest.fixture
def going(tmp_path):
    """(folder, log) of a run that is at step 5."""
    (tmp_path / rundir.CONFIG).write_text(to_json(ExperimentConfig()))
    (tmp_path / rundir.CHECKPOINTS).mkdir()
    log = GradientNormLog()
    log.gradients = Series([column("A", "grad_sq"), column("B", "grad_sq"), *RUN_COLUMNS])
    log.weights = Series([column("AB", "update_sq")])
    log.base = Series([column("W", "base_sq")])
    log.base.append(0, np.array([25.0]))
    writing = files.start(tmp_path, log, after=0, weight_every=5, layer_norm=True)
    for step in range(1, 6):
        row = np.array([float(step - 1), 2.0, 3.0 / step, 1.0, 1.0, 50.0, 1e-4])
        log.gradients.append(step, row)
        writing.add_gradients(step, row)
    log.weights.append(5, np.array([0.25]))
    writing.add_weights(5, np.array([0.25]))
    return tmp_path, log


def test_the_table_is_the_logs(going):
    folder, log = going
    results, table = so_far(folder)
    pd.testing.assert_frame_equal(table, log.table())
    assert results["steps"] == 5
    assert results["training_loss"] == [[step, 3.0 / step] for step in range(1, 6)]
    assert results["parameters"] == {"trained": 20, "by_group": {"attention": 20}}
    assert results["best_validation_loss"] is None


def test_validation_losses_are_those_of_the_newest_whole_checkpoint(going):
    folder, _ = going
    for step in (2, 4, 10):
        (folder / rundir.CHECKPOINTS / f"checkpoint-{step}").mkdir()
    state = {"log_history": [{"step": 2, "eval_loss": 1.5}, {"step": 3, "loss": 1.0}], "best_metric": 1.5}
    (folder / rundir.CHECKPOINTS / "checkpoint-4" / "trainer_state.json").write_text(json.dumps(state))
    (folder / rundir.CHECKPOINTS / "checkpoint-10" / "trainer_state.json").write_text('{"log_hist')
    results, _ = so_far(folder)
    assert results["validation_loss"] == [[2, 1.5]]
    assert results["best_validation_loss"] == 1.5


def test_its_page_says_how_far_it_is(going):
    folder, _ = going
    results, table = so_far(folder)
    content, _ = unpack(page_of([run_source(folder, results=results, table=table)], live="now"))
    assert "unfinished: 5 of 100 steps done." in content["verdict"]
    assert content["live"] == "now"
    assert [score["name"] for score in content["sources"][0]["map"]["scores"]] == [
        "rms",
        "update",
        "per_scaling",
        "raw",
    ]


def test_before_the_first_step_there_is_nothing(tmp_path):
    with pytest.raises(RunError, match="measured nothing yet"):
        so_far(tmp_path)
