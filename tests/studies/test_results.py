"""The table of a study: measures of a run by hand, and what a repetition must not change."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from lorascope.runs import rundir
from lorascope.studies import results
from lorascope.studies.measures import MEASURES


def facts(module, group, *, inputs, outputs, r, scaling, squares):
    """Rows of a module at steps 1, 2, ...: squares of B's gradient; A's are 0."""
    about = {"module": module, "group": group, "score": "grad_sq", "scaling": scaling, "r": r, "finite": True}
    return [
        {**about, "step": step, "matrix": matrix, "value": value * (matrix == "B"), "numel": numel}
        for step, value in enumerate(squares, 1)
        for matrix, numel in (("A", r * inputs), ("B", r * outputs))
    ]


def test_the_scale_free_gradient_by_hand():
    # 3 in |g_B|^2 / (s^2 r) = 3 x 8 x 4 / (4 x 2) = 12 over 8 x 4 weights; and 3 x 2 x 6 / (1 x 3) = 12 over 2 x 2
    rows = [
        *facts("a", "attention", inputs=8, outputs=4, r=2, scaling=2.0, squares=[4.0, 0.0]),
        *facts("b", "attention", inputs=2, outputs=2, r=3, scaling=1.0, squares=[6.0, 0.0]),
    ]
    assert results.scale_free(pd.DataFrame(rows)) == pytest.approx(math.sqrt(24 / 36) / 2)


@pytest.mark.parametrize(("r", "scaling", "inputs"), [(4, 2.0, 64), (16, 0.5, 64), (8, 4.0, 256)])
def test_it_does_not_depend_on_rank_alpha_or_width(r, scaling, inputs):
    rng = np.random.default_rng(r)
    gradient = rng.normal(size=(10, inputs))  # of the frozen weight: root mean square 1
    squares = []
    for _ in range(200):  # B's gradient is scaling x G A^T, with A as PEFT draws it
        a = rng.uniform(-1, 1, (r, inputs)) / math.sqrt(inputs)
        squares.append(float((scaling * gradient @ a.T).__pow__(2).sum()))
    mean = [float(np.mean(squares))]
    rows = facts("a", "mlp", inputs=inputs, outputs=10, r=r, scaling=scaling, squares=mean)
    expected = math.sqrt((gradient**2).mean())
    assert results.scale_free(pd.DataFrame(rows)) == pytest.approx(expected, rel=0.05)


@pytest.fixture
def folder(tmp_path):
    """A run of 20 steps that adapted both groups, as its files have it."""
    squares = [4.0, 16.0] + [1.0] * 18
    rows = [
        *facts("a", "attention", inputs=8, outputs=4, r=2, scaling=2.0, squares=squares),
        *facts("b", "mlp", inputs=8, outputs=4, r=2, scaling=2.0, squares=[4 * s for s in squares]),
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / rundir.GRADIENT_TABLE)
    files = {
        rundir.RESULTS: {"best_validation_loss": 1.5, "parameters": {"trained": 48}, "steps": 20, "dataset": "samsum"},
        rundir.HELD_OUT: {"tuned": 1.0, "base": 4.0, "without": {"attention": 1.5, "mlp": 3.0},
                          "parameters": {"attention": 24, "mlp": 12}},
        rundir.GRADIENT_SUMMARY: {"weights": {"groups": {"attention": {"update_over_base": 0.1},
                                                         "mlp": {"update_over_base": 0.3}}}},
        "samsum_evaluation.json": {"metrics": {"rouge1": {"value": 30.0}}},
    }  # fmt: skip
    for name, value in files.items():
        (tmp_path / name).write_text(json.dumps(value))
    return tmp_path


def test_the_measures_of_a_run_by_hand(folder):
    found = results.measures(folder, 2)
    assert set(found) == set(MEASURES) | {"metric_rouge1"}
    assert found["test_loss"] == 1.0
    assert found["early_raw_attention"] == 3.0  # two steps are early: (2 + 4) / 2
    assert found["early_raw_mlp"] == 6.0
    assert found["whole_raw_attention"] == pytest.approx((2 + 4 + 18) / 20)
    assert found["early_free_mlp"] == pytest.approx(2 * found["early_free_attention"])
    assert (found["update_attention"], found["update_mlp"]) == (0.1, 0.3)
    # 0.5 nats over 24 parameters, 2 nats over 12, for a thousand each
    assert found["knockout_attention"] == pytest.approx(0.5 / 24 * 1000)
    assert found["knockout_mlp"] == pytest.approx(2 / 12 * 1000)
    assert found["metric_rouge1"] == 30.0


def test_the_latex_table_is_one():
    frame = pd.DataFrame(
        {"task": "a_b", "arm": "x", "seed": [1, 2], "stage": "main", "lr": 1e-3, "steps": 40, "test_loss": [1.0, 2.0],
         "validation_loss": [1.0, 1.0], "trained_parameters": 1200.0}
    )  # fmt: skip
    text = results.latex(results.summary(frame))
    assert r"a\_b & x & 40 & 2 & 1,200 & 1.5000 (0.707) & 1.0000 (0)" in text
    assert text.count("&") == 2 * 6
