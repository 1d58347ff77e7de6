"""`lorascope probe` and what follows from it on other architectures: Conv1D and tied ends, fused roles, experts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lorascope.analysis.sensitivity import SensitivityProfile
from toy import toy_tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))

SCORES = "snip fisher plop whitened spectrum"
KINDS = {
    "gpt2": {"q", "k", "v", "o", "up", "down"},
    "phi3": {"q", "k", "v", "o", "gate", "up", "down"},
    "mixtral": {"q", "k", "v", "o", "gate", "up", "down", "router"},
}
FUSED = {
    "gpt2": {"transformer.h.0.attn.c_attn": {"q", "k", "v"}},
    "phi3": {
        "model.layers.0.self_attn.qkv_proj": {"q", "k", "v"},
        "model.layers.0.mlp.gate_up_proj": {"gate", "up"},
    },
    "mixtral": {"model.layers.0.mlp.experts.gate_up_proj": {"gate", "up"}},
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file, in which commands are typed."""
    monkeypatch.chdir(tmp_path)
    rows = ({"prompt": f"{chr(97 + i % 20)}{i}", "target": chr(98 + i % 20)} for i in range(60))
    (tmp_path / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def save(name: str) -> None:
    from families import build

    build(name, vocab_size=259, initializer_range=0.2).save_pretrained(name)
    toy_tokenizer().save_pretrained(name)


@pytest.mark.parametrize("name", KINDS)
def test_fused_projections_are_reported_by_role_and_allocated_by_module(place, lorascope, name) -> None:
    save(name)
    line = f"probe --model {name} --dataset letters.jsonl --max_length 32 --batches 3 --batch_size 4"
    shown = lorascope(f"{line} --scores {SCORES} --json")
    assert shown.code == 0, shown.err
    result = json.loads(shown.out)["result"]
    assert {row["projection"] for row in result["kinds"]} == KINDS[name]
    profile = SensitivityProfile.load(result["folder"])
    roles = profile.parts.groupby("module")["projection"].agg(set).to_dict()
    assert {path: roles[path] for path in FUSED[name]} == FUSED[name]
    whole, parts = (profile.table(by=by, scale="sum").set_index("module")["value"] for by in ("module", "part"))
    for path in FUSED[name]:
        assert whole[path] == pytest.approx(parts[path].sum())
    # a layer is watched and a module has a spectrum as a whole; experts, which are computed without a layer, are not
    watched = {row["kind"] for row in result["gains"]}
    expected = {"gpt2": {"qkv", "o", "up", "down"}, "phi3": {"qkv", "o", "gate+up", "down"},
                "mixtral": {"q", "k", "v", "o"}}  # fmt: skip
    assert watched == expected[name]
    assert set(profile.spectra.loc[profile.spectra["spectrum"] == "spectrum", "module"]) == set(roles)

    made = lorascope(f"allocate {result['folder']} --method proportional --budget r=2 --lora_dropout 0 --quiet")
    assert made.code == 0, made.err
    ranks = json.loads(Path("allocation/allocation.json").read_text())["ranks"]
    assert set(FUSED[name]) <= set(ranks)
    assert set(ranks) == {path for path, of in roles.items() if of != {"router"}}


def test_tied_ends_are_left_out_and_refused_where_they_are_asked_for(place, lorascope) -> None:
    save("gpt2")
    line = "probe --model gpt2 --dataset letters.jsonl --max_length 32 --batches 3 --batch_size 4"
    assert lorascope(f"{line} --quiet").code == 0
    left_out = SensitivityProfile.load("profiles/gpt2_letters").about["left_out"]
    assert "transformer.wte" in left_out
    refused = lorascope(f"{line} --target all --experiment_name all")
    assert refused.code == 2
    assert "one matrix as embedding and as head" in refused.err
