"""Runs with a budget or an allocation: what was asked, used and trained, and the same ranks again from the file."""

from __future__ import annotations

import json

import pytest
from running import flags, lorascope, make_home
from safetensors import safe_open

from lorascope.config.allocation import read_allocation


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("home"))


def trained_in(folder):
    """Parameters in the adapter's file."""
    count = 0
    with safe_open(folder / "final_model" / "adapter_model.safetensors", "numpy") as tensors:
        for name in sorted(tensors.keys()):
            rows, columns = tensors.get_slice(name).get_shape()
            count += rows * columns
    return count


def test_a_budget_is_met_recorded_and_trained_again_from_its_allocation(home, tmp_path):
    out = ["--output_dir", tmp_path, "--no_eval", "--experiment_name"]
    first = lorascope("run", *flags(home), *out, "budget", "--budget", "params=1990")
    assert first.code == 0, first.err
    assert "asked 1,990, used 1,984, trained 1,984 parameters; left 6, the smallest gap there is" in first.out
    folder = tmp_path / "budget"
    results = json.loads((folder / "results_summary.json").read_text())
    assert results["budget"] == {
        "method": "uniform", "asked": 1990, "used": 1984, "trained": 1984, "gap": 6, "ranks": [1, 2],
    }  # fmt: skip
    assert results["parameters"]["trained"] == trained_in(folder) == 1984
    allocation = read_allocation(folder / "allocation.json")
    assert allocation.used_params == 1984
    assert {a / allocation.ranks[path] for path, a in allocation.alphas.items()} == {2.0}  # lora_alpha 4 at r 2

    mine = tmp_path / "mine.json"
    mine.write_text(allocation.to_json())
    second = lorascope("run", *flags(home), *out, "again", "--allocation", mine)
    assert second.code == 0, second.err
    assert read_allocation(tmp_path / "again" / "allocation.json") == allocation
    configs = [
        json.loads((tmp_path / n / "final_model" / "adapter_config.json").read_text()) for n in ("budget", "again")
    ]
    assert configs[0] == configs[1]
    assert (tmp_path / "budget" / "gradient_analysis.group_norms.csv").read_text() == (
        tmp_path / "again" / "gradient_analysis.group_norms.csv"
    ).read_text()

    assert "is finished" in lorascope("run", *flags(home), *out, "again", "--allocation", mine).out
    changed = allocation.to_dict()
    path = next(iter(allocation.adapted))
    changed["alphas"][path] *= 2
    mine.write_text(json.dumps(changed))
    refused = lorascope("run", *flags(home), *out, "again", "--allocation", mine)
    assert refused.code == 2
    assert "[other-run]" in refused.error
    assert "has changed since" in refused.error


def test_a_plan_shows_asked_used_and_trained(home, tmp_path):
    seen = lorascope("run", *flags(home), "--budget", "like=attention_only:r=2", "--plan")
    assert "asked 896, used 896, trained 896 parameters; left 0" in seen.out
