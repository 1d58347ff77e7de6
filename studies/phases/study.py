"""Static training against every strategy of phases, as plan.json lays down: `python studies/phases/study.py`.

Each run appends one line to rows.jsonl; runs that are there are not run again, so the study can be stopped at any time
and goes on where it was. `--minutes N` begins no run after N minutes. `--table` prints what the rows say so far. Model
and data are loaded once. While a run goes on, the lock of tools/alone.py is held: tests and benchmarks wait for it.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LAB = Path(os.environ.get("LORASCOPE_LAB", ROOT.parent / "shared" / "lab"))
PLAN, ROWS = (Path(__file__).with_name(name) for name in ("plan.json", "rows.jsonl"))


# ---- runs -----------------------------------------------------------------------------------------------------------


def configure(plan: dict[str, Any], lab: Path, task: str, arm: str, seed: int) -> Any:
    """The configuration of one run."""
    from lorascope.config.experiment import (
        DataConfig,
        DynamicLoRAConfig,
        ExperimentConfig,
        GradientAnalysisConfig,
        LoRAConfig,
        ModelConfig,
        TrainingConfig,
    )

    common, own, phases = plan["common"], plan["tasks"][task], plan["arms"][arm]
    return ExperimentConfig(
        model=ModelConfig(model_id=str(lab / "base")),
        lora=LoRAConfig(**common["lora"]),
        training=TrainingConfig(**common["training"], lr=own["lr"], seed=seed),
        data=DataConfig(dataset=task, data_dir=str(lab / "data" / task), **own["data"]),
        gradient_analysis=GradientAnalysisConfig(**common["gradient_analysis"]),
        dynamic_lora=DynamicLoRAConfig(enabled=True, **phases) if phases else DynamicLoRAConfig(),
    )


def load(plan: dict[str, Any], lab: Path, task: str) -> tuple[Any, Any]:
    """The training rows of a task, and its test rows, as ids: the same in every run."""
    from lorascope.models.base import load_base
    from lorascope.tasks import find_task
    from lorascope.tasks.split import load_evaluation, load_training
    from lorascope.training.encoding import encode
    from lorascope.training.run import prepare

    config = configure(plan, lab, task, plan["against"], seed=0)
    about, base = find_task(config.data), load_base(config.model)
    training = load_training(about, config.data)
    held_out = load_evaluation(about, config.data, plan["tasks"][task]["test_examples"], training=training)
    rows = prepare(config, about, base, training.train, training.validation)
    test, _ = encode(held_out.examples, base.tokenizer, rows.max_length)
    return rows, test


def measure(config: Any, rows: Any, test: Any) -> dict[str, Any]:
    """Train one arm and take its test loss."""
    from lorascope.evaluation.answer_loss import answer_losses
    from lorascope.models.adapters import select, wrap
    from lorascope.models.base import load_base
    from lorascope.models.modules import find_modules
    from lorascope.training.phases import active_steps
    from lorascope.training.run import build_trainer
    from lorascope.training.switching import phases_of

    base = load_base(config.model)
    targets = select(find_modules(base.model), config.lora.target, tied=base.tied, model_id="lab base")
    adapted = wrap(base, config.lora, targets, seed=config.training.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer, _ = build_trainer(config, adapted, rows, Path(folder), Path(folder) / "checkpoints", resumed=False)
        trainer.args.load_best_model_at_end = False  # the weights of the last step, whatever the validation says
        begun = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - begun
    nats, tokens = answer_losses(adapted.model, test, pad_id=adapted.tokenizer.pad_token_id)
    phases = phases_of(trainer)
    static = dict.fromkeys({target.group for target in targets}, trainer.state.global_step)
    return {
        "test_loss": float(nats.sum() / tokens.sum()),
        "test_tokens": int(tokens.sum()),
        "validation_loss": [e["eval_loss"] for e in trainer.state.log_history if "eval_loss" in e],
        "active_steps": active_steps(phases, targets) if phases else static,
        "phases": [str(phase) for phase in phases],
        "seconds": round(seconds, 2),
        "config_hash": config.hash,
    }


def study(plan: dict[str, Any], lab: Path, rows_file: Path, minutes: float | None, limit: int | None = None) -> None:
    """Run what is not there yet, seed after seed, so that whatever is there is paired."""
    from filelock import FileLock
    from transformers.utils import logging

    logging.disable_progress_bar()
    begun, loaded, done = time.monotonic(), {}, read_rows(plan, rows_file)
    finished = {(row["task"], row["arm"], row["seed"]) for row in done}
    runs = [(t, arm, seed) for t, own in plan["tasks"].items() for seed in own["seeds"] for arm in plan["arms"]]
    left = [run for run in runs if run not in finished]
    for number, (task, arm, seed) in enumerate(left[:limit], 1):
        if minutes is not None and time.monotonic() - begun > 60 * minutes:
            print(f"{minutes:g} minutes are over; {len(left) - number + 1} of {len(runs)} runs are left")
            return
        with FileLock(ROOT / ".alone.lock"):
            loaded[task] = loaded.get(task) or load(plan, lab, task)
            found = measure(configure(plan, lab, task, arm, seed), *loaded[task])
        row = {"plan": fingerprint(plan), "task": task, "arm": arm, "seed": seed, **found}
        with rows_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{number} of {len(left)}  {task} {arm} seed {seed}: {row['test_loss']:.4f} in {row['seconds']} s",
            flush=True,
        )


def fingerprint(plan: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]


def read_rows(plan: dict[str, Any], rows_file: Path) -> list[dict[str, Any]]:
    """The rows so far; SystemExit where they belong to another plan."""
    text = rows_file.read_text(encoding="utf-8") if rows_file.is_file() else ""
    rows = [json.loads(line) for line in text.splitlines()]
    if any(row["plan"] != fingerprint(plan) for row in rows):
        raise SystemExit(f"{rows_file} holds rows of another plan; a plan is not changed after its first run")
    return rows


# ---- what the rows say ----------------------------------------------------------------------------------------------


def sign_flip(differences: Sequence[float]) -> float:
    """Exact two-sided p of the hypothesis that every difference may as well have the other sign (Fisher 1935)."""
    observed = abs(sum(differences))
    flips = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    return sum(total >= observed * (1 - 1e-12) for total in sums) / len(sums)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p of each (Holm 1979): the smallest times their number, the next times one less, and so on."""
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted


def table(plan: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each arm of each task: mean loss, mean paired difference, its range over seeds, p of the contrasts."""
    lines = []
    for task, own in plan["tasks"].items():
        losses: dict[str, dict[int, float]] = {}
        active: dict[str, str] = {}
        for row in rows:
            if row["task"] == task:
                losses.setdefault(row["arm"], {})[row["seed"]] = row["test_loss"]
                active[row["arm"]] = ", ".join(f"{group} {n:g}" for group, n in sorted(row["active_steps"].items()))
        static = losses.get(plan["against"], {})
        paired = {a: {s: loss - static[s] for s, loss in by.items() if s in static} for a, by in losses.items()}
        tested = [a for a in plan["contrasts"] if own["role"] == "test" and set(own["seeds"]) <= set(paired.get(a, {}))]
        complete = len(tested) == len(plan["contrasts"])  # no p before all that it is adjusted for are there
        ps = (
            dict(zip(tested, holm([sign_flip(list(paired[a].values())) for a in tested]), strict=True))
            if complete
            else {}
        )
        lines += [f"{task} ({own['role']}): test loss, nats per answer token", ""]
        lines += [
            "| arm | seeds | mean | minus static | range over seeds | p (Holm) | updates of a module |",
            "|---" * 7 + "|",
        ]
        for arm in (a for a in plan["arms"] if a in losses):
            values, d = list(losses[arm].values()), list(paired[arm].values())
            difference = "-" if arm == plan["against"] or not d else f"{sum(d) / len(d):+.4f}"
            spread = "-" if arm == plan["against"] or not d else f"{min(d):+.4f} to {max(d):+.4f}"
            p = f"{ps[arm]:.4f}" if arm in ps else "-"
            mean = f"{sum(values) / len(values):.4f}"
            lines.append(f"| {arm} | {len(values)} | {mean} | {difference} | {spread} | {p} | {active[arm]} |")
        lines.append("")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lab", type=Path, default=LAB)
    parser.add_argument("--minutes", type=float, help="begin no run after so many minutes")
    parser.add_argument("--runs", type=int, help="make so many runs at most")
    parser.add_argument("--rows", type=Path, default=ROWS, help="file of the rows")
    parser.add_argument("--table", action="store_true", help="print what the rows say, and run nothing")
    options = parser.parse_args()
    plan = json.loads(PLAN.read_text(encoding="utf-8"))
    if not options.table:
        if not (options.lab / "base" / "config.json").is_file():
            raise SystemExit(f"no model and data at {options.lab}")
        study(plan, options.lab, options.rows, options.minutes, options.runs)
    print(*table(plan, read_rows(plan, options.rows)), sep="\n")


if __name__ == "__main__":
    main()
