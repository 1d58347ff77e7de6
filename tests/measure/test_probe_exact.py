"""Every score against autograd: four architectures, padded rows, two micro-batches a batch, one process and two.

A probe computes in float32, and in float64 where its model is: there the formulas are held to 1e-6 (Llama's norms and
rotations stay in float32 whatever the model is, so a row by itself differs by 1e-7; GPT-2 agrees to 1e-11), and in
float32 to 1e-5. Attribution and AdaLoRA's importance, which take a training, are in test_probe_trial.py.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from probe_processes import EXACT, exact_batches, exact_probe
from probed import TOYS, Batch, brute_force, fine_toy, through, toy
from test_probe_distributed import facts
from test_probe_gradients import slices
from torch import Tensor

from lorascope.measure.probing.collect import Collected, collect
from lorascope.measure.probing.observe import random_feature_norm
from lorascope.measure.probing.sums import Sums


def curved(S: Tensor) -> Tensor:
    """(S + e I)^-1/2."""
    values, vectors = torch.linalg.eigh(S)
    return vectors @ torch.diag((values + 0.01 * values.mean()) ** -0.5) @ vectors.T


def rows_of(batch: list[Batch]) -> list[Batch]:
    return [{k: v[j : j + 1] for k, v in micro.items()} for micro in batch for j in range(len(micro["input_ids"]))]


def labelled(batch: list[Batch]) -> int:
    return sum(int((micro["labels"][:, 1:] != -100).sum()) for micro in batch)


@cache
def reference(name: str) -> dict[str, np.ndarray]:
    """All that a probe should find, by the names of `facts`: from gradients of whole weights and plain sums."""
    model, weights = fine_toy(name)
    data, n = exact_batches(), len(exact_batches())
    names = {id(p): path for path, p in model.named_parameters()}
    paths = [names[id(weight.parameter)] for weight in weights]
    plain = {path: p.detach() for path, p in model.named_parameters()}
    drawn = Sums(weights, EXACT).drawn
    batches = [brute_force(model, batch, paths) for batch in data]
    rows = [[(brute_force(model, [row], paths)[0], labelled([row])) for row in rows_of(batch)] for batch in data]
    out: dict[str, list] = {"nats": [loss * labelled(batch) for (_, loss), batch in zip(batches, data, strict=True)]}
    out["tokens"] = [labelled(batch) for batch in data]
    s = EXACT.alpha / EXACT.r
    columns: dict[str, list[list[float]]] = {}
    for path, weight, A in zip(paths, weights, drawn, strict=True):
        W = slices(name, path, plain[path])
        G = [slices(name, path, found[path]) for found, _ in batches]
        of_rows = [[(slices(name, path, g[path]), tokens) for g, tokens in some] for some in rows]
        kind, module = weight.parts[0].module.kind, weight.parts[0].module.path
        seen = [through(model, module, batch) for batch in data] if kind in ("linear", "conv1d") else None
        for role, w in W.items():
            g = [x[role] for x in G]
            width = w.shape[-1]
            mean, signed = (sum(sign**i * x for i, x in enumerate(g)) / n for sign in (1, -1))
            pairs = [float((g[i] * g[j]).sum()) for i in range(n) for j in range(n) if i != j]
            place = len(columns.get("grad_sq", []))
            found = {
                "grad_sq": [float(x.square().sum()) for x in g],
                "lora_sq": [s**2 * EXACT.r / (3 * width) * float(x.square().sum()) for x in g],
                "lora_draw_sq": [s**2 * float((x @ (A if x.ndim == 3 else A[0]).mT).square().sum()) for x in g],
                "taylor": [float((x * w).sum()) for x in g],
                "adam_step": [
                    EXACT.lr * s * EXACT.r * math.sqrt(2 / (3 * math.pi * width)) * float(x.norm(dim=-1).sum())
                    for x in g
                ],
                "snip": [float((x * w).abs().sum()) for x in g],
                "fisher": [
                    float(np.mean([float((x[role] * tokens).square().sum()) for x, tokens in some]))
                    if seen else math.nan for some in of_rows
                ],
                "plop": [
                    float(((x @ w.T).norm(dim=1) / x.norm(dim=1)).mean()) / random_feature_norm(w, seed=place)
                    for x in (torch.cat(xs) for xs, _ in seen)
                ] if seen else [math.nan] * n,
                "gora": float((w * mean).abs().sum()),
                "gora_noise": float((w * signed).abs().sum()),
                "weight_sq": float(w.square().sum()),
                "stable_rank": float(np.mean([float(e.square().sum() / torch.linalg.svdvals(e)[0] ** 2)
                                              for e in (w if w.ndim == 3 else w[None])])),
                "total_sq": float((n * mean).square().sum()),
                "signal": float(np.sum(pairs)) / (n * (n - 1)),
            }  # fmt: skip
            for score, values in found.items():
                columns.setdefault(score, []).append(values)
        whole = [weight.oriented(found[path]) for found, _ in batches]
        means = [sum(sign**i * x for i, x in enumerate(whole)) / n for sign in (1, -1)]
        k = EXACT.directions
        for suffix, mean in zip(("", "noise "), means, strict=True):
            out[f"spectrum {suffix}{module}"] = torch.linalg.svdvals(mean)[:, :k].square().sum(0).sqrt().tolist()
        if seen:
            x = torch.cat([x for xs, _ in seen for x in xs])
            Sx = x.T @ x / len(x)
            Sg = sum(N * sum(g.T @ g for g in gs) for (_, gs), N in zip(seen, out["tokens"], strict=True)) / n
            for score, (left, right) in {
                "whitened": (curved(Sg), curved(Sx)),
                "whitened_diagonal": (curved(Sg.diagonal().diag()), curved(Sx.diagonal().diag())),
            }.items():
                for suffix, mean in zip(("", "noise "), means, strict=True):
                    out[f"{score} {suffix}{module}"] = torch.linalg.svdvals(left @ mean[0] @ right)[:k].tolist()
            variances = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
            out[f"eva {module}"] = (variances[:k] / variances.sum()).tolist()
            out[f"eva noise {module}"] = [math.nan] * min(k, len(variances))
    for score, values in columns.items():
        out[score] = np.array(values).T.tolist()
    return {key: np.array(values, dtype=float) for key, values in out.items()}


def found_by(collected: Collected) -> dict[str, np.ndarray]:
    n, total = len(collected.nats), collected.total_sq
    signal = (total - collected.scores["grad_sq"].sum(axis=0)) / (n * (n - 1))
    return {k: v for k, v in facts(collected).items() if k not in ("squares", "gram")} | {"signal": signal}


def worst(found: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> dict[str, float]:
    """Score -> the largest relative error of any of its numbers; of spectra relative to their largest value."""
    assert found.keys() == right.keys()
    errors: dict[str, float] = {}
    for key, value in right.items():
        score = key.split()[0]
        assert found[key].shape == value.shape, key
        assert (np.isnan(found[key]) == np.isnan(value)).all(), key
        if not np.isnan(value).all():
            scale = np.nanmax(np.abs(value)) if " " in key else np.abs(value)
            errors[score] = max(errors.get(score, 0.0), float(np.nanmax(np.abs(found[key] - value) / scale)))
    return errors


@pytest.mark.parametrize("name", TOYS)
def test_every_score_is_what_autograd_says(name: str) -> None:
    errors = worst(found_by(exact_probe(name)), reference(name))
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.parametrize("name", TOYS)
def test_in_float32(name: str) -> None:
    """All but taylor, whose terms cancel: the sum has the digits of the terms (test_probe_gradients.py)."""
    model, weights = toy(name)
    errors = worst(found_by(collect(model, weights, exact_batches(), EXACT)), reference(name))
    del errors["taylor"]
    assert max(errors.values()) < 1e-5, errors


@pytest.mark.parametrize("name", TOYS)
def test_on_two_processes(name: str, two_probes: Path) -> None:
    for rank in (0, 1):
        found = torch.load(two_probes / f"exact{rank}.pt", weights_only=False)[name]
        errors = worst(found_by(found), reference(name))
        assert max(errors.values()) < 1e-6, errors
