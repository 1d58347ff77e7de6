"""`lorascope evaluate`: a run, an adapter, a bare model, or predictions that were made elsewhere."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorascope import __version__
from lorascope.cli_split import Given
from lorascope.config.experiment import ExperimentConfig
from lorascope.config.load import Resolved, resolve
from lorascope.errors import ConfigError, RunError
from lorascope.report.terminal import Console, short
from lorascope.runs import rundir
from lorascope.tasks import OWN_SETTINGS, TASKS, find_task, glance

if TYPE_CHECKING:
    from lorascope.tasks.custom import Glance


@dataclass(frozen=True)
class Judged:
    """What is to be evaluated, and on what."""

    resolved: Resolved
    adapter: Path | None
    predictions: Path | None
    base: str | None
    """The base model; None where the adapter tells it, or none is needed."""

    @property
    def name(self) -> str:
        """What is judged, in words."""
        if self.predictions:
            return f"the predictions in {self.predictions}"
        return (
            f"{self.adapter} on {self.base or 'its own base model'}" if self.adapter else f"{self.base} without adapter"
        )


def evaluate(given: Given, console: Console) -> Any:
    """`lorascope evaluate [FOLDER]`"""
    judged = _judged(given)
    config = judged.resolved.config
    seen = glance(config.data)
    split = given.get("split", seen.evaluation_split)
    console.note(f"lorascope {__version__}  evaluate {judged.name} | {config.data.dataset} {split or 'test'}")
    if given.get("plan"):
        return _plan(given, judged, seen, split or "test", console)
    evaluation = _score(judged, split, console) if judged.predictions else _generate(judged, split, console)
    console.table(
        ["metric", "value", "95 % interval", "unit"],
        [[name, s.value, _interval(s.ci_low, s.ci_high), s.unit] for name, s in evaluation.metrics.items()],
    )
    about = evaluation.settings
    counted = f"{evaluation.n:,} of {evaluation.total:,} {evaluation.split} examples"
    console.out(f"{counted}; intervals are over examples, not over seeds")
    console.out(f"these are {about['examples']['chosen']} ({evaluation.split}: {about['data']['why_split']})")
    if given.get("output"):
        output = Path(given.get("output"))
        with rundir.writing(output.parent):
            output.parent.mkdir(parents=True, exist_ok=True)
        rundir.write_json(output, evaluation.to_dict())
        console.saved(output)
    if judged.adapter and judged.base:
        console.next(shlex.join(["lorascope", "evaluate", *_bare(judged.base, config)]))
    else:
        console.next("lorascope ls runs")
    return evaluation.to_dict()


def _bare(base: str, config: ExperimentConfig) -> list[str]:
    """Flags that show what the base does without the adapter, on the same examples."""
    flags = ["--model", base, "--dataset", config.data.dataset, "--eval_samples", str(config.evaluation.eval_samples)]
    for name in ("data_source", "data_dir", "data_revision", *OWN_SETTINGS):
        if getattr(config.data, name) not in (None, "auto"):
            flags += [f"--{name}", getattr(config.data, name)]
    if config.evaluation.constrained:
        flags.append("--constrained")
    return flags + (["--metrics", config.evaluation.metrics] if config.evaluation.metrics else [])


def _judged(given: Given) -> Judged:
    """Read the folder, if there is one, and lay the flags over a run's own configuration."""
    folder = Path(given.arguments[0]) if given.arguments else None
    predictions = Path(given.get("predictions")) if given.get("predictions") else None
    files: list[Path] = []
    adapter: Path | None = None
    if folder is not None:
        if predictions:
            raise ConfigError(
                "flags-exclude", "--predictions needs no folder: it scores what is in the file", "leave one out"
            )
        if (folder / rundir.CONFIG).is_file() and (folder / rundir.FINAL_MODEL).is_dir():
            files, adapter = [folder / rundir.CONFIG], folder / rundir.FINAL_MODEL
        elif (folder / "adapter_config.json").is_file():
            adapter = folder
        else:
            raise RunError("no-adapter", f"{folder} holds neither a trained run nor an adapter", "lorascope ls runs")
    elif not predictions and not given.get("model"):
        raise ConfigError(
            "nothing-to-evaluate",
            "evaluate needs a folder, --model or --predictions",
            "lorascope evaluate FOLDER",
            "lorascope evaluate --model ID_OR_FOLDER --dataset NAME",
        )
    resolved = resolve(given.settings, files=files)
    if "data.dataset" not in resolved.sources:
        raise ConfigError(
            "no-task", "which task? the folder does not tell", f"--dataset NAME   ({', '.join(TASKS)}, or a file)"
        )
    base = resolved.config.model.model_id if "model.model_id" in resolved.sources else None
    return Judged(resolved, adapter, predictions, None if predictions else base)


def _plan(given: Given, judged: Judged, seen: Glance, split: str, console: Console) -> dict[str, Any]:
    config = judged.resolved.config
    settings = config.evaluation
    answers = f"{settings.decoding}, {settings.eval_batch_tokens:,} tokens together"
    if seen.first is not None and seen.first.is_text:
        answers = "none: plain text is judged by the loss alone"
    lines = {
        "judged": judged.name,
        "task": f"{seen.title}, split {split}" + (f", files in {config.data.data_dir}" if config.data.data_dir else ""),
        "examples": f"{_count(judged):,}" if _count(judged) else "all of the split",
        "answers": "as in the file" if judged.predictions else answers,
        "output": given.get("output", "the screen alone"),
    }
    console.out(*(f"  {name:<9} {text}" for name, text in lines.items()))
    console.table(
        ["setting", "value", "from"], [[path, str(v), source] for path, v, source in judged.resolved.changed()]
    )
    console.out("Nothing was started.")
    console.next(given.without("plan"))
    return lines


def _count(judged: Judged) -> int:
    """Examples to take; 0 is all. Predictions answer the whole split unless --eval_samples was typed."""
    asked = judged.resolved.sources.get("evaluation.eval_samples") == "--eval_samples"
    return 0 if judged.predictions and not asked else judged.resolved.config.evaluation.eval_samples


def _score(judged: Judged, split: str | None, console: Console) -> Any:
    from lorascope.evaluation.metrics import with_metrics
    from lorascope.evaluation.predictions import read_predictions, score_predictions
    from lorascope.tasks.split import load_evaluation

    data = judged.resolved.config.data
    if judged.resolved.config.evaluation.constrained:
        raise ConfigError("flags-exclude", "--constrained is for answers that are made here", "leave it out")
    task = with_metrics(find_task(data), judged.resolved.config.evaluation.metrics)
    assert judged.predictions is not None
    predictions = read_predictions(judged.predictions)
    examples = load_evaluation(task, data, _count(judged), split=split)
    console.note(*examples.notes)
    evaluation = score_predictions(task, examples, predictions, source=str(judged.predictions))
    console.note(*(f"{name} is left out: {why}" for name, why in evaluation.settings.get("left_out", {}).items()))
    return evaluation


def _generate(judged: Judged, split: str | None, console: Console) -> Any:
    console.note("  loading   torch and transformers")
    from lorascope.evaluation.evaluator import base_of_adapter, evaluate_model
    from lorascope.runs.logs import captured

    config = judged.resolved.config
    model = replace(config.model, model_id=judged.base or base_of_adapter(judged.adapter))
    with captured(verbose=console.verbose) as caught:
        evaluation = evaluate_model(model, judged.adapter, config.data, config.evaluation, split=split, console=console)
    console.note(*(f"  note      {note}" for note in evaluation.settings["data"]["notes"]))
    if caught.warnings:
        console.note(f"  {caught.warnings} warnings of other libraries   (-v shows them)")
    return evaluation


def _interval(low: float, high: float) -> str:
    return f"[{short(low)}, {short(high)}]" if low == low and high == high else "-"
