"""Every fact of a probe against autograd through a float64 copy of the model, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from probed import TOYS, Batch, batches, brute_force, toy
from torch import Tensor, nn

from lorascope.analysis.statistics import signal_estimate
from lorascope.measure.probing.collect import ProbeSettings, collect
from lorascope.measure.probing.parts import Weight

HIDDEN, KV = 32, 16
SETTINGS = ProbeSettings(r=4, alpha=12.0, lr=3e-3, scores=("snip",), blocks=3)


def slices(name: str, parameter: str, tensor: Tensor) -> dict[str, Tensor]:
    """Role -> rows of a weight as (..., out, in), by the families' own forward code and nothing of ours."""
    leaf = parameter.removesuffix(".weight").rpartition(".")[2]
    if leaf == "qkv_proj":
        return dict(zip("qkv", tensor.split([HIDDEN, KV, KV]), strict=True))
    if leaf == "gate_up_proj":  # Phi-3: (2 x MLP, in); Mixtral: (experts, 2 x MLP, in)
        return dict(zip(("gate", "up"), tensor.chunk(2, dim=-2), strict=True))
    if leaf == "c_attn":
        return dict(zip("qkv", tensor.T.split(HIDDEN), strict=True))
    return {"": tensor.T if name == "gpt2" else tensor}


def parameter_names(model: nn.Module, weights: Sequence[Weight]) -> list[str]:
    names = {id(p): name for name, p in model.named_parameters()}
    return [names[id(weight.parameter)] for weight in weights]


def expected(
    name: str, model: nn.Module, weights: Sequence[Weight], data: Sequence[Sequence[Batch]]
) -> list[dict[str, tuple[Tensor, Tensor]]]:
    """For every batch: "parameter role" -> (G, W), float64, in the order of the parts."""
    names = parameter_names(model, weights)
    plain = {n: p.detach().double() for n, p in model.named_parameters()}
    out = []
    for batch in data:
        found, _ = brute_force(model, batch, names)
        out.append(
            {
                f"{n} {role}": (rows, slices(name, n, plain[n])[role])
                for n in names
                for role, rows in slices(name, n, found[n]).items()
            }
        )
    return out


def worst(found: Sequence[float], right: Sequence[float], scale: Sequence[float] | None = None) -> float:
    scale = right if scale is None else scale
    return max(abs(a - b) / abs(s) for a, b, s in zip(found, right, scale, strict=True))


@pytest.fixture(scope="module", params=[(n, micro) for n in TOYS for micro in (1, 2)], ids=lambda p: f"{p[0]}-{p[1]}")
def probe(request: pytest.FixtureRequest):
    name, micro = request.param
    model, weights = toy(name)
    data = batches(4, micro=micro)
    return expected(name, model, weights, data), collect(model, weights, data, SETTINGS), (model, data)


def test_the_loss_is_nats_per_labelled_token(probe) -> None:
    _, found, (model, data) = probe
    for i, batch in enumerate(data):
        _, loss = brute_force(model, batch, [next(n for n, _ in model.named_parameters())])
        assert found.nats[i] / found.tokens[i] == pytest.approx(loss, rel=1e-5)
    assert found.tokens.tolist() == [sum(int((b["labels"][:, 1:] != -100).sum()) for b in batch) for batch in data]


@pytest.mark.parametrize(
    ("score", "formula"),
    [
        ("grad_sq", lambda G, W: G.square().sum()),
        ("lora_sq", lambda G, W: 3.0**2 * 4 * G.square().sum() / (3 * G.shape[-1])),
        (
            "adam_step",
            lambda G, W: 3e-3 * 3.0 * 4 * math.sqrt(2 / (3 * math.pi * G.shape[-1])) * G.norm(dim=-1).sum(),
        ),
        ("snip", lambda G, W: (G * W).abs().sum()),
    ],
)
def test_scores_of_a_batch_equal_brute_force(probe, score, formula) -> None:
    right, found, _ = probe
    for i, batch in enumerate(right):
        assert worst(found.scores[score][i], [float(formula(G, W)) for G, W in batch.values()]) < 1e-5, score


def test_the_taylor_score_keeps_its_sign_and_the_digits_that_cancellation_leaves(probe) -> None:
    right, found, _ = probe
    for i, batch in enumerate(right):
        terms = [G * W for G, W in batch.values()]
        sums, sizes = [float(t.sum()) for t in terms], [float(t.abs().sum()) for t in terms]
        assert worst(found.scores["taylor"][i], sums, sizes) < 1e-6
    assert (found.scores["taylor"] < 0).any()
    assert (found.scores["taylor"] > 0).any()


def test_the_squared_sum_over_batches_and_the_signal_equal_brute_force(probe) -> None:
    right, found, _ = probe
    sums = [torch.stack([batch[key][0] for batch in right]).sum(0) for key in right[0]]
    assert worst(found.total_sq, [float(s.square().sum()) for s in sums]) < 1e-5
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    signal = [float(sum((right[i][key][0] * right[j][key][0]).sum() for i, j in pairs)) / 12 for key in right[0]]
    estimate = signal_estimate(found.total_sq, found.scores["grad_sq"].sum(0), found.gram, found.squares, found.counts)
    sizes = found.scores["grad_sq"].mean(0)
    assert worst(estimate.value, signal, sizes) < 1e-6
    large = [s > 0.05 * size for s, size in zip(signal, sizes, strict=True)]
    assert worst(estimate.value[large], np.array(signal)[large]) < 1e-5
    assert sum(large) > 3


def test_small_weights_have_exact_sums_over_blocks(probe) -> None:
    """With 4 batches and 3 blocks: block 0 holds batches 0 and 3."""
    right, found, _ = probe
    for u, key in enumerate(right[0]):
        G = [batch[key][0].reshape(-1) for batch in right]
        blocks = torch.stack([G[0] + G[3], G[1], G[2]])
        size = float(sum(g.square().sum() for g in G))
        assert np.abs(found.gram[u] - (blocks @ blocks.T).numpy()).max() < 1e-5 * size
    assert found.counts.tolist() == [2, 1, 1]
    assert np.allclose(found.squares.sum(0), found.scores["grad_sq"].sum(0), rtol=1e-5)


def test_parts_of_fused_weights_are_told_apart() -> None:
    found = {name: {p.role for weight in toy(name)[1] for p in weight.parts} for name in TOYS}
    assert found["llama"] == {"q", "k", "v", "o", "gate", "up", "down"} == found["phi3"]
    assert found["gpt2"] == {"q", "k", "v", "o", "up", "down"}
    assert found["mixtral"] == {"q", "k", "v", "o", "gate", "up", "down", "router"}
