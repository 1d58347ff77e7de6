"""Help is quick, whole, and fits; the surface is frozen."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from processes import GOLDEN, fastest, golden, seconds_of, started

from lorascope import __version__, cli
from lorascope.cli_options import help_text
from lorascope.config.settings import settings

VERBS = {v.name: v for v in cli.VERBS}
HEAVY = ("torch", "transformers", "matplotlib", "rich", "pandas", "pyarrow", "peft", "scipy")


@pytest.mark.parametrize(
    "argv", [[], ["--help"], ["--version"], ["ls"], ["ls", "runs"], *([name, "--help"] for name in VERBS)], ids=" ".join
)
def test_help_version_and_ls_end_in_under_0_3_seconds(argv, tmp_path):
    assert fastest(seconds_of(lambda: started(*argv, cwd=tmp_path).check_returncode()), 0.3) < 0.3


@pytest.mark.parametrize(
    "argv",
    [["--help"], ["run", "--help"], ["ls"], ["run", "--lr", "fast"], ["completion", "bash"], ["check", "--list"]],
    ids=" ".join,
)
def test_nothing_heavy_is_loaded_without_need(argv, tmp_path):
    code = (
        "import sys; from lorascope.cli import main; main(sys.argv[1:]);"
        f"print(*[m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert result.stderr.splitlines()[-1] == ""


def test_the_first_line_stands_within_0_3_seconds(tmp_path):
    def read_first_line():
        command = [sys.executable, "-m", "lorascope.cli", "--r", "4"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
            line = process.stderr.readline()
            process.kill()
        assert line.startswith(f"lorascope {__version__}  run e2e_nlg_attention_only_r4_s42")

    assert fastest(seconds_of(read_first_line), 0.3) < 0.3


@pytest.mark.parametrize("verb", cli.VERBS, ids=lambda v: v.name)
def test_help_says_what_it_does_names_every_flag_and_ends_in_three_examples(verb):
    text = help_text(verb)
    assert text.startswith(f"usage: lorascope {verb.name}")
    assert verb.summary.endswith(".")
    assert verb.summary in " ".join(text.split())
    for o in verb.options():
        for spelling in o.spellings:
            assert re.search(rf"(^|[ ,]){spelling}($|[ ,\n])", text, re.M), spelling
        if o.setting:
            assert o.setting.path, o.flag
    assert len(verb.examples) == 3
    assert text.endswith("examples\n" + "".join(f"  {example}\n" for example in verb.examples))


def test_help_shows_default_and_reason_of_every_setting():
    text = " ".join(help_text(VERBS["run"]).split())
    flags = [s for s in settings() if s.kind is not tuple]  # a list is for files only
    assert text.count("(default: ") + text.count("; default: ") == len(flags) + 1  # and --color
    assert (
        "--lr NUMBER Peak learning rate [the seed's; models below 100 M parameters want more]. (default: 0.0002)"
        in text
    )
    assert "--dtype NAME Number format" in text
    assert "(answer, all; default: answer)" in text
    assert "(default: attention_only)" in text  # the words under target name its choices
    assert "--eval, --no_eval Evaluate after training. (default: yes)" in text
    for section in ("model: the base model", "lora: the adapters", "training: the optimisation"):
        assert section in text


@pytest.mark.parametrize("verb", [None, *cli.VERBS], ids=lambda v: v.name if v else "top")
def test_help_fits_80_columns(verb):
    text = help_text(verb) if verb else cli.top_help()
    examples = text.index("\nexamples\n")  # a command to paste is not broken
    assert max(map(len, text[:examples].splitlines())) <= 80
    assert text.isascii()


def test_the_top_help_lists_the_verbs_in_their_order(lorascope):
    shown = lorascope("--help")
    assert shown == lorascope("")
    assert re.findall(r"^  (\w+)  +[A-Z]", shown.out, re.M) == [
        "probe",
        "ls",
        "compare",
        "recommend",
        "allocate",
        "run",
        "study",
        "evaluate",
        "report",
        "watch",
        "quickstart",
        "check",
        "env",
    ]
    assert re.findall(r"^(look|decide|prove|share|help)$", shown.out, re.M) == [
        "look", "decide", "prove", "share", "help",
    ]  # fmt: skip
    assert "completion" not in shown.out


@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("line", ["run {}", "{} --r 4", "run --r 4 {}", "ls tasks {}"])
def test_help_is_found_wherever_it_stands(lorascope, line, word):
    shown = lorascope(line.format(word))
    assert shown.code == 0
    assert "usage: lorascope" in shown.out


@pytest.mark.parametrize("example", [example for v in cli.VERBS for example in v.examples])
def test_every_example_runs(lorascope, runs, run_folder, example):
    for folder in ("quickstart", "e2e_nlg_attention_only_r8_s42", "e2e_nlg_mlp_only_r8_s42", "e2e_nlg_both_r8_s42"):
        run_folder(f"results/{folder}")
    for task in ("e2e_nlg", "samsum"):
        (Path("data") / task).mkdir(parents=True)
    Path("run.yaml").write_text("r: 4\n")
    words = shlex.split(example.replace("results/*_s42", "results/e2e_nlg_mlp_only_r8_s42"))
    assert words[0] == "lorascope"
    shown = lorascope(words[1:])
    assert shown.code == 0, shown.err
    assert shown.out


def test_no_flag_appears_moves_or_vanishes_unnoticed():
    lines = []
    for verb in cli.VERBS:
        lines.append(f"{verb.name} {verb.arguments}".rstrip() + ("" if verb.heading else " (hidden)"))
        for o in verb.options():
            shown = " ".join(
                [*o.spellings, *([o.metavar] if o.metavar else []), *(["..."] if o.kind == "values" else [])]
            )
            choices = f"  ({', '.join(o.choices)})" if o.choices else ""
            lines.append(f"  {o.group:<17} {shown}{choices}")
    golden("flags.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_current_and_static(lorascope, shell):
    script = lorascope(f"completion {shell}").out
    assert "python" not in script
    assert "$(lorascope" not in script
    golden(f"completion.{shell}", script)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["lorascope", "ru"], ["run"]),
        (["lorascope", "run", "--phase1"], ["--phase1_end"]),
        (["lorascope", "--dyn"], ["--dynamic_lora"]),
        (["lorascope", "run", "--target", "m"], ["mlp_only"]),
        (["lorascope", "run", "--preset", "mnli_a"], ["mnli_attention"]),
        (["lorascope", "run", "--dataset", "w"], ["wikisql"]),
        (["lorascope", "ls", "p"], ["presets"]),
        (["lorascope", "completion", ""], ["bash", "zsh", "fish"]),
        (["lorascope", "run", "--lr", ""], []),
    ],
)
def test_tab_in_bash_offers_what_fits_in_under_50_ms(typed, offered):
    words = " ".join(shlex.quote(word) for word in typed)
    script = (
        f"source {shlex.quote(str(GOLDEN / 'completion.bash'))}; COMP_WORDS=({words}); COMP_CWORD={len(typed) - 1};"
        'a=${EPOCHREALTIME/[.,]/}; _lorascope; b=${EPOCHREALTIME/[.,]/}; echo $((b - a)); echo "${COMPREPLY[*]}"'
    )

    def tab():
        took, found = subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout.split("\n", 1)
        assert found.split() == offered
        return int(took) / 1e6

    assert fastest(tab, 0.05) < 0.05
