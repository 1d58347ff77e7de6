"""Runs in phases: the seeds' command from end to end, what it leaves behind, and what is refused before it starts."""

from __future__ import annotations

import csv
import json
import shlex

import pytest
from running import flags, lorascope, read

from lorascope.config.experiment import ModelConfig
from lorascope.models.adapters import load_adapter, parameter_counts
from lorascope.models.base import load_base

SEED = "--dynamic_lora --phase_strategy {} --phase1_end 2 --phase2_end 4 --max_steps 6"
"""The end of the seeds' dynamic command, with fewer steps."""


@pytest.fixture(scope="module")
def dynamic(home, tmp_path_factory):
    """The seeds' dynamic command, as a shell hands it over."""
    results = tmp_path_factory.mktemp("dynamic")
    words = [*flags(home, "wikisql"), *SEED.format("both-mlp-attn").split(), "--output_dir", str(results)]
    typed = lorascope(*words)
    assert typed.code == 0, typed.err
    return results / "wikisql_both_r2_both-mlp-attn_s42", typed


def test_the_seeds_command_runs_to_its_end_and_says_what_each_group_got(dynamic):
    folder, typed = dynamic
    results = read(folder / "results_summary.json")
    assert [(p["name"], p["start_step"], p["end_step"]) for p in results["phases"]] == [
        ("both", 0, 2), ("MLP", 2, 4), ("attention", 4, 6),
    ]  # fmt: skip
    assert results["phases"][0]["active_modules"] == ["attention", "mlp"]
    assert results["active_steps"] == {"attention": 4, "mlp": 4}
    assert results["parameters"]["by_group"].keys() == {"attention", "mlp"}
    assert "updates of a module, of 6 in all: attention 4, MLP 4" in typed.out
    assert "  MLP        2 to 4  |              ###############               |" in typed.out
    assert read(folder / "config.json")["dynamic_lora"]["phase_strategy"] == "both-mlp-attn"


def test_what_is_switched_off_is_empty_in_the_tables(dynamic):
    folder, _ = dynamic
    rows = list(csv.DictReader((folder / "gradient_analysis.group_norms.csv").read_text().splitlines()))
    assert [(bool(row["attention"]), bool(row["mlp"])) for row in rows] == (
        [(True, True)] * 2 + [(False, True)] * 2 + [(True, False)] * 2
    )
    assert rows[2]["total"] == rows[2]["mlp"]
    layers = list(csv.DictReader((folder / "gradient_analysis.layer_norms.csv").read_text().splitlines()))
    assert [bool(row["layer_1_attention"]) for row in layers] == [True, True, False, False, True, True]
    groups = read(folder / "gradient_analysis.summary.json")["groups"]
    assert groups["attention"]["norm"]["n"] == groups["mlp"]["norm"]["n"] == 4


def test_the_kept_adapter_loads_and_holds_every_module(dynamic, home):
    folder, _ = dynamic
    adapted = load_adapter(load_base(ModelConfig(model_id=f"{home}/base")), folder / "final_model")
    assert (
        parameter_counts(adapted.model)["by_group"] == read(folder / "results_summary.json")["parameters"]["by_group"]
    )


def test_its_plots_name_the_phases(home, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("lorascope.runs.experiment.draw_run", lambda *a, **kw: drawn.append(kw["phases"]) or {})
    words = [*flags(home), *SEED.format("early-late").replace("--phase2_end 4 ", "").split()]
    assert lorascope(*words, "--no_eval", "--output_dir", tmp_path).code == 0
    assert drawn == [[(0, 2, "both L0-0"), (2, 6, "both L1-1")]]
    results = read(tmp_path / "e2e_nlg_both_r2_early-late_s42" / "results_summary.json")
    assert results["active_steps"] == {"attention": 3, "mlp": 3}  # a layer trains for 2 or for 4 of 6 steps


def test_a_run_without_phases_has_none_and_every_group_has_all_steps(home, tmp_path, no_pictures):
    assert lorascope(*flags(home), "--no_eval", "--output_dir", tmp_path).code == 0
    results = read(tmp_path / "e2e_nlg_both_r2_s42" / "results_summary.json")
    assert (results["phases"], results["active_steps"]) == ([], {"attention": 4, "mlp": 4})


def test_the_arrow_in_quotes_is_the_same_run(dynamic, home):
    folder, _ = dynamic
    arrow = shlex.split(SEED.format("'both->mlp->attn'"))
    typed = lorascope(*flags(home, "wikisql"), *arrow, "--output_dir", folder.parent)
    assert typed.code == 0
    assert "is finished with this configuration; nothing was changed" in typed.out


def test_a_file_with_phases_of_ones_own_runs(home, tmp_path, no_pictures):
    (tmp_path / "run.yaml").write_text(
        "dynamic_lora:\n  enabled: yes\n  phase_configs:\n"
        "    - {start_step: 0, end_step: 1, active_modules: [attention]}\n"
        "    - {start_step: 1, end_step: 4, active_modules: [mlp], layer_range: [0, 0]}\n"
    )
    words = [*flags(home), "--config", tmp_path / "run.yaml", "--no_eval", "--output_dir", tmp_path]
    assert lorascope(*words).code == 0
    folder = tmp_path / "e2e_nlg_both_r2_phases_s42"
    assert read(folder / "results_summary.json")["active_steps"] == {"attention": 1, "mlp": 1.5}
    again = lorascope("run", "--config", folder / "config.json", "--output_dir", tmp_path)
    assert "is finished with this configuration" in again.out


@pytest.mark.parametrize("verb", ["run", "check", "run --plan"])
def test_phases_that_do_not_fit_are_drawn_before_anything_is_written(home, tmp_path, verb):
    words = [*verb.split(), *flags(home), "--dynamic_lora", "--phase1_end", "300", "--phase2_end", "600"]
    typed = lorascope(*words, "--output_dir", tmp_path)
    assert typed.code == 2
    assert typed.error.splitlines()[:5] == [
        "error[phases]: the phases go on to 600, past max_steps 4",
        "  both              0 to 300  |######################                      |",
        "  MLP             300 to 600  |                      ######################|",
        "  attention       600 to 4    |                                            |",
        "  past max_steps    4 to 600  |############################################|".replace("#", "!"),
    ]
    assert typed.tries == ["--phase1_end 1 --phase2_end 2 --max_steps 4", "--max_steps 900"]
    assert not any(path.is_dir() for path in tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["check", "run --plan"])
def test_check_and_plan_show_the_phases(home, tmp_path, verb):
    words = [*verb.split(), *flags(home), "--dynamic_lora", "--phase_strategy", "early-late"]
    typed = lorascope(*words, "--output_dir", tmp_path)
    assert "  both L1-1  2 to 4  |                      ######################|" in typed.out
    document = json.loads(lorascope(*words, "--json", "--output_dir", tmp_path).out)
    assert [phase["layer_range"] for phase in document["result"]["phases"]] == [[0, 0], [1, 1]]


def test_a_plan_of_a_model_that_is_elsewhere_leaves_the_layers_open():
    typed = lorascope("--target both --dynamic_lora --phase_strategy early-late --plan")
    assert "by updates done, first the early half of the layers, then the late half" in typed.out
    assert "  both  50 to 100  |" in typed.out


def test_a_misfit_between_phases_and_target_is_found_before_the_model_is_loaded(tmp_path):
    typed = lorascope(
        "--model", tmp_path / "nowhere", "--target", "mlp_only", "--dynamic_lora", "--output_dir", tmp_path
    )
    assert typed.error.startswith("error[phases]: phase both 0 to 33 trains attention, which has no adapter\n")
    assert typed.tries == ["--target both"]
