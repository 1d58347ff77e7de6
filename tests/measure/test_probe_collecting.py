"""How a probe runs: what it leaves behind, where it stops, other number formats, adapters, less memory."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from probed import batches, brute_force, toy

from lorascope.errors import ConfigError, DataError, TrainingError
from lorascope.measure.probing.collect import Collected, ProbeSettings, collect
from lorascope.measure.probing.gradients import weight_gradients
from lorascope.measure.probing.memory import activations, memory
from lorascope.measure.probing.parts import find_weights, probed
from lorascope.measure.probing.scores import (
    WeightGradient,
    adam_step,
    lora_draw_sq,
    lora_sq,
)
from lorascope.measure.probing.sketch import SIDE, BlockGram, Sketch
from lorascope.models.modules import find_modules

SETTINGS = ProbeSettings(blocks=3)


def same(one: Collected, other: Collected, rel: float) -> bool:
    """Whether two probes found the same, up to `rel`."""
    pairs = [(one.scores[name], other.scores[name]) for name in one.scores]
    pairs += [(getattr(one, name), getattr(other, name)) for name in ("nats", "tokens", "total_sq", "squares", "gram")]
    return all(np.abs(a - b).max() <= rel * np.abs(a).max() for a, b in pairs)


# ---- LoRA's own gradients --------------------------------------------------------------------------------------------


def random_gradient(seed: int = 0, *, A: torch.Tensor | None = None, lr: float = 1e-2) -> WeightGradient:
    generator = torch.Generator().manual_seed(seed)
    G, W = (torch.randn(1, 24, 40, generator=generator) for _ in range(2))
    A = torch.zeros(1, 4, 40) if A is None else A
    return WeightGradient(G=G, W=W, A=A, r=4, scaling=3.0, lr=lr, variance=1 / 120)


def draws(count: int) -> list[torch.Tensor]:
    """LoRA's A as PEFT draws it."""
    return [torch.nn.init.kaiming_uniform_(torch.empty(4, 40), a=math.sqrt(5))[None] for _ in range(count)]


def test_the_closed_forms_are_means_over_draws_of_loras_random_matrix() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        each = [random_gradient(A=A) for A in draws(3000)]
    squares = torch.stack([lora_draw_sq(w) for w in each])
    error = float(squares.std()) / math.sqrt(len(squares))
    assert float(lora_sq(each[0])) == pytest.approx(float(squares.mean()), abs=4 * error)
    taken = torch.stack([1e-2 * (3.0 * w.G @ w.A.mT).abs().sum() for w in each])
    assert float(adam_step(each[0])) == pytest.approx(float(taken.mean()), rel=0.01)


def test_adams_first_step_takes_the_learning_rate_times_the_sum_of_gradients_off() -> None:
    gradient = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    B = torch.zeros(5, 4, requires_grad=True)
    B.grad = gradient.clone()
    torch.optim.Adam([B], lr=1e-2, eps=1e-12).step()
    assert -float((gradient * B.detach()).sum()) == pytest.approx(1e-2 * float(gradient.abs().sum()), rel=1e-5)


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to")
def test_one_draw_is_the_gradient_norm_that_pefts_adapter_has_at_its_start(name: str) -> None:
    model, weights = toy(name)
    names = {id(p): n for n, p in model.named_parameters()}
    batch = batches(1)[0]
    chosen = [w for w in weights if w.parts[0].role in ("q", "down", "o")]
    found, _ = brute_force(model, batch, [names[id(w.parameter)] for w in chosen])
    right = [(w, w.oriented(found[names[id(w.parameter)]]).float()) for w in chosen]
    leaves = {w.parts[0].module.path.rpartition(".")[2] for w in chosen if w.parts[0].module.kind != "experts"}
    config = LoraConfig(
        r=3, lora_alpha=6, target_modules=sorted(leaves), fan_in_fan_out=name == "gpt2",
        target_parameters=["mlp.experts.down_proj"] if name == "mixtral" else None,
    )  # fmt: skip
    adapted = get_peft_model(copy.deepcopy(model), config)
    trained = [n for n, p in adapted.named_parameters() if p.requires_grad]
    norms, _ = brute_force(adapted, batch, trained)
    compared = 0
    for weight, G in right:
        path = weight.parts[0].module.path
        place = f"{path.removesuffix('.down_proj')}." if weight.parts[0].module.kind == "experts" else f"{path}."
        (b,) = [n for n in trained if n.startswith(f"base_model.model.{place}") and "lora_B" in n]
        A = dict(adapted.named_parameters())[b.replace("lora_B", "lora_A")].detach()
        experts, _, width = weight.parts[0].shape
        seen = WeightGradient(
            G=G, W=G, A=A.reshape(experts, 3, width), r=3, scaling=2.0, lr=1.0, variance=weight.parts[0].variance
        )
        assert float(lora_draw_sq(seen)) == pytest.approx(float(norms[b].square().sum()), rel=1e-4)
        assert float(A.var()) == pytest.approx(weight.parts[0].variance, rel=0.3)
        compared += 1
    assert compared == len(chosen) > 3


def test_a_probe_draws_loras_matrix_itself_and_alike_each_time() -> None:
    model, weights = toy("llama")
    one, again, other = (
        collect(model, weights, batches(3), ProbeSettings(blocks=3, seed=seed)).scores["lora_draw_sq"]
        for seed in (0, 0, 1)
    )
    assert (one == again).all()
    assert (one != other).all()
    closed = collect(model, weights, batches(3), SETTINGS).scores["lora_sq"]
    assert (one / closed).mean() == pytest.approx(1.0, abs=0.1)


# ---- what a probe leaves behind --------------------------------------------------------------------------------------


def state_of(model: torch.nn.Module) -> list[object]:
    return [
        [(n, p.requires_grad, p.grad is None or float(p.grad.sum())) for n, p in model.named_parameters()],
        [(n, m.training, len(m._forward_hooks)) for n, m in model.named_modules()],
        [p._post_accumulate_grad_hooks for p in model.parameters() if p._post_accumulate_grad_hooks],
    ]


@pytest.mark.parametrize("scores", [(), ("fisher", "eva")])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_model_is_as_it_was_after_a_probe_and_after_one_that_fails(scores, checkpointing) -> None:
    model, weights = toy("llama")
    model.train()
    model.model.layers[0].mlp.eval()
    for i, p in enumerate(model.parameters()):
        p.requires_grad_(i % 2 == 0)
        p.grad = torch.ones_like(p) if i % 4 == 0 else None
    before, numbers = state_of(model), copy.deepcopy(model.state_dict())
    settings = ProbeSettings(blocks=3, scores=scores, checkpointing=checkpointing)
    collect(model, weights, batches(3), settings)
    assert str(state_of(model)) == str(before)

    def interrupt(done: int, loss: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(model, weights, batches(3), settings, progress=interrupt)
    assert str(state_of(model)) == str(before)
    assert not any(getattr(m, "gradient_checkpointing", False) for m in model.modules())
    assert all(torch.equal(value, numbers[name]) for name, value in model.state_dict().items())


def test_gradients_are_freed_as_they_come() -> None:
    model, weights = toy("llama")
    most = 0

    def take(weight, gradient) -> None:
        nonlocal most
        most = max(most, sum(w.parameter.grad is not None for w in weights))

    with weight_gradients(model, weights, take) as run:
        run(batches(1)[0])
        assert most == 1
        run(batches(1, micro=2)[0])
        assert all(w.parameter.grad is None for w in weights)
    assert most == len(weights)


def test_checkpointing_changes_memory_and_no_number() -> None:
    model, weights = toy("llama")
    scores = ("snip", "fisher", "plop", "eva")
    plain = collect(model, weights, batches(3, micro=2), ProbeSettings(blocks=3, scores=scores))
    saved = collect(model, weights, batches(3, micro=2), ProbeSettings(blocks=3, scores=scores, checkpointing=True))
    assert same(plain, saved, 1e-6)
    assert all(np.allclose(plain.spectra["eva"][p][0], saved.spectra["eva"][p][0]) for p in plain.spectra["eva"])


def test_bfloat16_weights_give_nearly_the_same_scores() -> None:
    model, weights = toy("llama")
    exact = collect(model, weights, batches(3), SETTINGS)
    half = toy("llama")[0].to(torch.bfloat16)
    rough = collect(half, find_weights(half, probed(find_modules(half))), batches(3), SETTINGS)
    ratio = rough.scores["grad_sq"] / exact.scores["grad_sq"]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.02)
    assert 0.7 < ratio.min() < ratio.max() < 1.4


def test_a_model_with_fresh_adapters_has_the_gradients_of_the_bare_one() -> None:
    model, weights = toy("llama")
    bare = collect(model, weights, batches(3), SETTINGS)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    wrapped = find_weights(adapted, probed(find_modules(adapted)))
    assert same(bare, collect(adapted, wrapped, batches(3), SETTINGS), 1e-6)
    assert [p.module.path for w in wrapped for p in w.parts] == [p.module.path for p in bare.parts]


def test_trained_adapters_move_the_point_at_which_gradients_are_taken() -> None:
    model, _ = toy("llama")
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    with torch.no_grad():
        for name, p in adapted.named_parameters():
            if "lora_B" in name:
                p.normal_(0, 0.2, generator=torch.Generator().manual_seed(0))
    found = collect(adapted, find_weights(adapted, probed(find_modules(adapted))), batches(3), SETTINGS)
    merged = adapted.merge_and_unload()
    right = collect(merged, find_weights(merged, probed(find_modules(merged))), batches(3), SETTINGS)
    for name in ("grad_sq", "adam_step"):
        assert np.allclose(found.scores[name], right.scores[name], rtol=1e-4)


# ---- when it stops ---------------------------------------------------------------------------------------------------


def test_it_stops_when_it_is_told_that_this_is_enough() -> None:
    model, weights = toy("llama")
    asked = []

    def enough(done: int, look) -> bool:
        asked.append(done)
        if done == 4:
            seen = look()
            assert len(seen.nats) == 4
            assert seen.counts.tolist() == [2, 1, 1]
        return done == 5

    data = batches(9)
    found = collect(model, weights, data, SETTINGS, enough=enough)
    assert asked == [1, 2, 3, 4, 5]
    assert same(found, collect(model, weights, data[:5], SETTINGS), 0.0)


def test_a_loss_that_is_not_finite_is_an_error_with_a_reason() -> None:
    model, weights = toy("llama")
    with torch.no_grad():
        model.model.norm.weight.fill_(math.inf)
    with pytest.raises(TrainingError, match="own loss is nan") as error:
        collect(model, weights, batches(3), SETTINGS)
    assert error.value.code == "nan-model"


def test_one_batch_is_too_few_and_settings_are_checked() -> None:
    model, weights = toy("llama")
    with pytest.raises(DataError, match="two batches"):
        collect(model, weights, batches(1), SETTINGS)
    for wrong in ({"r": 0}, {"blocks": 1}, {"directions": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            ProbeSettings(**wrong)


# ---- sketches and memory ---------------------------------------------------------------------------------------------


def test_a_sketch_keeps_inner_products_in_the_mean_and_small_matrices_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    G, H = torch.randn(3, 2, generator=generator), torch.randn(3, 2, generator=generator)
    assert torch.equal(Sketch((3, 2), seed=0, device=torch.device("cpu"))(G), G)
    G, H = torch.randn(50, 31, generator=generator), torch.randn(50, 31, generator=generator) + 0.5
    right = float((G * H).sum())
    found = []
    for seed in range(2000):
        sketch = Sketch((50, 31), seed=seed, device=torch.device("cpu"), side=8)
        assert sketch(G).shape == sketch.shape == (8, 8)
        found.append(float((sketch(G) * sketch(H)).sum()))
    assert np.mean(found) == pytest.approx(right, abs=4 * np.std(found) / math.sqrt(2000))
    assert np.std(found) > 0


def test_a_sketch_is_linear_and_the_same_for_a_seed() -> None:
    G, H = torch.randn(2, 40, 30, generator=torch.Generator().manual_seed(1))
    one, again = (Sketch((40, 30), seed=5, device=torch.device("cpu"), side=8) for _ in range(2))
    assert torch.allclose(one(G) + 2 * again(H), one(G + 2 * H), atol=1e-5)


def test_the_error_of_a_large_rank_one_signal_is_hardly_changed_by_sketching() -> None:
    """Squared norms of rank-one matrices, the worst case for a sketch: off by sqrt(4 / side) at most."""
    generator = torch.Generator().manual_seed(2)
    ratios = []
    for seed in range(60):
        u, v = torch.randn(700, 1, generator=generator), torch.randn(1, 900, generator=generator)
        sketch = Sketch((700, 900), seed=seed, device=torch.device("cpu"))
        ratios.append(float(sketch(u @ v).square().sum() / (u @ v).square().sum()))
    assert np.std(ratios) < 1.2 * math.sqrt(4 / SIDE)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.1)


def test_memory_is_told_beforehand_and_is_what_is_taken() -> None:
    model, weights = toy("phi3")
    data = batches(2)
    numel = sum(w.parameter.numel() for w in weights)
    told = memory(model, weights, data, ProbeSettings(blocks=4))
    assert told["weights"] == 4 * sum(p.numel() for p in model.parameters())
    assert told["sum of gradients"] == 4 * numel
    grams = [BlockGram(Sketch((p.shape[1], p.shape[2]), seed=0, device=torch.device("cpu")), 4, torch.device("cpu"))
             for w in weights for p in w.parts]  # fmt: skip
    assert told["sketches"] == sum(g.sums.numel() * 4 for g in grams)
    assert told["one gradient"] == 2 * 4 * 96 * 32
    assert "gradients of a batch" not in told
    assert memory(model, weights, batches(2, micro=2), ProbeSettings())["gradients of a batch"] == 4 * numel
    assert memory(model, weights, data, ProbeSettings(scores=("spectrum",)))["sum of gradients"] == 8 * numel
    squares = sum(p.shape[2] ** 2 for w in weights for p in w.parts[:1])
    assert memory(model, weights, data, ProbeSettings(scores=("eva",)))["moments"] == 4 * squares


def test_activations_are_those_of_all_rows_and_fewer_with_checkpointing() -> None:
    model, weights = toy("llama", num_hidden_layers=6)
    full = {name: value[:1].repeat(4, 1) for name, value in batches(1, rows=4)[0][0].items()}
    one = {name: value[:1] for name, value in full.items()}
    four = activations(model, weights, full, checkpointing=False)
    assert four == 4 * activations(model, weights, one, checkpointing=False)
    assert activations(model, weights, full, checkpointing=True) < 0.6 * four
    hidden, tokens = 32, full["input_ids"].numel()
    assert four > 6 * 10 * hidden * tokens * 4  # a layer keeps a dozen of such tensors at least
