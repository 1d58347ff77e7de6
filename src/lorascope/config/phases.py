"""A training phase as a value: which modules train, from which update to which. And the strategies that have a name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lorascope.errors import ConfigError, near

STRATEGIES = ("both-mlp-attn", "attn-mlp-both", "both-mlp-both", "early-late")
"""The recommended one first. The parts of a name are its phases."""

MODULE_GROUPS = ("attention", "mlp", "embed", "lm_head", "other")
"""What `active_modules` can name, in the order in which it is shown."""

_KEYS = ("start_step", "end_step", "active_modules", "layer_range")


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
        if self.layer_range is not None:
            ends: Any = self.layer_range
            ok = isinstance(ends, (list, tuple)) and len(ends) == 2 and all(map(_is_count, ends)) and ends[0] <= ends[1]
            _require(ok, "layer_range as the first and the last layer, both included", ends)
            object.__setattr__(self, "layer_range", tuple(ends))

    @property
    def name(self) -> str:
        """ "both", "MLP", "attention L0-10"."""
        groups = " ".join(group for group in MODULE_GROUPS if group in self.active_modules)
        word = {"attention mlp": "both", "mlp": "MLP", "": "nothing"}.get(groups, groups.replace(" ", "+"))
        return word if self.layer_range is None else "{} L{}-{}".format(word, *self.layer_range)

    def __str__(self) -> str:
        return f"{self.name} {self.start_step:,} to {self.end_step:,}"

    def to_dict(self) -> dict[str, Any]:
        """The form in which files and `phase_configs` hold a phase."""
        return {
            "start_step": self.start_step,
            "end_step": self.end_step,
            "active_modules": [group for group in MODULE_GROUPS if group in self.active_modules],
            "layer_range": None if self.layer_range is None else list(self.layer_range),
        }


def read_phases(phases: Collection[Phase | Mapping[str, Any]]) -> tuple[Phase, ...]:
    """Phases as values, in the order of their starts; ConfigError for anything else."""
    _require(_is_list(phases), "a list of phases", phases)
    return tuple(sorted((_read(phase) for phase in phases), key=lambda phase: phase.start_step))


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


def _is_list(value: object) -> bool:
    return isinstance(value, Collection) and not isinstance(value, (str, bytes, Mapping))


def _require(ok: bool, what: str, value: object, *tries: str) -> None:
    if not ok:
        raise ConfigError("config-value", f"phase_configs must give {what}, got {value!r}", *tries)
