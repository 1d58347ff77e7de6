"""Allocations of ranks against even ones, as plan.json lays down: `python studies/allocation/study.py STAGE`.

Stages, in their order: ranks (a probe of every task, allocations.json), screen, lrs, confirm, second, prediction, and
same_rate, which is not in the plan: uniform once more where MLP alone was confirmed at another learning rate. `all`
goes through them. Each run appends one line to rows.jsonl and is not run again, so that the study can be stopped at any
time and goes on where it was. `--minutes N` begins no run after N minutes; `--part 0/2` and `--part 1/2` are two jobs
side by side. `--table` prints what the rows say.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import rows as records  # noqa: E402  (the module beside the studies, which are no package)

PLAN, ROWS, RANKS = (HERE / name for name in ("plan.json", "rows.jsonl", "allocations.json"))
STAGES = ("ranks", "screen", "lrs", "confirm", "second", "prediction", "same_rate")


# ---- settings --------------------------------------------------------------------------------------------------------


def configure(plan: dict[str, Any], lab: Path, task: str, *, lr: float, seed: int, steps: int) -> Any:
    """The configuration of one training: on the lab's model and rows, unless the plan names others."""
    from lorascope.config.experiment import DataConfig, ExperimentConfig, LoRAConfig, ModelConfig, TrainingConfig

    common = plan["common"]
    return ExperimentConfig(
        model=ModelConfig(**{"model_id": str(lab / "base"), **common.get("model", {})}),
        lora=LoRAConfig(**common["lora"]),
        training=TrainingConfig(**common["training"], max_steps=steps, lr=lr, seed=seed),
        data=DataConfig(**{"dataset": task, "data_dir": str(lab / "data" / task), **common["data"]}),
    )


@cache
def bench_of(plan_text: str, lab: Path, task: str) -> Any:
    """Model and rows of a task, loaded once."""
    from lorascope.runs.trials import open_bench

    plan = json.loads(plan_text)
    return open_bench(configure(plan, lab, task, lr=1e-3, seed=0, steps=1), **plan["held_out"])


# ---- ranks -----------------------------------------------------------------------------------------------------------


def ranks_of(plan: dict[str, Any], lab: Path, task: str, budget: str) -> dict[str, Any]:
    """Probe the task; the allocation of every arm, and every score of every module, as plain data."""
    from lorascope.analysis.allocating.evidence import evidence_of
    from lorascope.analysis.allocating.methods import METHODS, Evidence
    from lorascope.models.base import load_base
    from lorascope.models.modules import find_modules
    from lorascope.runs.adapting import budget_of
    from lorascope.runs.allocating import allocation_for

    profile = profile_of(plan, lab, task)
    base = load_base(configure(plan, lab, task, lr=1e-3, seed=0, steps=1).model)
    lora = replace(configure(plan, lab, task, lr=1e-3, seed=0, steps=1).lora, budget=budget)
    targets, asked = budget_of(base, lora, find_modules(base.model))
    scaling = lora.lora_alpha / lora.r
    arms = {}
    for arm in plan["arms"]:
        group = {"attention_only": "attention", "mlp_only": "mlp"}.get(arm)
        among = [t for t in targets if group in (None, t.group)]
        method = "uniform" if group else arm
        evidence = Evidence() if not METHODS[method].needs else evidence_of(profile, method)
        found = allocation_for(among, asked, method, evidence, scaling=scaling, base_model="lab base", seed=0)
        arms[arm] = found.to_dict()
    tables = {name: profile.table(name, by="module", scale="sum") for name in profile.scores}
    scores = {
        name: {path: float(f"{value:.6g}") for path, value in zip(found["module"], found["value"], strict=True)}
        for name, found in tables.items()
    }
    scores["weights"] = {t.path: t.num_experts * t.shape[0] * t.shape[1] for t in targets}
    return {"allocations": arms, "scores": scores, "batches": profile.n, "tau": profile.tau}


@cache
def _profile(plan_text: str, lab: Path, task: str) -> Any:
    from lorascope.measure.probing.collect import ProbeSettings
    from lorascope.runs.probe import ProbeOptions, probe_examples
    from lorascope.tasks import find_task
    from lorascope.tasks.split import load_training

    plan = json.loads(plan_text)
    probe, bench = plan["probe"], bench_of(plan_text, lab, task)
    config = configure(plan, lab, task, lr=1e-3, seed=0, steps=1)
    about = find_task(config.data)
    options = ProbeOptions(
        batches=probe["batches"], batch_size=probe["batch_size"], tau=1.0, max_length=about.max_length,
        settings=ProbeSettings(scores=tuple(probe["scores"]), seed=probe["seed"]),
    )  # fmt: skip
    examples = load_training(about, config.data).train
    return probe_examples(bench.base.model, bench.base.tokenizer, examples, options)


def profile_of(plan: dict[str, Any], lab: Path, task: str) -> Any:
    """The profile of a task: on training rows, which the held-out ones are no part of."""
    return _profile(json.dumps(plan), lab, task)


def make_ranks(plan: dict[str, Any], lab: Path, file: Path) -> dict[str, Any]:
    """allocations.json: made once; task -> name of a budget -> arms."""
    made = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"plan": records.fingerprint(plan)}
    if made["plan"] != records.fingerprint(plan):
        raise SystemExit(f"{file} belongs to another plan")
    for task in plan["tasks"]:
        for name, budget in plan["budgets"].items():
            if name not in made.setdefault(task, {}):
                made[task][name] = ranks_of(plan, lab, task, budget)
                file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
                print(f"ranks of {task}, {budget}", flush=True)
    return made


# ---- runs ------------------------------------------------------------------------------------------------------------


def runs_of(plan: dict[str, Any], stage: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a stage has to train, seed after seed, so that whatever is there is paired."""

    def run(**what: Any) -> dict[str, Any]:
        return {"stage": stage, **what}

    screen, confirm = plan["screen"], plan["confirm"]
    if stage == "screen":
        return [
            run(task=t, budget=screen["budget"], arm=a, lr=lr, seed=s)
            for s in screen["seeds"] for t in screen["tasks"] for lr in screen["lrs"] for a in plan["arms"]
        ]  # fmt: skip
    budgets = {confirm["budget"]: confirm["arms"], "second": confirm["second_budget"]}
    if stage == "lrs":
        return [
            run(task=t, budget=b, arm=a, lr=lr, seed=confirm["lr_seed"])
            for t in plan["tasks"] for b, arms in budgets.items() for a in arms for lr in confirm["lrs"]
        ]  # fmt: skip
    if stage in ("confirm", "second"):
        budget = confirm["budget"] if stage == "confirm" else "second"
        return [
            run(task=t, budget=budget, arm=a, lr=best_lr(rows, t, budget, a, confirm["lrs"])[0], seed=s)
            for s in confirm["seeds"] for t in plan["tasks"] for a in budgets[budget]
        ]  # fmt: skip
    if stage == "same_rate":
        rates = {t: [best_lr(rows, t, confirm["budget"], a)[0] for a in ("mlp_only", "uniform")] for t in plan["tasks"]}
        return [
            run(task=t, budget=confirm["budget"], arm="uniform", lr=rates[t][0], seed=s)
            for s in confirm["seeds"] for t in plan["tasks"] if rates[t][0] != rates[t][1]
        ]  # fmt: skip
    places = [f"{kind}.{band}" for kind in plan["prediction"]["kinds"] for band in range(plan["prediction"]["bands"])]
    return [run(task=t, arm=a) for t in plan["prediction"]["tasks"] for a in ("uniform", *places)]


def best_lr(
    rows: Sequence[dict[str, Any]], task: str, budget: str, arm: str, grid: Sequence[float] = ()
) -> tuple[float, bool]:
    """The learning rate of an arm with the lowest validation loss, and whether it is an edge of the grid.

    SystemExit where a rate of the grid has no row yet.
    """
    found = {r["lr"]: r["loss"] for r in rows if (r["stage"], r["task"], r.get("budget"), r["arm"]) ==
             ("lrs", task, budget, arm)}  # fmt: skip
    if not found or set(grid) - set(found):
        raise SystemExit(f"the stage lrs has not all rows of {arm} on {task} yet")
    best = min(found, key=lambda lr: found[lr])
    return best, best in (min(found), max(found))


def chosen(plan: dict[str, Any], rows: Sequence[dict[str, Any]], task: str, kind: str) -> str:
    """The arm of a kind (ours, peer) that did best on the other tasks of the screen."""
    others = [t for t in plan["screen"]["tasks"] if t != task]

    def level(arm: str, on: str) -> float:
        by_lr: dict[float, list[float]] = {}
        for row in rows:
            if (row["stage"], row["task"], row["arm"]) == ("screen", on, arm):
                by_lr.setdefault(row["lr"], []).append(row["loss"])
        full = [float(np.mean(v)) for v in by_lr.values() if len(v) == len(plan["screen"]["seeds"])]
        if len(full) < len(plan["screen"]["lrs"]):
            raise SystemExit(f"the screen has not all rows of {arm} on {on} yet")
        return min(full)

    arms = [arm for arm, what in plan["arms"].items() if what == kind]
    return min(arms, key=lambda arm: float(np.mean([level(arm, t) - level("uniform", t) for t in others])))


def measure(
    plan: dict[str, Any],
    lab: Path,
    made: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    run: Any,
    file: Path | None = None,
) -> Any:
    """Train one run and take its held-out loss; `file` has the rows (ROWS)."""
    from lorascope.config.allocation import allocation_of
    from lorascope.runs.trials import trial

    stage, task, arm = run["stage"], run["task"], run["arm"]
    bench = bench_of(json.dumps(plan), lab, task)
    if stage == "prediction":
        from predictions import predicted

        settings = {name: plan["prediction"][name] for name in ("lr", "seed", "steps")}
        return predicted(plan["prediction"], configure(plan, lab, task, **settings), bench, arm)
    steps = plan["screen" if stage == "screen" else "confirm"]["steps"]
    config = configure(plan, lab, task, lr=run["lr"], seed=run["seed"], steps=steps)
    on = "validation" if stage in ("screen", "lrs") else "test"
    name = chosen(plan, rows, task, {"chosen": "ours", "peer": "peer"}[arm]) if arm in ("chosen", "peer") else arm
    allocation = allocation_of(made[task][run["budget"]]["allocations"][name], RANKS.name)
    row = {
        "allocation": name, "params": allocation.used_params, "config_hash": config.hash, "on": on,
        "ranks": records.fingerprint(allocation.adapted),
    }  # fmt: skip
    # Arms of equal ranks (threshold where every module is above noise) are one training.
    for known in records.read_rows(plan, file or ROWS):
        if row["ranks"] == known.get("ranks") and all(known[key] == row[key] for key in ("config_hash", "on")):
            return {**row, "loss": known["loss"], "tokens": known["tokens"], "as": known["allocation"]}
    found = trial(config, bench, allocation, on=on)
    return {**row, "loss": found.mean, "tokens": int(found.tokens.sum())}


# ---- what the rows say -----------------------------------------------------------------------------------------------


def contrasts(plan: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[str]:
    """The primary contrast, if there is one, and the others: difference, interval, p.

    None before all seeds of all tasks are there. Last, where there are rows of the stage same_rate, MLP alone against
    uniform at MLP's learning rates, which no correction knows of.
    """
    from lorascope.analysis.paired import interval, p_values
    from lorascope.analysis.statistics import holm

    losses = {(r["task"], r["arm"], r["seed"]): r["loss"] for r in rows if r["stage"] == "confirm"}
    seeds, lines, others = plan["confirm"]["seeds"], [], []

    def line(one: str, two: str, given: dict[tuple[str, str, int], float]) -> tuple[str, float]:
        d = np.array([np.mean([given[t, one, s] - given[t, two, s] for t in plan["tasks"]]) for s in seeds])
        low, high = interval(d)
        found = f"{len(seeds)} | {d.mean():+.4f} | {low:+.4f} to {high:+.4f} |"
        return f"| {one} - {two} | {found}", float(p_values(d[None])[0])

    first = [plan["primary"]] if plan["primary"] else []
    for place, (one, two) in enumerate([*first, *plan["contrasts"]]):
        if not all((t, arm, s) in losses for s in seeds for t in plan["tasks"] for arm in (one, two)):
            return ["contrasts: not all rows of the stage confirm are there yet"]
        text, p = line(one, two, losses)
        lines.append(f"{text} {p:.4f} (primary) |" if place < len(first) else text)
        others += [] if place < len(first) else [p]
    for place, p in enumerate(holm(np.array(others)), start=len(first)):
        lines[place] += f" {p:.4f} (Holm) |"
    again = {(r["task"], r["arm"], r["seed"]): r["loss"] for r in rows if r["stage"] == "same_rate"}
    if again and len(again) == len({task for task, _, _ in again}) * len(seeds):
        text, p = line("mlp_only", "uniform", losses | again)
        lines.append(f"{text.replace('uniform', 'uniform at the same learning rates')} {p:.4f} (not in the plan) |")
    return ["| contrast | seeds | nats per answer token | 95 % interval | p |", "|---" * 5 + "|", *lines]


def table(plan: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each arm of each stage and task: mean loss and mean paired difference from uniform."""
    lines: list[str] = []
    for stage in ("screen", "confirm", "second"):
        for task in plan["tasks"]:
            mine = [r for r in rows if (r["stage"], r["task"]) == (stage, task)]
            if not mine:
                continue
            lines += [
                "", f"{stage}, {task}", "",
                "| arm | lr | runs | mean | minus uniform | 95 % interval | range over seeds |", "|---" * 7 + "|",
            ]  # fmt: skip
            for arm, lr in dict.fromkeys((r["arm"], r["lr"]) for r in mine):
                lines.append(
                    _line(mine, arm, lr, edge=stage != "screen" and best_lr(rows, task, mine[0]["budget"], arm)[1])
                )
    if any(r["stage"] == "confirm" for r in rows):
        lines += ["", *contrasts(plan, rows)]
    if any(r["stage"] == "prediction" for r in rows):
        from predictions import correlations

        lines += ["", *correlations(plan["prediction"], rows, json.loads(RANKS.read_text(encoding="utf-8")))]
    return lines[1:]


def gaps(rows: Sequence[dict[str, Any]], arm: str, lr: float) -> list[float]:
    """Loss of an arm minus that of uniform, seed by seed; rows: of one stage and task.

    Uniform is compared at the same learning rate in the screen, at its own best one later: there it has one.
    """
    if arm == "uniform":
        return []
    own = {r["seed"]: r["loss"] for r in rows if (r["arm"], r["lr"]) == (arm, lr)}
    rates = {r["lr"] for r in rows if r["arm"] == "uniform"}
    same = lr if lr in rates else min(rates, default=lr)
    even = {r["seed"]: r["loss"] for r in rows if (r["arm"], r["lr"]) == ("uniform", same)}
    return [own[s] - even[s] for s in own if s in even]


def _line(rows: Sequence[dict[str, Any]], arm: str, lr: float, *, edge: bool) -> str:
    from lorascope.analysis.paired import FEWEST, interval

    own, d = [r for r in rows if (r["arm"], r["lr"]) == (arm, lr)], np.array(gaps(rows, arm, lr))
    gap = ["-", "-", "-"]
    if len(d):
        gap[0], gap[2] = f"{d.mean():+.4f}", f"{d.min():+.4f} to {d.max():+.4f}"
        if len(d) >= FEWEST:
            gap[1] = "{:+.4f} to {:+.4f}".format(*interval(d))
    # What "chosen" is differs between tasks.
    name = arm if (what := own[0].get("allocation", arm)) == arm else f"{arm}: {what}"
    mean = np.mean([r["loss"] for r in own])
    return f"| {name} | {lr:g}{' (edge)' if edge else ''} | {len(own)} | {mean:.4f} | {' | '.join(gap)} |"


# ---- at the command line ---------------------------------------------------------------------------------------------


def asked(argv: Sequence[str] | None, about: str, stages: Sequence[str]) -> argparse.Namespace:
    """What was typed: `stages`, and how far to go."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("stage", nargs="?", default="all", choices=(*stages, "all"))
    parser.add_argument("--lab", type=Path, default=records.LAB)
    parser.add_argument("--minutes", type=float, help="begin no run after so many minutes")
    parser.add_argument("--runs", type=int, help="make so many runs of a stage at most")
    parser.add_argument("--part", default="0/1", help="I/N: every N-th run from the I-th on")
    parser.add_argument("--table", action="store_true", help="print what the rows say, and run nothing")
    options = parser.parse_args(argv)
    if not options.table and not (options.lab / "base" / "config.json").is_file():
        raise SystemExit(f"no model and data at {options.lab}")
    options.stages = [stage for stage in stages if options.stage in (stage, "all")]
    return options


def go_through(
    plan: dict[str, Any],
    file: Path,
    stages: Sequence[str],
    train: Callable[[Sequence[dict[str, Any]], Any], dict[str, Any]],
    *,
    minutes: float | None = None,
    limit: int | None = None,
    part: str = "0/1",
) -> None:
    """Make the runs of the stages that have no row yet; `train(rows before the stage, run)` makes one."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    one, several = (int(number) for number in part.split("/"))
    for stage in stages:
        rows = records.read_rows(plan, file)
        left = records.go_on(
            plan, file, runs_of(plan, stage, rows), partial(train, rows),
            deadline=deadline, limit=limit, part=(one, several),
        )  # fmt: skip
        print(f"{stage}: {left} runs are left", flush=True)
        if left:
            return


def main(argv: Sequence[str] | None = None) -> None:
    options = asked(argv, __doc__, STAGES)
    plan = json.loads(PLAN.read_text(encoding="utf-8"))
    if options.table:
        print(*table(plan, records.read_rows(plan, ROWS)), sep="\n")
        return
    made = make_ranks(plan, options.lab, RANKS)
    go_through(
        plan, ROWS, [stage for stage in options.stages if stage != "ranks"],
        lambda rows, run: measure(plan, options.lab, made, rows, run),
        minutes=options.minutes, limit=options.runs, part=options.part,
    )  # fmt: skip


if __name__ == "__main__":
    main()
