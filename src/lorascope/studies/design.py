"""A study as data: tasks, arms and seeds, and the runs that they make. No torch, no files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from lorascope.analysis.hypotheses import Hypothesis
from lorascope.config.experiment import ExperimentConfig, TrainingConfig
from lorascope.config.load import resolve
from lorascope.config.settings import by_flag
from lorascope.errors import ConfigError, LorascopeError
from lorascope.runs import rundir

Settings = Mapping[str, "str | bool"]
"""Flag without dashes -> its text, or a bool: what a command line would say."""
Cell = tuple[str, str]
"""(task, arm)"""
Stage = Literal["tuning", "main"]

SEEDS = (1, 2, 3, 4, 5)
TUNING_SEED = 101
"""Of the runs that choose a learning rate, by their validation loss: none of the seeds that are judged."""
WINDOW = 0.1
"""Share of the steps that counts as early."""
LIKE = "like_lengths:"
"""A task with `dataset: like_lengths:NAME` has those rows of NAME whose prompts and answers are as long as some of the
other tasks so made: they are written before the first run, and so is what the runs read."""
MIXED = "mixed:"
"""An arm with `allocation: mixed:ARM` gets its ranks from the weight norms of ARM's tuning run."""
RUNS = rundir.STUDY_RUNS
"""Folder of the run folders, in the study's."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A grid and what it is to decide."""

    name: str
    title: str
    """What it asks, a sentence."""
    common: Settings
    """Settings of every run; those of the task, then of the arm, go over them."""
    tasks: Mapping[str, Settings]
    """Name -> settings beyond `dataset`, which is the name unless they say otherwise."""
    arms: Mapping[str, Settings]
    seeds: tuple[int, ...] = SEEDS
    lrs: tuple[str, ...] = ()
    """Learning rates that every cell chooses from, by validation loss of one run each; none: that of the settings."""
    left_out: tuple[Cell, ...] = ()
    """Cells that are not run."""
    early_only: tuple[str, ...] = ()
    """Tasks whose runs end with the early window, since nothing later is judged."""
    hypotheses: tuple[Hypothesis, ...] = ()

    def __post_init__(self) -> None:
        if self.name.strip() in ("", ".", "..") or any(c in self.name for c in "/\\\0"):
            raise ConfigError("study-file", f"a study's name is a plain folder name, got {self.name!r}")
        for what, names in (("tasks", self.tasks), ("arms", self.arms), ("seeds", self.seeds)):
            if not names:
                raise ConfigError("study-file", f"study {self.name} has no {what}")
        if len(set(self.seeds)) < len(self.seeds) or TUNING_SEED in self.seeds:
            what = f"seeds must differ from each other and from {TUNING_SEED}, which chooses learning rates"
            raise ConfigError("study-file", f"study {self.name}: {what}")
        if unknown := set(self.early_only) - set(self.tasks):
            what = f"early_only names {', '.join(sorted(unknown))}, which is no task of it"
            raise ConfigError("study-file", f"study {self.name}: {what}")
        if len(self.like_lengths) == 1:
            raise ConfigError("study-file", f"study {self.name}: rows are of like length in two tasks or more")
        for arm, settings in self.arms.items():
            if (pilot := _pilot(settings)) and (pilot not in self.arms or _pilot(self.arms[pilot])):
                what = f"arm {arm} is mixed from {pilot}, which is no arm with ranks of its own"
                raise ConfigError("study-file", f"study {self.name}: {what}")

    @property
    def cells(self) -> list[Cell]:
        """Every task with every arm, but those left out."""
        return [(task, arm) for task in self.tasks for arm in self.arms if (task, arm) not in self.left_out]

    @property
    def like_lengths(self) -> dict[str, str]:
        """Task -> the data set whose rows it has in part."""
        named = {task: str(own.get("dataset", "")) for task, own in self.tasks.items()}
        return {task: name.removeprefix(LIKE) for task, name in named.items() if name.startswith(LIKE)}

    def pilot(self, arm: str) -> str | None:
        """The arm whose tuning run gives this one its ranks."""
        return _pilot(self.arms[arm])

    def to_dict(self) -> dict[str, Any]:
        """The plan: all that must not change once runs are there."""
        return {
            "name": self.name,
            "title": self.title,
            "common": dict(self.common),
            "tasks": {name: dict(settings) for name, settings in self.tasks.items()},
            "arms": {name: dict(settings) for name, settings in self.arms.items()},
            "seeds": list(self.seeds),
            "lrs": list(self.lrs),
            "tuning_seed": TUNING_SEED,
            "left_out": [list(cell) for cell in self.left_out],
            "early_only": list(self.early_only),
            "hypotheses": [hypothesis.to_dict() for hypothesis in self.hypotheses],
        }


@dataclass(frozen=True)
class Trial:
    """One run of a study."""

    task: str
    arm: str
    seed: int
    stage: Stage
    config: ExperimentConfig = field(repr=False)
    early: int
    """Steps that count as early: a tenth of a whole run's, which this one may not be."""

    @property
    def folder(self) -> Path:
        """Its run folder; runs of one configuration share it, whatever the study calls them."""
        return Path(self.config.output_dir) / self.config.run_name

    @property
    def name(self) -> str:
        """In words."""
        lr = f" lr {self.config.training.lr:g}" if self.stage == "tuning" else ""
        return f"{self.task} {self.arm}{lr} seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What is known only when the study has begun: rows of like length, and what the tuning runs chose."""

    rows: Mapping[str, Settings] = field(default_factory=dict)
    """Task of `like_lengths` -> settings that name its file."""

    lrs: Mapping[Cell, str] = field(default_factory=dict)
    allocations: Mapping[Cell, str] = field(default_factory=dict)
    """File of the ranks of a mixed arm."""


def tuning_trials(study: Study, folder: Path, rows: Mapping[str, Settings]) -> list[Trial]:
    """The runs that choose learning rates, and those whose weight norms make mixed arms."""
    pilots = {(task, pilot) for task, arm in study.cells if (pilot := study.pilot(arm))}
    out = []
    for task, arm in study.cells:
        if study.pilot(arm) is None and (study.lrs or (task, arm) in pilots):
            for lr in study.lrs or (None,):
                more = {**rows.get(task, {}), **({"lr": lr} if lr is not None else {})}
                out.append(_trial(study, folder, task, arm, TUNING_SEED, "tuning", more))
    return out


def main_trials(study: Study, folder: Path, choices: Choices) -> list[Trial]:
    """The runs that are judged, seed after seed, so that whatever is there is paired."""
    out = []
    for seed in study.seeds:
        for task, arm in study.cells:
            more = {**choices.rows.get(task, {})}
            lr = choices.lrs.get((task, study.pilot(arm) or arm))
            if lr is not None:
                more["lr"] = lr
            if study.pilot(arm):
                more["allocation"] = choices.allocations[task, arm]
            out.append(_trial(study, folder, task, arm, seed, "main", more))
    return out


def settings_of(study: Study, task: str, arm: str) -> dict[str, str | bool]:
    """The settings of a cell; those of a mixed arm without its ranks, which come later, as rows of like length do."""
    merged = {**study.common, "dataset": task, **study.tasks[task], **study.arms[arm]}
    merged["dataset"] = study.like_lengths.get(task, merged["dataset"])
    if study.pilot(arm):
        del merged["allocation"]
    return merged


def with_settings(study: Study, given: Settings, seeds: tuple[int, ...] | None) -> Study:
    """The study with settings from a command line over its common ones. ConfigError for those that make its arms.

    A budget goes to every arm that has one, if it is not a common setting.
    """
    given, arms = dict(given), study.arms
    if "budget" in given and "budget" not in study.common:
        arms = _at_budget(study, str(given.pop("budget")))
    for flag in given:
        owner = next((name for name, own in {**study.tasks, **study.arms}.items() if flag in own), None)
        if owner is not None or flag in ("dataset", "seed"):
            what = f"study {study.name} sets --{flag} itself" + (f", in {owner}" if owner else "")
            raise ConfigError("flags-exclude", what, *(["--seeds 1 2 3 4 5"] if flag == "seed" else ["leave it out"]))
    common = {**study.common}
    if "data_dir" in given:
        common.pop("data_source", None)
    tasks = {name: {**own} for name, own in study.tasks.items()}
    for name, own in tasks.items():
        if str(own.get("dataset", name)).startswith("builtin_") and "data_dir" in given:
            own |= {"data_dir": "none", "data_source": "builtin"}
    return replace(
        study,
        common={**common, **given},
        tasks=tasks,
        arms=arms,
        seeds=seeds or study.seeds,
        lrs=() if "lr" in given else study.lrs,
    )


def _at_budget(study: Study, budget: str) -> dict[str, Settings]:
    """The arms, those with a budget at this one. ConfigError where there are none, or it would tell them apart."""
    shared = [name for name, own in study.arms.items() if "budget" in own]
    if not shared:
        what = f"no arm of study {study.name} has a budget that --budget could replace"
        raise ConfigError("flags-exclude", what, "leave it out", "a study file with arms of one budget")
    if budget.strip().startswith("r="):
        what = f"--budget {budget} is another number for every target, and arms of study {study.name} share one"
        raise ConfigError("flags-exclude", what, f"--budget like=attention_only+mlp_only:{budget.strip()}")
    return {name: {**own, **({"budget": budget} if name in shared else {})} for name, own in study.arms.items()}


def jobs_of(trials: list[Trial]) -> Iterator[Trial]:
    """One trial for every run folder: cells of one configuration are one run."""
    seen = set()
    for trial in trials:
        if trial.folder not in seen:
            seen.add(trial.folder)
            yield trial


def _trial(study: Study, folder: Path, task: str, arm: str, seed: int, stage: Stage, more: Settings) -> Trial:
    flags = {**settings_of(study, task, arm), "seed": str(seed), **more}
    if "dataset" in more:  # a file says itself where its rows are
        flags = {flag: value for flag, value in flags.items() if flag not in ("data_source", "data_dir")}
    try:
        config = resolve(flags).config
    except LorascopeError as error:
        what = f"study {study.name}, task {task}, arm {arm}: {error.what}"
        raise ConfigError(error.code, what, *error.tries) from None
    early = math.ceil(WINDOW * config.training.max_steps)
    if task in study.early_only:
        config = replace(config, training=_ended(config.training, early))
    name = f"{config.run_name}_{config.hash[:8]}"
    return Trial(task, arm, seed, stage, replace(config, output_dir=str(folder / RUNS), experiment_name=name), early)


def _ended(training: TrainingConfig, step: int) -> TrainingConfig:
    """The same training ended after a step: its steps so far are the same, bit for bit.

    That is so where they are all warm-up, since what comes after it depends on where the schedule ends; where they are
    not, the training stays whole.
    """
    if not step - 1 <= training.warm_up <= step:
        return training
    return replace(training, max_steps=step, warmup_steps=training.warm_up, eval_every=step, save_every=step)


def _pilot(settings: Settings) -> str | None:
    value = str(settings.get("allocation", ""))
    return value.removeprefix(MIXED) if value.startswith(MIXED) else None


def check_flags(where: str, settings: Mapping[str, Any]) -> None:
    """ConfigError for a key that is no setting, or one that a study sets itself."""
    for key, value in settings.items():
        if key in ("seed", "output_dir", "experiment_name") or key not in by_flag():
            raise ConfigError(
                "study-file", f'{where}: "{key}" is not a setting of a study\'s runs', "lorascope check --list"
            )
        if not isinstance(value, (str, bool)):
            raise ConfigError("study-file", f"{where}: {key} must be one value, not a list or a block")
