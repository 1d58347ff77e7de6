"""`lorascope evaluate`: runs, adapters, a bare model, or predictions that were made elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorascope import __version__
from lorascope.cli_split import Given
from lorascope.config.experiment import ExperimentConfig
from lorascope.config.load import Resolved, flat, resolve
from lorascope.config.settings import Setting, settings
from lorascope.errors import ConfigError, RunError
from lorascope.report.terminal import Console, short
from lorascope.runs import rundir
from lorascope.tasks import TASKS, find_task, glance

if TYPE_CHECKING:
    from lorascope.tasks.custom import Glance


@dataclass(frozen=True)
class Candidate:
    """A model that is to be judged: a base, and as a rule an adapter."""

    name: str
    """What the tables and files call it."""
    adapter: Path | None
    base: str | None
    """None where the adapter tells it."""

    def __str__(self) -> str:
        if self.adapter is None:
            return f"{self.base} without adapter"
        return f"{self.adapter} on {self.base or 'its own base model'}"


@dataclass(frozen=True)
class Judged:
    """What is to be evaluated, and on what."""

    resolved: Resolved
    candidates: tuple[Candidate, ...]
    predictions: Path | None

    @property
    def name(self) -> str:
        """What is judged, in words."""
        if self.predictions:
            return f"the predictions in {self.predictions}"
        return ", ".join(map(str, self.candidates))


def evaluate(given: Given, console: Console) -> Any:
    """`lorascope evaluate [FOLDER...]`"""
    judged = _judged(given)
    config = judged.resolved.config
    seen = glance(config.data)
    split = given.get("split", seen.evaluation_split)
    console.note(f"lorascope {__version__}  evaluate {judged.name} | {config.data.dataset} {split or 'test'}")
    if given.get("plan"):
        return _plan(given, judged, seen, split or "test", console)
    evaluations: dict[str, Any] = {}
    several = len(judged.candidates) > 1
    output = Path(given.get("output")) if given.get("output") else None
    made = [("", _score(judged, split, console))] if judged.predictions else _generate(given, judged, split, console)
    for name, evaluation in made:
        evaluations[name] = evaluation
        if output:
            _save(evaluation, output / f"{name}.json" if several else output, console)
    _show(evaluations, console)
    bases = {candidate.base for candidate in judged.candidates if candidate.adapter}
    if len(bases) == 1 and None not in bases:
        console.next(shlex.join(["lorascope", "evaluate", *_bare(str(bases.pop()), config, given.get("split"))]))
    else:
        console.next("lorascope ls runs")
    plain = {name: evaluation.to_dict() for name, evaluation in evaluations.items()}
    return {"evaluations": plain} if several else next(iter(plain.values()))


def _show(evaluations: dict[str, Any], console: Console) -> None:
    """A table of all metrics; of several models, side by side for each metric."""
    first = next(iter(evaluations.values()))
    rows = [
        [metric, name, score.value, _interval(score.ci_low, score.ci_high), score.unit]
        for metric in first.metrics
        for name, score in ((name, evaluation.metrics[metric]) for name, evaluation in evaluations.items())
    ]
    headers = ["metric", "model", "value", "95 % interval", "unit"]
    if len(evaluations) == 1:
        headers, rows = [headers[0], *headers[2:]], [[row[0], *row[2:]] for row in rows]
    console.table(headers, rows)
    about = first.settings
    counted = f"{first.n:,} of {first.total:,} {first.split} examples"
    console.out(f"{counted}; intervals are over examples, not over seeds")
    console.out(f"why these: {about['examples']['chosen']}; {first.split}: {about['data']['why_split']}")


def _save(evaluation: Any, output: Path, console: Console) -> None:
    with rundir.writing(output.parent):
        output.parent.mkdir(parents=True, exist_ok=True)
    rundir.write_json(output, evaluation.to_dict())
    console.saved(output)


def _bare(base: str, config: ExperimentConfig, split: str | None) -> list[str]:
    """Flags that show what the base does without the adapter, on the same examples in the same way."""
    flags = ["--model", base, "--dataset", config.data.dataset, "--eval_samples", str(config.evaluation.eval_samples)]
    values = flat(config)
    for s in settings():
        value = values[s.path]
        if not _judges(s) or s.name in ("dataset", "eval_samples") or value == s.default:
            continue
        if s.kind is bool:
            flags.append(f"--{s.flag}" if value else f"--no_{s.flag}")
        else:
            flags += [f"--{s.flag}", "none" if value is None else str(value)]
    return flags + (["--split", split] if split else [])


def _judged(given: Given) -> Judged:
    """Read the folders, if there are some, and lay the flags over the configuration of runs."""
    predictions = Path(given.get("predictions")) if given.get("predictions") else None
    if predictions:
        folder = "folder" if given.arguments else None
        for other in (folder, *(f"--{flag}" for flag in ("merge", "engine") if given.get(flag))):
            if other:
                what = f"--predictions needs no {other}: it scores what is in the file"
                raise ConfigError("flags-exclude", what, "leave one out")
    elif not given.arguments and not given.get("model"):
        raise ConfigError(
            "nothing-to-evaluate",
            "evaluate needs a folder, --model or --predictions",
            "lorascope evaluate FOLDER",
            "lorascope evaluate --model ID_OR_FOLDER --dataset NAME",
        )
    if given.get("merge") and given.get("engine") == "vllm":
        raise ConfigError("flags-exclude", "--merge and --engine vllm exclude each other", "leave one out")
    folders = [Path(text) for text in given.arguments]
    adapters = [_adapter(folder) for folder in folders]
    own = [
        resolve(given.settings, files=[f / rundir.CONFIG]) if a != f else None
        for f, a in zip(folders, adapters, strict=True)
    ]
    runs = {folder: resolved for folder, resolved in zip(folders, own, strict=True) if resolved}
    _refuse_other_evaluations(runs)
    resolved = next(iter(runs.values()), None) or resolve(given.settings)
    if "data.dataset" not in resolved.sources:
        raise ConfigError(
            "no-task", "which task? the folder does not tell", f"--dataset NAME   ({', '.join(TASKS)}, or a file)"
        )
    typed = given.settings.get("model")
    bases = [mine.config.model.model_id if mine else typed for mine in own]
    candidates = tuple(map(Candidate, _names(folders), adapters, bases))
    if not folders and not predictions:
        candidates = (Candidate("base", None, resolved.config.model.model_id),)
    return Judged(resolved, candidates, predictions)


def _adapter(folder: Path) -> Path:
    """The adapter of a run, or the folder itself where it is one."""
    if (folder / rundir.CONFIG).is_file() and (folder / rundir.FINAL_MODEL).is_dir():
        return folder / rundir.FINAL_MODEL
    if (folder / "adapter_config.json").is_file():
        return folder
    raise RunError("no-adapter", f"{folder} holds neither a trained run nor an adapter", "lorascope ls runs")


ONLY_TRAINING = {
    "data": {"num_samples", "validation_split", "data_seed", "drop_duplicates", "loss_on"},
    "evaluation": {"enabled", "base", "samples", "eval_batch_tokens"},
    "model": {"model_id"},
}
"""Settings of these sections that may differ between runs in one table; a base may, since it is loaded anew then."""


def _judges(setting: Setting) -> bool:
    """Whether a setting decides on which examples a model is judged, or how."""
    return setting.section in ONLY_TRAINING and setting.name not in ONLY_TRAINING[setting.section]


def _refuse_other_evaluations(runs: dict[Path, Resolved]) -> None:
    """Several models are judged on the same examples in the same way, or their table would compare unlike things."""
    flats = {folder: flat(resolved.config) for folder, resolved in runs.items()}
    first = next(iter(runs), None)
    for folder, theirs in flats.items():
        mine = flats[first] if first else theirs
        for s in settings():
            if _judges(s) and mine[s.path] != theirs[s.path]:
                raise ConfigError(
                    "other-evaluation",
                    f"{first} and {folder} differ in {s.path}: {mine[s.path]} and {theirs[s.path]}; in one table all "
                    "are judged alike",
                    f"--{s.flag} VALUE   (the same for all)",
                    "lorascope evaluate   (each by itself)",
                )


def _names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: its last part, or as many as tell them apart."""
    parts = [folder.resolve().parts[1:] for folder in folders]
    for folder, mine in zip(folders, parts, strict=True):
        if parts.count(mine) > 1:
            raise ConfigError("named-twice", f"{folder} is named twice", "each folder once")
    for n in range(1, max(map(len, parts), default=0) + 1):
        names = ["_".join(mine[-n:]) for mine in parts]
        if len({*names}) == len(names):
            return names
    return []


def _plan(given: Given, judged: Judged, seen: Glance, split: str, console: Console) -> dict[str, Any]:
    config = judged.resolved.config
    how = config.evaluation
    answers = f"{how.decoding}, {how.eval_batch_tokens:,} tokens together"
    if seen.first is not None and seen.first.is_text:
        answers = "none: plain text is judged by the loss alone"
    lines = {
        "judged": judged.name,
        "engine": _how(given),
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


def _how(given: Given) -> str:
    """What makes the answers, in words."""
    if given.get("predictions"):
        return "none"
    merged = ", adapters merged for the time of it" if given.get("merge") else ""
    return f"{given.get('engine', 'transformers')}{merged}"


def _generate(given: Given, judged: Judged, split: str | None, console: Console) -> Iterator[tuple[str, Any]]:
    """(name, evaluation) of every model, in the order in which they were named where they have one base."""
    vllm = given.get("engine") == "vllm"
    console.note(f"  loading   torch and {'vllm' if vllm else 'transformers'}")
    from lorascope.evaluation.loading import base_of_adapter
    from lorascope.runs.logs import captured

    config = judged.resolved.config
    with_base: dict[str, list[Candidate]] = {}
    for candidate in judged.candidates:
        with_base.setdefault(candidate.base or base_of_adapter(candidate.adapter), []).append(candidate)
    notes: dict[str, None] = {}
    with captured(verbose=console.verbose) as caught:
        for base, candidates in with_base.items():
            asked = (
                replace(config.model, model_id=base),
                [c.adapter for c in candidates],
                config.data,
                config.evaluation,
            )
            if vllm:
                from lorascope.evaluation.vllm import evaluate_with_vllm

                made = evaluate_with_vllm(*asked, split=split)
            else:
                from lorascope.evaluation.judge import evaluate_models

                made = evaluate_models(*asked, split=split, merge=given.get("merge", False), console=console)
            for candidate, evaluation in zip(candidates, made, strict=True):
                if len(judged.candidates) > 1:
                    console.note(f"  judged    {candidate.name}")
                notes |= dict.fromkeys(_notes(evaluation))
                yield candidate.name, evaluation
    console.note(*(f"  note      {note}" for note in notes))
    if caught.warnings:
        console.note(f"  {caught.warnings} warnings of other libraries   (-v shows them)")


def _notes(evaluation: Any) -> list[str]:
    """What must be said about an evaluation."""
    left_out = evaluation.settings.get("left_out", {}).items()
    return [*evaluation.settings["data"]["notes"], *(f"{name} is left out: {why}" for name, why in left_out)]


def _interval(low: float, high: float) -> str:
    return f"[{short(low)}, {short(high)}]" if low == low and high == high else "-"
