"""The verbs: what each is called, says, takes, and who does it. Nothing heavy is imported here."""

from __future__ import annotations

from lorascope.cli_options import (
    Verb,
    allocate_options,
    check_options,
    evaluate_options,
    ls_options,
    quickstart_options,
    run_options,
    screen_options,
)
from lorascope.cli_probe import probe_options
from lorascope.cli_recommend import recommend_options
from lorascope.cli_report import report_options, watch_options
from lorascope.cli_study import study_options

VERBS = (
    Verb(
        name="probe",
        heading="look",
        summary="Measure how sensitive every module is to a task, before any training; or what a run's adapters do.",
        arguments="[RUN]",
        takes=(0, 1),
        call="lorascope.cli_probe:probe",
        options=probe_options,
        examples=(
            "lorascope probe --model embedded --dataset e2e_nlg --data_source builtin",
            "lorascope probe --model models/base --dataset wikisql --scores spectrum whitened --plan",
            "lorascope probe results/quickstart --knock_out kind",
        ),
    ),
    Verb(
        name="ls",
        heading="look",
        summary="List tasks, presets, targets and runs.",
        arguments="[tasks|presets|targets|runs]",
        takes=(0, 1),
        call="lorascope.cli_look:ls",
        options=ls_options,
        examples=("lorascope ls", "lorascope ls presets", "lorascope ls runs --output_dir results"),
    ),
    Verb(
        name="compare",
        heading="look",
        summary="Put finished runs side by side, or profiles: losses, metrics, norms; attention's share of each task.",
        arguments="FOLDER FOLDER...",
        takes=(1, None),
        call="lorascope.cli_look:compare",
        options=lambda: screen_options("json"),
        examples=(
            "lorascope compare results/e2e_nlg_attention_only_r8_s42 results/e2e_nlg_mlp_only_r8_s42",
            "lorascope compare results/*_s42",
            "lorascope compare results/quickstart --json",
        ),
    ),
    Verb(
        name="recommend",
        heading="decide",
        summary="Say which adapter to train, from a profile; with --prove after training candidates beside uniform.",
        arguments="[PROFILE]",
        takes=(0, 1),
        call="lorascope.cli_recommend:recommend",
        options=recommend_options,
        examples=(
            "lorascope recommend --preset quickstart --plan",
            "lorascope recommend --preset quickstart --budget params=60k --prove --plan",
            "lorascope recommend --model models/base --dataset samsum --budget like=attention_only:r=8 --plan",
        ),
    ),
    Verb(
        name="allocate",
        heading="decide",
        summary="Divide a budget of trained parameters among the modules, exactly, and write it as trainers take it.",
        arguments="[PATH]",
        takes=(0, 1),
        call="lorascope.cli_allocate:allocate",
        options=allocate_options,
        examples=(
            "lorascope allocate --model embedded --target both --budget params=60k",
            "lorascope allocate --model embedded --target both --budget r=2 --method random --output chance",
            "lorascope allocate --model embedded --target mlp_only --budget 1% --output mlp",
        ),
    ),
    Verb(
        name="run",
        heading="prove",
        summary="Train one adapter, measure its modules' gradients on the way, evaluate it; all in one folder.",
        call="lorascope.cli_verbs:run",
        options=run_options,
        examples=(
            "lorascope run --preset e2e_attention --data_dir data/e2e_nlg",
            "lorascope run --dataset wikisql --target both --r 4 --max_steps 1000 --plan",
            "lorascope run --config results/quickstart/config.json --seed 43 --plan",
        ),
    ),
    Verb(
        name="study",
        heading="prove",
        summary="Run a grid of tasks, arms and seeds at equal budgets, in parallel; end in verdicts with statistics.",
        arguments="NAME|FILE",
        takes=(1, 1),
        call="lorascope.cli_study:study",
        options=study_options,
        examples=(
            "lorascope study lora_sensitivity --plan",
            "lorascope study lora_sensitivity --seeds 1 2 3 --jobs 2 --plan",
            "lorascope study controlled_pair --output_dir results --plan",
        ),
    ),
    Verb(
        name="evaluate",
        heading="prove",
        summary="Evaluate runs, adapters, a bare model, or predictions made elsewhere, on a task's test rows.",
        arguments="[FOLDER...]",
        takes=(0, None),
        call="lorascope.cli_evaluate:evaluate",
        options=evaluate_options,
        examples=(
            "lorascope evaluate results/quickstart --eval_samples 0",
            "lorascope evaluate --model models/base --dataset samsum --data_dir data/samsum --plan",
            "lorascope evaluate --predictions answers.jsonl --dataset e2e_nlg --data_dir data/e2e_nlg --plan",
        ),
    ),
    Verb(
        name="report",
        heading="share",
        summary="Write a page of runs or of a study: one HTML file that works offline and can be sent.",
        arguments="FOLDER...",
        takes=(1, None),
        call="lorascope.cli_report:report",
        options=report_options,
        examples=(
            "lorascope report results/quickstart",
            "lorascope report results/*_s42 -o meeting.html",
            "lorascope report results/quickstart -o quickstart.html --samples 40",
        ),
    ),
    Verb(
        name="watch",
        heading="share",
        summary="Show the page of a run while it goes on, in a browser on this machine.",
        arguments="FOLDER",
        takes=(1, 1),
        call="lorascope.cli_report:watch",
        options=watch_options,
        examples=(
            "lorascope watch results/e2e_nlg_both_r8_s42",
            "lorascope watch results/quickstart",
            "lorascope watch results/quickstart --port 8123",
        ),
    ),
    Verb(
        name="quickstart",
        heading="help",
        summary="See the whole thing work in a minute or two, without network: a tiny model, generated data.",
        call="lorascope.cli_verbs:quickstart",
        options=quickstart_options,
        examples=(
            "lorascope quickstart",
            "lorascope quickstart --output_dir results",
            "lorascope quickstart --json",
        ),
    ),
    Verb(
        name="check",
        heading="help",
        summary="Build what a run would build, without weights, and say whether it fits together; trains nothing.",
        arguments="[FILE...]",
        takes=(0, None),
        call="lorascope.cli_verbs:check",
        options=check_options,
        examples=(
            "lorascope check --list",
            "lorascope check run.yaml",
            "lorascope check --preset e2e_mlp --data_dir data/e2e_nlg",
        ),
    ),
    Verb(
        name="env",
        heading="help",
        summary="Show versions and devices, as a bug report needs them.",
        call="lorascope.cli_verbs:env",
        options=lambda: screen_options("json"),
        examples=("lorascope env", "lorascope env --json", "lorascope env --color never"),
    ),
    Verb(
        name="completion",
        heading="",
        summary="Print a completion script for a shell.",
        arguments="bash|zsh|fish",
        takes=(1, 1),
        call="lorascope.cli_completion:completion",
        options=list,
        examples=(
            "lorascope completion bash",
            "lorascope completion zsh",
            "lorascope completion fish",
        ),
    ),
)
"""Every verb, in the order of the top help."""
