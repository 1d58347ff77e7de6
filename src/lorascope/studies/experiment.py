"""A study from its plan to its verdicts: tuning runs, what they choose, the runs that are judged, one table, a page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lorascope.analysis.hypotheses import Verdict, judge_all
from lorascope.errors import RunError
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.studies import results
from lorascope.studies.design import Choices, Study, Trial, jobs_of, main_trials, tuning_trials
from lorascope.studies.like_lengths import lay_down_rows
from lorascope.studies.local import Failure
from lorascope.studies.view import Progress, watching
from lorascope.studies.whole import done

PLAN, VERDICTS = rundir.STUDY_PLAN, rundir.STUDY_VERDICTS
CHOICES, LOGS, ALLOCATIONS = "choices.json", "logs", "allocations"

Execute = Callable[[Sequence[Trial], Path, Progress], list[Failure]]
"""(trials, folder of the logs, progress) -> those that failed; makes the run folders whole."""


@dataclass(frozen=True)
class StudyRecord:
    """A study that is done."""

    folder: Path
    study: Study
    table: pd.DataFrame
    """`results.collect` of all runs."""
    verdicts: list[Verdict]


def run_study(study: Study, folder: Path, execute: Execute, console: Console) -> StudyRecord:
    """Run what is not there yet, then judge. Whatever was finished before is kept, so that it can be stopped any time.

    Errors: RunError for a folder that holds another study, for runs that failed twice (the others are finished and
    written down first); Interrupted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with rundir.locked(folder):
        _lay_down(study, folder)
        rows = lay_down_rows(study, folder)
        tuning = tuning_trials(study, folder, rows)
        failures = _run(tuning, "tuning", folder, execute, console)
        _refuse_failures(failures, len(tuning))  # without them nothing can be chosen
        choices = replace(choose(study, folder, tuning), rows=rows)
        main = main_trials(study, folder, choices)
        failures = _run(main, "runs", folder, execute, console)
        there = {failure.trial.folder for failure in failures}
        table = results.collect([t for t in (*tuning, *main) if t.folder not in there])
        results.write(table, folder)
        verdicts = judge_all(study.hypotheses, results.values(table))
        rundir.write_json(folder / VERDICTS, [verdict.to_dict() for verdict in verdicts])
        _refuse_failures(failures, len(main))
    return StudyRecord(folder, study, table, verdicts)


def choose(study: Study, folder: Path, tuning: Sequence[Trial]) -> Choices:
    """The learning rate of every cell, by validation loss; the ranks of mixed arms, by their pilot's weight norms."""
    best: dict[tuple[str, str], tuple[float, Trial]] = {}
    for trial in tuning:
        loss = rundir.read_json(trial.folder / rundir.RESULTS)["best_validation_loss"]
        cell = (trial.task, trial.arm)
        if cell not in best or loss < best[cell][0]:
            best[cell] = (loss, trial)
    lrs = {cell: repr(trial.config.training.lr) for cell, (_, trial) in best.items()} if study.lrs else {}
    allocations = {
        (task, arm): _mixed(best[task, pilot][1], folder / ALLOCATIONS / f"{task}_{arm}")
        for task, arm in study.cells
        if (pilot := study.pilot(arm))
    }
    if tuning:
        plain = [{"task": t, "arm": a, "lr": lr} for (t, a), lr in lrs.items()]
        mixed = [{"task": t, "arm": a, "allocation": file} for (t, a), file in allocations.items()]
        rundir.write_json(folder / CHOICES, plain + mixed)
    return Choices(lrs=lrs, allocations=allocations)


def _mixed(pilot: Trial, stem: Path) -> str:
    """The file of an allocation at the pilot's parameters: in every layer the group whose update is larger."""
    from lorascope.analysis.allocating.methods import Evidence
    from lorascope.models.base import load_config_only
    from lorascope.runs.adapting import choose as choose_modules
    from lorascope.runs.allocating import allocation_for

    base = load_config_only(pilot.config.model)
    modules = choose_modules(base, pilot.config.lora).targets
    table = pd.read_parquet(pilot.folder / rundir.GRADIENT_TABLE)
    updates = table[table["score"] == "update_sq"]
    last = updates[updates["step"] == updates["step"].max()].groupby("module", observed=True)["value"].sum()
    budget = rundir.read_json(pilot.folder / rundir.RESULTS)["parameters"]["trained"]
    weights = Evidence(scores={path: float(v) ** 0.5 for path, v in last.items()})
    scaling = pilot.config.lora.lora_alpha / pilot.config.lora.r
    allocation = allocation_for(modules, budget, "mixed", weights, scaling=scaling, base_model=base.model_id)
    text = allocation.to_json()
    # The digest is in the name, so that other ranks are another configuration.
    file = stem.with_name(f"{stem.name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    rundir.write_text(file, text)
    return str(file)


def _lay_down(study: Study, folder: Path) -> None:
    """Write the plan before the first run; refuse a folder that holds another one, or something else."""
    plan: dict[str, Any] = json.loads(json.dumps(study.to_dict()))  # as it reads back
    file = folder / PLAN
    if not file.is_file():
        if any(folder.iterdir()):
            raise RunError("not-a-study", f"{folder} exists and holds no study", "--output_dir OTHER")
        rundir.write_json(file, plan)
    elif (found := rundir.read_json(file)) != plan:
        changed = ", ".join(key for key in plan if found.get(key) != plan[key])
        raise RunError(
            "other-study",
            f"{folder} holds a study with another plan ({changed}); a plan is not changed after its first run",
            "--output_dir OTHER",
        )


def _run(trials: list[Trial], label: str, folder: Path, execute: Execute, console: Console) -> list[Failure]:
    """Make the runs that are not whole yet: a finished one is told by the hash of its configuration, in its name."""
    jobs = list(jobs_of(trials))
    left = [trial for trial in jobs if not done(trial.folder)]
    if jobs and len(left) < len(jobs):
        console.note(f"  {label:<7} {len(jobs) - len(left)} of {len(jobs)} are there already")
    if not left:
        return []
    with watching(console, len(jobs), len(jobs) - len(left), label) as progress:
        return execute(left, folder / LOGS, progress)


def _refuse_failures(failures: Sequence[Failure], total: int) -> None:
    if failures:
        each = "; ".join(f"{f.trial.name} ({f.error}, see {f.log})" for f in failures[:3])
        more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
        raise RunError(
            "study-failed", f"{len(failures)} of {total} runs failed twice: {each}{more}", "the same command again"
        )
