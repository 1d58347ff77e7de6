"""Does a score say before training what a placement is worth after it? 28 placements of the same parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np


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

    Lines {"task", "score", "gain", "knock_out", "placements"}; scores that are not finite everywhere have none.
    """
    from scipy.stats import spearmanr

    found = []
    for task in plan["tasks"]:
        mine = {r["arm"]: r for r in rows if (r["stage"], r["task"]) == ("prediction", task)}
        uniform, trained = mine.get("uniform"), sorted(name for name in mine if name != "uniform")
        if uniform is None or len(trained) < 3:
            continue
        gain = [uniform["untrained"] - mine[name]["loss"] for name in trained]
        knock = [uniform["without"][name] - uniform["loss"] for name in trained]
        scores = made[task]["main"]["scores"]
        layers = sorted({_layer(path) for values in scores.values() for path in values})
        for score, values in scores.items():
            sums = [_of_place(plan, values, layers, name) for name in trained]
            if np.isfinite(sums).all():
                both = [float(spearmanr(sums, seen).statistic) for seen in (gain, knock)]
                line = {"task": task, "score": score, "gain": both[0], "knock_out": both[1]}
                found.append({**line, "placements": len(trained)})
    return found


def correlations(plan: dict[str, Any], rows: Sequence[dict[str, Any]], made: dict[str, Any]) -> list[str]:
    """`correlated` as a table."""
    lines = ["| task | score | with the gain | with the knock-out | placements |", "|---" * 5 + "|"]
    return lines + [
        f"| {v['task']} | {v['score']} | {v['gain']:+.2f} | {v['knock_out']:+.2f} | {v['placements']} |"
        for v in correlated(plan, rows, made)
    ]


def _of_place(plan: dict[str, Any], values: dict[str, float], layers: Sequence[int], name: str) -> float:
    kind, band = name.split(".")
    mine = set(np.array_split(list(layers), plan["bands"])[int(band)].tolist())
    return sum(v for path, v in values.items() if _layer(path) in mine and path.endswith(f".{kind}_proj"))


def _layer(path: str) -> int:
    """The lab base is a Llama: model.layers.3.mlp.up_proj."""
    found = re.search(r"layers[.](\d+)[.]", path)
    return int(found[1]) if found else -1
