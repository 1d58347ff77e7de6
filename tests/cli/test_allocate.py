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


def test_a_control_is_made_of_the_modules_and_the_parameters_of_its_allocation(call, tmp_path):
    assert call("allocate --model embedded --target both --budget r=4 --output first")[0] == 0
    first = read_allocation(tmp_path / "first" / "allocation.json")
    for budget in ("r=4", f"params={first.budget_params}"):  # rank 4 of what has ranks, not of the default target
        code, _, err = call(f"allocate first/allocation.json --method inverted --budget {budget} --output turned")
        assert code == 0, err
        assert read_allocation(tmp_path / "turned" / "allocation.json").budget_params == first.budget_params
    save_toy(tmp_path / "model")
    for line, word in [
        ("--method shuffled_layers --budget params=20k", "keeps the allocation's ranks, which cost"),
        ("--method shuffled_layers --budget params=900k", "keeps its"),
        ("--method inverted --target mlp_only", "reads no --target"),
        ("--method inverted --model model", "modules in the allocation are not in model"),
    ]:
        code, _, err = call(f"allocate first/allocation.json {line} --output other")
        assert code == 2
        assert word in err
    assert not (tmp_path / "other").exists()


def test_nothing_in_the_folder_is_lost_without_being_asked_for(call, tmp_path):
    first = "allocate --model embedded --target both --budget params=60k --lora_alpha 16 --padded"
    assert call(first)[0] == 0
    assert call(first)[0] == 0  # the same one
    before = (tmp_path / "allocation" / "allocation.json").read_text()
    code, _, err = call("allocate allocation --method shuffled_layers")
    assert code == 2
    assert "error[other-run]: allocation holds another allocation" in err
    assert "--overwrite" in err
    assert (tmp_path / "allocation" / "allocation.json").read_text() == before
    assert (tmp_path / "allocation" / "axolotl.yaml").is_file()
    odd = "allocate --model embedded --target both --budget params=60k --lora_alpha 33 --overwrite"
    code, out, err = call(odd)
    assert code == 0
    assert "no axolotl.yaml" in out + err
    names = {file.name for file in (tmp_path / "allocation").iterdir()}  # none of the allocation before
    assert names == {"adapter_config.json", "allocation.json", "lora_config.py", "plain.json", "train_trl.py"}
    code, _, err = call(f"{first} --output 'allocation/run 1'")
    assert code == 0
    code, out, err = call(f"{first.replace(' --padded', '')} --output 'allocation/run 1/padded' --overwrite")
    assert code == 2
    assert "holds an adapter's weights" in err


def test_the_next_command_can_be_pasted(call):
    code, out, err = call("allocate --model embedded --budget r=2 --output 'a b'")
    assert code == 0
    assert "--allocation 'a b/allocation.json'" in out + err


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
