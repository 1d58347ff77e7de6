"""Views, statistics and files of the log, on numbers worked by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lorascope import GradientNormLog
from lorascope.analysis.profiles import norms as tidy_norms
from lorascope.errors import RunError
from lorascope.measure import tidy
from lorascope.measure.records import ABSENT, RUN_SCORES, Column, csv_text
from lorascope.measure.summary import stats
from lorascope.runs import rundir

NAN, INF = float("nan"), float("inf")


def column(
    module: str,
    matrix: str,
    group: str,
    layer: int | None,
    *,
    score: str = "grad_sq",
    numel: int = 4,
    scaling: float = 2.0,
    stack: str = "decoder",
) -> Column:
    return Column(module, layer, stack, module[0], group, matrix, score, numel, scaling, 2)


GRADIENTS = [
    column("q0", "A", "attention", 0), column("q0", "B", "attention", 0, numel=12),
    column("u0", "A", "mlp", 0), column("u0", "B", "mlp", 0),
    column("q1", "A", "attention", 1), column("q1", "B", "attention", 1, numel=12),
    column("x", "A", "other", None), column("x", "B", "other", None),
]  # fmt: skip
WEIGHTS = [
    *(c._replace(score="weight_sq") for c in GRADIENTS),
    *(
        column(m, "AB", g, layer, score="update_sq")
        for m, g, layer in (("q0", "attention", 0), ("u0", "mlp", 0), ("q1", "attention", 1), ("x", "other", None))
    ),
]
BASE = [c._replace(matrix="W", score="base_sq") for c in WEIGHTS[8:]]


def log_of(*rows: list[float]) -> GradientNormLog:
    """A log with a row for each step from 1 on; the facts about whole steps are 2.5, 100, 0.5, 7, 0.1."""
    log = GradientNormLog(GRADIENTS, WEIGHTS, BASE)
    log.base.append(0, np.array([25.0, 16.0, 75.0, 4.0]))
    for step, row in enumerate(rows, start=1):
        log.gradients.append(step, np.array([*row, 2.5, 100.0, 0.5, 7.0, 0.1]))
    return log


def test_a_norm_is_the_root_of_the_summed_squares() -> None:
    log = log_of([9, 16, 5, 4, 56, 144, 1, 1], [0, 4, 0, 1, 0, 0, 0, 0])
    groups = log.group_norms()
    assert list(groups.columns) == ["step", "embed", "attention", "mlp", "lm_head", "total"]
    assert groups["step"].tolist() == [1, 2]
    assert groups["attention"].tolist() == [15.0, 2.0]  # sqrt(9 + 16 + 56 + 144)
    assert groups["mlp"].tolist() == [3.0, 1.0]
    assert groups["total"].tolist() == [pytest.approx(236**0.5), pytest.approx(5**0.5)]  # with "other"
    assert groups[["embed", "lm_head"]].isna().all(axis=None)
    layers = log.layer_norms()
    assert list(layers.columns) == ["step", "layer_0_attention", "layer_0_mlp", "layer_1_attention"]
    assert layers.iloc[0].tolist() == [1, 5.0, 3.0, pytest.approx(200**0.5)]


def test_levels_matrices_and_scales() -> None:
    log = log_of([9, 16, 5, 4, 56, 144, 1, 1])
    assert log.norms("projection").iloc[0].tolist() == [1, 15.0, 3.0, pytest.approx(2**0.5)]
    assert list(log.norms("module").columns) == ["step", "q0", "u0", "q1", "x"]
    assert log.norms("group", matrix="A")["attention"][0] == pytest.approx(65**0.5)
    assert log.norms("group", matrix="B")["attention"][0] == pytest.approx(160**0.5)
    assert log.norms("group", scale="rms")["attention"][0] == pytest.approx((225 / 32) ** 0.5)
    assert log.norms("group", scale="per_scaling")["attention"][0] == pytest.approx(15 / 2)


def test_the_tidy_table_gives_the_same_norms() -> None:
    log = log_of([9, 16, 5, 4, 56, 144, 1, 1], [1, ABSENT, 2, 3, NAN, 4, 5, ABSENT])
    for scale in ("raw", "rms", "per_scaling"):
        ours = log.norms("group", scale=scale).set_index("step")
        theirs = tidy_norms(log.table(), by=["step", "group"], normalise=scale)
        for row in theirs.itertuples():
            assert ours.loc[row.step, row.group] == pytest.approx(row.value, nan_ok=True)


def test_what_is_absent_is_empty_and_never_zero(tmp_path: Path) -> None:
    gone = [ABSENT] * 2
    log = log_of([9, 16, *gone, *gone, 1, 1], [*gone, 5, 4, *gone, 1, 1], [9, 16, 5, NAN, *gone, 1, INF])
    assert csv_text(log.group_norms()) == (
        f"step,embed,attention,mlp,lm_head,total\n1,,5.0,,,{27**0.5!r}\n2,,,3.0,,{11**0.5!r}\n3,,5.0,,,\n"
    )
    assert csv_text(log.layer_norms()) == (
        "step,layer_0_attention,layer_0_mlp,layer_1_attention\n1,5.0,,\n2,,3.0,\n3,5.0,,\n"
    )
    # rms divides by the numbers that are there, not by those that could be
    assert log.norms("group", scale="rms")["attention"][0] == pytest.approx((25 / 16) ** 0.5)
    table = log.table()
    at3 = table[(table["step"] == 3) & (table["score"] == "grad_sq")]
    assert at3["finite"].tolist() == [True, True, True, False, True, False]
    assert len(table[table["score"] == "grad_sq"]) == 4 + 4 + 6


def test_the_encoders_layers_have_names_of_their_own_and_stand_in_front() -> None:
    columns = [
        column("d", "A", "mlp", 0),
        column("e", "A", "attention", 1, stack="encoder"),
        column("e", "A", "attention", 0, stack="encoder"),
    ]
    log = GradientNormLog(columns)
    log.gradients.append(1, np.array([1.0, 4.0, 9.0, *[ABSENT] * 5]))
    assert log.layer_norms().iloc[0].to_dict() == {
        "step": 1, "encoder_layer_0_attention": 3, "encoder_layer_1_attention": 2, "layer_0_mlp": 1,
    }  # fmt: skip
    assert list(log.layer_norms())[1:] == ["encoder_layer_0_attention", "encoder_layer_1_attention", "layer_0_mlp"]


def test_rows_summed_one_by_one_have_the_digits_of_rows_summed_together() -> None:
    rng = np.random.default_rng(0)
    columns = [column(f"q{i}", m, "attention", i % 5) for i in range(300) for m in "AB"]
    log = GradientNormLog(columns)
    for step in range(1, 8):
        log.gradients.append(step, np.concatenate([rng.lognormal(0, 5, 600), [ABSENT] * 5]))
    for view in ("group_norms", "layer_norms"):
        grown = csv_text(getattr(log, view)()).splitlines(keepends=True)[0]
        for start in range(7):
            one = GradientNormLog()
            one.gradients = log.gradients.keep(lambda step, wanted=start + 1: step == wanted)
            grown += csv_text(getattr(one, view)(), header=False)
        assert grown == csv_text(getattr(log, view)())
        assert csv_text(getattr(log, view)(start=5), header=False) == "".join(grown.splitlines(keepends=True)[-2:])


def test_statistics_by_hand() -> None:
    found = stats(np.array([3, 5, 7, 9]), np.array([1.0, 4.0, NAN, 4.0]))
    assert found == {"mean": 3.0, "std": pytest.approx(3**0.5), "min": 1.0, "max": 4.0, "peak_step": 5, "n": 3}
    assert stats(np.array([3]), np.array([1.0]))["std"] is None
    assert stats(np.array([3]), np.array([NAN])) == dict.fromkeys(("mean", "std", "min", "max", "peak_step"), None) | {
        "n": 0
    }


def test_the_summary_leaves_out_steps_that_are_not_finite_and_counts_them() -> None:
    log = log_of([9, 16, 5, 4, 0, 0, 1, 1], [1e9, 16, 5, NAN, 0, 0, 1, 1], [0, 4, 0, 1, 0, 0, 0, 0])
    log.weights.append(2, np.arange(12.0))
    log.weights.append(3, np.array([9, 16, 4, 4, 9, 2, 4, 4, 4.0, 4.0, 12.0, 9.0]))
    found = log.summary()
    assert (found["steps_measured"], found["first_step"], found["last_step"]) == (3, 1, 3)
    assert found["nonfinite_steps"] == [2]
    attention = found["groups"]["attention"]
    assert attention["parameters"] == 32
    assert attention["norm"] == {
        "mean": 3.5,
        "std": pytest.approx(4.5**0.5),
        "min": 2.0,
        "max": 5.0,
        "peak_step": 1,
        "n": 2,
    }
    assert attention["rms"]["max"] == pytest.approx(5 / 32**0.5)
    assert attention["per_scaling"]["max"] == 2.5
    assert attention["matrices"]["A"]["norm"]["mean"] == 1.5
    assert attention["matrices"]["B"]["norm"]["mean"] == 3.0
    assert attention["matrices"]["A"]["parameters"] == 8
    assert found["layers"]["layer_0_mlp"]["mean"] == 2.0
    assert found["projections"]["q"] == {key: attention[key] for key in ("parameters", "norm", "rms", "per_scaling")}
    assert found["total"]["norm"]["n"] == 2
    weights = found["weights"]
    assert weights["step"] == 3
    assert weights["groups"]["attention"] == {
        "A": pytest.approx(18**0.5), "B": pytest.approx(18**0.5), "update": 4.0, "base": 10.0, "update_over_base": 0.4,
    }  # fmt: skip
    assert weights["groups"]["other"]["update_over_base"] == 1.5
    json.dumps(found, allow_nan=False)


def test_a_ratio_to_quantised_weights_is_not_made_up() -> None:
    log = log_of([1] * 8)
    log.base._rows[0][2] = ABSENT  # q1's weight has no plain norm
    log.weights.append(1, np.ones(12))
    groups = log.summary()["weights"]["groups"]
    assert groups["attention"]["base"] is None
    assert groups["attention"]["update_over_base"] is None
    assert groups["mlp"]["update_over_base"] == 0.25


def test_an_empty_log_has_empty_views() -> None:
    log = GradientNormLog()
    assert list(log.group_norms()) == ["step", "embed", "attention", "mlp", "lm_head", "total"]
    assert list(log.layer_norms()) == ["step"]
    assert log.summary()["steps_measured"] == 0
    assert log.summary()["weights"] is None
    assert len(log.table()) == 0


def test_facts_about_whole_steps() -> None:
    log = log_of([1] * 8, [1] * 8)
    assert log.run_series("loss") == [(1, 2.5), (2, 2.5)]
    assert log.run_series("clip_coef") == [(1, 0.5), (2, 0.5)]
    run = log.table().query("module == '' and step == 1")
    assert dict(zip(run["score"], run["value"], strict=True)) == dict(
        zip(RUN_SCORES, [2.5, 100, 0.5, 7, 0.1], strict=True)
    )


def test_the_tables_columns_have_their_types() -> None:
    table = log_of([1] * 8).table()
    assert {name: str(kind) for name, kind in table.dtypes.items() if kind != "category"} == {
        "step": "int32", "layer": "Int16", "value": "float64", "numel": "int64", "scaling": "float64", "r": "int32",
        "finite": "bool",
    }  # fmt: skip
    assert list(table.columns) == [
        "step", "module", "layer", "stack", "projection", "group", "matrix", "score",
        "value", "numel", "scaling", "r", "finite",
    ]  # fmt: skip
    assert {name for name, kind in table.dtypes.items() if kind == "category"} == set(tidy.TEXTS)
    base = table[table["score"] == "base_sq"]
    assert base["step"].tolist() == [0] * 4
    assert base["value"].tolist() == [25, 16, 75, 4]


@pytest.mark.parametrize("facts_at_once", [10, 10**6])
def test_saved_and_loaded_it_is_the_same_to_the_digit(
    facts_at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidy, "_FACTS_AT_ONCE", facts_at_once)
    log = log_of([ABSENT] * 2 + [1 / 3, 2, 3, 4, 5, NAN], [1e-300, ABSENT, 2, 3, NAN, INF, 5, 1e300])
    log.weights.append(2, np.arange(12) / 7)
    log.save(tmp_path)
    again = GradientNormLog.load(tmp_path)
    for name in ("base", "gradients", "weights"):
        one, other = getattr(log, name), getattr(again, name)
        assert repr(one.columns) == repr(other.columns)
        assert one.steps.tolist() == other.steps.tolist()
        assert one.values.tobytes() == other.values.tobytes()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / rundir.GRADIENT_TABLE), log.table())
    assert (tmp_path / rundir.GROUP_NORMS).read_text() == csv_text(log.group_norms())
    assert (tmp_path / rundir.LAYER_NORMS).read_text() == csv_text(log.layer_norms())
    assert json.loads((tmp_path / rundir.GRADIENT_SUMMARY).read_text()) == log.summary()


def test_a_seeds_reader_finds_empty_cells_where_there_is_nothing(tmp_path: Path) -> None:
    log_of([9, 16, 5, 4, 56, 144, 1, 1]).save(tmp_path)
    frame = pd.read_csv(tmp_path / rundir.GROUP_NORMS)
    assert frame["attention"][0] == 15.0
    assert np.isnan(frame["embed"][0])


def test_a_folder_without_or_with_a_damaged_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no-measurements"):
        GradientNormLog.load(tmp_path)
    (tmp_path / rundir.GRADIENT_TABLE).write_bytes(b"PAR1 not a table")
    with pytest.raises(RunError, match="damaged-run"):
        GradientNormLog.load(tmp_path)


def test_the_log_needs_no_torch() -> None:
    code = "import sys, lorascope; lorascope.GradientNormLog().summary(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
