import families
import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear

from lorascope.errors import ConfigError, ModelError
from lorascope.evaluation.merging import merged
from toy import toy_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")

ROWS = [[1, 5, 9, 60], [1, 7], [9, 9, 9, 9, 9]]


def adapted(model=None, targets=("q_proj", "up_proj", "down_proj"), **more):
    torch.manual_seed(1)
    config = LoraConfig(target_modules=list(targets), init_lora_weights=False, lora_dropout=0.1, **more)
    return get_peft_model(model or toy_model(), config)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model.eval()(torch.tensor([ROWS[0]])).logits


def layers(model):
    return [layer for layer in model.modules() if isinstance(layer, Linear)]


CASES = {
    "llama": ("llama", ["q_proj", "up_proj"]),
    "fused and transposed": ("gpt2", ["c_attn", "mlp.c_proj"]),
    "embedding and head apart": ("llama", ["embed_tokens", "lm_head"]),
}


@pytest.mark.parametrize(("family", "targets"), CASES.values(), ids=CASES)
def test_the_same_logits_and_afterwards_the_same_bits(family, targets):
    model = adapted(families.build(family, tie_word_embeddings=False), targets, fan_in_fan_out=family == "gpt2")
    before, beside = weights(model), logits(model)
    with merged(model, ROWS) as found:
        torch.testing.assert_close(logits(model), beside, rtol=1e-5, atol=1e-5)
        changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
        assert len(changed) == len(targets) * (1 if "lm_head" in targets else families.LAYERS)
        assert all("base_layer" in name for name in changed)
    after = weights(model)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert torch.equal(logits(model), beside)
    assert found["rows"] == 3
    assert 0 <= found["largest_difference"] < 1e-6
    assert found["tolerance"] == 1e-4


def test_stacked_experts_are_merged_and_restored_too():
    model = get_peft_model(
        families.build("mixtral"),
        LoraConfig(target_modules=[], target_parameters=["experts.down_proj"], init_lora_weights=False),
    )
    before = weights(model)
    with merged(model, ROWS):
        assert not all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_adapter_costs_nothing_while_it_is_merged():
    model, passes = adapted(), []
    for layer in layers(model):
        layer.lora_A["default"].register_forward_hook(lambda *args: passes.append(1))
    logits(model)
    assert passes
    with merged(model, ROWS):
        passes.clear()
        logits(model)
        assert not passes


def test_modes_are_as_before_and_what_goes_wrong_inside_is_cleared_up():
    model = adapted().train()
    before, modes = weights(model), [m.training for m in model.modules()]
    with pytest.raises(RuntimeError, match="in the middle"), merged(model, ROWS):
        raise RuntimeError("in the middle")
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(layer.merged for layer in layers(model))


def test_a_merge_that_changes_the_model_is_refused_and_undone(monkeypatch):
    model = adapted()
    before, delta = weights(model), Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, name: 1.01 * delta(self, name))
    said = r"merge-differs.*of the largest one, and 1e-04 would be rounding in float32"
    with pytest.raises(ModelError, match=said), merged(model, ROWS):
        pytest.fail("it must not begin")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_in_16_bits_the_tolerance_is_that_of_the_format():
    model = adapted(toy_model(dtype=torch.bfloat16))
    with merged(model, ROWS) as found:
        assert 1e-4 < found["largest_difference"] <= found["tolerance"] == 1e-1


def test_numbers_that_are_not_finite_are_refused():
    model = adapted()
    layers(model)[0].lora_B["default"].weight.data[0, 0] = torch.nan
    with pytest.raises(ModelError, match="not-merged"), merged(model, ROWS):
        pytest.fail("it must not begin")


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings")
def test_an_embedding_that_is_the_head_too_is_refused(target):
    model = adapted(toy_model(tied=True), ["q_proj", target])
    with pytest.raises(ModelError, match="tied-embeddings"), merged(model, ROWS):
        pytest.fail("it must not begin")


def test_other_modules_of_a_tied_model_are_merged():
    with merged(adapted(toy_model(tied=True)), ROWS) as found:
        assert found["largest_difference"] < 1e-6


def test_a_base_without_adapter_is_refused():
    with pytest.raises(ConfigError, match="nothing-to-merge"), merged(toy_model(), ROWS):
        pytest.fail("it must not begin")


def test_rows_longer_than_the_context_lose_their_start():
    with merged(adapted(), [[5] * 600]) as found:
        assert found["rows"] == 1
