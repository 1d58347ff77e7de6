"""A training phase as a value: which modules train, from which update to which. And the strategies that have a name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from lorascope.errors import ConfigError, near

if TYPE_CHECKING:
    from lorascope.config.experiment import DynamicLoRAConfig

STRATEGIES = (
    "both-mlp-attn", "attn-mlp-both", "both-mlp-both", "early-late", "late-early", "lisa", "sensitivity",
)  # fmt: skip
"""The recommended one first. The parts of a name are its phases; lisa and sensitivity choose anew every few steps."""

HALVES = ("early-late", "late-early")
"""Strategies by depth: one half of the layers, then the other."""

CHOOSING = ("lisa", "sensitivity")
"""Strategies that choose what trains every `phase_every` updates."""

LISA_LAYERS = 2
"""Layers that train at a time under lisa, as in LISA (Pan 2024)."""

OnThaw = Literal["keep", "zero_m", "reset"]
Inactive = Literal["freeze", "measure"]

MODULE_GROUPS = ("attention", "mlp", "embed", "lm_head", "other")
"""What `active_modules` can name, in the order in which it is shown."""

_KEYS = ("start_step", "end_step", "active_modules", "layer_range", "layers", "modules")


@dataclass(frozen=True)
class Phase:
    """A stretch of training: active while start_step <= updates done < end_step."""

    start_step: int
    end_step: int
    active_modules: frozenset[str]
    """Groups whose adapters train: attention, mlp, embed, lm_head, other. All other adapters stand still."""
    layer_range: tuple[int, int] | None = None
    """First and last layer that train, both included; None is all. What lies outside the layers (embedding, head)
    goes by its group alone."""
    layers: tuple[int, ...] | None = None
    """Instead of a range: the layers that train, by number."""
    modules: frozenset[str] | None = None
    """Instead of layers: paths of the modules of these groups that train. Empty: not chosen yet (`is_open`)."""

    def __post_init__(self) -> None:
        for name in ("start_step", "end_step"):
            value = getattr(self, name)
            _require(_is_count(value), f"{name} as a whole number of at least 0", value)
        groups: Any = self.active_modules
        _require(_is_list(groups), "active_modules as a list", groups)
        for group in groups:
            guess = near(str(group), MODULE_GROUPS)
            known = f"active_modules out of {', '.join(MODULE_GROUPS)}"
            _require(group in MODULE_GROUPS, known, group, *([f"did you mean: {guess}"] if guess else []))
        object.__setattr__(self, "active_modules", frozenset(groups))
        parts = [name for name in _KEYS[3:] if getattr(self, name) is not None]
        _require(len(parts) <= 1, "one of layer_range, layers and modules at most", " and ".join(parts))
        if self.layer_range is not None:
            ends: Any = self.layer_range
            ok = isinstance(ends, (list, tuple)) and len(ends) == 2 and all(map(_is_count, ends)) and ends[0] <= ends[1]
            _require(ok, "layer_range as the first and the last layer, both included", ends)
            object.__setattr__(self, "layer_range", tuple(ends))
        if self.layers is not None:
            numbers: Any = self.layers
            ok = _is_list(numbers) and len(numbers) > 0 and all(map(_is_count, numbers))
            _require(ok, "layers as a list of layer numbers", numbers)
            object.__setattr__(self, "layers", tuple(sorted(set(numbers))))
        if self.modules is not None:
            paths: Any = self.modules
            ok = _is_list(paths) and all(isinstance(path, str) for path in paths)
            _require(ok, "modules as a list of module paths", paths)
            object.__setattr__(self, "modules", frozenset(paths))

    @property
    def is_open(self) -> bool:
        """Whether its modules are chosen only when it begins, as sensitivity does."""
        return self.modules is not None and not self.modules

    @property
    def name(self) -> str:
        """ "both", "MLP", "attention L0-10", "both L3,7", "both 24 modules"."""
        if self.is_open:
            return "most sensitive"
        groups = " ".join(group for group in MODULE_GROUPS if group in self.active_modules)
        word = {"attention mlp": "both", "mlp": "MLP", "": "nothing"}.get(groups, groups.replace(" ", "+"))
        if self.layer_range is not None:
            return "{} L{}-{}".format(word, *self.layer_range)
        if self.layers is not None:
            few = "L" + ",".join(map(str, self.layers))
            return f"{word} {few if len(self.layers) <= 4 else f'{len(self.layers)} layers'}"
        if self.modules is not None:
            return f"{word} {len(self.modules)} module{'s' * (len(self.modules) != 1)}"
        return word

    def __str__(self) -> str:
        return f"{self.name} {self.start_step:,} to {self.end_step:,}"

    def to_dict(self) -> dict[str, Any]:
        """The form in which files and `phase_configs` hold a phase; layers and modules only where it has them."""
        return {
            "start_step": self.start_step,
            "end_step": self.end_step,
            "active_modules": [group for group in MODULE_GROUPS if group in self.active_modules],
            "layer_range": None if self.layer_range is None else list(self.layer_range),
            **({} if self.layers is None else {"layers": list(self.layers)}),
            **({} if self.modules is None else {"modules": sorted(self.modules)}),
        }


@dataclass(frozen=True, kw_only=True)
class SensitivityPhases:
    """Phases that are chosen while a training goes on: every few updates the most sensitive modules.

    In the first `every` updates all adapters train. Then, every `every` updates, those with the largest mean squared
    gradient per parameter, alpha / r taken out, within the budget; `training/choosing.py` has the formula.
    """

    every: int
    """Updates between two choices."""
    budget: float = 0.5
    """Share of the adapters' parameters that may train at a time, above 0 and below 1."""
    explore: float = 0.1
    """Share of the budget that goes to modules at random, so that what is off is seen again, from 0 to 1."""
    seed: int = 0
    """Of the random modules: they are a function of it and of the number of the choice."""

    def __post_init__(self) -> None:
        for name, ok, rule in (
            ("every", _is_count(self.every) and self.every > 0, "a positive whole number"),
            ("budget", _is_share(self.budget) and 0 < self.budget < 1, "above 0 and below 1"),
            ("explore", _is_share(self.explore), "from 0 to 1"),
            ("seed", _is_count(self.seed), "a whole number of at least 0"),
        ):
            if not ok:
                raise ConfigError("config-value", f"{name} must be {rule}, got {getattr(self, name)!r}")


def read_phases(phases: Collection[Phase | Mapping[str, Any]]) -> tuple[Phase, ...]:
    """Phases as values, in the order of their starts; ConfigError for anything else."""
    _require(_is_list(phases), "a list of phases", phases)
    read = tuple(sorted((_read(phase) for phase in phases), key=lambda phase: phase.start_step))
    for phase in read:
        _require(not phase.is_open, "at least one module where a phase lists modules", phase.to_dict())
    return read


def check_dynamic(dynamic: DynamicLoRAConfig) -> None:
    """Raise ConfigError for settings of phases that have a wrong value, contradict each other or would do nothing."""
    if dynamic.phase_strategy is not None and dynamic.phase_strategy not in STRATEGIES:
        guess = near(str(dynamic.phase_strategy), STRATEGIES)
        known = f"phase_strategy must be one of {', '.join(STRATEGIES)}, got {dynamic.phase_strategy!r}"
        raise ConfigError("config-value", known, f"--phase_strategy {guess or STRATEGIES[0]}")
    for name, rule, ok in (
        ("phase1_end", "a positive whole number", _is_positive),
        ("phase2_end", "a positive whole number", _is_positive),
        ("phase_every", "a positive whole number", _is_positive),
        ("phase_layers", "a positive whole number", _is_positive),
        ("phase_budget", "above 0 and below 1", lambda value: _is_share(value) and 0 < value < 1),
        ("phase_explore", "from 0 to 1", _is_share),
        ("phase_warmup", "a positive whole number", _is_positive),
        ("inactive", f"one of {', '.join(get_args(Inactive))}", get_args(Inactive).__contains__),
        ("on_thaw", f"one of {', '.join(get_args(OnThaw))}", get_args(OnThaw).__contains__),
    ):
        value = getattr(dynamic, name)
        if value is not None and not ok(value):
            raise ConfigError("config-value", f"{name} must be {rule}, got {value!r}", f"--{name} VALUE   ({rule})")
    of_a_strategy = [name for name in ("phase_strategy", *_USED_BY) if getattr(dynamic, name) is not None]
    others = [name for name, off in _OFF.items() if getattr(dynamic, name) != off]
    if not dynamic.enabled and (of_a_strategy or dynamic.phase_configs or others):
        first = [*of_a_strategy, *["phase_configs"] * bool(dynamic.phase_configs), *others][0]
        off = "no phase_configs" if first == "phase_configs" else f"--{first} {_OFF.get(first) or 'none'}"
        raise unused(first, "without dynamic_lora", "--dynamic_lora", off)
    if of_a_strategy and dynamic.phase_configs:
        raise unused(of_a_strategy[0], "where phase_configs lists the phases", f"--{of_a_strategy[0]} none")
    strategy = dynamic.phase_strategy or STRATEGIES[0]
    for name in of_a_strategy[1:] if dynamic.phase_strategy is not None else of_a_strategy:
        if dynamic.enabled and strategy not in _USED_BY[name]:
            raise unused(name, f"with {strategy}{_WHY.get((name, strategy), '')}", *_instead(strategy, name))
    if strategy in HALVES and dynamic.on_thaw != "keep" and not dynamic.phase_configs:
        raise unused("on_thaw", f"with {strategy}, which switches nothing on again", "--on_thaw keep")
    if dynamic.on_thaw == "reset" and dynamic.phase_warmup is None:
        what = "on_thaw must be keep or zero_m without phase_warmup: after a reset the first steps are far too large"
        raise ConfigError("config-value", what, "--on_thaw reset --phase_warmup 10", "--on_thaw zero_m")


def unused(name: str, where: str, *tries: str) -> ConfigError:
    """The error for a setting that would do nothing."""
    return ConfigError("config-value", f"{name} must be left out {where}: it would do nothing", *tries)


_THREE = tuple(name for name in STRATEGIES if name.count("-") == 2)
_USED_BY = {
    "phase1_end": (*_THREE, *HALVES),
    "phase2_end": _THREE,
    "phase_every": CHOOSING,
    "phase_layers": ("lisa",),
    "phase_budget": ("sensitivity",),
    "phase_explore": ("sensitivity",),
}
"""Setting -> the strategies that it is for."""
_OFF = {"inactive": "freeze", "on_thaw": "keep", "phase_warmup": None}
"""Settings for all strategies -> the value that is off."""
_WHY = {("phase2_end", name): ", which has two phases and one switch" for name in HALVES}


def _instead(strategy: str, unused: str) -> list[str]:
    """What the strategy takes in place of a setting that it does not use."""
    takes = [name for name, strategies in _USED_BY.items() if strategy in strategies and name != unused]
    return [f"--{takes[0]} INT"] if takes else []


def _read(phase: Phase | Mapping[str, Any]) -> Phase:
    if isinstance(phase, Phase):
        return phase
    _require(isinstance(phase, Mapping), f"each phase as {', '.join(_KEYS)}", phase)
    for key in phase:
        guess = near(str(key), _KEYS)
        known = f"each phase as {', '.join(_KEYS)}"
        _require(key in _KEYS, known, key, *([f"did you mean: {guess}"] if guess else []))
    missing = [key for key in _KEYS[:3] if key not in phase]
    _require(not missing, f"{', '.join(missing)} for each phase", dict(phase))
    return Phase(**phase)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_positive(value: object) -> bool:
    return _is_count(value) and value != 0


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _is_list(value: object) -> bool:
    return isinstance(value, Collection) and not isinstance(value, (str, bytes, Mapping))


def _require(ok: bool, what: str, value: object, *tries: str) -> None:
    if not ok:
        raise ConfigError("config-value", f"phase_configs must give {what}, got {value!r}", *tries)
