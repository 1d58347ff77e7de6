"""Finding and classifying modules: 28 families, bare, empty and wrapped."""

from __future__ import annotations

import families
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.distributed import HashStore, destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM, LlamaConfig

from lorascope.models.modules import embeddings_are_tied, find_modules
from lorascope.models.roles import Ancestor, group_of, projection_of
from toy import toy_model

Table = dict[str, str]


def _below(prefix: str, table: Table) -> Table:
    return {f"{prefix}.{path}": role for path, role in table.items()}


def _attention(prefix: str, names: str, words: str = "q k v o") -> Table:
    return {f"{prefix}.{n}": f"attention {w}" for n, w in zip(names.split(), words.split(), strict=True)}


def _mlp(prefix: str, names: str, words: str) -> Table:
    return {f"{prefix}.{n}".lstrip("."): f"mlp {w}" for n, w in zip(names.split(), words.split(), strict=True)}


QKVO = "q_proj k_proj v_proj o_proj"
ENDS = {"model.embed_tokens": "embed embed", "lm_head": "lm_head head"}
LLAMA_ATTENTION = _attention("self_attn", QKVO)
LLAMA_MLP = _mlp("mlp", "gate_proj up_proj down_proj", "gate up down")
EXPERTS = _mlp("mlp.experts", "gate_up_proj down_proj", "gate_up down")
ROUTER = {"mlp.gate": "other router"}
LLAMA = ENDS | _below("model.layers.#", LLAMA_ATTENTION | LLAMA_MLP)
NEOX_MLP = _mlp("mlp", "dense_h_to_4h dense_4h_to_h", "up down")
BLOOM = {"transformer.word_embeddings": "embed embed", "lm_head": "lm_head head"} | _below(
    "transformer.h.#", _attention("self_attention", "query_key_value dense", "qkv o") | NEOX_MLP
)
GPT_ENDS = {"transformer.wte": "embed embed", "lm_head": "lm_head head"}
LATENT_ATTENTION = _attention(
    "self_attn",
    "q_a_proj q_b_proj kv_a_proj_with_mqa kv_b_proj o_proj",
    "q_a_proj q_b_proj kv_a_proj_with_mqa kv_b_proj o",
)
BART_ATTENTION = _attention("self_attn", "q_proj k_proj v_proj out_proj")
BART_CROSS = _attention("encoder_attn", "q_proj k_proj v_proj out_proj", "cross_q cross_k cross_v cross_o")
FC12 = _mlp("", "fc1 fc2", "up down")
T5_SELF = _attention("layer.0.SelfAttention", "q k v o")
T5_CROSS = _attention("layer.1.EncDecAttention", "q k v o", "cross_q cross_k cross_v cross_o")
T5_BIAS = "block.0.layer.0.SelfAttention.relative_attention_bias"

EXPECTED: dict[str, Table] = {
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "stablelm", "olmo2", "granite", "cohere"), LLAMA
    ),
    "phi3": ENDS
    | _below(
        "model.layers.#",
        _attention("self_attn", "qkv_proj o_proj", "qkv o") | _mlp("mlp", "gate_up_proj down_proj", "gate_up down"),
    ),
    "phi": ENDS
    | _below(
        "model.layers.#", _attention("self_attn", "q_proj k_proj v_proj dense") | _mlp("mlp", "fc1 fc2", "up down")
    ),
    "codegen": GPT_ENDS
    | _below(
        "transformer.h.#", _attention("attn", "qkv_proj out_proj", "qkv o") | _mlp("mlp", "fc_in fc_out", "up down")
    ),
    "gpt2": GPT_ENDS
    | {"transformer.wpe": "other wpe"}
    | _below("transformer.h.#", _attention("attn", "c_attn c_proj", "qkv o") | _mlp("mlp", "c_fc c_proj", "up down")),
    "starcoder2": ENDS | _below("model.layers.#", LLAMA_ATTENTION | _mlp("mlp", "c_fc c_proj", "up down")),
    "gpt_neox": {"gpt_neox.embed_in": "embed embed", "lm_head": "lm_head head"}
    | _below("gpt_neox.layers.#", _attention("attention", "query_key_value dense", "qkv o") | NEOX_MLP),
    "falcon": BLOOM,
    "bloom": BLOOM,
    "gptj": GPT_ENDS
    | _below(
        "transformer.h.#",
        _attention("attn", "q_proj k_proj v_proj out_proj") | _mlp("mlp", "fc_in fc_out", "up down"),
    ),
    "mpt": GPT_ENDS
    | _below(
        "transformer.blocks.#",
        _attention("attn", "Wqkv out_proj", "qkv o") | _mlp("ffn", "up_proj down_proj", "up down"),
    ),
    "opt": {
        "model.decoder.embed_tokens": "embed embed",
        "lm_head": "lm_head head",
        "model.decoder.embed_positions": "other embed_positions",
        "model.decoder.project_in": "other project_in",
        "model.decoder.project_out": "other project_out",
    }
    | _below("model.decoder.layers.#", BART_ATTENTION | FC12),
    "bart": {
        "model.shared": "embed embed",
        "model.encoder.embed_tokens": "embed embed",
        "model.decoder.embed_tokens": "embed embed",
        "model.encoder.embed_positions": "other embed_positions",
        "model.decoder.embed_positions": "other embed_positions",
        "lm_head": "lm_head head",
    }
    | _below("model.encoder.layers.#", BART_ATTENTION | FC12)
    | _below("model.decoder.layers.#", BART_ATTENTION | BART_CROSS | FC12),
    "t5": {
        "shared": "embed embed",
        "encoder.embed_tokens": "embed embed",
        "decoder.embed_tokens": "embed embed",
        f"encoder.{T5_BIAS}": "other relative_attention_bias",
        f"decoder.{T5_BIAS}": "other relative_attention_bias",
        "lm_head": "lm_head head",
    }
    | _below("encoder.block.#", T5_SELF | _mlp("layer.1.DenseReluDense", "wi wo", "up down"))
    | _below("decoder.block.#", T5_SELF | T5_CROSS | _mlp("layer.2.DenseReluDense", "wi wo", "up down")),
    "deepseek_v3": ENDS
    | _below("model.layers.0", LATENT_ATTENTION | LLAMA_MLP)
    | _below(
        "model.layers.1",
        LATENT_ATTENTION | EXPERTS | ROUTER | _mlp("mlp.shared_experts", "gate_proj up_proj down_proj", "gate up down"),
    ),
    "mixtral": ENDS | _below("model.layers.#", LLAMA_ATTENTION | EXPERTS | ROUTER),
    "qwen3_moe": ENDS
    | _below("model.layers.0", LLAMA_ATTENTION | LLAMA_MLP)
    | _below("model.layers.1", LLAMA_ATTENTION | EXPERTS | ROUTER),
    "gpt_oss": ENDS | _below("model.layers.#", LLAMA_ATTENTION | EXPERTS | {"mlp.router": "other router"}),
    "mamba": {"backbone.embeddings": "embed embed", "lm_head": "lm_head head"}
    | _below("backbone.layers.#.mixer", {n: f"other {n}" for n in ("in_proj", "x_proj", "dt_proj", "out_proj")}),
}


def test_all_28_families_have_a_table() -> None:
    assert len(families.FAMILIES) == 28
    assert set(EXPECTED) == set(families.FAMILIES)


@pytest.mark.parametrize("name", families.FAMILIES)
def test_group_and_projection_of_every_leaf(name: str) -> None:
    found = {m.path: f"{m.group} {m.projection}" for m in find_modules(families.build(name, device="meta"))}
    wanted = {path.replace("#", str(n)): role for path, role in EXPECTED[name].items() for n in range(families.LAYERS)}
    assert found == wanted


@pytest.mark.parametrize("name", families.FAMILIES)
def test_every_matrix_of_the_model_is_listed_with_its_shape(name: str) -> None:
    model = families.build(name, device="meta")
    listed = {m.path: m for m in find_modules(model)}
    left_over = set()
    for path, parameter in model.named_parameters(remove_duplicate=False):
        module = listed.get(path.removesuffix(".weight"))
        if module is not None:
            out, into = module.shape
            assert module.num_experts * out * into == parameter.numel()
            assert {out, into} <= set(parameter.shape)
        elif parameter.ndim > 1:
            left_over.add(path.split(".")[-1] if name == "gpt_oss" else ".".join(path.split(".")[-2:]))
    known = {"mamba": {"mixer.A_log", "conv1d.weight"}, "gpt_oss": {"gate_up_proj_bias", "down_proj_bias"}}
    assert left_over == known.get(name, set())


@pytest.mark.parametrize("name", families.FAMILIES)
def test_layer_is_the_number_after_the_outermost_list_and_stack_the_side(name: str) -> None:
    for module in find_modules(families.build(name, device="meta")):
        parts = module.path.split(".")
        numbers = [int(part) for part in parts if part.isdigit()]
        assert module.layer == (numbers[0] if numbers else None)
        assert module.stack == ("encoder" if "encoder" in parts else "decoder")


@pytest.mark.parametrize("name", families.FAMILIES)
def test_an_empty_model_gives_the_same_list_as_a_real_one(name: str) -> None:
    assert find_modules(families.build(name, device="meta")) == find_modules(families.build(name))


def test_shapes_are_out_in_whatever_the_layout_in_memory() -> None:
    shape = {m.path: m.shape for name in ("gpt2", "gpt_oss", "mixtral") for m in find_modules(families.build(name))}
    assert shape["transformer.h.0.attn.c_attn"] == (3 * 32, 32)  # Conv1D, in memory (in, out)
    assert shape["transformer.wte"] == (32, 64)  # in memory (tokens, width)
    assert shape["lm_head"] == (64, 32)
    assert shape["model.layers.0.mlp.experts.gate_up_proj"] == (2 * 48, 32)
    assert shape["model.layers.0.mlp.experts.down_proj"] == (32, 48)
    stacked = dict(families.build("gpt_oss").named_parameters())["model.layers.0.mlp.experts.down_proj"]
    assert stacked.shape == (4, 48, 32)  # (experts, in, out), Mixtral's is (experts, out, in)


def test_experts_cost_as_much_as_there_are_experts() -> None:
    module = next(m for m in find_modules(families.build("mixtral", device="meta")) if m.kind == "experts")
    assert (module.num_experts, module.cost_per_rank) == (4, 4 * (96 + 32))


def test_costs_per_rank_of_tinyllama() -> None:
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=22,
        num_attention_heads=32,
        num_key_value_heads=4,
    )
    with torch.device("meta"):
        modules = find_modules(AutoModelForCausalLM.from_config(config))
    cost = {m.projection: m.cost_per_rank for m in modules}
    assert cost == {
        "q": 4096, "k": 2304, "v": 2304, "o": 4096, "gate": 7680, "up": 7680, "down": 7680,
        "embed": 34048, "head": 34048,
    }  # fmt: skip
    layer = [m for m in modules if m.layer == 21]
    assert sum(m.cost_per_rank for m in layer if m.projection in "qv") == 6_400
    assert sum(m.cost_per_rank for m in layer if m.group == "attention") == 12_800
    assert sum(m.cost_per_rank for m in layer if m.group == "mlp") == 23_040


def test_tied_embeddings_are_seen_by_identity() -> None:
    assert embeddings_are_tied(toy_model(tied=True))
    assert not embeddings_are_tied(toy_model())
    assert embeddings_are_tied(families.build("gpt2", device="meta"))


def test_a_users_peft_model_gives_the_bare_paths() -> None:
    bare = find_modules(toy_model())
    config = LoraConfig(target_modules=["q_proj", "embed_tokens"], modules_to_save=["lm_head"], r=2)
    assert find_modules(get_peft_model(toy_model(), config)) == bare


def test_ddp_and_peft_around_a_model_change_nothing() -> None:
    bare = find_modules(toy_model())
    init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(get_peft_model(toy_model(), LoraConfig(target_modules=["q_proj"], r=2)))
        assert find_modules(wrapped) == bare
    finally:
        destroy_process_group()


def test_a_model_that_is_not_of_transformers_is_read_by_names() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q_proj = nn.Linear(3, 5)

    model = nn.ModuleDict({"blocks": nn.ModuleList([nn.ModuleDict({"x": Attention(), "fc9": nn.Linear(3, 4)})])})
    assert [(m.path, m.group, m.projection, m.layer) for m in find_modules(model)] == [
        ("blocks.0.x.q_proj", "attention", "q", 0),
        ("blocks.0.fc9", "other", "fc9", 0),
    ]


@pytest.mark.parametrize(
    ("leaf", "ancestors", "on_block", "group"),
    [
        ("q_proj", [("x", "Qwen3MoeAttention")], False, "attention"),  # an ending, not a part: "Moe"
        ("w1", [("0", "MixtralBlockSparseTop2MLP")], False, "mlp"),
        ("gate", [("mlp", "JambaSparseMoeBlock")], False, "other"),  # the choice of experts is no MLP matrix
        ("gate", [("mlp", "SomeMLP")], False, "mlp"),
        ("c_proj", [("attn", "Unknown")], False, "attention"),
        ("c_proj", [("mlp", "Unknown")], False, "mlp"),
        ("fc1", [("3", "OPTDecoderLayer")], True, "mlp"),
        ("fc1", [("thing", "Thing"), ("3", "OPTDecoderLayer")], False, "other"),
        ("dense", [("3", "Block")], True, "other"),
        ("in_proj", [("mixer", "MambaMixer")], False, "other"),
        ("in_proj", [("linear_attn", "Qwen3NextGatedDeltaNet")], False, "other"),
        ("layer", [("router", "TopKGating"), ("mlp", "GraniteMoeMoE")], False, "other"),  # the nearest one decides
    ],
)
def test_the_rule_by_names(leaf: str, ancestors: list[tuple[str, str]], on_block: bool, group: str) -> None:
    assert group_of(leaf, [Ancestor(*a) for a in ancestors], on_block=on_block) == group


def test_a_name_without_a_word_in_llama_stays() -> None:
    assert projection_of("kv_b_proj", "attention", []) == "kv_b_proj"
    assert projection_of("w1", "mlp", []) == "w1"
    assert projection_of("in_proj", "other", []) == "in_proj"
