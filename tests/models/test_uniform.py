import json
from pathlib import Path
from typing import Any

import families
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from lorascope.errors import ModelError
from lorascope.models.uniform import export_uniform
from toy import toy_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")

IDS = torch.tensor([[1, 5, 9, 60, 61, 7]])
LAYERS = ["q_proj", "v_proj", "up_proj", "down_proj"]


def adapter(folder: Path, model: Any = None, **settings: Any) -> torch.Tensor:
    """Save an adapter that changes the toy, and return its logits."""
    torch.manual_seed(1)
    config = LoraConfig(init_lora_weights=False, **({"target_modules": LAYERS, "r": 4, "lora_alpha": 8} | settings))
    adapted = get_peft_model(model or toy_model(), config).eval()
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return logits(adapted)


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model(IDS).logits


def loaded(folder: Path, model: Any = None) -> torch.Tensor:
    return logits(PeftModel.from_pretrained(model or toy_model(), folder).eval())


def read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    return (
        json.loads((folder / "adapter_config.json").read_text()),
        load_file(folder / "adapter_model.safetensors"),
    )


RANKS = {r"^model\.layers\.0\.self_attn\.q_proj": 2, "up_proj": 7, r"layers\.1\.mlp\.down_proj": 1}
MAPS = {
    "ranks at one scaling": {"rank_pattern": RANKS, "alpha_pattern": {key: 2 * r for key, r in RANKS.items()}},
    "ranks alone, so that scalings differ": {"rank_pattern": RANKS},
    "alphas alone": {"alpha_pattern": {"down_proj": 1, r"layers\.0\.self_attn\.v_proj": 100}},
    "rank-stabilised": {"rank_pattern": RANKS, "use_rslora": True},
    "nothing": {},
}


@pytest.mark.parametrize("settings", MAPS.values(), ids=MAPS)
def test_the_logits_are_equal_and_there_is_one_rank_and_no_map(tmp_path, settings):
    here = adapter(tmp_path / "a", **settings)
    made = export_uniform(tmp_path / "a", tmp_path / "b")
    assert not torch.allclose(here, logits(toy_model()), atol=0.1)
    torch.testing.assert_close(loaded(tmp_path / "b"), here, rtol=1e-5, atol=1e-5)
    config, weights = read(tmp_path / "b")
    assert (config["rank_pattern"], config["alpha_pattern"], config["use_rslora"]) == ({}, {}, False)
    assert (config["r"], config["lora_alpha"]) == (made.r, made.lora_alpha)
    assert {tensor.shape["lora_B" in name] for name, tensor in weights.items()} == {made.r}
    assert len(weights) == 2 * made.modules == 2 * 2 * len(LAYERS)


@torch.no_grad()
def test_a_reader_of_r_and_alpha_alone_finds_the_updates(tmp_path):
    adapter(tmp_path / "a", **MAPS["ranks alone, so that scalings differ"])
    export_uniform(tmp_path / "a", tmp_path / "b")
    config, weights = read(tmp_path / "b")
    layers = dict(PeftModel.from_pretrained(toy_model(), tmp_path / "a").named_modules())
    for name, a in weights.items():
        if ".lora_A." in name:
            update = config["lora_alpha"] / config["r"] * weights[name.replace("lora_A", "lora_B")] @ a
            expected = layers[name.removesuffix(".lora_A.weight")].get_delta_weight("default")
            torch.testing.assert_close(update, expected, rtol=1e-6, atol=1e-7)


def test_where_the_ranks_alone_differ_nothing_is_rounded(tmp_path):
    adapter(tmp_path / "a", **MAPS["ranks at one scaling"])
    made = export_uniform(tmp_path / "a", tmp_path / "b")
    assert made == (7, 14, 8, 6)  # q of layer 0, down of layer 1 and the four of rank 4 were smaller
    before, after = read(tmp_path / "a")[1], read(tmp_path / "b")[1]
    for name, tensor in before.items():
        rows, columns = tensor.shape
        assert torch.equal(after[name][:rows, :columns], tensor)
        assert after[name].count_nonzero() == tensor.count_nonzero()


def test_embedding_and_head_are_padded_too(tmp_path):
    targets = ["embed_tokens", "lm_head", "q_proj"]
    here = adapter(tmp_path / "a", target_modules=targets, rank_pattern={"embed_tokens": 2, "lm_head": 6})
    assert export_uniform(tmp_path / "a", tmp_path / "b").r == 6
    torch.testing.assert_close(loaded(tmp_path / "b"), here, rtol=1e-5, atol=1e-5)


def test_the_module_in_the_map_of_another_models_layers_too(tmp_path):
    settings = {"target_modules": ["c_attn", "mlp.c_proj"], "rank_pattern": {"c_attn": 3}, "fan_in_fan_out": True}
    here = adapter(tmp_path / "a", families.build("gpt2"), **settings)
    assert export_uniform(tmp_path / "a", tmp_path / "b").r == 4
    torch.testing.assert_close(loaded(tmp_path / "b", families.build("gpt2")), here, rtol=1e-5, atol=1e-5)


def test_the_number_format_stays(tmp_path):
    adapter(tmp_path / "a", **MAPS["ranks alone, so that scalings differ"])
    _, weights = read(tmp_path / "a")
    save_file({name: tensor.bfloat16() for name, tensor in weights.items()}, tmp_path / "a/adapter_model.safetensors")
    export_uniform(tmp_path / "a", tmp_path / "b")
    assert {tensor.dtype for tensor in read(tmp_path / "b")[1].values()} == {torch.bfloat16}


def test_stacked_experts_are_refused(tmp_path):
    adapter(tmp_path / "a", families.build("mixtral"), target_modules=[], target_parameters=["experts.down_proj"])
    with pytest.raises(ModelError, match="on stacked experts"):
        export_uniform(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_dora_is_refused(tmp_path):
    adapter(tmp_path / "a", use_dora=True)
    with pytest.raises(ModelError, match=r"DoRA and more than LoRA matrices"):
        export_uniform(tmp_path / "a", tmp_path / "b")


def test_a_configuration_that_does_not_fit_its_matrices_is_refused(tmp_path):
    adapter(tmp_path / "a")
    config, _ = read(tmp_path / "a")
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config | {"rank_pattern": {"q_proj": 9}}))
    with pytest.raises(ModelError, match="has rank 4, its configuration says 9"):
        export_uniform(tmp_path / "a", tmp_path / "b")


def test_a_folder_without_adapter_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no-adapter"):
        export_uniform(tmp_path, tmp_path / "b")
