"""How many trained parameters a budget is in a given model: pure functions, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from lorascope.config.budget import Budget
from lorascope.config.experiment import TARGETS
from lorascope.errors import ModelError
from lorascope.models.selection import select
from lorascope.models.target import TargetModule


def like(budget: Budget, modules: Sequence[TargetModule], *, tied: bool, model_id: str) -> list[Sequence[TargetModule]]:
    """The modules of every target that a budget is like; none for other budgets. NoTargets where one has none."""
    named = [target for target in TARGETS if target in budget.targets]
    return [select(modules, target, tied=tied, model_id=model_id) for target in named]


def budget_params(
    budget: Budget,
    modules: Sequence[TargetModule],
    targets: Sequence[TargetModule],
    *,
    total: int,
    tied: bool,
    model_id: str,
) -> int:
    """Trained parameters that may be used at most.

    `modules`: all of the model; `targets`: those that share the budget; `total`: parameters of the base model. r=8 is
    what the targets cost at rank 8, like=attention_only:r=8 what those of another target cost, of several named ones
    the least (`analysis.budgets.common_budget` makes of that what all can use up). Errors: ModelError where the budget
    is below the cheapest adapter; NoTargets where another target matches nothing.
    """
    if budget.kind == "params":
        asked = int(budget.amount)
    elif budget.kind == "share":
        asked = math.floor(Fraction(budget.text.rstrip("% ")) * total / 100)  # 0.29 * 100 is below 29 in floats
    else:
        alike = like(budget, modules, tied=tied, model_id=model_id) or [targets]
        asked = int(budget.amount) * min(sum(module.cost_per_rank for module in group) for group in alike)
    cheapest = min(module.cost_per_rank for module in targets)
    if asked < cheapest:
        raise ModelError(
            "budget-too-small",
            f"--budget {budget.text} is {asked:,} parameters; the smallest adapter in {model_id} has {cheapest:,}",
            f"--budget params={cheapest}   (one module, rank 1)",
            f"--budget params={sum(module.cost_per_rank for module in targets)}   (rank 1 everywhere)",
        )
    return asked
