"""Which modules train at which step: from a configuration to phases, and from a phase to its modules. No torch here.

The phases of a training follow each other without gap or overlap from the first update to the last, so the phase is a
function of the number of updates done and of nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from lorascope.config.experiment import ExperimentConfig
from lorascope.config.phases import (
    CHOOSING,
    HALVES,
    LISA_LAYERS,
    MODULE_GROUPS,
    STRATEGIES,
    Phase,
    SensitivityPhases,
    read_phases,
)
from lorascope.errors import ConfigError, near
from lorascope.models.selection import GROUPS
from lorascope.models.target import TargetModule

__all__ = [
    "Phase", "active_since", "active_steps", "check_phases", "depth", "draw_phases", "is_active", "left_open",
    "lisa_phases", "open_phases", "outline", "phase_at", "plan_phases", "read_phases", "sensitivity_of", "windows",
]  # fmt: skip

_PARTS = {
    "attn": frozenset({"attention"}),
    "mlp": frozenset({"mlp"}),
    "both": frozenset({"attention", "mlp"}),
}
"""A part of a strategy's name -> the groups that train."""

_WIDTH = 44
"""Columns of a drawn time line."""

_LINES = 12
"""Lines of a drawn time line at most; of more phases those in the middle are counted."""


def plan_phases(config: ExperimentConfig, num_layers: int) -> tuple[Phase, ...]:
    """The phases of a run of a model with `num_layers` layers; () where it has none.

    early-late trains the first half of the layers, then the second, late-early the other way round; with an odd number
    the middle layer is early, as in the plots. An adapter on the embedding goes with the early layers, one on the head
    with the late ones. Ends that are not given divide evenly what the given ones leave. lisa is `lisa_phases` with the
    run's seed. Those of sensitivity are open, but for the first, until the training chooses. Raises ConfigError, with
    the time line drawn, for phases that do not fit together, into max_steps, or to the adapters.
    """
    phases = outline(config)
    strategy = config.dynamic_lora.phase_strategy if phases else None
    if strategy in HALVES:
        if num_layers < 2:
            what = f"{strategy} needs at least 2 layers; this model has {num_layers}"
            raise ConfigError("phases", what, f"--phase_strategy {STRATEGIES[0]}")
        middle = (num_layers + 1) // 2
        halves = [(0, middle - 1), (middle, num_layers - 1)]
        order = halves if strategy == "early-late" else halves[::-1]
        phases = tuple(replace(phase, layer_range=half) for phase, half in zip(phases, order, strict=True))
    if strategy == "lisa":
        layers = config.dynamic_lora.phase_layers or LISA_LAYERS
        groups = phases[0].active_modules
        phases = lisa_phases(
            config.training.max_steps, _every(config), layers, num_layers, seed=config.training.seed, groups=groups
        )
    if phases:
        check_phases(phases, config.training.max_steps, num_layers=num_layers)
    return phases


def outline(config: ExperimentConfig) -> tuple[Phase, ...]:
    """The phases of a run as far as they are known without the model: those by layers have none yet (`left_open`).

    Raises the same errors as `plan_phases`, but for those about layers.
    """
    dynamic, max_steps = config.dynamic_lora, config.training.max_steps
    if not dynamic.enabled:
        return ()
    groups: tuple[str, ...] = GROUPS[config.lora.target]
    given: list[int | None] = []
    if dynamic.phase_configs:
        phases = dynamic.phase_configs
        check_phases(phases, max_steps, groups=groups)
    elif dynamic.phase_strategy in CHOOSING:
        phases = _choices(config, groups)
    else:
        strategy = str(dynamic.phase_strategy)
        if strategy in HALVES:
            active = {"early": frozenset(groups) - {"lm_head"}, "late": frozenset(groups) - {"embed"}}
        else:
            active = _PARTS
        parts = [active[part] for part in strategy.split("-")]
        given = [dynamic.phase1_end, dynamic.phase2_end][: len(parts) - 1]
        ends = _ends(max_steps, given)
        phases = tuple(Phase(start, end, part) for start, end, part in zip([0, *ends], ends, parts, strict=False))
        check_phases(phases, max_steps, groups=groups, tries=_fitting_flags(max_steps, given))
        idle = [group for group in groups if not any(group in phase.active_modules for phase in phases)]
        if idle:
            what = f"{strategy} never trains the adapters on {', '.join(idle)}"
            raise _error(phases, max_steps, what, "--target both")
    longest = max(phase.end_step - phase.start_step for phase in phases)
    if (dynamic.phase_warmup or 0) > longest:
        what = f"phase_warmup {dynamic.phase_warmup} is longer than every phase, the longest has {longest:,} updates"
        raise _error(phases, max_steps, what, f"--phase_warmup {longest}")
    return phases


def left_open(config: ExperimentConfig) -> str:
    """What `outline` cannot say without the model, in words that follow "by updates done"; "" where that is nothing."""
    first, _, second = str(config.dynamic_lora.phase_strategy).partition("-")
    if config.dynamic_lora.phase_strategy in HALVES:
        return f", first the {first} half of the layers, then the {second} half"
    if first == "lisa":
        return f", {config.dynamic_lora.phase_layers or LISA_LAYERS} random layers each"
    return ""


def lisa_phases(
    max_steps: int,
    every: int,
    layers: int,
    num_layers: int,
    *,
    seed: int,
    groups: Collection[str] = ("attention", "mlp"),
) -> tuple[Phase, ...]:
    """LISA on adapters: every `every` updates another `layers` of the layers, drawn evenly (Pan 2024, algorithm 1).

    What lies outside the layers (embedding, head) trains all the time if its group is among `groups`. The draw is a
    function of `seed` and of the number of the window. Raises ConfigError where nothing would be left to switch off.
    """
    if not 0 < layers < num_layers:
        what = f"lisa trains {layers} of {num_layers} layers at a time: nothing is left to switch off"
        raise ConfigError("phases", what, *([f"--phase_layers {num_layers // 2}"] if num_layers > 1 else []))
    return tuple(
        Phase(start, end, frozenset(groups), layers=_drawn(f"{seed} {start // every}", num_layers, layers))
        for start, end in windows(max_steps, every)
    )


def _drawn(key: str, num_layers: int, count: int) -> tuple[int, ...]:
    return tuple(random.Random(key).sample(range(num_layers), count))


def windows(max_steps: int, every: int) -> list[tuple[int, int]]:
    """(start, end) of each stretch of `every` updates; the last one may be shorter."""
    return [(start, min(start + every, max_steps)) for start in range(0, max_steps, every)]


def sensitivity_of(config: ExperimentConfig) -> SensitivityPhases | None:
    """How a run chooses the most sensitive modules; None where it does not."""
    dynamic = config.dynamic_lora
    if not dynamic.enabled or dynamic.phase_strategy != "sensitivity":
        return None
    own = {"budget": dynamic.phase_budget, "explore": dynamic.phase_explore}
    given = {name: value for name, value in own.items() if value is not None}
    return SensitivityPhases(every=_every(config), seed=config.training.seed, **given)


def open_phases(max_steps: int, every: int, groups: Collection[str]) -> tuple[Phase, ...]:
    """The windows of sensitivity: all adapters in the first, the others not chosen yet."""
    first, *others = windows(max_steps, every)
    chosen_later = frozenset[str]()
    return (
        Phase(*first, frozenset(groups)),
        *(Phase(*window, frozenset(groups), modules=chosen_later) for window in others),
    )


def _every(config: ExperimentConfig) -> int:
    return config.dynamic_lora.phase_every or max(1, config.training.max_steps // 10)


def _choices(config: ExperimentConfig, groups: Collection[str]) -> tuple[Phase, ...]:
    """The windows of lisa, without layers, or of sensitivity; refused where they would never switch or see nothing."""
    strategy, every, max_steps = config.dynamic_lora.phase_strategy, _every(config), config.training.max_steps
    if every >= max_steps:
        what = f"{strategy} chooses every {every:,} updates, so it never switches within max_steps {max_steps:,}"
        raise ConfigError("phases", what, f"--phase_every {max(1, max_steps // 2)}", f"--max_steps {10 * every}")
    seldom = config.gradient_analysis.log_frequency
    if strategy == "sensitivity" and seldom > every:
        what = f"log_frequency {seldom} measures no step between some choices, which are {every} updates apart"
        raise ConfigError("phases", what, f"--log_frequency {every}", f"--phase_every {seldom}")
    if strategy == "lisa":
        return tuple(Phase(start, end, frozenset(groups)) for start, end in windows(max_steps, every))
    return open_phases(max_steps, every, groups)


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
        named = phase.layers or phase.layer_range
        if num_layers is not None and named is not None and named[-1] >= num_layers:
            what = f"phase {phase} goes past the last layer of the model, {num_layers - 1}"
            raise _error(phases, max_steps, what, f"layer{'s' if phase.layers else '_range'} up to {num_layers - 1}")
        if modules is None or phase.is_open:
            continue
        paths = [module.path for module in modules]
        strange = sorted((phase.modules or frozenset()) - set(paths))
        if strange:
            guess = near(strange[0], paths)
            what = f"phase {phase} trains {strange[0]}, which has no adapter"
            raise _error(phases, max_steps, what, *([f"did you mean: {guess}"] if guess else []))
        if not any(is_active(phase, module) for module in modules):
            raise _error(phases, max_steps, f"phase {phase} trains nothing: these layers have no such adapter")


def _targets(phases: Sequence[Phase]) -> list[str]:
    """The smallest target that has an adapter for everything that the phases train."""
    wanted = {group for phase in phases for group in phase.active_modules}
    fitting = [target for target, groups in GROUPS.items() if wanted <= set(groups)]
    return [f"--target {fitting[0]}"] if fitting else []


def _error(phases: Sequence[Phase], max_steps: int, what: str, *tries: str) -> ConfigError:
    return ConfigError("phases", "\n".join([what, *draw_phases(phases, max_steps)]), *tries)


def draw_phases(phases: Sequence[Phase], max_steps: int) -> list[str]:
    """The time line, a line for each phase; gaps, overlaps and what lies past max_steps have lines of their own.

    Of many phases those in the middle are one line with their number.
    """
    rows = [(phase.name, phase.start_step, phase.end_step, "#") for phase in phases]
    wrong = []
    covered = 0
    for phase in phases:
        if phase.start_step > covered:
            wrong.append(("gap", covered, phase.start_step, "!"))
        if phase.start_step < min(covered, phase.end_step):
            wrong.append(("overlap", phase.start_step, min(covered, phase.end_step), "!"))
        covered = max(covered, phase.end_step)
    if covered < max_steps:
        wrong.append(("gap", covered, max_steps, "!"))
    if covered > max_steps:
        wrong.append(("past max_steps", max_steps, covered, "!"))
    rows = [*_few(rows), *_few(wrong)]
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


def _few(rows: list[tuple[str, int, int, str]]) -> list[tuple[str, int, int, str]]:
    if len(rows) <= _LINES:
        return rows
    half = (_LINES - 1) // 2
    middle = rows[half : len(rows) - half]
    return [*rows[:half], (f"{len(middle)} more", middle[0][1], middle[-1][2], "."), *rows[-half:]]


def phase_at(phases: Sequence[Phase], step: int) -> Phase:
    """The phase that is active when `step` updates are done; after the last update still the last one."""
    return next((phase for phase in phases if phase.start_step <= step < phase.end_step), phases[-1])


def is_active(phase: Phase, module: TargetModule) -> bool:
    """Whether a phase trains the adapter on a module."""
    if module.group not in phase.active_modules:
        return False
    if phase.modules is not None:
        return module.path in phase.modules
    if module.layer is None:
        return True
    if phase.layers is not None:
        return module.layer in phase.layers
    if phase.layer_range is None:
        return True
    first, last = phase.layer_range
    return first <= module.layer <= last


def active_since(phases: Sequence[Phase], step: int, module: TargetModule) -> int | None:
    """The number of updates that were done when an adapter that trains at `step` was switched on; None if it is off.

    0 is an adapter that has trained from the start.
    """
    since = None
    for phase in reversed([phase for phase in phases if phase.start_step <= step]):
        if not is_active(phase, module):
            break
        since = phase.start_step
    return since


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
