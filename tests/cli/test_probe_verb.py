"""`lorascope probe` on the command line: plans, folders, what it refuses. The toy model, a file of letters."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from lorascope.analysis.sensitivity import SensitivityProfile
from toy import save_toy


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and a file, in which commands are typed."""
    monkeypatch.chdir(tmp_path)
    save_toy(tmp_path / "model")
    rows = ({"prompt": f"{chr(97 + i % 20)}{i}", "target": chr(98 + i % 20)} for i in range(100))
    (tmp_path / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


LINE = "probe --model model --dataset letters.jsonl --batches 5 --batch_size 4"


def test_a_probe_writes_a_folder_and_says_what_it_found(place, lorascope) -> None:
    shown = lorascope(LINE)
    assert shown.code == 0, shown.err
    folder = place / "profiles" / "model_letters"
    found = sorted(path.name for path in folder.iterdir())
    pictures = ["sensitivity_groups.png", "sensitivity_map.png"]
    tables = ["log.txt", "profile.json", "profile.parquet", "report.html"]
    assert found == [*tables, *pictures, "shuffled_answers", "spectra.parquet"]
    assert "model on letters.jsonl: 5 batches, 20 rows; all batches done" in shown.out
    assert "Saved profiles/model_letters" in shown.out
    assert shown.err.count("memory    about") == 1
    assert "control   the same prompts with each other's answers" in shown.err
    profile = SensitivityProfile.load(folder)
    assert profile.n == 5
    assert profile.about["after"] == 0
    assert profile.control.n == 5
    assert profile.control.about["answers"] == "shuffled"
    assert str(profile.verdict).replace("mlp", "MLP") in " ".join(shown.out.split())

    again = lorascope(LINE)
    assert again.code == 0
    assert "holds this profile already; nothing was changed" in again.out
    other = lorascope(f"{LINE} --seed 1")
    assert other.code == 2
    assert "error[other-run]" in other.err
    assert lorascope(f"{LINE} --seed 1 --overwrite").code == 0
    assert SensitivityProfile.load(folder).about["fingerprint"] != profile.about["fingerprint"]


def test_json_is_one_document_and_quiet_is_the_folder_alone(place, lorascope) -> None:
    document = json.loads(lorascope(f"{LINE} --json").out)
    result = document["result"]
    assert result["batches"] == 5
    assert result["folder"] == "profiles/model_letters"
    assert {row["projection"] for row in result["kinds"]} == {"q", "k", "v", "o", "gate", "up", "down"}
    assert result["verdict"]["first"] == "attention"
    assert lorascope(f"{LINE} --quiet --experiment_name other").out == "profiles/other\n"


def test_the_commands_at_the_end_run_as_printed(place, lorascope) -> None:
    first, last = lorascope(f"{LINE} --max_length 20").out.splitlines()[-2:]
    assert first == "Next  lorascope recommend profiles/model_letters --budget like=attention_only:r=8"
    assert last.startswith("      lorascope run --target both --model model --dataset letters.jsonl --max_length 20")
    for line in (first, last):
        shown = lorascope(shlex.split(line[6:])[1:])
        assert shown.code == 0, shown.err


def test_a_plan_starts_nothing_and_loads_no_torch(place, lorascope) -> None:
    shown = lorascope(f"{LINE} --time_limit 10m --scores spectrum --probe_after 3 --plan")
    assert shown.code == 0
    assert "at most 5 batches of 4 rows, 600 s" in shown.out
    assert "spectrum" in shown.out
    assert "3 steps of uniform adapters" in shown.out
    assert "Nothing was started." in shown.out
    assert "what a probe takes" in shown.out
    assert not (place / "profiles").exists()
    code = "import sys; from lorascope.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    line = [sys.executable, "-c", code, *shlex.split(f"{LINE} --plan")]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "False"


def test_scores_and_targets_on_request(place, lorascope) -> None:
    shown = lorascope(f"{LINE} --scores snip eva --target all")
    assert shown.code == 0, shown.err
    profile = SensitivityProfile.load(place / "profiles" / "model_letters")
    assert "snip" in profile.scores
    assert set(profile.spectra["spectrum"]) == {"eva"}
    assert {"embed", "lm_head"} < set(profile.parts["group"])
    assert lorascope(f"{LINE} --target mlp_only --experiment_name m").code == 0
    assert set(SensitivityProfile.load(place / "profiles" / "m").parts["group"]) == {"mlp"}


def test_adapters_may_be_trained_first(place, lorascope) -> None:
    assert lorascope(LINE).code == 0
    shown = lorascope(f"{LINE} --probe_after 3 --lr 1e-2 --experiment_name after")
    assert shown.code == 0, shown.err
    assert "uniform adapters of rank 8 for 3 steps first" in shown.err
    before, after = (SensitivityProfile.load(place / "profiles" / name) for name in ("model_letters", "after"))
    assert after.about["after"] == 3
    assert after.loss.value < before.loss.value
    assert "loss after 3 steps of uniform adapters" in shown.out
    assert "--probe_after 60" not in shown.err
    assert list(after.parts["module"]) == list(before.parts["module"])


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ("--batches many", "flag-value", "--batches got 'many'"),
        ("--batches 1", "config-value", "batches must be at least 2"),
        ("--tau -1", "flag-value", "--tau got '-1'"),
        ("--time_limit soon", "flag-value", "90s, 10m, 1h"),
        ("--time_limit 0m", "flag-value", "90s, 10m, 1h"),
        ("--scores spectrun", "unknown-score", "did you mean: spectrum"),
        ("--batch_size 40", "too-few-rows", "needs at least two"),
        ("--dataset nothing.jsonl", "no-data", "nothing.jsonl"),
    ],
)
def test_what_is_wrong_is_said(place, lorascope, more, code, text) -> None:
    shown = lorascope(f"{LINE} {more}")
    assert shown.code == 2
    assert text in shown.err
    assert f"error[{code}]" in shown.err or code == "no-data"
    assert not (place / "profiles" / "model_letters" / "profile.json").exists()


def test_a_folder_with_something_else_is_left_alone(place, lorascope) -> None:
    folder = place / "profiles" / "model_letters"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("keep")
    for more in ("", "--overwrite"):
        shown = lorascope(f"{LINE} {more}")
        assert shown.code == 2
        assert "error[not-a-run]" in shown.err
    assert (folder / "mine.txt").read_text() == "keep"


def test_profiles_are_compared_and_not_with_runs(place, lorascope, run_folder) -> None:
    for seed in (1, 2):
        assert lorascope(f"{LINE} --seed {seed} --batches 18 --batch_size 1 --experiment_name s{seed}").code == 0
    shown = lorascope("compare profiles/s1 profiles/s2")
    assert shown.code == 0, shown.err
    assert "attention's share" in shown.out
    assert "rankings of the modules: tau" in shown.out
    document = json.loads(lorascope("compare profiles/s1 profiles/s2 --json").out)
    assert [side["name"] for side in document["result"]["profiles"]] == ["A", "B"]
    run_folder("results/a")
    mixed = lorascope("compare profiles/s1 results/a")
    assert mixed.code == 2
    assert "error[mixed-folders]" in mixed.err


def test_several_tasks_end_in_their_comparison(place, lorascope) -> None:
    rows = ({"prompt": f"{i} {'x' * (i % 2)}", "target": "y" * (1 + i % 3 * 15)} for i in range(100))
    (place / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = "probe --model model --datasets letters.jsonl other.jsonl --batches 18 --batch_size 1"
    planned = lorascope(f"{line} --match_lengths --plan")
    assert "of like length in all of them" in planned.out
    assert "profiles/model_letters_matched, profiles/model_other_matched" in planned.out
    shown = lorascope(line)
    assert shown.code == 0, shown.err
    assert "rankings of the modules: tau" in shown.out
    assert "answers are of different length" in shown.out
    matched = lorascope(f"{line} --match_lengths --batches 3 --json".replace("--batches 18 ", ""))
    assert matched.code == 0, matched.err
    result = json.loads(matched.out)["result"]
    lengths = [side["answer_tokens"] for side in result["comparison"]["profiles"]]
    assert max(lengths) < 1.5 * min(lengths)
    about = result["profiles"][0]["about"]
    assert about["lengths_matched_with"] == ["other.jsonl"]
    assert lorascope("probe --model model --match_lengths").code == 2
    assert lorascope("probe --model model --dataset a --datasets b c").code == 2


def test_each_of_several_tasks_has_its_own_folder_of_data(place, lorascope) -> None:
    (place / "data" / "samsum").mkdir(parents=True)
    shown = lorascope("probe --model model --datasets samsum wikisql --data_dir data --plan --json")
    assert shown.code == 0, shown.err
    assert "SAMSum" in json.loads(shown.out)["result"]["data"]


def test_a_finished_run_is_looked_at_and_its_adapters_are_knocked_out(place, lorascope) -> None:
    line = "run --model model --dataset letters.jsonl --target both --r 2 --lr 1e-2 --max_steps 8 --batch_size 8"
    trained = lorascope(f"{line} --grad_accum 1 --lora_dropout 0 --no_eval --experiment_name r --quiet")
    assert trained.code == 0, trained.err
    folder = Path("results") / "r"
    shown = lorascope(f"probe {folder}")
    assert shown.code == 0, shown.err
    assert "|dW| / |W|" in shown.out
    assert shown.out.endswith("Next  lorascope probe results/r --knock_out kind\n")
    assert not (folder / "knock_out_kind.json").exists()

    planned = lorascope(f"probe {folder} --knock_out kind --plan")
    assert "without   the adapters of each kind: the loss of these rows" in planned.out
    assert not (folder / "knock_out_kind.json").exists()

    found = lorascope(f"probe {folder} --knock_out kind")
    assert found.code == 0, found.err
    assert "Saved results/r/adapters.json, results/r/knock_out_kind.json" in found.out
    by_kind = json.loads((folder / "knock_out_kind.json").read_text())
    assert [row["unit"] for row in by_kind["units"][:2]] == ["q early", "k early"]
    assert len(by_kind["units"]) == sum(row["modules"] for row in by_kind["units"]) == 14
    assert by_kind["about"]["split"] in found.out

    document = json.loads(lorascope(f"probe {folder} --knock_out module --json").out)["result"]
    single = document["knock_out"]["units"]
    assert {row["unit"] for row in single} == {row["module"] for row in document["modules"]}
    # two layers: a kind in half of them is one module
    assert [row["value"] for row in single] == [row["value"] for row in by_kind["units"]]
    assert json.loads((folder / "adapters.json").read_text())["modules"] == document["modules"]
    table = pd.read_parquet(folder / "gradient_analysis.parquet")
    last = table[(table["score"] == "update_sq") & (table["step"] == table["step"].max())]
    assert sum(row["update_sq"] for row in document["modules"]) == pytest.approx(last["value"].sum(), rel=1e-4)

    (folder / "final_model" / "adapter_config.json").unlink()
    assert "has lost its adapter" in refused(lorascope(f"probe {folder}"))
    (folder / "results_summary.json").unlink()
    assert "lorascope run --resume results/r" in refused(lorascope(f"probe {folder}"))


def refused(shown) -> str:
    """What was said; one message, and nothing else was done."""
    assert shown.code == 2
    assert shown.err.count("error[") == 1
    return shown.err


def test_what_is_no_finished_run_is_named(place, lorascope, run_folder) -> None:
    assert lorascope(f"{LINE} --quiet").code == 0
    run_folder("results/a")
    for line, text in (
        ("probe profiles/model_letters --knock_out kind", "is the profile of a probe"),
        ("probe nowhere", "holds no finished run (absent)"),
        ("probe results/a --knock_out layer", "kind, module"),
        ("probe results/a --batches 4", "--batches is about the probe of a model"),
        ("probe --knock_out kind", "looks at a finished run"),
        ("probe results/a results/b", "does not take 'results/b'"),
    ):
        assert text in refused(lorascope(line))
