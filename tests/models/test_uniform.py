import json
from pathlib import Path
from typing import Any

import families
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from lorascope.config.allocation import Allocation, constant_alphas
from lorascope.config.experiment import LoRAConfig as OurLoRA
from lorascope.errors import ModelError
from lorascope.models.adapters import peft_config
from lorascope.models.allocated import allocated_modules
from lorascope.models.base import BaseModel
from lorascope.models.modules import find_modules
from lorascope.models.uniform import export_uniform, start_uniform
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


# ---- untrained -------------------------------------------------------------------------------------------------------


def allocated(ranks: dict[str, int], **changes: Any) -> Allocation:
    costs = {module.path: module.cost_per_rank for module in find_modules(toy_model())}
    used = sum(costs[path] * rank for path, rank in ranks.items())
    fields = {"ranks": ranks, "alphas": constant_alphas(ranks, 4.0), "budget_params": used, "used_params": used}
    return Allocation(**{**fields, "method": "spectral", "base_model": "toy", **changes})


def base() -> BaseModel:
    return BaseModel(
        model=toy_model(), tokenizer=None, model_id="toy", dtype=torch.float32, device=torch.device("cpu"),
        revision=None, tied=False, context_length=None, notes=(),
    )  # fmt: skip


def trained(model: Any, steps: int = 3) -> Any:
    """A few steps of AdamW with weight decay and clipping, as a trainer without rank maps would do them."""
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=0.05, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(IDS, labels=IDS).loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 0.5)
        optimizer.step()
    return model


UNEVEN = {"model.layers.0.self_attn.q_proj": 1, "model.layers.1.mlp.up_proj": 5, "model.layers.1.mlp.down_proj": 2}


def test_an_untrained_adapter_at_one_rank_trains_as_the_rank_map_it_stands_for(tmp_path):
    made = start_uniform(base(), OurLoRA(lora_dropout=0.0), allocated(UNEVEN), tmp_path, seed=3)
    assert (made.r, made.lora_alpha, made.modules, made.padded) == (5, 20, 3, 2)
    config, weights = read(tmp_path)
    assert (config["rank_pattern"], config["alpha_pattern"], config["r"]) == ({}, {}, 5)
    torch.testing.assert_close(loaded(tmp_path), logits(toy_model()))
    padded = trained(PeftModel.from_pretrained(toy_model(), tmp_path, is_trainable=True))

    here = base()
    targets = allocated_modules(allocated(UNEVEN), find_modules(here.model), model_id="toy", tied=False)
    mapped = get_peft_model(here.model, peft_config(here.model, OurLoRA(lora_dropout=0.0), targets, allocated(UNEVEN)))
    own = dict(mapped.named_parameters())
    for path, rank in UNEVEN.items():
        name = f"base_model.model.{path}"
        own[f"{name}.lora_A.default.weight"].data.copy_(weights[f"{name}.lora_A.weight"][:rank])
    trained(mapped)
    assert not torch.allclose(logits(mapped), logits(toy_model()), atol=0.1)
    torch.testing.assert_close(logits(padded), logits(mapped), rtol=1e-4, atol=1e-5)
    for name, parameter in padded.named_parameters():
        if "lora_" in name:
            path = name.removeprefix("base_model.model.").partition(".lora_")[0]
            beyond = parameter[UNEVEN[path] :] if "lora_A" in name else parameter[:, UNEVEN[path] :]
            assert (beyond == 0).all(), name


def test_an_untrained_adapter_is_drawn_as_pefts_is_and_by_its_seed(tmp_path):
    even = dict.fromkeys([f"model.layers.{i}.mlp.{name}_proj" for i in range(2) for name in ("gate", "up")], 16)
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        start_uniform(base(), OurLoRA(), allocated(even), tmp_path / folder, seed=seed)
    first, same, other = (read(tmp_path / folder)[1] for folder in "abc")
    for name, tensor in first.items():
        assert torch.equal(tensor, same[name])
        if "lora_A" in name:
            assert not torch.equal(tensor, other[name])
            bound = tensor.shape[1] ** -0.5
            assert 0.9 * bound < tensor.abs().max() <= bound
            assert tensor.std() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_scalings_that_differ_are_refused_before_anything_is_written(tmp_path):
    alphas = dict.fromkeys(UNEVEN, 4.0)
    with pytest.raises(ModelError, match="its modules differ in alpha / rank"):
        start_uniform(base(), OurLoRA(), allocated(UNEVEN, alphas=alphas), tmp_path / "a", seed=0)
    assert not (tmp_path / "a").exists()
