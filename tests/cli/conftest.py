"""The command line called in this process, with stand-ins for the rooms that need torch."""

from __future__ import annotations

import json
import shlex
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

from facts import probe_profile, run_table
from lorascope import cli
from lorascope.config.experiment import ExperimentConfig
from lorascope.config.load import to_json


@dataclass
class Record:
    folder: Path
    results: dict
    gradients: dict
    evaluation: dict | None
    base_evaluation: object


@dataclass
class Typed:
    code: int
    out: str
    err: str


@pytest.fixture
def lorascope(capsys):
    """Call the command line in this process: `lorascope("run --r 4")`."""

    def call(line=()):
        code = cli.main(shlex.split(line) if isinstance(line, str) else list(line))
        captured = capsys.readouterr()
        return Typed(code, captured.out, captured.err)

    return call


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Stand-ins for the rooms that need torch; `seen` lists what they were called with, `act` is called in each run."""
    monkeypatch.chdir(tmp_path)
    stub = types.SimpleNamespace(seen=[], act=lambda config, console: None)

    def run(config, *, resume=None, overwrite=False, console):
        stub.seen.append((config, {"resume": resume, "overwrite": overwrite}))
        stub.act(config, console)
        folder = Path(resume or Path(config.output_dir) / config.run_name)
        console.saved(folder)
        return Record(folder, {"steps": config.training.max_steps, "loss": float("nan")}, {}, None, None)

    def evaluate_models(model, adapters, data, evaluation, *, split, merge=False, console=None):
        for adapter in adapters:
            stub.seen.append((model, adapter, data, evaluation, split))
            stub.merge = merge
            value = 41.6 - adapters.index(adapter)
            score = types.SimpleNamespace(value=value, ci_low=39.0, ci_high=44.1, unit="0-100")
            metrics = {"bleu": {"value": value}}
            result = {"dataset": data.dataset, "split": split, "n": 2, "metrics": metrics, "settings": {}}
            settings = {
                "data": {"notes": ["a note"], "why_split": "the task's test split"},
                "examples": {"chosen": "all of the split, in its order"},
            }
            yield types.SimpleNamespace(
                metrics={"bleu": score},
                n=2,
                total=5,
                split=split,
                settings=settings,
                to_dict=lambda result=result: result,
            )

    def module(name, **functions):
        made = types.ModuleType(name)
        made.__dict__.update(functions)
        monkeypatch.setitem(sys.modules, name, made)

    module("lorascope.runs.experiment", run=run)

    def check(config, console):
        stub.seen.append((config, "check"))
        console.out("154 modules adapted")
        return {"modules": 154}

    module("lorascope.runs.check", check=check)

    def probe_config(config, options, folder, *, after=0, overwrite=False, beside=(), console):
        stub.seen.append((config, options, folder))
        profile = probe_profile(spread=0.1)
        profile.save(folder)
        return profile

    module("lorascope.runs.probing", probe_config=probe_config)

    def look_at_run(folder, *, knock_out=None, console):
        stub.seen.append((folder, knock_out))
        row = {"module": "m.q_proj", "layer": 0, "projection": "q", "group": "attention", "update_sq": 1.0}
        row |= {"base_sq": 4.0, "magnitude": 0.1, "direction": 0.2}
        unit = {"unit": "q early", "modules": 1, "value": 0.1, "ci_low": 0.05, "ci_high": 0.15}
        about = {"rows": 8, "split": "test", "loss": 1.5}
        return types.SimpleNamespace(modules=[row], knock_out=types.SimpleNamespace(units=[unit], about=about))

    module("lorascope.runs.trained", look_at_run=look_at_run)
    monkeypatch.setattr("lorascope.report.serve.serve", lambda page, version, port, console: console.out(version()))
    module("lorascope.evaluation.judge", evaluate_models=evaluate_models)
    module("lorascope.evaluation.loading", base_of_adapter=lambda adapter: "base-of-adapter")
    return stub


@pytest.fixture
def run_folder(tmp_path):
    """Make a folder that looks like a run."""

    def make(name, config=None, *, finished=True, **changes):
        folder = tmp_path / name
        (folder / "final_model").mkdir(parents=True)
        adapter = {"r": 8, "lora_alpha": 32, "lora_dropout": 0.1, "target_modules": ["q_proj"]}
        (folder / "final_model" / "adapter_config.json").write_text(json.dumps(adapter))
        (folder / "config.json").write_text(to_json(config or ExperimentConfig()))
        results = {
            "dataset": "e2e_nlg", "target": "both", "r": 8, "lora_alpha": 32.0, "seed": 42, "steps": 100, "model": "m",
            "parameters": {"trained": 1234567, "total": 12345670, "by_group": {"mlp": 1234567}}, "run": folder.name,
            "best_validation_loss": 1.5, "best_step": 50, "validation_loss": [[0, 2.0], [50, 1.5]], "phases": [],
            "training_loss": [[1, 2.0], [100, 1.25]], "active_steps": {"mlp": 100}, "status": "finished",
        }  # fmt: skip
        run_table().to_parquet(folder / "gradient_analysis.parquet")
        stats = {"mean": 0.25}
        gradients = {"groups": {"mlp": {"norm": stats, "rms": stats, "per_scaling": stats}}, "weights": None}
        (folder / "gradient_analysis.summary.json").write_text(json.dumps(gradients))
        if finished:
            (folder / "results_summary.json").write_text(json.dumps(results | changes))
        return folder

    return make
