"""Runs side by side: values from the folders, and the remarks that keep a difference from being read as an effect."""

from __future__ import annotations

import json

import pytest

from lorascope.analysis.compare import compare_runs
from lorascope.errors import RunError


def stats(mean):
    return {"mean": mean, "std": None, "min": mean, "max": mean, "peak_step": 1, "n": 1}


@pytest.fixture
def run(tmp_path):
    """Make a run folder with a group's norms and a metric."""

    def make(name, *, group="attention", norm=0.5, bleu=None, finished=True, **changes):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text('{"lora": {}, "gradient_analysis": {}}')
        results = {
            "dataset": "e2e_nlg", "model": "m", "target": "attention_only", "r": 8, "lora_alpha": 32.0, "seed": 1,
            "steps": 100, "parameters": {"trained": 1000}, "best_validation_loss": 1.25,
        }  # fmt: skip
        gradients = {
            "groups": {group: {"norm": stats(norm), "rms": stats(norm / 10), "per_scaling": stats(norm / 4)}},
            "weights": {"step": 100, "groups": {group: {"update_over_base": 0.01}}},
        }
        (folder / "gradient_analysis.summary.json").write_text(json.dumps(gradients))
        if bleu is not None:
            score = {"value": bleu, "ci_low": bleu - 1, "ci_high": bleu + 2, "unit": "0-100", "higher_is_better": True}
            (folder / f"{changes.get('dataset', 'e2e_nlg')}_evaluation.json").write_text(
                json.dumps({"metrics": {"bleu": score}})
            )
        if finished:
            (folder / "results_summary.json").write_text(json.dumps(results | changes))
        return folder

    return make


def rows(found):
    return {q.name: q.values for q in found.quantities}


def test_every_quantity_stands_beside_that_of_the_other_run(run):
    a = run("a", bleu=30.0)
    b = run("b", group="mlp", norm=0.8, target="mlp_only", parameters={"trained": 2000}, best_validation_loss=1.5)
    found = compare_runs([a, b])
    assert [(r["name"], r["folder"], r["target"]) for r in found.runs] == [
        ("A", str(a), "attention_only"),
        ("B", str(b), "mlp_only"),
    ]
    assert rows(found) == {
        "trained parameters": (1000, 2000),
        "validation loss": (1.25, 1.5),
        "bleu": (30.0, None),
        "attention: gradient norm": (0.5, None),
        "attention: gradient per parameter (RMS)": (0.05, None),
        "attention: gradient norm x r / alpha": (0.125, None),
        "attention: |dW| / |W|": (0.01, None),
        "MLP: gradient norm": (None, 0.8),
        "MLP: gradient per parameter (RMS)": (None, 0.08),
        "MLP: gradient norm x r / alpha": (None, 0.2),
        "MLP: |dW| / |W|": (None, 0.01),
    }
    bleu = next(q for q in found.quantities if q.name == "bleu")
    assert bleu.unit == "0-100"
    assert bleu.intervals == ((29.0, 32.0), None)


def test_one_run_of_an_arm_is_undecided(run):
    found = compare_runs([run("a"), run("b", target="mlp_only")])
    assert found.remarks[0].startswith("undecided: 1 run of an arm")


def test_seeds_of_one_arm_are_no_contrast(run):
    found = compare_runs([run("a"), run("b", seed=2)])
    assert not any("undecided" in remark for remark in found.remarks)
    more = compare_runs([run("c"), run("d", seed=2), run("e", r=4), run("f", r=4, seed=2)])
    assert more.remarks[0].startswith("undecided: 2 runs of an arm")


def test_unequal_budgets_and_tasks_are_said(run):
    found = compare_runs([run("a", bleu=1.0), run("b", bleu=2.0, dataset="samsum", parameters={"trained": 9})])
    text = " ".join(found.remarks)
    assert "equal rank is not equal budget" in text
    assert "different tasks" in text
    assert rows(found)["e2e_nlg bleu"] == (1.0, None)
    assert rows(found)["samsum bleu"] == (None, 2.0)


def test_a_metric_without_spread_has_no_interval(run):
    folder = run("a", bleu=5.0)
    path = folder / "e2e_nlg_evaluation.json"
    path.write_text(path.read_text().replace("4.0", "null", 1).replace("7.0", "null", 1))
    assert next(q for q in compare_runs([folder]).quantities if q.name == "bleu").intervals == (None,)


def test_a_comparison_is_plain_data(run):
    found = compare_runs([run("a", bleu=30.0)])
    again = json.loads(json.dumps(found.to_dict()))
    assert again["runs"][0]["r"] == 8
    assert again["quantities"][2] == {"name": "bleu", "unit": "0-100", "values": [30.0], "intervals": [[29.0, 32.0]]}


@pytest.mark.parametrize("finished", [None, False])
def test_a_folder_without_a_finished_run_is_refused(run, tmp_path, finished):
    folder = tmp_path / "nothing" if finished is None else run("a", finished=False)
    with pytest.raises(RunError, match="holds no finished run"):
        compare_runs([folder])
