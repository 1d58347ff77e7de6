"""Does a score say before training what a placement is worth after it? 28 placements of the same parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def places(plan: dict[str, Any], modules: Sequence[Any]) -> dict[str, list[Any]]:
    """ "q.0" -> the q modules of the first band of layers."""
    layers = sorted({m.layer for m in modules if m.layer is not None})
    found: dict[str, list[Any]] = {}
    for kind in plan["kinds"]:
        for band in range(plan["bands"]):
            mine = set(np.array_split(layers, plan["bands"])[band].tolist())
            found[f"{kind}.{band}"] = [m for m in modules if m.projection == kind and m.layer in mine]
    return found


def predicted(plan: dict[str, Any], config: Any, bench: Any, arm: str) -> dict[str, Any]:
    """One placement trained; or, of uniform, the loss before training, after it, and without each placement."""
    from lorascope.analysis.allocating.methods import Evidence
    from lorascope.evaluation.answer_loss import answer_losses
    from lorascope.models.knockout import knocked_out
    from lorascope.models.modules import find_modules
    from lorascope.runs.allocating import allocation_for
    from lorascope.runs.trials import losses, trained

    modules = [m for m in find_modules(bench.base.model) if m.group in ("attention", "mlp")]
    where = places(plan, modules)
    targets = modules if arm == "uniform" else where[arm]
    scaling = config.lora.lora_alpha / config.lora.r
    allocation = allocation_for(
        targets, plan["params"], "uniform", Evidence(), scaling=scaling, base_model=bench.base.model_id
    )
    with trained(config, bench, allocation) as adapted:
        row: dict[str, Any] = {"loss": losses(bench, adapted, "validation").mean, "params": allocation.used_params}
        if arm == "uniform":
            row["without"] = {}
            for name, members in where.items():
                with knocked_out(adapted, {m.path for m in members}):
                    row["without"][name] = losses(bench, adapted, "validation").mean
    if arm == "uniform":
        pad = bench.base.tokenizer.pad_token_id
        nats, tokens = answer_losses(bench.base.model, bench.held_out["validation"], pad_id=pad)
        row["untrained"] = float(nats.sum() / tokens.sum())
    return row


def correlated(plan: dict[str, Any], rows: Sequence[dict[str, Any]], made: dict[str, Any]) -> list[dict[str, Any]]:
    """Spearman's rank correlation of every score with realised gain and with knock-out, for each task.

    Lines {"task", "score", "per", "gain", "gain_interval", "knock_out", "knock_out_interval", "placements"}: `per` says
    whether a placement's score is the sum over its weights or the mean; weights, how many there are, is the score that
    knows nothing. Intervals: 95 %, percentiles of 2,000 draws of placements. What is not finite everywhere has no line.
    """
    found = []
    for task in plan["tasks"]:
        mine = {r["arm"]: r for r in rows if (r["stage"], r["task"]) == ("prediction", task)}
        uniform, trained = mine.get("uniform"), sorted(name for name in mine if name != "uniform")
        if uniform is None or len(trained) < 3:
            continue
        gain = np.array([uniform["untrained"] - mine[name]["loss"] for name in trained])
        knock = np.array([uniform["without"][name] - uniform["loss"] for name in trained])
        scores = made[task]["main"]["scores"]
        layers = sorted({_layer(path) for values in scores.values() for path in values})
        sums = {s: np.array([_of_place(plan, v, layers, name) for name in trained]) for s, v in scores.items()}
        every = [(score, "sum", values) for score, values in sums.items()]
        every += [(score, "weight", sums[score] / sums["weights"]) for score in scores if score != "weights"]
        for score, per, values in every:
            if np.isfinite(values).all():
                line: dict[str, Any] = {"task": task, "score": score, "per": per, "placements": len(trained)}
                for name, seen in (("gain", gain), ("knock_out", knock)):
                    line[name], line[f"{name}_interval"] = _rho(values, seen)
                found.append(line)
    return found


def _rho(one: Floats, two: Floats) -> tuple[float, tuple[float, float]]:
    """Spearman's rho with its 95 % interval."""
    from scipy import stats

    def rho(x: Floats, y: Floats, axis: int = -1) -> Floats:
        both = [stats.rankdata(values, axis=axis) for values in (x, y)]
        x, y = (ranks - ranks.mean(axis=axis, keepdims=True) for ranks in both)
        scale = np.sqrt((x * x).sum(axis=axis) * (y * y).sum(axis=axis))
        return np.asarray((x * y).sum(axis=axis) / np.where(scale > 0, scale, 1.0))  # 0 where all are the same

    found = stats.bootstrap(
        (one, two), rho, paired=True, vectorized=True, method="percentile", n_resamples=2000, rng=0
    ).confidence_interval  # fmt: skip
    return float(rho(one, two)), (float(found.low), float(found.high))


def correlations(plan: dict[str, Any], rows: Sequence[dict[str, Any]], made: dict[str, Any]) -> list[str]:
    """`correlated` as a table."""
    lines = ["| task | score | per | with the gain | with the knock-out | placements |", "|---" * 6 + "|"]
    for v in correlated(plan, rows, made):
        told = (f"{v[what]:+.2f} [{', '.join(f'{end:+.2f}' for end in v[f'{what}_interval'])}]"
                for what in ("gain", "knock_out"))  # fmt: skip
        lines.append(f"| {v['task']} | {v['score']} | {v['per']} | {' | '.join(told)} | {v['placements']} |")
    return lines


def _of_place(plan: dict[str, Any], values: dict[str, float], layers: Sequence[int], name: str) -> float:
    kind, band = name.split(".")
    mine = set(np.array_split(list(layers), plan["bands"])[int(band)].tolist())
    return sum(v for path, v in values.items() if _layer(path) in mine and path.endswith(f".{kind}_proj"))


def _layer(path: str) -> int:
    """The lab base is a Llama: model.layers.3.mlp.up_proj."""
    found = re.search(r"layers[.](\d+)[.]", path)
    return int(found[1]) if found else -1
