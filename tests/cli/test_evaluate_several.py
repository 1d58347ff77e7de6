"""`lorascope evaluate` with several folders, merging and engines: what it calls, shows and writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lorascope.config.load import resolve

PRESET = {"model": "base", "data_dir": "d"}


def config(**flags):
    return resolve(PRESET | flags, preset="samsum_mlp").config


@pytest.fixture
def adapter(tmp_path):
    (tmp_path / "elsewhere" / "adapter").mkdir(parents=True)
    (tmp_path / "elsewhere" / "adapter" / "adapter_config.json").write_text("{}")
    return Path("elsewhere/adapter")


def test_runs_and_adapters_are_judged_alike_with_one_base(runs, lorascope, run_folder, adapter):
    one, two = run_folder("out/one", config()), run_folder("out/two", config(seed="7", num_samples="50", r="2"))
    shown = lorascope(f"evaluate {one} {two} {adapter} --model base --eval_samples 9")
    assert shown.code == 0, shown.err
    (model, *_, split), *_ = runs.seen
    assert [seen[1] for seen in runs.seen] == [one / "final_model", two / "final_model", adapter]
    assert all(seen[0] is model and seen[2:4] == runs.seen[0][2:4] for seen in runs.seen)  # one call, one load
    assert (model.model_id, split, runs.seen[0][3].eval_samples, runs.seen[0][2].data_dir) == ("base", "test", 9, "d")
    rows = [re.split(r"  +", line) for line in shown.out.splitlines()[:4]]
    assert rows[0] == ["metric", "model", "value", "95 % interval", "unit"]
    assert [row[:3] for row in rows[1:]] == [
        ["bleu", "one", "41.6"],
        ["bleu", "two", "40.6"],
        ["bleu", "adapter", "39.6"],
    ]
    assert shown.err.count("note      a note") == 1
    assert shown.out.splitlines()[-1].startswith("Next  lorascope evaluate --model base --dataset samsum")


def test_other_bases_are_loaded_one_after_another(runs, lorascope, run_folder, adapter):
    one, two = run_folder("one", config()), run_folder("two", config(model="other"))
    assert lorascope(f"evaluate {one} {adapter} {two}").code == 0
    assert [seen[0].model_id for seen in runs.seen] == ["base", "base-of-adapter", "other"]


def test_each_evaluation_is_written_as_soon_as_it_is_there(runs, lorascope, run_folder, tmp_path):
    one, two = run_folder("a/run", config()), run_folder("b/run", config())
    shown = lorascope(f"evaluate {one} {two} --output made -q")
    assert shown.out.splitlines() == ["made/a_run.json", "made/b_run.json"]
    assert json.loads((tmp_path / "made" / "b_run.json").read_text())["metrics"] == {"bleu": {"value": 40.6}}


def test_the_document_has_all_of_them_by_name(runs, lorascope, run_folder):
    one, two = run_folder("one", config()), run_folder("two", config())
    result = json.loads(lorascope(f"evaluate {one} {two} --json").out)["result"]
    assert {name: e["metrics"]["bleu"]["value"] for name, e in result["evaluations"].items()} == {
        "one": 41.6,
        "two": 40.6,
    }


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"max_length": "99"}, "differ in data.max_length: None and 99"),
        ({"temperature": "0.5"}, "differ in evaluation.temperature: None and 0.5"),
        ({"dtype": "float16"}, "differ in model.dtype: auto and float16"),
    ],
)
def test_runs_that_would_be_judged_differently_are_refused(runs, lorascope, run_folder, flags, says):
    one, two = run_folder("one", config()), run_folder("two", config(**flags))
    shown = lorascope(f"evaluate {one} {two}")
    assert shown.code == 2
    assert "error[other-evaluation]" in shown.err
    assert says in shown.err
    (flag,) = flags
    assert f"--{flag} VALUE" in shown.err
    assert not runs.seen
    assert lorascope(f"evaluate {one} {two} --{flag} {flags[flag]}").code == 0


def test_a_folder_named_twice_is_refused(runs, lorascope, run_folder):
    one = run_folder("one", config())
    assert "error[named-twice]" in lorascope(f"evaluate {one} ./one").err


def test_plan_names_all_and_starts_nothing(runs, lorascope, run_folder):
    one, two = run_folder("one", config()), run_folder("two", config())
    shown = lorascope(f"evaluate {one} {two} --merge --plan").out
    assert re.search(r"judged +.*one/final_model on base, .*two/final_model on base", shown)
    assert re.search(r"engine +transformers, adapters merged", shown)
    assert not runs.seen


def test_merging_is_passed_on(runs, lorascope, run_folder):
    one = run_folder("one", config())
    assert lorascope(f"evaluate {one}").code == 0
    assert runs.merge is False
    assert lorascope(f"evaluate {one} --merge").code == 0
    assert runs.merge is True


@pytest.mark.parametrize(
    "line",
    [
        "evaluate one --predictions p.jsonl",
        "evaluate --predictions p.jsonl --dataset samsum --merge",
        "evaluate --predictions p.jsonl --dataset samsum --engine vllm",
        "evaluate one --merge --engine vllm",
    ],
)
def test_what_excludes_each_other_is_refused(runs, lorascope, run_folder, line):
    run_folder("one", config())
    shown = lorascope(line)
    assert (shown.code, "error[flags-exclude]" in shown.err) == (2, True)


def test_an_unknown_engine_is_refused(lorascope):
    assert "error[flag-value]" in lorascope("evaluate --model m --dataset samsum --engine vlm").err
