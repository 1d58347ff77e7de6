"""Which modules train next: the most sensitive ones, told from the log of the gradients. No torch here.

A choice is a function of the log up to its step, the seed and its number, and of nothing that is remembered, so a
training that goes on from a checkpoint chooses as it did.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lorascope.config.phases import Phase, SensitivityPhases
from lorascope.errors import ConfigError, TrainingError
from lorascope.measure.records import ABSENT, Series
from lorascope.models.target import TargetModule


@dataclass(frozen=True)
class Choice:
    """What a choice was, and why."""

    phase: Phase
    explored: tuple[str, ...]
    """Paths of the modules that were drawn at random."""
    sensitivity: Mapping[str, float]
    """Path -> the value by which it was ranked, for every module with an adapter."""

    def to_dict(self) -> dict[str, Any]:
        """The phase, as in `phase_configs`, with the reasons beside it."""
        return {**self.phase.to_dict(), "explored": list(self.explored), "sensitivity": dict(self.sensitivity)}


def check_budget(settings: SensitivityPhases, parameters: Mapping[str, int]) -> None:
    """Raise ConfigError where the budget, or its share for exploration, holds no module, and so would do nothing.

    `parameters`: path of every module with an adapter -> its trained parameters.
    """
    smallest, total = min(parameters.values()), sum(parameters.values())
    for name, share in (("budget", settings.budget), ("explore", settings.budget * settings.explore)):
        if (name == "budget" or share > 0) and share * total < smallest:
            what = f"{getattr(settings, name):g} gives {share * total:,.0f} of the adapters' {total:,} parameters"
            enough = smallest / total / (settings.budget if name == "explore" else 1)
            tries = [f"{name} {np.ceil(enough * 100) / 100:g} or more"] if enough < 1 else []
            off = ["explore 0   (none at random)"] if name == "explore" else []
            raise ConfigError("phases", f"{name} {what}, less than any module has ({smallest:,})", *tries, *off)


def choose(settings: SensitivityPhases, phase: Phase, gradients: Series, modules: Mapping[TargetModule, int]) -> Choice:
    """The modules that train in an open phase, from the rows of the log up to its start.

    First, modules drawn at random, while they fit into the share for exploration; then, in the order of their
    sensitivity, each that still fits into the budget. `modules`: every module with an adapter -> its trained
    parameters. Raises TrainingError where the log has no gradient of a module, neither now nor before.
    """
    values = sensitivity(gradients, phase.start_step, settings.every)
    unseen = [module.path for module in modules if module.path not in values]
    if unseen:
        raise TrainingError(
            "no-measurements",
            f"the log has no finite gradient of {unseen[0]} up to step {phase.start_step}, so the phase that begins "
            "there cannot be chosen",
            "GradientNormCallback(FOLDER), and the same folder when the training goes on",
        )
    left = settings.budget * sum(modules.values())
    at_random = left * settings.explore
    mixed = list(modules)
    random.Random(f"{settings.seed} {phase.start_step // settings.every}").shuffle(mixed)
    explored: list[TargetModule] = []
    for module in mixed:
        if modules[module] <= at_random:
            at_random -= modules[module]
            explored.append(module)
    chosen = set(explored)
    left -= sum(modules[module] for module in explored)
    for module in sorted(modules, key=lambda module: -values[module.path]):  # of equal ones the first in the model
        if module not in chosen and modules[module] <= left:
            left -= modules[module]
            chosen.add(module)
    groups = frozenset(module.group for module in chosen)
    paths = frozenset(module.path for module in chosen)
    at_random_paths = tuple(module.path for module in explored)
    return Choice(replace(phase, active_modules=groups, modules=paths), at_random_paths, values)


def sensitivity(gradients: Series, step: int, every: int) -> dict[str, float]:
    """Mean squared gradient per parameter of each module, alpha / r taken out, as last seen at `step`.

    (|g_A|^2 + |g_B|^2) / s^2 / parameters, the mean over the steps of the newest window of `every` steps up to `step`
    in which the module was measured and finite; (nats/token)^2. A module that never was is left out. s = alpha / r
    scales both gradients alike, and a mean per parameter does not grow with the rank or the size of a module.
    """
    before = gradients.keep(lambda measured: measured <= step)
    paths, sums = before.sums("module", scale="per_scaling")
    parameters = before.parameters("module")
    window = (before.steps - 1) // every  # the steps 1 to `every` are the first
    found: dict[str, float] = {}
    for i, path in enumerate(paths):
        there = (sums[:, i] != ABSENT) & np.isfinite(sums[:, i])
        if there.any():
            newest = there & (window == window[there].max())
            found[path] = float(sums[newest, i].mean() / parameters[path])
    return found
