"""Run folders made by hand, for the tests of pages: any size, and with texts that want to be more than text."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from facts import GROUP_OF, TEXTS, TYPES
from lorascope.config.experiment import DataConfig, ExperimentConfig, ModelConfig
from lorascope.config.load import to_json

EVIL = '</script><script>window.evil=1</script><img src=x onerror="window.evil=1">'
WAIT = 60_000
"""Milliseconds: a busy machine takes its time."""
PROJECTIONS = "q k v o gate up down"


def big_table(layers, steps, *, projections=PROJECTIONS, seed=0, update=True):
    """A tidy table of layers x projections x steps x (A, B, update, base) at random; A is 0 at the first step."""
    rng = np.random.default_rng(seed)
    names = projections.split()
    modules = [(p, layer) for layer in range(layers) for p in names]
    parts = [("grad_sq", "A", 64), ("grad_sq", "B", 96), *([("update_sq", "AB", 0)] if update else [])]
    frames = []
    for score, matrix, numel in parts:
        value = rng.lognormal(size=(steps, len(modules))) * np.linspace(3, 1, steps)[:, None]
        if matrix == "A":
            value[0] = 0.0
        frames.append(_frame(modules, np.arange(1, steps + 1), value, score, matrix, numel))
    frames.append(_frame(modules, np.array([0]), rng.uniform(50, 60, (1, len(modules))), "base_sq", "W", 0))
    table = pd.concat(frames, ignore_index=True)
    return table.astype(TYPES).astype(dict.fromkeys(TEXTS, "category"))


def _frame(modules, steps, value, score, matrix, numel):
    each = pd.DataFrame(
        {
            "module": [f"model.layers.{layer}.{p}_proj" for p, layer in modules],
            "layer": [layer for _, layer in modules],
            "stack": "decoder",
            "projection": [p for p, _ in modules],
            "group": [GROUP_OF[p] for p, _ in modules],
        }
    )
    out = pd.concat([each] * len(steps), ignore_index=True) if len(steps) < 50 else each.loc[
        np.tile(np.arange(len(modules)), len(steps))
    ].reset_index(drop=True)  # fmt: skip
    return out.assign(
        step=np.repeat(steps, len(modules)), matrix=matrix, score=score, value=value.ravel(), numel=numel,
        scaling=4.0, r=8, finite=np.isfinite(value.ravel()),
    )  # fmt: skip


def results_of(name="toy", *, steps=40, **changes):
    return {
        "run": name, "status": "finished", "lorascope": "0.1.0", "config_hash": "abc", "dataset": "e2e_nlg",
        "model": "toy", "target": "both", "r": 8, "lora_alpha": 32.0, "seed": 42, "steps": steps,
        "notes": ["12 rows were cut"],
        "phases": [{"name": "both", "start_step": 0, "end_step": steps // 2},
                   {"name": "mlp", "start_step": steps // 2, "end_step": steps}],
        "active_steps": {"attention": steps // 2, "mlp": steps}, "warnings": 0,
        "rows": {"prompts_cut": 0, "left_out": []},
        "training_loss": [[step, 3.0 / step + 0.5] for step in range(1, steps + 1)],
        "validation_loss": [[0, 4.0], [steps // 2, 1.0], [steps, 1.25]], "best_step": steps // 2,
        "best_validation_loss": 1.0, "parameters": {"total": 100_000, "trained": 4_000,
                                                    "by_group": {"attention": 1_500, "mlp": 2_500}},
        "seconds": {"training": 10.0}, "peak_memory_bytes": 2**30, "resumed_after_step": None,
        "data": {"training": {"task": "e2e_nlg", "source": "local", "split": "train", "rows": 100, "sha256": "f" * 64},
                 "evaluation": None},
        **changes,
    }  # fmt: skip


def score(value, *, higher=True, unit="0-100"):
    return {"value": value, "ci_low": value - 1, "ci_high": value + 1, "unit": unit, "higher_is_better": higher}


ADAPTER = {
    "base_model_name_or_path": "/home/alice/models/toy", "bias": "none", "inference_mode": True, "peft_type": "LORA",
    "init_lora_weights": True, "lora_alpha": 32, "lora_dropout": 0.1, "r": 8, "task_type": "CAUSAL_LM",
    "rank_pattern": {"^model\\.layers\\.0\\.self_attn\\.q_proj$": 4}, "alpha_pattern": {}, "use_dora": False,
    "target_modules": ["q_proj", "down_proj"], "modules_to_save": None, "peft_version": "0.21.2",
}  # fmt: skip


def make_run(folder, *, table=None, name="toy", evil=False, samples=12, **changes):
    """A finished run of 4 layers x 7 projections x 40 steps, with everything that a page shows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "final_model").mkdir(exist_ok=True)
    text = EVIL if evil else ""
    config = ExperimentConfig(model=ModelConfig(model_id=f"toy{text}"), data=DataConfig(dataset="e2e_nlg"))
    (folder / "config.json").write_text(to_json(config))
    table = big_table(4, 40) if table is None else table
    table.to_parquet(folder / "gradient_analysis.parquet")
    results = results_of(f"{name}{text}", steps=int(table["step"].max()), **changes)
    if evil:
        results |= {"model": f"toy{text}", "notes": [f"column {text}", f"file {text}"]}
    (folder / "results_summary.json").write_text(json.dumps(results))
    metrics = {f"bleu{text}": score(41.6), "answer_loss": score(1.0, higher=False, unit="nats per token")}
    names = list(metrics)
    evaluation = {"dataset": "e2e_nlg", "split": "test", "n": samples, "metrics": metrics, "settings": {}}
    (folder / "e2e_nlg_evaluation.json").write_text(json.dumps(evaluation))
    rows = [
        {
            "id": str(i), "prompt": f"prompt {i} {'needle' if i == 7 else 'hay'} {text}",
            "references": [f"right {i}{text}"],
            "prediction": f"answer {i}{text}", "scores": {names[0]: float((i * 5) % samples), names[1]: 1.0},
        }
        for i in range(samples)
    ]  # fmt: skip
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "final_model" / "adapter_config.json").write_text(json.dumps(ADAPTER))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "platform": "Linux", "device": "cpu",
        "packages": {"torch": "2"}, "gpus": [], "cpus": 2, "processes": 1, "git": "abc"}))  # fmt: skip
    (folder / "log.txt").write_text(f"2026-01-01 00:00:00,0 WARNING x: look at /home/alice/secret/file.bin {text}\n")
    summary = {"groups": {}, "weights": None}
    (folder / "gradient_analysis.summary.json").write_text(json.dumps(summary))
    return folder
