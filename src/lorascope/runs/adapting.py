"""A run's adapters: which modules, with which ranks, and how many parameters that is of how many asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorascope.analysis.budgets import common_budget, match_budget, used_params
from lorascope.config.allocation import Allocation, constant_alphas, read_allocation
from lorascope.config.budget import parse_budget
from lorascope.config.experiment import TARGETS, LoRAConfig
from lorascope.errors import ModelError, RunError
from lorascope.models.adapters import AdaptedModel, coverage, parameter_counts
from lorascope.models.allocated import allocated_modules
from lorascope.models.base import BaseModel
from lorascope.models.budgets import budget_params, like
from lorascope.models.modules import find_modules
from lorascope.models.selection import select
from lorascope.models.target import TargetModule
from lorascope.report.run_summary import show_coverage
from lorascope.report.terminal import Console
from lorascope.runs import rundir


@dataclass(frozen=True)
class Chosen:
    """The modules that get an adapter, and their ranks."""

    modules: tuple[TargetModule, ...]
    """Every module that could have one."""
    targets: tuple[TargetModule, ...]
    """Those that get one."""
    allocation: Allocation | None
    """None where one rank is for all."""

    def facts(self, trained: int) -> dict[str, Any] | None:
        """{"asked", "used", "trained", "gap", "ranks"}: trained parameters, for the record; None without a budget."""
        if self.allocation is None:
            return None
        ranks = list(self.allocation.adapted.values())
        return {
            "method": self.allocation.method,
            "asked": self.allocation.budget_params,
            "used": self.allocation.used_params,
            "trained": trained,
            "gap": self.allocation.budget_params - trained,
            "ranks": [min(ranks), max(ranks)],
        }


def choose(base: BaseModel, lora: LoRAConfig, *, file: Path | None = None) -> Chosen:
    """The modules and ranks that the settings mean on this model.

    `file` is an allocation that goes before the settings: the copy in the folder of a run that goes on.
    Errors: NoTargets, ModelError, ConfigError.
    """
    modules = tuple(find_modules(base.model))
    if file is None and lora.allocation is not None:
        file = Path(lora.allocation)
    if file is not None:
        found = read_allocation(file)
        targets = allocated_modules(found, modules, model_id=base.model_id, tied=base.tied)
        return Chosen(modules, tuple(targets), found)
    if lora.budget is None:
        targets = select(modules, lora.target, tied=base.tied, model_id=base.model_id)
        return Chosen(modules, tuple(targets), None)
    targets, asked = budget_of(base, lora, modules)
    ranks = match_budget(targets, asked)
    matched = Allocation(
        ranks=ranks,
        alphas=constant_alphas(ranks, lora.lora_alpha / lora.r),
        budget_params=asked,
        used_params=used_params(targets, ranks),
        method="uniform",
        base_model=base.model_id,
    )
    return Chosen(modules, tuple(target for target in targets if ranks[target.path]), matched)


def budget_of(
    base: BaseModel, lora: LoRAConfig, modules: Sequence[TargetModule], among: Sequence[TargetModule] = ()
) -> tuple[list[TargetModule], int]:
    """The modules that share the budget of the settings, and the parameters that it is on this model.

    They are those of the target, or `among`.
    """
    assert lora.budget is not None
    targets = list(among) or select(modules, lora.target, tied=base.tied, model_id=base.model_id)
    total = sum(parameter.numel() for parameter in base.model.parameters())
    budget = parse_budget(lora.budget, TARGETS)
    asked = budget_params(budget, modules, targets, total=total, tied=base.tied, model_id=base.model_id)
    alike = like(budget, modules, tied=base.tied, model_id=base.model_id)
    if len(alike) < 2:
        return targets, asked
    common = common_budget(alike, asked)
    if not common:
        what = (
            f"in {base.model_id} no number of parameters up to {asked:,} is one that all targets of {lora.budget} can"
        )
        raise ModelError("budget-too-small", f"{what} use exactly", "a larger r", f"--budget params={asked}")
    return targets, common


def stored(folder: Path) -> Path | None:
    """The allocation that a run's folder holds; None where one rank is for all."""
    file = folder / rundir.ALLOCATION
    return file if file.is_file() else None


def refuse_other_ranks(lora: LoRAConfig, folder: Path) -> None:
    """RunError where the allocation file was changed since the run in the folder: its name alone is the same."""
    mine = stored(folder)
    if lora.allocation is None or mine is None or not Path(lora.allocation).is_file():
        return
    if not read_allocation(lora.allocation).same_adapters(read_allocation(mine)):
        what = f"{folder} holds a run with other ranks: {lora.allocation} has changed since"
        raise RunError("other-run", what, "--experiment_name OTHER", "--overwrite   (replace it)")


def show_adapters(chosen: Chosen, adapted: AdaptedModel, lora: LoRAConfig, console: Console) -> dict[str, Any] | None:
    """Print which modules are adapted, and the budget beside what trains. Returns the budget for the record."""
    counts = parameter_counts(adapted.model)
    ranks = chosen.allocation.ranks if chosen.allocation else None
    show_coverage(coverage(chosen.modules, chosen.targets, ranks), lora.r, counts, console)
    facts = chosen.facts(counts["trained"])
    if facts:
        console.out(budget_words(facts))
    return facts


def budget_words(facts: dict[str, Any]) -> str:
    """Asked, used and trained side by side."""
    low, high = facts["ranks"]
    ranks = f"rank {low}" if low == high else f"ranks {low} to {high}"
    gap = "left 0" if not facts["gap"] else f"left {facts['gap']:,}, the smallest gap there is"
    if facts["method"] != "uniform" and facts["gap"]:
        gap = f"left {facts['gap']:,}"
    return (
        f"budget: asked {facts['asked']:,}, used {facts['used']:,}, trained {facts['trained']:,} parameters; {gap}; "
        f"{facts['method']}, {ranks}"
    )
