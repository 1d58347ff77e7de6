"""`lorascope allocate` with the embedded model: files, numbers, refusals."""

from __future__ import annotations

import json
import shlex

import pytest

from lorascope import cli
from lorascope.analysis.allocating.evidence import READINGS
from lorascope.config.allocation import read_allocation
from toy import save_toy


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def typed(line):
        code = cli.main(shlex.split(line))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return typed


def test_a_budget_becomes_files_and_a_control_keeps_its_parameters_and_scaling(call, tmp_path):
    code, out, err = call("allocate --model embedded --target both --budget params=60k --r 4 --lora_alpha 8")
    assert code == 0, err
    first = read_allocation(tmp_path / "allocation" / "allocation.json")
    assert first.budget_params == 60_000
    assert f"asked 60,000, used {first.used_params:,} parameters, left {60_000 - first.used_params}" in out
    assert "lorascope run --model embedded --allocation allocation/allocation.json --plan" in out
    assert sorted(file.name for file in (tmp_path / "allocation").iterdir()) == [
        "adapter_config.json", "allocation.json", "axolotl.yaml", "lora_config.py", "plain.json", "train_trl.py",
    ]  # fmt: skip
    code, out, _ = call("allocate allocation/allocation.json --method shuffled_layers --output other --padded --json")
    assert code == 0
    padded = json.loads((tmp_path / "other" / "padded" / "adapter_config.json").read_text())
    assert (padded["r"], padded["rank_pattern"]) == (max(first.ranks.values()), {})
    assert (tmp_path / "other" / "padded" / "adapter_model.safetensors").is_file()
    told = json.loads(out)["result"]
    second = read_allocation(tmp_path / "other" / "allocation.json")
    assert told["ranks"] == second.ranks
    assert second.method == "shuffled_layers"
    assert second.used_params == first.used_params
    assert {alpha / second.ranks[path] for path, alpha in second.alphas.items()} == {2.0}


def test_every_method_divides_the_budget_by_a_profile_of_the_model(call, tmp_path):
    save_toy(tmp_path / "model")
    rows = ({"prompt": f"{chr(97 + i % 20)}{i}", "target": chr(98 + i % 20)} for i in range(60))
    (tmp_path / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    probe = "probe --model model --dataset letters.jsonl --batches 4 --batch_size 4 --quiet"
    assert call(probe)[0] == 0
    status, _, err = call("allocate profiles/model_letters --budget r=4 --method whitened")
    assert status == 2
    again = err.split("try: lorascope ")[1].splitlines()[0]
    assert again == "probe --model model --dataset letters.jsonl --scores whitened --overwrite"
    assert call(f"{again} spectrum eva gora weight --batches 4 --batch_size 4".replace(" --overwrite", "")
                + " --overwrite")[0] == 0  # fmt: skip
    chosen = {}
    for method in READINGS:
        code, out, err = call(f"allocate profiles/model_letters --budget r=4 --method {method} --output {method}")
        assert code == 0, err
        chosen[method] = read_allocation(tmp_path / method / "allocation.json")
        asked = chosen[method].budget_params
        gap = asked - chosen[method].used_params
        assert gap == 0 or (method in ("threshold", "mixed") and 0 < gap < 0.1 * asked)  # of the modules they keep
        assert chosen[method].base_model == "model"
    assert len({tuple(a.ranks.values()) for a in chosen.values()}) >= 8
    assert {a.budget_params for a in chosen.values()} == {chosen["spectral"].budget_params}
    line = "allocate profiles/model_letters --budget r=4 --method proportional --score lora_sq --target mlp_only"
    code, out, _ = call(line)
    assert code == 0
    assert "attention" not in out


@pytest.mark.parametrize(
    ("line", "code", "what"),
    [
        ("allocate", "no-budget", "needs a budget"),
        ("allocate --budget 60k", "config-value", "budget must be"),
        ("allocate --budget r=2 --method spectral", "method-needs", "needs spectra"),
        ("allocate --budget r=2 --method inverted", "method-needs", "ranks of an allocation"),
        ("allocate --budget r=2 --method unifrom", "unknown-method", "no method 'unifrom'"),
        ("allocate --budget r=2 --score signal", "score-choice", "of a profile"),
        ("allocate none.json --method inverted", "allocation-file", "there is no allocation"),
        ("allocate --model embedded --budget params=20", "budget-too-small", "the smallest adapter"),
    ],
)
def test_what_cannot_be_done_is_explained(call, line, code, what):
    status, _, err = call(line)
    assert status == 2
    assert f"error[{code}]" in err
    assert what in err
    assert "try: " in err or "did you mean" in err
