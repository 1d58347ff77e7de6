"""Scores on request: from inputs and output gradients of layers, and from the mean gradient; against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from peft.utils.incremental_pca import IncrementalPCA
from probed import batches, brute_force, through, toy
from torch import Tensor, nn

from lorascope.config.scores import ON_REQUEST
from lorascope.errors import UnknownName
from lorascope.measure.probing import spectra
from lorascope.measure.probing.collect import ProbeSettings, collect
from lorascope.measure.probing.observe import random_feature_norm

EVERYTHING = ProbeSettings(scores=tuple(ON_REQUEST), blocks=3, directions=9)


def names_of(model: nn.Module, weights) -> list[str]:
    names = {id(p): name for name, p in model.named_parameters()}
    return [names[id(weight.parameter)] for weight in weights]


def test_the_norm_for_random_inputs_is_that_of_directions_without_preference() -> None:
    assert random_feature_norm(torch.eye(30), seed=0) == pytest.approx(1.0, rel=1e-6)
    W = torch.randn(200, 100, generator=torch.Generator().manual_seed(0))
    assert random_feature_norm(W, seed=0) == pytest.approx(float(W.norm()) / 10, rel=0.02)


def test_evas_shares_are_those_of_the_pca_in_peft() -> None:
    model, weights = toy("llama")
    data = batches(4, micro=2)
    found = collect(model, weights, data, EVERYTHING)
    path = next(part.module.path for part in found.parts if part.role == "down")
    inputs = torch.cat([x for batch in data for x in through(model, path, batch)[0]])
    pca = IncrementalPCA(n_components=9)
    for chunk in inputs[: len(inputs) // 40 * 40].split(40):
        pca.partial_fit(chunk)
    shares, noise = found.spectra["eva"][path]
    assert shares[:3] == pytest.approx(pca.explained_variance_ratio_[:3].numpy(), rel=0.05)
    covariance = np.cov(inputs.numpy().T, bias=True)
    right = np.sort(np.linalg.eigvalsh(covariance))[::-1]
    assert shares == pytest.approx(right[:9] / right.sum(), rel=1e-4)
    assert np.isnan(noise).all()


def test_experts_have_a_spectrum_rank_by_rank_and_nothing_of_what_needs_a_layer() -> None:
    model, weights = toy("mixtral")
    data = batches(4)
    found = collect(model, weights, data, EVERYTHING)
    name = next(n for n in names_of(model, weights) if n.endswith("down_proj"))
    gradients = [brute_force(model, batch, [name])[0][name] for batch in data]
    right = torch.linalg.svdvals(sum(gradients) / 4)[:, :9].square().sum(0).sqrt()
    path = name
    assert found.spectra["spectrum"][path][0] == pytest.approx(right.numpy(), rel=1e-4)
    assert path not in found.spectra["whitened"]
    experts = [i for i, part in enumerate(found.parts) if part.module.kind in ("experts", "router")]
    others = [i for i, part in enumerate(found.parts) if part.module.kind == "linear"]
    for score in ("fisher", "plop"):
        assert np.isnan(found.scores[score][:, experts]).all()
        assert np.isfinite(found.scores[score][:, others]).all()


def heavy_tailed(out: int, width: int, power: float = 0.5) -> tuple[Tensor, Tensor]:
    """A matrix with singular values k^-power, and these."""
    generator = torch.Generator().manual_seed(0)
    left = torch.linalg.qr(torch.randn(out, width, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
    values = torch.arange(1, width + 1, dtype=torch.float32) ** -power
    return left * values @ right.T, values


def test_the_range_finder_finds_large_values_above_a_heavy_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values fall as 1 / sqrt(k): the first 16 of 300 hold half of the squared norm. One pass would be far off."""
    matrix, values = heavy_tailed(400, 300)
    monkeypatch.setattr(spectra, "EXACT", 100)
    found = spectra.singular_values(matrix, 16)
    assert found.tolist() == pytest.approx(values[:16].tolist(), rel=1e-3)
    wide = spectra.singular_values(matrix.T.contiguous(), 16)
    assert wide.tolist() == pytest.approx(values[:16].tolist(), rel=1e-3)
    one_pass = torch.linalg.svdvals(matrix @ torch.randn(300, 16) / math.sqrt(16))
    assert abs(float(one_pass[15]) / float(values[15]) - 1) > 0.3


def test_half_the_squared_whitened_values_is_what_the_best_update_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all updates D the loss <G, D> + 1/2 tr(Sg D Sx D^T) is least at -Sg^-1 G Sx^-1; of rank r by brute force."""
    monkeypatch.setattr(spectra, "DAMPING", 0.0)
    generator = torch.Generator().manual_seed(1)
    G, x, g = (torch.randn(*shape, generator=generator) for shape in ((5, 4), (30, 4), (30, 5)))
    Sx, Sg = x.T @ x / 30, g.T @ g / 30
    values = spectra.whitened(G, G, Sx, Sg, 4).values
    best = torch.linalg.inv(Sg) @ G @ torch.linalg.inv(Sx)
    assert 0.5 * float(values.square().sum()) == pytest.approx(0.5 * float((G * best).sum()), rel=1e-4)

    B, A = (torch.randn(*shape, generator=generator, requires_grad=True) for shape in ((5, 2), (2, 4)))
    optimizer = torch.optim.LBFGS([B, A], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        D = B @ A
        value = (G * D).sum() + 0.5 * torch.trace(Sg @ D @ Sx @ D.T)
        value.backward()
        return value

    optimizer.step(loss)
    assert -float(loss().detach()) == pytest.approx(0.5 * float(values[:2].square().sum()), rel=1e-3)


def test_whitened_values_do_not_depend_on_the_scale_of_inputs_and_weights() -> None:
    generator = torch.Generator().manual_seed(2)
    G, x, g = (torch.randn(*shape, generator=generator) for shape in ((6, 5), (40, 5), (40, 6)))
    Sx, Sg = x.T @ x, g.T @ g
    one = spectra.whitened(G, G, Sx, Sg, 5).values
    other = spectra.whitened(7.0 * G, G, 49.0 * Sx, Sg, 5).values  # x 7 times as large, W a seventh, the same outputs
    assert other.tolist() == pytest.approx(one.tolist(), rel=1e-4)
    assert spectra.whitened(0 * G, G, 0 * Sx, Sg, 5).values.tolist() == [0.0] * 5


def test_a_score_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownName, match="spectrum"):
        ProbeSettings(scores=("spectrun",))
