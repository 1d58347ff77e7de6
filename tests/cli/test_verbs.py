"""What the other verbs call and show."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lorascope.config.load import resolve
from lorascope.config.presets import PRESETS
from lorascope.config.settings import settings


def test_check_takes_files_and_flags(runs, lorascope):
    Path("a.yaml").write_text("r: 3\n")
    assert lorascope("check a.yaml --preset e2e_mlp --seed 4").code == 0
    assert runs.seen[0][0].run_name == "e2e_nlg_mlp_only_r3_s4"


def test_check_lists_every_setting(lorascope):
    shown = lorascope("check --list")
    for s in settings():
        flag = "-" if s.kind is tuple else f"--{s.flag}"
        assert re.search(rf"^{re.escape(s.path)} +{flag} ", shown.out, re.M)


def test_evaluate_a_run_uses_its_configuration_under_the_flags(runs, lorascope, run_folder, tmp_path):
    config = resolve({"model": "base", "data_dir": "d", "eval_samples": "7"}, preset="samsum_mlp").config
    folder = run_folder("r", config)
    shown = lorascope(f"evaluate {folder} --temperature 0.5 --output out/x.json")
    model, adapter, data, evaluation, split_name = runs.seen[0]
    assert (model.model_id, adapter, data.dataset, data.data_dir) == ("base", folder / "final_model", "samsum", "d")
    assert (evaluation.eval_samples, evaluation.temperature, split_name) == (7, 0.5, "test")
    assert re.search(r"^bleu +41\.6  \[39\.0, 44\.1\] +0-100$", shown.out, re.M)
    assert json.loads((tmp_path / "out" / "x.json").read_text())["metrics"] == {"bleu": {"value": 41.6}}
    assert "why these: all of the split, in its order; test: the task's test split" in shown.out
    assert "Saved out/x.json" in shown.out
    assert (
        shown.out.splitlines()[-1]
        == "Next  lorascope evaluate --model base --dataset samsum --eval_samples 7 --data_dir d --temperature 0.5"
    )


def test_the_command_for_the_base_asks_the_same_examples_in_the_same_way(runs, lorascope, run_folder):
    folder = run_folder("r", resolve({"model": "base", "max_length": "64", "seed": "7", "samples": False}).config)
    how = "--split validation --metrics bleu --constrained --dtype float32"
    shown = lorascope(f"evaluate {folder} {how}")
    command = shown.out.splitlines()[-1].removeprefix("Next  lorascope ")
    assert command.startswith("evaluate --model base --dataset e2e_nlg --eval_samples 200 ")
    assert lorascope(command).code == 0
    (model, adapter, data, evaluation, split), bare = runs.seen
    assert (adapter, data.max_length, split) == (folder / "final_model", 64, "validation")
    assert bare == (model, None, data, replace(evaluation, samples=True), split)


def test_evaluate_an_adapter_takes_the_base_that_it_names(runs, lorascope, tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    assert lorascope("evaluate adapter --dataset e2e_nlg --split validation").code == 0
    assert lorascope("evaluate adapter --dataset e2e_nlg --model other").code == 0
    (first, adapter, _, _, split_name), (second, *_) = runs.seen
    assert (first.model_id, adapter, split_name) == ("base-of-adapter", Path("adapter"), "validation")
    assert second.model_id == "other"


def test_constrained_decoding_is_planned_passed_on_and_refused_for_answers_made_elsewhere(lorascope, runs, tmp_path):
    line = "evaluate --model m --dataset wikisql --data_source builtin --constrained"
    assert "greedy, constrained to the task's grammar" in lorascope(f"{line} --plan").out
    assert lorascope(line).code == 0
    assert runs.seen[0][3].constrained
    Path("p.jsonl").write_text('{"prediction": "A"}\n')
    shown = lorascope("evaluate --predictions p.jsonl --dataset wikisql --data_source builtin --constrained")
    assert (shown.code, "error[flags-exclude]" in shown.err) == (2, True)
    assert lorascope(f"{line} --temperature 1").code == 2


def test_what_answers_made_elsewhere_cannot_have_is_said(lorascope, runs, tmp_path):
    (tmp_path / "multinli_1.0_dev_matched.jsonl").write_text(
        '{"gold_label": "neutral", "sentence1": "a", "sentence2": "b"}\n'
    )
    Path("p.jsonl").write_text('{"prediction": "neutral"}\n')
    shown = lorascope(f"evaluate --predictions p.jsonl --dataset multi_nli --data_dir {tmp_path}")
    assert "accuracy_likelihood is left out: asked of a model, and these answers were made elsewhere" in shown.err
    assert "; validation: there is no test split with right answers" in shown.out


def test_evaluate_predictions_needs_no_model(lorascope, runs, tmp_path):
    header = "mr,ref\n"
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "testset_w_refs.csv").write_text(header + '"name[A]","A is here."\n"name[B]","B is here."\n')
    Path("p.jsonl").write_text('{"prediction": "A is here."}\n{"prediction": "B is here."}\n')
    shown = lorascope("evaluate --predictions p.jsonl --dataset e2e_nlg --data_dir d --json")
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)["result"]["metrics"]["rouge1"]["value"] == pytest.approx(100)
    assert not runs.seen


def test_ls_runs_shows_finished_and_unfinished_ones(runs, lorascope, run_folder, tmp_path):
    run_folder("results/one")
    run_folder("results/two", finished=False)
    (tmp_path / "results" / "notes").mkdir()
    shown = lorascope("ls runs")
    assert shown.out.splitlines() == [
        "run          state       trained parameters  steps  val loss (nats)",
        "results/one  finished             1,234,567    100             1.50",
        "results/two  unfinished                   -      -                -",
        "Next  lorascope run --preset e2e_attention --plan",
    ]
    assert "no runs in nowhere" in lorascope("ls runs --output_dir nowhere").out


def test_ls_lists_what_there_is(runs, lorascope):
    shown = lorascope("ls").out
    for name in ("tasks", "presets", "targets", "runs", "e2e_nlg", "multi_nli", *PRESETS, "attention_qv"):
        assert re.search(rf"^{name}\b", shown, re.M), name
    assert "attention_only  q_proj k_proj v_proj o_proj" in shown
