"""The learning rate of adapters that were switched on rises again, each by itself and for a few steps.

An optimizer has one learning rate per parameter group. A group more for each adapter would stand in every checkpoint
and shut out checkpoints without them, so the groups are split for the length of one step only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from lorascope.models.target import TargetModule
from lorascope.training.phases import Phase, active_since


def factor(phases: Sequence[Phase], step: int, module: TargetModule, warmup: int) -> float:
    """What the learning rate of an adapter is multiplied with after `step` updates: (n + 1) / (warmup + 1).

    n: updates since it was switched on; 1 from `warmup` on, and for what has trained from the start or is off.
    """
    since = active_since(phases, step, module)
    return min(1.0, (step - since + 1) / (warmup + 1)) if since else 1.0


def split(optimizer: Any, factors: Mapping[nn.Parameter, float]) -> Callable[[], None]:
    """Give parameters their own learning rate, that of their group times a factor; returns what undoes it."""
    groups = optimizer.param_groups
    whole = [group["params"] for group in groups]
    for group in list(groups):
        slow = defaultdict(list)
        for parameter in group["params"]:
            if parameter in factors:
                slow[factors[parameter]].append(parameter)
        if not slow:
            continue
        group["params"] = [parameter for parameter in group["params"] if parameter not in factors]
        groups.extend({**group, "params": members, "lr": group["lr"] * times} for times, members in slow.items())

    def undo() -> None:
        del groups[len(whole) :]
        for group, members in zip(groups, whole, strict=True):
            group["params"] = members

    return undo
