"""How stable a probe is, and what it says of the lab's models, as plan.json lays down: `python studies/probe/study.py`.

Each run (a sample of batches of one task through one model, or a trial training) appends one line to rows.jsonl and is
not run again, so that the study can be stopped at any time and goes on where it was. `--minutes N` begins no run after
N minutes; `--part 0/2` and `--part 1/2` are two jobs side by side. `--table` prints what the rows say, `--plot` draws
stability.png and contradictions.png from them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import rows as records  # noqa: E402  (the modules beside the studies, which are no package)

PLAN, ROWS = (HERE / name for name in ("plan.json", "rows.jsonl"))
KEEP = 4
"""Digits of a value in the rows."""


# ---- what is measured ------------------------------------------------------------------------------------------------


@cache
def base_of(lab: Path, model: str) -> Any:
    """Model and tokenizer; stories260k is made a folder of Transformers first."""
    from stories import folder_of

    from lorascope.config.experiment import ModelConfig
    from lorascope.models.base import load_base

    if model != "stories260k":
        return load_base(ModelConfig(model_id=str(lab / model)))
    with tempfile.TemporaryDirectory() as folder:
        return load_base(ModelConfig(model_id=str(folder_of(lab / model, Path(folder)))))


@cache
def drawn_of(plan_text: str, lab: Path, model: str, task: str) -> Any:
    """The batches of all samples of a task, in one draw, so that no row is in two samples."""
    from lorascope.config.experiment import DataConfig
    from lorascope.runs.probe_batches import draw_batches
    from lorascope.tasks import find_task
    from lorascope.tasks.split import load_training

    plan, base = json.loads(plan_text), base_of(lab, model)
    config = DataConfig(dataset=task, data_dir=str(lab / "data" / task), num_samples=0)
    about = find_task(config)
    return draw_batches(
        load_training(about, config).train, base.tokenizer, count=plan["samples"][model] * max(plan["sizes"]),
        batch_size=plan["probe"]["batch_size"], grad_accum=1, loss_on="answer", seed=plan["probe"]["seed"],
        max_length=min(about.max_length, base.context_length),
    )  # fmt: skip


def batches_of(plan: dict[str, Any], lab: Path, run: dict[str, Any]) -> Any:
    """The batches of one sample."""
    drawn, most = drawn_of(json.dumps(plan), lab, run["model"], run["task"]), max(plan["sizes"])
    mine = drawn.batches[run["sample"] * most : (run["sample"] + 1) * most]
    if len(mine) < most:
        raise SystemExit(f"{run['task']} has rows for {len(drawn.batches)} batches only")
    return mine


def settings_of(plan: dict[str, Any]) -> Any:
    from lorascope.measure.probing.collect import ProbeSettings

    probe = plan["probe"]
    return ProbeSettings(
        r=probe["r"], alpha=probe["alpha"], lr=probe["lr"], scores=tuple(probe["scores"]), seed=probe["seed"]
    )


def prefixes(model: Any, weights: Sequence[Any], batches: Sequence[Any], settings: Any, sizes: Sequence[int]) -> Any:
    """(m, what a probe of the first m batches collects) for each size, in one pass."""
    import torch

    from lorascope.measure.probing import collect as collecting
    from lorascope.measure.probing.gradients import weight_gradients
    from lorascope.measure.probing.observe import Now, watching
    from lorascope.measure.probing.sums import Sums

    sums, now = Sums(weights, settings), Now(mask=torch.ones(0, 0, dtype=torch.bool), tokens=1)

    def start(batch: Any, tokens: int) -> None:
        now.mask, now.tokens = batch["attention_mask"].bool(), tokens

    with watching(model, weights, now, sums.watch), weight_gradients(model, weights, sums.take, start) as run:
        for number, batch in enumerate(batches):
            sums.begin(number)
            loss = run(batch)
            sums.end(loss, rows=sum(len(micro["input_ids"]) for micro in batch))
            if number + 1 in sizes:  # `collect` makes this once, at its end; made here, a pass gives all sizes
                yield number + 1, collecting._collected(sums, settings, 1, finish=True)


def values_of(profile: Any, r: int) -> dict[str, Any]:
    """Score -> (U,) as the plan says: per weight, spectra by their r largest squares, eva by its r largest shares."""
    from lorascope.analysis.sensitivity import INTENSIVE

    numel = profile.parts["numel"].to_numpy(dtype=float)
    found = {
        name: estimate.value / (1.0 if name in INTENSIVE else numel)
        for name, estimate in profile.scores.items()
        if name != "gora_noise"
    }
    rows = profile.spectra[profile.spectra["rank"] <= r]
    for name, mine in rows.groupby("spectrum"):
        power = mine.assign(value=mine["value"] if name == "eva" else mine["value"] ** 2)
        sums = power.groupby("module")["value"].sum().reindex(profile.parts["module"]).to_numpy(dtype=float)
        found[str(name)] = sums / (1.0 if name == "eva" else numel)
    return found


def sample(plan: dict[str, Any], lab: Path, run: dict[str, Any]) -> dict[str, Any]:
    """One sample of batches: the modules in the order of each score at each size; values and shares of all batches."""
    from lorascope.measure.probing.parts import find_weights, probed
    from lorascope.models.modules import find_modules
    from lorascope.runs.profiled import profile_of

    model = base_of(lab, run["model"]).model
    weights = find_weights(model, probed(find_modules(model)))
    order: dict[str, dict[str, list[int]]] = {}
    for size, found in prefixes(model, weights, batches_of(plan, lab, run), settings_of(plan), plan["sizes"]):
        profile = profile_of(found, {})
        values = values_of(profile, plan["probe"]["r"])
        order[str(size)] = {name: ranks(v) for name, v in values.items() if name not in ("weight_sq", "stable_rank")}
    drawn = drawn_of(json.dumps(plan), lab, run["model"], run["task"])
    return {
        "modules": [f"{row.projection}.{row.layer}" for row in profile.parts.itertuples()],
        "numel": [int(n) for n in profile.parts["numel"]],
        "ranks": order,
        "values": {name: short(v) for name, v in values.items()},
        "shares": {name: dict(shares_of(profile, plan["bands"], name)) for name in ("signal", "lora_sq", "adam_step")},
        "tau": profile.tau,
        "loss": short(profile.loss),
        "tokens": short([drawn.prompt_tokens, drawn.answer_tokens]),
    }


def trial(plan: dict[str, Any], lab: Path, run: dict[str, Any]) -> dict[str, Any]:
    """The two scores of a trial training, of the first m batches of a sample."""
    from lorascope.measure.probing.parts import find_weights, probed
    from lorascope.measure.probing.trial import HELD_OUT
    from lorascope.measure.probing.trial import trial as tried
    from lorascope.models.modules import find_modules

    model, settings = base_of(lab, run["model"]).model, settings_of(plan)
    targets = probed(find_modules(model))
    weights, batches = find_weights(model, targets), batches_of(plan, lab, run)
    row: dict[str, Any] = {"ranks": {}, "off": {}, "drop": {}}
    for size in plan["trial"]["sizes"][run["task"]]:
        found = tried(
            model, weights, targets, batches[:size], steps=size - min(HELD_OUT, size // 3), r=settings.r,
            alpha=settings.alpha, lr=settings.lr, seed=settings.seed, blocks=settings.blocks,
        )  # fmt: skip
        numel = np.array([part.numel for weight in weights for part in weight.parts], dtype=float)
        values = {"attribution": found.attribution / numel, "adalora": found.importance / numel}
        row["ranks"][str(size)] = {name: ranks(v) for name, v in values.items()}
        row["off"][str(size)], row["drop"][str(size)] = short([found.off, found.drop])
    return row | {"values": {name: short(v) for name, v in values.items()}}


def shares_of(profile: Any, bands: int, score: str) -> Iterator[tuple[str, list[float]]]:
    """(name, [share, its jackknife error]) of both groups, of every kind and band of depth, of attention in each band.

    A share is a sum over the unit's weights per weight, over the sum of those of all units of its sort.
    """
    parts, estimate = profile.parts, profile.scores[score]
    numel = parts["numel"].to_numpy(dtype=float)
    layers = np.array(sorted(set(parts["layer"].astype(int))))
    depth = [{*cut.tolist()} for cut in np.array_split(layers, bands)]
    group, kind, layer = parts["group"].to_numpy(), parts["projection"].to_numpy(), parts["layer"].astype(int)
    inside = [layer.isin(d).to_numpy() for d in depth]
    sorts = {
        "group": {g: group == g for g in ("attention", "mlp")},
        "kind": {k: kind == k for k in dict.fromkeys(kind)},
        "band": {str(b): mask for b, mask in enumerate(inside)},
        **{f"band {b}": {g: mask & (group == g) for g in ("attention", "mlp")} for b, mask in enumerate(inside)},
    }
    for sort, masks in sorts.items():
        weights = np.array([mask / numel[mask].sum() for mask in masks.values()])
        sums = estimate.combined(np.vstack([weights, weights.sum(axis=0)]))
        share = type(sums)(sums.value[:-1] / sums.value[-1], sums.without[:-1] / sums.without[-1])
        for name, value, error in zip(masks, share.value, share.error, strict=True):
            yield f"{sort} {name}", short([value, error])


def ranks(values: Any) -> list[int] | None:
    """1 for the smallest; None for values that are not all there."""
    from scipy.stats import rankdata

    return [int(rank) for rank in rankdata(values, method="min")] if np.isfinite(values).all() else None


def short(values: Any) -> list[float | None]:
    return [float(f"{v:.{KEEP}g}") if math.isfinite(v) else None for v in values]


# ---- runs ------------------------------------------------------------------------------------------------------------


def runs_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Every run: first samples, one of each task after the other, then trials."""

    def run(stage: str, model: str, task: str, number: int) -> dict[str, Any]:
        return {"stage": stage, "model": model, "task": task, "sample": number}

    return [
        *(run("sample", m, t, s) for m, count in plan["samples"].items() for s in range(count) for t in plan["tasks"]),
        *(run("trial", "base", t, s) for s in range(plan["trial"]["samples"]) for t in plan["trial"]["sizes"]),
    ]


def measure(plan: dict[str, Any], lab: Path, run: dict[str, Any]) -> dict[str, Any]:
    return sample(plan, lab, run) if run["stage"] == "sample" else trial(plan, lab, run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", type=Path, default=records.LAB)
    parser.add_argument("--minutes", type=float, help="begin no run after so many minutes")
    parser.add_argument("--runs", type=int, help="make so many runs at most")
    parser.add_argument("--part", default="0/1", help="i/n: every n-th run from the i-th on")
    parser.add_argument("--rows", type=Path, default=ROWS, help="file of the rows")
    parser.add_argument("--table", action="store_true", help="print what the rows say, and run nothing")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw the pictures there, and run nothing")
    options = parser.parse_args()
    plan = json.loads(PLAN.read_text(encoding="utf-8"))
    if not (options.table or options.plot):
        if not (options.lab / "base" / "config.json").is_file():
            raise SystemExit(f"no model and data at {options.lab}")
        from transformers.utils import logging

        logging.disable_progress_bar()
        deadline = None if options.minutes is None else time.monotonic() + 60 * options.minutes
        first, of = map(int, options.part.split("/"))
        left = records.go_on(
            plan, options.rows, runs_of(plan), lambda run: measure(plan, options.lab, run), deadline=deadline,
            limit=options.runs, part=(first, of),
        )  # fmt: skip
        print(f"{left} runs are left")
        return
    made = records.read_rows(plan, options.rows)
    if options.table:
        from tables import lines

        print(*lines(plan, made), sep="\n")
    if options.plot:
        from pictures import draw

        print(*draw(plan, made, options.plot), sep="\n")


if __name__ == "__main__":
    main()
