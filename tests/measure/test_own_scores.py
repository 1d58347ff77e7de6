"""Scores of other packages: measured at the right moment, recorded, and no harm to what is measured beside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from measuring import lora_toy, rows, trainer
from torch import Tensor

from lorascope import GradientNormCallback, GradientNormLog
from lorascope.errors import ConfigError
from lorascope.measure import own_scores
from lorascope.measure.own_scores import SCORES, LoraTensors, register
from lorascope.measure.records import ABSENT
from lorascope.models.adapters import ADAPTER, adapter_tensors

SCORE = """
from lorascope.measure.own_scores import register

@register(unit="loss", source="Lee 2019")
def importance(t):
    return (t.A * t.grad_A).abs().sum() + (t.B * t.grad_B).abs().sum()
"""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Nothing stays registered."""
    before = dict(SCORES)
    yield
    SCORES.clear()
    SCORES.update(before)


def training(folder: Path, log: Path | None = None) -> GradientNormLog:
    callback = GradientNormCallback(log)
    trainer(lora_toy(trained_b=True), rows(8), folder, [callback], max_grad_norm=1e-3).train()
    return callback.log


def test_a_score_sees_gradients_whole_and_not_clipped(tmp_path: Path) -> None:
    @register(unit="loss^2 / weight^2", source="both squared norms, which are measured anyway")
    def both(t: LoraTensors) -> Tensor:
        return t.grad_A.double().square().sum() + t.grad_B.double().square().sum()

    @register(unit="1", source="what LoRA's update is multiplied with")
    def factor(t: LoraTensors) -> Tensor:
        assert not torch.is_grad_enabled()
        return torch.tensor(t.scaling)

    table = training(tmp_path).table()
    known = table[table["score"] == "grad_sq"].groupby(["step", "module"], observed=True)["value"].sum()
    own = table[table["score"] == "both"].set_index(["step", "module"])
    assert len(own) == 4 * 14
    assert set(own["matrix"]) == {"AB"}
    np.testing.assert_allclose(own["value"], known.loc[own.index], rtol=1e-5)
    assert set(table[table["score"] == "factor"]["value"]) == {4.0}
    sizes = table[table["score"] == "grad_sq"].groupby(["step", "module"], observed=True)["numel"].sum()
    assert (own["numel"] == sizes.loc[own.index]).all()


def test_it_changes_nothing_beside_it_and_survives_the_disk(tmp_path: Path) -> None:
    plain = training(tmp_path / "plain")

    @register(unit="1", source="a test")
    def one(t: LoraTensors) -> Tensor:
        return torch.ones(())

    log = training(tmp_path / "more", tmp_path / "log")
    for view in ("group_norms", "layer_norms"):
        assert getattr(log, view)().equals(getattr(plain, view)())
    assert log.summary() == plain.summary()
    read = GradientNormLog.load(tmp_path / "log").table()
    ones = read[read["score"] == "one"]
    assert len(ones) == 4 * 14
    assert set(ones["value"]) == {1.0}
    assert read[read["score"] != "one"].reset_index(drop=True)["value"].equals(plain.table()["value"])


def test_a_module_without_a_gradient_has_no_score() -> None:
    @register(unit="1", source="a test")
    def one(t: LoraTensors) -> Tensor:
        return torch.ones(())

    tensors = adapter_tensors(lora_toy(["q_proj"]), ADAPTER)
    for tensor in tensors[:2]:
        tensor.parameter.grad = torch.zeros_like(tensor.parameter)
    assert own_scores.row(tensors, list(SCORES.values())).tolist() == [1.0, ABSENT]
    assert own_scores.row(tensors, []).tolist() == []
    assert [c.module for c in own_scores.columns(tensors, list(SCORES.values()))] == [
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
    ]


def test_a_score_gives_one_number_for_a_module(tmp_path: Path) -> None:
    @register(unit="1", source="a test")
    def several(t: LoraTensors) -> Tensor:
        return t.grad_A

    with pytest.raises(ConfigError, match="score 'several' must give one number for a module, got"):
        training(tmp_path)


def test_a_score_has_a_name_of_its_own() -> None:
    def grad_sq(t: LoraTensors) -> Tensor:
        return torch.ones(())

    with pytest.raises(ConfigError, match="'grad_sq' is a fact that lorascope measures itself"):
        register(unit="1", source="a test")(grad_sq)
    assert not SCORES


def test_a_score_comes_from_another_package_and_a_broken_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    info = tmp_path / "site" / "pruning-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pruning\nVersion: 1.0\n")
    points = "importance = pruning_scores:importance\nbroken = pruning_scores:SCORE\n"
    (info / "entry_points.txt").write_text(f"[lorascope.scores]\n{points}")
    (tmp_path / "site" / "pruning_scores.py").write_text(SCORE + "SCORE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "pruning_scores", raising=False)
    log = training(tmp_path / "run")
    scored = log.table().query("score == 'importance'")
    assert len(scored) == 4 * 14
    assert (scored["value"] > 0).all()
    assert (SCORES["importance"].unit, SCORES["importance"].source) == ("loss", "Lee 2019")
    assert "score 'broken' comes with the package pruning and cannot be used: it is no lorascope" in caplog.text
