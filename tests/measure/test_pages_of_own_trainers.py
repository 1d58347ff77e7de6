"""The page of a callback's folder: somebody's own Trainer, without a run of lorascope around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from measuring import lora_toy, rows, trainer

import lorascope
from lorascope import GradientNormCallback
from lorascope.errors import RunError
from lorascope.report.page import unpack
from lorascope.runs.own_trainer import is_own_training, own_source


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Four steps, an adapter saved at each, into the folder of the callback."""
    folder = tmp_path_factory.mktemp("own") / "support"
    trainer(
        lora_toy(), rows(8), folder / "checkpoints", [GradientNormCallback(folder)],
        logging_strategy="steps", logging_steps=1, save_strategy="steps", save_steps=2,
    ).train()  # fmt: skip
    return folder


def test_it_shows_what_was_measured_and_says_what_it_does_not_know(folder):
    assert is_own_training(folder)
    found = lorascope.report(folder)
    content = unpack(found.path.read_text(encoding="utf-8"))[0]
    (source,) = content["sources"]
    assert content["verdict"][0] == "Attention or MLP: undecided with one seed."
    assert source["name"] == "support"
    assert "4 steps measured" in content["about"]
    assert {score["name"] for score in source["map"]["scores"]} >= {"rms", "raw"}
    state = json.loads((folder / "checkpoints" / "checkpoint-4" / "trainer_state.json").read_text())
    logged = [[entry["step"], entry["loss"]] for entry in state["log_history"] if "loss" in entry]
    assert source["losses"]["training"] == [[step, pytest.approx(loss, rel=1e-5)] for step, loss in logged]
    parameters = sum(p.numel() for name, p in lora_toy().named_parameters() if "lora_" in name)
    assert source["budget"][1][1].startswith(f"{parameters:,} parameters in ")
    exports = {one["label"]: one["text"] for one in source["exports"]}
    made: dict = {}
    exec(exports["PEFT"], made)
    adapter = json.loads((folder / "checkpoints" / "checkpoint-4" / "adapter_config.json").read_text())
    assert made["config"].target_modules == set(adapter["target_modules"])
    assert (made["config"].r, made["config"].lora_alpha) == (adapter["r"], adapter["lora_alpha"])


def test_while_it_trains_its_page_has_the_journals_rows(folder, tmp_path):
    going = tmp_path / "going"
    (going / "checkpoints").mkdir(parents=True)
    for name in ("gradients.journal", "weights.journal"):
        (going / "checkpoints" / name).write_bytes((folder / "checkpoints" / name).read_bytes())
    source = own_source(going)
    assert source.about["state"] == "unfinished"
    assert source.about["exports"] == []
    assert "4 steps measured so far" in source.about["line"]
    assert (source.map.parts["A"].values == own_source(folder).map.parts["A"].values).all()


def test_beside_another_it_is_not_compared(folder, tmp_path):
    found = lorascope.report(folder, folder, output=tmp_path / "two.html")
    assert found.said == ("Undecided: a Trainer of one's own says neither its rows nor its seed.",)


def test_a_folder_of_neither_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(RunError, match="holds no run"):
        lorascope.report(tmp_path)
