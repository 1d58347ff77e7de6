"""Which modules train at which step: from a configuration to phases, and from a phase to its modules. No torch here.

The phases of a training follow each other without gap or overlap from the first update to the last, so the phase is a
function of the number of updates done and of nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from lorascope.config.experiment import ExperimentConfig
from lorascope.config.phases import MODULE_GROUPS, STRATEGIES, Phase, read_phases
from lorascope.errors import ConfigError
from lorascope.models.selection import GROUPS
from lorascope.models.target import TargetModule

__all__ = [
    "Phase", "active_steps", "check_phases", "depth", "draw_phases", "is_active", "outline", "phase_at", "plan_phases",
    "read_phases",
]  # fmt: skip

_PARTS = {
    "attn": frozenset({"attention"}),
    "mlp": frozenset({"mlp"}),
    "both": frozenset({"attention", "mlp"}),
}
"""A part of a strategy's name -> the groups that train."""

_WIDTH = 44
"""Columns of a drawn time line."""


def plan_phases(config: ExperimentConfig, num_layers: int) -> tuple[Phase, ...]:
    """The phases of a run of a model with `num_layers` layers; () where it has none.

    early-late trains the first half of the layers, then the second; with an odd number the middle layer is early, as in
    the plots. An adapter on the embedding goes with the early layers, one on the head with the late ones. Ends that
    are not given divide evenly what the given ones leave. Raises ConfigError, with the time line drawn, for phases that
    do not fit together, into max_steps, or to the adapters.
    """
    phases = outline(config)
    if config.dynamic_lora.phase_strategy == "early-late":
        if num_layers < 2:
            what = f"early-late needs at least 2 layers; this model has {num_layers}"
            raise ConfigError("phases", what, f"--phase_strategy {STRATEGIES[0]}")
        middle = (num_layers + 1) // 2
        early, late = phases
        phases = (
            Phase(early.start_step, early.end_step, early.active_modules, (0, middle - 1)),
            Phase(late.start_step, late.end_step, late.active_modules, (middle, num_layers - 1)),
        )
    if phases:
        check_phases(phases, config.training.max_steps, num_layers=num_layers)
    return phases


def outline(config: ExperimentConfig) -> tuple[Phase, ...]:
    """The phases of a run as far as they are known without the model: those of early-late have no layers yet.

    Raises the same errors as `plan_phases`, but for those about layers.
    """
    dynamic, max_steps = config.dynamic_lora, config.training.max_steps
    if not dynamic.enabled:
        return ()
    groups: tuple[str, ...] = GROUPS[config.lora.target]
    if dynamic.phase_configs:
        check_phases(dynamic.phase_configs, max_steps, groups=groups)
        return dynamic.phase_configs
    if dynamic.phase_strategy == "early-late":
        active = [frozenset(groups) - {"lm_head"}, frozenset(groups) - {"embed"}]
    else:
        active = [_PARTS[part] for part in str(dynamic.phase_strategy).split("-")]
    given = [dynamic.phase1_end, dynamic.phase2_end][: len(active) - 1]
    ends = _ends(max_steps, given)
    phases = tuple(Phase(start, end, part) for start, end, part in zip([0, *ends], ends, active, strict=False))
    check_phases(phases, max_steps, groups=groups, tries=_fitting_flags(max_steps, given))
    idle = [group for group in groups if not any(group in phase.active_modules for phase in phases)]
    if idle:
        what = f"{dynamic.phase_strategy} never trains the adapters on {', '.join(idle)}"
        raise _error(phases, max_steps, what, "--target both")
    return phases


def _ends(max_steps: int, given: Sequence[int | None]) -> list[int]:
    """The end of each phase; those that are None divide what lies between their neighbours evenly."""
    ends: list[int] = []
    for i, end in enumerate(given):
        before = ends[-1] if ends else 0
        ahead, following = next((j, e) for j, e in enumerate([*given[i:], max_steps], 1) if e is not None)
        ends.append(end if end is not None else before + max(0, following - before) // ahead)
    return [*ends, max_steps]


def _fitting_flags(max_steps: int, given: Sequence[int | None]) -> list[str]:
    """Command lines whose phases fit: even ends, or more steps where the given ends want them."""
    count = len(given) + 1
    steps = max(max_steps, count)
    flags = [*(f"--phase{i}_end {steps * i // count}" for i in range(1, count)), f"--max_steps {steps}"]
    last = max((end for end in given if end is not None), default=0)
    return [" ".join(flags), *([f"--max_steps {last * count // len(given)}"] if last >= max_steps else [])]


def check_phases(
    phases: Sequence[Phase],
    max_steps: int,
    *,
    groups: Collection[str] | None = None,
    num_layers: int | None = None,
    modules: Collection[TargetModule] | None = None,
    tries: Sequence[str] = (),
) -> None:
    """Raise ConfigError, with the time line drawn, unless the phases cover each of max_steps updates exactly once.

    Where given, `groups` (those that have an adapter), `num_layers` (of the model) and `modules` (those that have an
    adapter; then also their groups) must have what the phases train. `tries`: what would help, where the error has
    nothing better to say.
    """
    if modules is not None:
        groups = {module.group for module in modules}
    last = max(phase.end_step for phase in phases)
    if last > max_steps:
        what = f"the phases go on to {last:,}, past max_steps {max_steps:,}"
        raise _error(phases, max_steps, what, *(tries or (f"end_step {max_steps}", f"--max_steps {last}")))
    for number, phase in enumerate(phases, 1):
        if phase.start_step >= phase.end_step:
            ends = f"it starts at {phase.start_step:,} and ends at {phase.end_step:,}"
            raise _error(phases, max_steps, f"phase {number} ({phase.name}) is empty: {ends}", *tries)
        if not phase.active_modules:
            raise _error(phases, max_steps, f"phase {number} is empty: it trains no module", *tries)
    for before, after in zip([None, *phases], [*phases, None], strict=True):
        end = before.end_step if before else 0
        start = after.start_step if after else max_steps
        if end < start:
            what = f"no phase covers the updates from {end:,} to {start:,}"
            raise _error(phases, max_steps, what, *(tries or (f"a phase from {end} to {start}",)))
        if end > start:
            what = f"two phases cover the updates from {start:,} to {end:,}"
            raise _error(phases, max_steps, what, *(tries or (f"end_step {start}   (where the next one starts)",)))
    for phase in phases:
        without = [g for g in MODULE_GROUPS if groups is not None and g in phase.active_modules and g not in groups]
        if without:
            what = f"phase {phase} trains {', '.join(without)}, which has no adapter"
            raise _error(phases, max_steps, what, *_targets(phases))
        if num_layers is not None and phase.layer_range is not None and phase.layer_range[1] >= num_layers:
            what = f"phase {phase} goes past the last layer of the model, {num_layers - 1}"
            raise _error(phases, max_steps, what, f"layer_range up to {num_layers - 1}")
        if modules is not None and not any(is_active(phase, module) for module in modules):
            raise _error(phases, max_steps, f"phase {phase} trains nothing: these layers have no such adapter")


def _targets(phases: Sequence[Phase]) -> list[str]:
    """The smallest target that has an adapter for everything that the phases train."""
    wanted = {group for phase in phases for group in phase.active_modules}
    fitting = [target for target, groups in GROUPS.items() if wanted <= set(groups)]
    return [f"--target {fitting[0]}"] if fitting else []


def _error(phases: Sequence[Phase], max_steps: int, what: str, *tries: str) -> ConfigError:
    return ConfigError("phases", "\n".join([what, *draw_phases(phases, max_steps)]), *tries)


def draw_phases(phases: Sequence[Phase], max_steps: int) -> list[str]:
    """The time line, a line for each phase; gaps, overlaps and what lies past max_steps have lines of their own."""
    rows = [(phase.name, phase.start_step, phase.end_step, "#") for phase in phases]
    covered = 0
    for phase in phases:
        if phase.start_step > covered:
            rows.append(("gap", covered, phase.start_step, "!"))
        if phase.start_step < min(covered, phase.end_step):
            rows.append(("overlap", phase.start_step, min(covered, phase.end_step), "!"))
        covered = max(covered, phase.end_step)
    if covered < max_steps:
        rows.append(("gap", covered, max_steps, "!"))
    if covered > max_steps:
        rows.append(("past max_steps", max_steps, covered, "!"))
    total = max(covered, max_steps)
    names = max(len(name) for name, *_ in rows)
    starts, ends = (max(len(f"{row[i]:,}") for row in rows) for i in (1, 2))
    lines = []
    for name, start, end, mark in rows:
        first = start * _WIDTH // total
        length = max(1, end * _WIDTH // total - first) if end > start else 0
        bar = " " * first + mark * length
        lines.append(f"  {name:<{names}}  {start:>{starts},} to {end:<{ends},}  |{bar:<{_WIDTH}.{_WIDTH}}|")
    return lines


def phase_at(phases: Sequence[Phase], step: int) -> Phase:
    """The phase that is active when `step` updates are done; after the last update still the last one."""
    return next((phase for phase in phases if phase.start_step <= step < phase.end_step), phases[-1])


def is_active(phase: Phase, module: TargetModule) -> bool:
    """Whether a phase trains the adapter on a module."""
    if module.group not in phase.active_modules:
        return False
    if phase.layer_range is None or module.layer is None:
        return True
    first, last = phase.layer_range
    return first <= module.layer <= last


def active_steps(phases: Sequence[Phase], modules: Iterable[TargetModule]) -> dict[str, float]:
    """Updates that an adapter of each group gets over all phases: the mean over the group's modules."""
    updates: dict[str, list[int]] = {}
    for module in modules:
        steps = sum(phase.end_step - phase.start_step for phase in phases if is_active(phase, module))
        updates.setdefault(module.group, []).append(steps)
    means = {group: sum(steps) / len(steps) for group, steps in updates.items()}
    return {group: int(mean) if mean.is_integer() else round(mean, 2) for group, mean in means.items()}


def depth(modules: Iterable[TargetModule]) -> int:
    """Number of layers of a model."""
    return 1 + max((module.layer for module in modules if module.layer is not None), default=-1)
