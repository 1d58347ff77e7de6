"""Flags, files, presets and the verbs that start runs; mistakes are named with what would be right."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lorascope import cli
from lorascope.cli_split import flag_name, split
from lorascope.config.load import resolve
from lorascope.config.presets import STUDY
from lorascope.errors import DataError

ROOT = Path(__file__).resolve().parents[2]

SEED_FLAGS = shlex.split(
    "--preset e2e_mlp --dataset samsum --num_samples 50 --max_length 99 --target both --r 4 --lora_alpha 16 "
    "--lora_dropout 0.2 --batch_size 3 --grad_accum 2 --max_steps 30 --lr 1e-3 --warmup_steps 5 --seed 7 --model m "
    "--output_dir out --experiment_name mine --log_frequency 2 --no_layer_norm --no_eval --eval_samples 9 "
    "--dynamic_lora --phase_strategy both-mlp-attn --phase1_end 10 --phase2_end 20"
)


@pytest.mark.parametrize("spelling", ["underscores", "hyphens", "equals"])
@pytest.mark.parametrize("door", ["run", "bare", "run_experiment.py"])
def test_every_seed_flag_works_through_every_door(runs, lorascope, spelling, door):
    words = SEED_FLAGS
    if spelling == "hyphens":
        words = [word.replace("_", "-") if word.startswith("--") else word for word in words]
    if spelling == "equals":
        words = shlex.split(re.sub(r"(--\w+) (?!--)", r"\1=", shlex.join(words)))
    if door == "run_experiment.py":
        result = subprocess.run(
            [sys.executable, str(ROOT / "run_experiment.py"), *words, "--plan", "--json"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        found = json.loads(result.stdout)["result"]["hash"]
    else:
        assert lorascope([*(["run"] if door == "run" else []), *words]).code == 0
        (config, _), found = runs.seen[0], runs.seen[0][0].hash
        assert config.run_name == "mine"
        assert config.output_dir == "out"
    expected = resolve(
        {
            "dataset": "samsum", "num_samples": "50", "max_length": "99", "target": "both", "r": "4",
            "lora_alpha": "16", "lora_dropout": "0.2", "batch_size": "3", "grad_accum": "2", "max_steps": "30",
            "lr": "1e-3", "warmup_steps": "5", "seed": "7", "model": "m", "log_frequency": "2", "layer_norm": False,
            "eval": False, "eval_samples": "9", "dynamic_lora": True, "phase_strategy": "both-mlp-attn",
            "phase1_end": "10", "phase2_end": "20",
        }
    ).config  # fmt: skip
    assert found == expected.hash


def test_the_seeds_commands_are_taken(runs, lorascope):
    assert lorascope("--preset e2e_attention").code == 0
    assert lorascope("--dataset wikisql --target both --r 4 --batch_size 32 --max_steps 1000 --lr 2e-4").code == 0
    assert lorascope("--dataset e2e_nlg --target mlp_only --r 8 --max_steps 1000").code == 0
    assert lorascope("--dataset wikisql --target both --r 32 --max_steps 1000").code == 0
    names = [config.run_name for config, _ in runs.seen]
    assert names == [
        "e2e_nlg_attention_only_r8_s42",
        "wikisql_both_r4_s42",
        "e2e_nlg_mlp_only_r8_s42",
        "wikisql_both_r32_s42",
    ]


def test_batch_runs_every_preset_with_the_other_flags_over_each(runs, lorascope):
    assert lorascope("run --batch --max_steps 20 --seed 3").code == 0
    assert [config.run_name for config, _ in runs.seen] == [
        resolve({"seed": "3"}, preset=name).config.run_name for name in STUDY
    ]
    assert {config.training.max_steps for config, _ in runs.seen} == {20}


def test_a_failed_run_of_a_batch_does_not_stop_the_others_and_is_named(runs, lorascope):
    def act(config, console):
        if config.data.dataset == "samsum":
            raise DataError("no-data", "no files")

    runs.act = act
    shown = lorascope("run --batch")
    assert len(runs.seen) == len(STUDY)
    assert shown.code == 2
    failed = [name for name in STUDY if name.startswith("samsum")]
    assert f"error[batch-failed]: {len(failed)} of {len(STUDY)} runs failed: {', '.join(failed)}" in shown.err
    assert "try: lorascope run --preset samsum_attention" in shown.err


@pytest.mark.parametrize(
    "line",
    [
        "--batch --preset e2e_mlp",
        "--batch --experiment_name x",
        "--resume results/x --overwrite",
        "--compare a b --r 4",
    ],
)
def test_flags_that_exclude_each_other_say_so(runs, lorascope, line):
    shown = lorascope(line)
    assert shown.code == 2
    assert "exclude each other" in shown.err
    assert not runs.seen


def test_compare_is_a_flag_and_a_verb(runs, lorascope, run_folder):
    folders = [str(run_folder(name)) for name in ("a", "b")]
    assert lorascope(["--compare", *folders]).out == lorascope(["compare", *folders]).out != ""
    assert not runs.seen


def test_resume_takes_the_folders_own_configuration(runs, lorascope, run_folder):
    config = resolve({"r": "3", "max_steps": "50"}, preset="wikisql_mlp").config
    folder = run_folder("elsewhere", config, finished=False)
    assert lorascope(["--resume", str(folder)]).code == 0
    assert lorascope(["--resume", str(folder), "--r", "3"]).code == 0
    assert [seen for seen, _ in runs.seen] == [config, config]
    assert runs.seen[0][1] == {"resume": folder, "overwrite": False}
    shown = lorascope("--resume nowhere")
    assert shown.code == 2
    assert "nowhere holds no run to resume" in shown.err


@pytest.mark.parametrize(
    ("line", "what", "hint"),
    [
        ("--max_step 5", "lorascope run has no flag --max_step", "--max_steps   (did you mean this?)"),
        ("run --lora-alph=3", "lorascope run has no flag --lora-alph", "--lora_alpha "),
        ("--no_evall", "has no flag --no_evall", "--no_eval "),
        ("--no_json", "has no flag --no_json", ""),
        ("--split test", "lorascope run has no flag --split", "lorascope evaluate --help   (--split belongs to "),
        ("--tyro-print-completion bash", "has no flag --tyro-print-completion", ""),
        ("-x", "lorascope run has no flag -x", ""),
        ("evalute", "no verb 'evalute'", "lorascope evaluate "),
        (
            "advise",
            "no verb 'advise'; known: probe, ls, compare, recommend, allocate, run, study, evaluate, report, watch",
            "lorascope --help",
        ),
        ("advise x", "no verb 'advise'", ""),
        ("--preset e2e_mpl", "no preset 'e2e_mpl'", "did you mean: e2e_mlp"),
        ("--target mpl_only", "--target got 'mpl_only'; it takes one of attention_only", "--target mlp_only"),
        ("--plan --dataset samsun", "no task 'samsun'", "did you mean: samsum"),
        ("ls preset", "no list 'preset'", "did you mean: presets"),
        ("ls tasks more", "lorascope ls does not take 'more'", ""),
        ("run extra", "lorascope run does not take 'extra'", ""),
        ("--json ls", "lorascope run does not take 'ls'", "lorascope ls --json   (the verb comes first)"),
        ("--eval no", "lorascope run does not take 'no'", "--no_eval"),
        ("--lr", "--lr needs a value", "--lr NUMBER"),
        ("--lr --r 4", "--lr needs a value", "--lr NUMBER"),
        ("--config", "--config needs a value", "--config FILE"),
        ("--config a --config b", "--config is given twice", "--config FILE FILE"),
        ("--r 4.5", "--r got '4.5'; it takes a whole number", "--r 8"),
        ("--r=", "--r got ''; it takes a whole number", ""),
        ("--lr -1", "lr must be positive, got -1.0", "--lr VALUE"),
        ("--lr -inf", "lr must be positive, got -inf", ""),
        ("--experiment_name ../../x", "experiment_name must be a plain folder name", "--output_dir FOLDER"),
        ("--color blue", "--color got 'blue'; it takes one of auto, always, never", "--color"),
        ("--config nothing.yaml", "nothing.yaml is not there", ""),
        ("compare", "lorascope compare needs FOLDER FOLDER...", ""),
        ("compare nowhere", "nowhere holds no finished run (absent)", "lorascope ls runs"),
        ("completion tcsh", "no shell 'tcsh'; known: bash, fish, zsh", ""),
        ("evaluate", "evaluate needs a folder, --model or --predictions", "lorascope evaluate FOLDER"),
        ("evaluate --model m", "which task?", "--dataset NAME"),
        ("evaluate nowhere", "nowhere holds neither a trained run nor an adapter", ""),
        ("evaluate x --predictions f --dataset samsum", "--predictions needs no folder", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_would_be_right(runs, lorascope, line, what, hint):
    shown = lorascope(line)
    assert shown.code == 2
    message = [text for text in shown.err.splitlines() if not text.startswith(("lorascope 0", "  loading"))]
    assert re.match(r"error\[[a-z-]+\]: ", message[0])
    assert what in message[0]
    assert any(hint in text for text in message[1:]) or not hint
    assert len(message) <= 6
    assert "Traceback" not in shown.err
    assert not runs.seen
    _commands_can_be_typed(line, message[1:])


def _commands_can_be_typed(line, hints):
    """Every command and flag that an error offers exists."""
    for text in hints:
        command = text.removeprefix("  try: ").split("   (")[0]
        words = shlex.split(command) if not text.startswith("  did you mean") else []
        if words[:1] == ["lorascope"] and words[1:2] != ["--help"]:
            verb, rest = cli._verb(words[1:])
            if "--help" not in rest:
                split(verb, rest, cli.VERBS)
        elif words[:1] and words[0].startswith("--"):
            known = {flag_name(s) for v in cli.VERBS for o in v.options() for s in o.spellings}
            assert flag_name(words[0]) in known, (line, text)


def test_a_verb_and_words_that_look_like_values_are_kept_apart(runs, lorascope):
    assert lorascope(["--experiment_name=-odd", "--model", "a=b", "--output_dir", "-1"]).code == 0
    config, _ = runs.seen[0]
    assert (config.experiment_name, config.model.model_id, config.output_dir) == ("-odd", "a=b", "-1")


def test_files_go_under_flags_and_over_the_preset(runs, lorascope):
    Path("a.yaml").write_text("r: 16\ntarget: both\n")
    Path("b.yaml").write_text("r: 32\n")
    assert lorascope("--preset mnli_mlp --config a.yaml b.yaml --seed 5").code == 0
    assert runs.seen[0][0].run_name == "multi_nli_both_r32_s5"


def test_plan_shows_the_source_of_every_value_and_writes_nothing(runs, lorascope, tmp_path):
    Path("run.yaml").write_text("lr: 1e-3\n")
    before = sorted(tmp_path.rglob("*"))
    shown = lorascope("--preset e2e_mlp --config run.yaml --r 4 --plan")
    assert shown.code == 0
    for path, value, source in [
        ("lora.target", "mlp_only", "preset e2e_mlp"),
        ("lora.r", "4", "--r"),
        ("training.lr", "0.001", "run.yaml:1"),
    ]:
        assert re.search(rf"^{re.escape(path)} +{re.escape(value)} +{re.escape(source)}$", shown.out, re.M)
    assert sorted(tmp_path.rglob("*")) == before
    assert not runs.seen


@pytest.mark.parametrize(
    ("typed", "right", "files"),
    [
        ("both->mlp->attn", "both-mlp-attn", ["mlp-", "attn"]),
        ("attn->mlp->both", "attn-mlp-both", ["mlp-", "both"]),
        ("both->mlp->both", "both-mlp-both", ["mlp-", "both"]),
        ("early->late", "early-late", ["late"]),
    ],
)
@pytest.mark.parametrize("form", ["--phase_strategy {}", "--phase-strategy={}"])
def test_an_arrow_that_the_shell_took_is_explained(tmp_path, typed, right, files, form):
    command = f"{shlex.quote(sys.executable)} -m lorascope.cli --dynamic_lora {form.format(typed)}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert result.returncode == 2
    error, hint = result.stderr.splitlines()
    cut = typed.split(">")[0]
    assert error.startswith(f'error[shell-arrow]: --phase_strategy got "{cut}": the shell took ')
    assert all(f">{name}" in error for name in files)
    names = ", ".join(f'"{name}"' for name in files)
    assert hint == f"  try: --phase_strategy {right}   (and delete the files {names})"


def test_a_file_of_ones_own_is_not_called_stray(tmp_path, monkeypatch, lorascope):
    monkeypatch.chdir(tmp_path)
    Path("attn").write_text("mine")
    assert "delete" not in lorascope("--phase_strategy both-").err


@pytest.mark.parametrize("spelling", ["both->mlp->attn", "both-mlp-attn"])
def test_a_quoted_arrow_is_a_spelling(runs, lorascope, spelling):
    assert lorascope(["--dynamic_lora", "--phase_strategy", spelling]).code == 0
    assert runs.seen[0][0].dynamic_lora.phase_strategy == "both-mlp-attn"
