"""The run folder as a place: the same command again, another one, flags that leave things out, folders of others."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from running import Typed, flags, lorascope, printed, read, snapshot

import lorascope as package
from lorascope.config.load import from_json
from lorascope.report.terminal import Console
from lorascope.runs import rundir

NAME = "e2e_nlg_both_r2_s42"
EXACT = (rundir.GROUP_NORMS, rundir.LAYER_NORMS, rundir.GRADIENT_SUMMARY, "final_model/adapter_model.safetensors")
"""Files whose bytes are the same whenever and wherever the same configuration runs."""


@pytest.fixture(scope="module")
def finished(home, tmp_path_factory) -> Path:
    """The folder of a finished run, without pictures; not to be changed."""
    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lorascope.runs.experiment.draw_run", lambda *args, **kwargs: {})
        assert lorascope(*flags(home), "--output_dir", out).code == 0
    return out / NAME


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A copy of the finished run, in another output folder; to be changed."""
    return shutil.copytree(finished, tmp_path / NAME)


@pytest.fixture
def run_into(home, tmp_path, no_pictures):
    """Run the same command into tmp_path, with more flags."""

    def call(*more: object) -> Typed:
        return lorascope(*flags(home), "--output_dir", tmp_path, *more)

    return call


def same_bytes(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in EXACT)


# ---- again ----------------------------------------------------------------------------------------------------------


def test_the_same_command_again_says_so_and_touches_nothing(copy, run_into):
    before = snapshot(copy.parent)
    typed = run_into()
    assert typed.code == 0
    assert typed.out == f"{copy} is finished with this configuration; nothing was changed\n"
    assert snapshot(copy.parent) == before


def test_another_configuration_in_the_same_folder_is_refused_with_three_ways_on(copy, run_into):
    before = snapshot(copy.parent)
    typed = run_into("--lr", "2e-2")
    assert typed.code == 2
    assert typed.error.startswith(f"error[other-run]: {copy} holds a run with another configuration (finished)")
    assert typed.tries == ["--experiment_name OTHER", "--output_dir FOLDER", "--overwrite"]
    assert snapshot(copy.parent) == before


def test_an_unfinished_run_is_offered_to_be_resumed_and_the_command_works_as_printed(finished, copy, run_into):
    (copy / rundir.RESULTS).unlink()
    before = snapshot(copy)
    typed = run_into()
    assert typed.code == 2
    assert typed.error.startswith("error[unfinished]: ")
    assert typed.tries == [f"lorascope run --resume {copy}", "--overwrite"]
    assert snapshot(copy) == before
    assert printed(typed.tries[0]).code == 0
    assert same_bytes(finished, copy)
    assert read(copy / rundir.RESULTS)["resumed_after_step"] == 4
    assert read(finished / rundir.RESULTS)["resumed_after_step"] is None


def test_a_resume_command_quotes_a_folder_with_a_blank(home, tmp_path, no_pictures, finished):
    folder = shutil.copytree(finished, tmp_path / "my results" / NAME)
    (folder / rundir.RESULTS).unlink()
    typed = lorascope(*flags(home), "--output_dir", folder.parent)
    assert printed(typed.tries[0]).code == 0


def test_resuming_a_finished_run_says_so_and_touches_nothing(copy):
    before = snapshot(copy.parent)
    typed = lorascope("run", "--resume", copy)
    assert typed.code == 0
    assert "is finished with this configuration; nothing was changed" in typed.out
    assert snapshot(copy.parent) == before


def test_resume_takes_the_runs_own_configuration_and_no_other(copy):
    (copy / rundir.RESULTS).unlink()
    typed = lorascope("run", "--resume", copy, "--lr", "2e-2")
    assert typed.code == 2
    assert typed.error.startswith("error[other-config]: ")
    assert typed.tries == [f"lorascope run --resume {copy}"]


def test_a_run_whose_evaluation_was_too_large_goes_on_with_fewer_prompts_together(copy, no_pictures):
    (copy / rundir.RESULTS).unlink()
    assert lorascope("run", "--resume", copy, "--eval_batch_tokens", "300").code == 0
    assert read(copy / rundir.CONFIG)["evaluation"]["eval_batch_tokens"] == 300
    assert package.load(copy).results["config_hash"] == package.load(copy).config.hash


def test_overwrite_replaces_the_run(copy, run_into):
    (copy / "old.txt").write_text("of the run before")
    assert run_into("--seed", "42", "--lr", "2e-2", "--overwrite").code == 0
    assert not (copy / "old.txt").exists()
    assert read(copy / rundir.CONFIG)["training"]["lr"] == 2e-2
    assert sorted(path.name for path in copy.parent.iterdir()) == [f".{NAME}.lock", NAME]


def test_a_run_that_cannot_start_replaces_nothing(copy, run_into, tmp_path):
    before = snapshot(copy)
    typed = run_into("--lr", "2e-2", "--overwrite", "--model", tmp_path / "missing")
    assert typed.code == 2
    assert snapshot(copy) == before


@pytest.mark.parametrize("more", [(), ("--overwrite",)], ids=["plain", "overwrite"])
@pytest.mark.parametrize("kind", ["papers", "checkpoint"])
def test_a_folder_that_is_no_run_is_never_replaced(home, tmp_path, run_into, kind, more):
    folder = tmp_path / NAME
    if kind == "papers":
        folder.mkdir()
        (folder / "thesis.txt").write_text("years of work")
    else:
        shutil.copytree(home / "base", folder)  # it has a config.json, too
    before = snapshot(folder)
    typed = run_into(*more)
    assert typed.code == 2
    assert typed.error.startswith(f"error[not-a-run]: {folder} exists and is no run folder")
    assert snapshot(folder) == before


def test_an_empty_folder_is_taken(home, tmp_path, run_into):
    (tmp_path / NAME).mkdir()
    assert run_into("--max_steps", "1").code == 0


# ---- a configuration file -------------------------------------------------------------------------------------------


def test_the_runs_own_config_reproduces_hash_and_numbers(finished, tmp_path, no_pictures):
    typed = lorascope("run", "--config", finished / rundir.CONFIG, "--output_dir", tmp_path, "--json")
    assert typed.code == 0
    document = json.loads(typed.out)  # one document, nothing beside it
    assert list(document) == ["schema", "verb", "result", "files", "warnings", "next"]
    assert document["result"]["results"]["config_hash"] == read(finished / rundir.RESULTS)["config_hash"]
    assert document["files"] == [str(tmp_path / NAME)]
    assert same_bytes(finished, tmp_path / NAME)
    assert (finished / rundir.SAMPLES).read_bytes() == (tmp_path / NAME / rundir.SAMPLES).read_bytes()


def test_python_runs_the_same_configuration(finished, tmp_path, no_pictures):
    config = from_json((finished / rundir.CONFIG).read_text())
    record = package.run(replace(config, output_dir=str(tmp_path)), console=Console(quiet=True))
    assert record.folder == tmp_path / NAME
    assert same_bytes(finished, record.folder)


# ---- what flags leave out -------------------------------------------------------------------------------------------


def test_without_evaluation_layers_and_every_other_step(run_into, tmp_path, home):
    (bare := tmp_path / "data").mkdir()
    shutil.copy(home / "data" / "e2e_nlg" / "trainset.csv", bare)  # no evaluation needs no test split
    less = shlex.split("--no_eval --no_layer_norm --log_frequency 2 --loss_on all --target attention_qv -q")
    typed = run_into(*less, "--data_dir", bare, "--experiment_name", "less")
    folder = tmp_path / "less"
    assert (typed.code, typed.out, typed.err) == (0, f"{folder}\n", "")
    names = {path.name for path in folder.iterdir()}
    assert not names & {rundir.LAYER_NORMS, rundir.SAMPLES, "e2e_nlg_evaluation.json"}
    groups = pd.read_csv(folder / rundir.GROUP_NORMS)
    assert groups["step"].tolist() == [2, 4]
    assert groups[["embed", "mlp", "lm_head"]].isna().all(axis=None)
    record = package.load(folder)
    assert record.evaluation is None
    assert record.results["data"]["evaluation"] is None
    assert list(record.gradients["groups"]) == ["attention"]
    assert list(record.gradients["projections"]) == ["q", "v"]
    tokens = record.results["tokens"]
    assert tokens["with_loss"] == tokens["real"] - 4 * 2 * 2  # all but each row's first, which nothing predicts


def test_all_modules_and_no_samples(run_into, tmp_path):
    typed = run_into("--target", "all", "--no_samples", "--experiment_name", "all")
    assert typed.code == 0
    folder = tmp_path / "all"
    assert not (folder / rundir.SAMPLES).exists()
    assert (folder / "e2e_nlg_evaluation.json").is_file()
    groups = pd.read_csv(folder / rundir.GROUP_NORMS)
    assert groups.notna().all(axis=None)
    assert set(package.load(folder).gradients["groups"]) == {"attention", "mlp", "embed", "lm_head"}


def test_validation_and_best_model_at_the_last_step_whatever_the_cadence(run_into, tmp_path):
    assert run_into("--max_steps", "3", "--eval_every", "2", "--no_eval", "--experiment_name", "odd").code == 0
    assert [step for step, _ in package.load(tmp_path / "odd").results["validation_loss"]] == [0, 2, 3]


# ---- looking without touching ---------------------------------------------------------------------------------------


def test_a_plan_writes_nothing_and_loads_no_torch(home, tmp_path):
    code = (
        "import sys; from lorascope.cli import main; code = main(sys.argv[1:]);"
        "print(*[m for m in ('torch', 'transformers', 'pandas', 'matplotlib') if m in sys.modules], file=sys.stderr);"
        "sys.exit(code)"
    )
    argv = ["run", *flags(home), "--output_dir", str(tmp_path / "results"), "--plan"]
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1:] in ([], [""])
    assert "Nothing was started." in done.stdout
    assert "LlamaForCausalLM, 35,168 parameters" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_plan_says_what_is_in_the_way(copy, run_into):
    typed = run_into("--plan")
    assert typed.code == 0
    assert f"{copy} (finished)" in typed.out


def test_check_shows_coverage_rows_and_the_first_example(home, tmp_path):
    before = list(tmp_path.iterdir())
    typed = lorascope("check", *flags(home), "--output_dir", tmp_path)
    assert typed.code == 0
    assert "14 modules adapted, 2,048 trained parameters, 5.50% of 37,216" in typed.out
    assert "21 training and 3 validation rows" in typed.out
    assert "  | ### Description:\n  | [[" in typed.out
    assert "</s>]]\n" in typed.out
    assert list(tmp_path.iterdir()) == before


# ---- the study's own commands ---------------------------------------------------------------------------------------

SEEDS = [
    "python run_experiment.py --preset e2e_attention",
    "python run_experiment.py --dataset wikisql --target both --r 4 --batch_size 32 --max_steps 1000 --lr 2e-4",
    "python run_experiment.py --dataset e2e_nlg --target attention_only --r 8 --max_steps 1000",
    "python run_experiment.py --dataset e2e_nlg --target mlp_only --r 8 --max_steps 1000",
    "python run_experiment.py --dataset e2e_nlg --target both --r 8 --max_steps 1000",
    *(f"python run_experiment.py --dataset wikisql --target both --r {r} --max_steps 1000" for r in (4, 8, 16, 32)),
]


@pytest.mark.parametrize("command", SEEDS)
def test_the_seeds_commands_are_understood_as_written(home, tmp_path, command):
    task = "wikisql" if "wikisql" in command else "e2e_nlg"
    here = ["--model", home / "base", "--data_dir", home / "data" / task, "--output_dir", tmp_path]
    typed = lorascope(*command.split()[2:], *here, "--plan")
    assert typed.code == 0, typed.err
    assert "new)" in typed.out


@pytest.mark.slow
@pytest.mark.parametrize("command", SEEDS)
def test_the_seeds_commands_run_to_the_end(home, tmp_path, no_pictures, command):
    task = "wikisql" if "wikisql" in command else "e2e_nlg"
    here = ["--model", home / "base", "--data_dir", home / "data" / task, "--output_dir", tmp_path]
    shorter = "--max_steps 3 --warmup_steps 1 --batch_size 4 --eval_samples 2 --max_new_tokens 8 --max_length 400"
    typed = lorascope(*command.split()[2:], *here, *shorter.split())
    assert typed.code == 0, typed.err
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert rundir.state(folder) == "finished"
