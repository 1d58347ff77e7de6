"""What the five targets mean in a model, and the coverage table."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import families
import pytest

from lorascope.errors import ModelError, NoTargets
from lorascope.models.modules import embeddings_are_tied, find_modules
from lorascope.models.selection import coverage, select
from lorascope.models.target import TargetModule


def _select(name: str, target: str, *, tied: bool | None = None) -> list[TargetModule]:
    model = families.build(name, device="meta")
    tied = embeddings_are_tied(model) if tied is None else tied
    return select(find_modules(model), target, tied=tied, model_id=f"tiny-{name}")


def _roles(modules: Sequence[TargetModule]) -> set[str]:
    return {m.projection for m in modules}


@pytest.mark.parametrize(
    ("name", "target", "roles", "number"),
    [
        ("llama", "attention_only", "q k v o", 8),
        ("llama", "attention_qv", "q v", 4),
        ("llama", "mlp_only", "gate up down", 6),
        ("llama", "both", "q k v o gate up down", 14),
        ("llama", "all", "q k v o gate up down embed head", 16),
        ("gpt2", "attention_only", "qkv o", 4),
        ("gpt2", "mlp_only", "up down", 4),
        ("phi3", "both", "qkv o gate_up down", 8),
        ("t5", "attention_qv", "q v cross_q cross_v", 12),
        ("mixtral", "mlp_only", "gate_up down", 4),
        ("qwen3_moe", "mlp_only", "gate up down gate_up", 5),
        ("deepseek_v3", "attention_only", "q_a_proj q_b_proj kv_a_proj_with_mqa kv_b_proj o", 10),
        ("gpt_oss", "both", "q k v o gate_up down", 12),
    ],
)
def test_a_target_is_met_by_role(name: str, target: str, roles: str, number: int) -> None:
    chosen = _select(name, target)
    assert _roles(chosen) == set(roles.split())
    assert len(chosen) == number


def test_routers_and_positions_are_never_chosen() -> None:
    for name in ("mixtral", "deepseek_v3", "gpt_oss"):
        assert "router" not in _roles(_select(name, "all"))
    assert "wpe" not in _roles(_select("gpt2", "all", tied=False))


@pytest.mark.parametrize("target", ["attention_only", "attention_qv", "mlp_only", "both", "all"])
def test_a_model_without_the_group_says_what_it_has(target: str) -> None:
    with pytest.raises(NoTargets, match=r"tiny-mamba has no .*it has .*other \(in_proj, x_proj, dt_proj, out_proj\)"):
        _select("mamba", target)


def test_half_a_match_is_no_match() -> None:
    modules = [m for m in find_modules(families.build("llama", device="meta")) if m.group != "mlp"]
    with pytest.raises(NoTargets, match="no mlp") as error:
        select(modules, "both", tied=False, model_id="x")
    assert error.value.tries == ("--target attention_only",)


@pytest.mark.parametrize("name", ["gpt2", "phi3", "gpt_neox", "mpt", "deepseek_v3"])
def test_q_and_v_of_a_fused_projection_are_refused(name: str) -> None:
    with pytest.raises(ModelError) as error:
        _select(name, "attention_qv")
    assert error.value.code == "fused-attention"
    assert error.value.tries == ("--target attention_only",)


def test_q_and_v_missing_in_one_layer_are_refused() -> None:
    modules = find_modules(families.build("llama", device="meta"))
    mixed = [m for m in modules if not (m.layer == 1 and m.projection == "v")]
    with pytest.raises(ModelError, match="q and v apart"):
        select(mixed, "attention_qv", tied=False, model_id="x")


def test_all_is_refused_where_the_embeddings_are_tied() -> None:
    with pytest.raises(ModelError) as error:
        _select("gpt2", "all")
    assert error.value.code == "tied-embeddings"
    assert error.value.tries[0] == "--target both"


def test_coverage_counts_what_is_matched_and_what_is_not() -> None:
    modules = find_modules(families.build("llama", device="meta"))
    targets = [m for m in modules if m.projection == "q" or (m.projection == "down" and m.layer == 1)]
    rows = {row.projection: row for row in coverage(modules, targets)}
    assert list(rows) == ["q", "k", "v", "o", "gate", "up", "down", "embed", "head"]
    assert (rows["q"].coverage, rows["q"].shape, rows["q"].parameters(8)) == ("2 of 2", (32, 32), 8 * 2 * 64)
    assert (rows["down"].coverage, rows["down"].parameters(8)) == ("1 of 2", 8 * 80)
    assert (rows["k"].coverage, rows["k"].parameters(8)) == ("0 of 2", 0)


def test_coverage_keeps_experts_and_dense_layers_apart() -> None:
    modules = find_modules(families.build("deepseek_v3", device="meta"))
    downs = [row for row in coverage(modules, modules) if row.projection == "down"]
    assert [(row.kind, row.shape, row.total) for row in downs] == [
        ("linear", (32, 48), 1),  # the dense first layer
        ("experts", (32, 16), 1),
        ("linear", (32, 16), 1),  # the shared expert
    ]


def test_choosing_needs_no_torch() -> None:
    code = "import sys, lorascope.models.selection; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
