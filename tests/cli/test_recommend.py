"""`lorascope recommend`: a probe, an allocation and its reason; a proof that can be stopped and goes on."""

from __future__ import annotations

import json
import random
import shlex
import string
from functools import partial

import pytest
from peft import LoraConfig

from lorascope import SensitivityProfile, recommend
from lorascope.analysis.allocating.preference import Preference
from lorascope.config.allocation import read_allocation
from lorascope.runs import proving, recommending
from toy import save_toy

LINE = (
    "recommend --model model --dataset letters.jsonl --budget r=2 --r 2 --lora_alpha 8 --lora_dropout 0 --lr 0.003 "
    "--batch_size 4 --grad_accum 1"
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_toy(tmp_path / "model")
    rows = ({"prompt": f"{chr(97 + i % 20)}{i}", "target": chr(98 + i % 20)} for i in range(100))
    (tmp_path / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_a_recommendation_is_files_a_reason_and_a_command_that_runs(place, lorascope):
    shown = lorascope(LINE)
    assert shown.code == 0, shown.err
    chosen = read_allocation(place / "adapter" / "allocation.json")
    told = json.loads((place / "adapter" / "recommendation.json").read_text())
    assert told["allocation"]["ranks"] == dict(chosen.ranks)
    assert told["why"] in " ".join(shown.out.split())
    assert ("No preference found. Use uniform" in told["why"]) == (not told["preference"]["decided"])
    assert set(told["candidates"]) >= {"uniform", "attention_only", "mlp_only", "spectral"}
    for name, found in told["candidates"].items():
        assert sum(row["parameters"] for row in found["kinds"]) == found["used_params"] > 0, name
    assert (place / "adapter_profile" / "profile.json").is_file()
    control = SensitivityProfile.load(place / "adapter_profile" / "shuffled_answers")
    assert control.n == SensitivityProfile.load(place / "adapter_profile").n
    assert control.about["answers"] == "shuffled"
    again = lorascope(shlex.split(shown.out.splitlines()[-1].removeprefix("Next  lorascope ")))
    assert again.code == 0, again.err
    same = lorascope("recommend adapter_profile --budget r=2 --r 2 --lora_alpha 8 --output other")
    assert same.code == 0, same.err
    assert read_allocation(place / "other" / "allocation.json") == chosen
    assert told["why"] in " ".join(same.out.split())
    assert recommend(place / "adapter_profile", "r=2", r=2, lora_alpha=8) == chosen
    text = (place / "adapter" / "report.html").read_text()
    assert lorascope("report adapter").code == 0
    assert (place / "adapter" / "report.html").read_text() == text
    assert "a page of its own" in lorascope("report adapter adapter_profile").err
    other = lorascope(LINE.replace("--batch_size 4", "--max_length 64"))
    assert other.code == 2
    assert "error[other-run]" in other.err
    assert "try: --output OTHER" in other.err


def test_random_tokens_for_targets_end_in_no_preference_and_a_uniform_configuration(place, lorascope):
    rng = random.Random(0)
    rows = [json.loads(line) for line in (place / "letters.jsonl").read_text().splitlines()]
    words = ["".join(rng.choices(string.ascii_letters, k=6)) for _ in rows]
    lines = [json.dumps(row | {"target": word}) for row, word in zip(rows, words, strict=True)]
    (place / "random.jsonl").write_text("\n".join(lines) + "\n")
    shown = lorascope(LINE.replace("letters", "random"))
    assert shown.code == 0, shown.err
    assert "No preference found. Use uniform: rank 2, " in " ".join(shown.out.split())
    config = LoraConfig.from_pretrained(str(place / "adapter"))
    assert {config.r, *config.rank_pattern.values()} == {2}


def test_a_method_that_was_shown_to_win_is_what_a_preference_recommends(place, lorascope, monkeypatch):
    monkeypatch.setattr(recommending, "METHOD", "spectral")
    assert lorascope(LINE).code == 0
    seen = Preference(decided=True, kind="v", times=3.0, control=1.0, p=0.001, above=14, of=14)
    monkeypatch.setattr(recommending, "preference", lambda profile: seen)
    shown = lorascope("recommend adapter_profile --budget r=2 --r 2 --lora_alpha 8")
    assert shown.code == 0, shown.err
    assert "Use spectral: ranks " in " ".join(shown.out.split())
    said = "v has 3 times the mean signal per weight, and 1 times with the answers of other prompts"
    assert said in " ".join(shown.out.split())
    assert read_allocation(place / "adapter" / "allocation.json").method == "spectral"


def test_a_proof_stops_goes_on_and_says_what_fresh_seeds_say(place, lorascope, monkeypatch):
    monkeypatch.setattr(recommending, "prove", partial(proving.prove, steps=1, seeds=3))
    monkeypatch.setattr(recommending, "METHODS", ())
    trial, calls = proving.trial, []

    def stopped(*args, **kwargs):
        calls.append(kwargs["on"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return trial(*args, **kwargs)

    monkeypatch.setattr(proving, "trial", stopped)
    first = lorascope(f"{LINE} --prove")
    assert first.code == 130
    assert len((place / "adapter" / "proof.jsonl").read_text().splitlines()) == 2
    shown = lorascope(f"{LINE} --prove")
    assert shown.code == 0, shown.err
    rows = [json.loads(line) for line in (place / "adapter" / "proof.jsonl").read_text().splitlines()]
    assert len(calls) == len(rows) + 1  # nothing was trained twice; one was stopped
    told = json.loads((place / "adapter" / "recommendation.json").read_text())
    proof = told["proof"]
    assert len(proof["differences"]) == 3
    assert f"against uniform: {proof['effect']:+.4f} nats per answer token [" in " ".join(shown.out.split())
    chosen = read_allocation(place / "adapter" / "allocation.json").method
    assert chosen == (proof["winner"]["candidate"] if proof["verdict"] == "better" else "uniform")
    # by hand: the mean of the differences of the fresh seeds on test rows
    by_seed = {}
    for row in rows:
        if row["on"] == "test":
            by_seed.setdefault(row["seed"], {})[row["candidate"]] = row["loss"]
    differences = [pair[proof["winner"]["candidate"]] - pair["uniform"] for pair in by_seed.values()]
    assert proof["effect"] == pytest.approx(sum(differences) / 3)


def test_a_plan_starts_nothing(place, lorascope):
    shown = lorascope(f"{LINE} --prove --plan")
    assert shown.code == 0, shown.err
    assert "8 candidates at most x 2 learning rates x 20 steps" in shown.out
    assert "Nothing was started." in shown.out
    assert not (place / "adapter_profile").exists()
    missing = lorascope("recommend nowhere --budget r=2")
    assert missing.code == 2
    assert "error[no-profile]" in missing.err


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("", "both"),
        ("--preset e2e_mlp", "mlp_only"),
        ("--preset e2e_attention", "attention_only"),
        ("--preset e2e_mlp --target both", "both"),
        ("profile", "attention_qv"),
        ("profile --preset e2e_mlp", "mlp_only"),
    ],
)
def test_the_target_is_the_one_typed_the_presets_the_profiles_or_both(tmp_path, monkeypatch, lorascope, typed, target):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profile").mkdir()
    about = {"model": "embedded", "dataset": "e2e_nlg", "options": {"target": "attention_qv"}}
    (tmp_path / "profile" / "profile.json").write_text(json.dumps({"about": about}))
    shown = lorascope(f"recommend {typed} --data_source builtin --plan")
    assert shown.code == 0, shown.err
    assert f"r=8 of {target}\n" in shown.out
    text = " ".join(lorascope("recommend --help").out.split())
    assert "embedding and head (default: the preset's, else the profile's, else both)" in text


def test_a_proof_is_not_replaced_by_a_recommendation_without_one(tmp_path, monkeypatch, lorascope):
    monkeypatch.chdir(tmp_path)
    told = tmp_path / "adapter" / "recommendation.json"
    told.parent.mkdir()
    told.write_text(json.dumps({"proof": {"words": ["mlp_only against uniform: better"]}}))
    line = "recommend --model embedded --dataset e2e_nlg --data_source builtin"
    shown = lorascope(line)
    assert shown.code == 2
    assert "error[other-run]: adapter holds a recommendation with its proof (mlp_only against uniform: better)" in (
        " ".join(shown.err.split())
    )
    assert f"try: lorascope {line} --prove   (go on with it)" in shown.err
    assert "try: --output OTHER" in shown.err
    assert not (tmp_path / "adapter_profile").exists()
    for allowed in ("--prove", "--output other"):
        assert lorascope(f"{line} {allowed} --plan").code == 0
    told.write_text(json.dumps({"proof": None}))
    assert lorascope(f"{line} --plan").code == 0
