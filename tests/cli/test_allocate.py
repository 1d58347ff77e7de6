"""`lorascope allocate` with the embedded model: files, numbers, refusals."""

from __future__ import annotations

import json
import shlex

import pytest

from lorascope import cli
from lorascope.config.allocation import read_allocation


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
    code, out, _ = call("allocate allocation/allocation.json --method shuffled_layers --output other --json")
    assert code == 0
    told = json.loads(out)["result"]
    second = read_allocation(tmp_path / "other" / "allocation.json")
    assert told["ranks"] == second.ranks
    assert second.method == "shuffled_layers"
    assert second.used_params == first.used_params
    assert {alpha / second.ranks[path] for path, alpha in second.alphas.items()} == {2.0}


@pytest.mark.parametrize(
    ("line", "code", "what"),
    [
        ("allocate", "no-budget", "needs a budget"),
        ("allocate --budget 60k", "config-value", "budget must be"),
        ("allocate --budget r=2 --method spectral", "method-needs", "needs spectra"),
        ("allocate --budget r=2 --method inverted", "method-needs", "ranks of an allocation"),
        ("allocate --budget r=2 --method unifrom", "unknown-method", "no method 'unifrom'"),
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
