"""An allocation: which module gets which rank. One file, allocation.json, is its form on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorascope.errors import ConfigError

_KEYS = ("ranks", "alphas", "budget_params", "used_params", "method", "base_model")


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """Ranks and alphas by module path, and the budget that they were made for."""

    ranks: Mapping[str, int]
    """Module path -> rank; 0 is no adapter."""
    alphas: Mapping[str, float]
    """Module path -> lora_alpha, for every module with an adapter; the update is scaled by alpha / rank."""
    budget_params: int
    """Trained parameters that were asked for."""
    used_params: int
    """Trained parameters of these ranks; never more than asked for."""
    method: str
    base_model: str
    """Hub id or folder of the model that the paths belong to."""

    @property
    def adapted(self) -> dict[str, int]:
        """The modules with an adapter."""
        return {path: rank for path, rank in self.ranks.items() if rank}

    @property
    def top(self) -> tuple[int, float]:
        """Largest rank, and the alpha that belongs to it: what a reader without rank maps would take."""
        path = max(self.adapted, key=lambda path: self.ranks[path])
        return self.ranks[path], self.alphas[path]

    def to_dict(self) -> dict[str, Any]:
        """The object in allocation.json."""
        return {name: dict(value) if isinstance(value := getattr(self, name), Mapping) else value for name in _KEYS}

    def to_json(self) -> str:
        """The text of allocation.json."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from lorascope.report.notebook import allocation_html

        return allocation_html(self)

    def same_adapters(self, other: Allocation) -> bool:
        """Whether both put the same adapters on the same modules, whatever they were made for."""
        return self.adapted == other.adapted and dict(self.alphas) == dict(other.alphas)


def constant_alphas(ranks: Mapping[str, int], scaling: float) -> dict[str, float]:
    """Alphas that give every adapter the same scaling alpha / rank; whole numbers where they are whole."""
    alphas = {path: scaling * rank for path, rank in ranks.items() if rank}
    return {path: round(alpha) if abs(alpha - round(alpha)) < 1e-9 * alpha else alpha for path, alpha in alphas.items()}


def read_allocation(file: Path | str) -> Allocation:
    """Read allocation.json. Errors: ConfigError that names the file and what is wrong in it."""
    file = Path(file)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = f"there is no allocation at {file}"
        raise ConfigError("allocation-file", what, "lorascope allocate --help") from None
    except (OSError, ValueError) as error:
        raise _wrong(file, f"cannot be read: {error}") from None
    return allocation_of(found, str(file))


def allocation_of(found: object, name: str) -> Allocation:
    """The allocation in an object as JSON has it. Errors: ConfigError with `name`."""
    if not isinstance(found, dict) or set(found) != set(_KEYS):
        raise _wrong(name, f"must be an object with {', '.join(_KEYS)}")
    ranks, alphas = found["ranks"], found["alphas"]
    if not isinstance(ranks, dict) or not all(type(rank) is int and rank >= 0 for rank in ranks.values()):
        raise _wrong(name, "ranks must be whole numbers by module path, 0 for no adapter")
    adapted = {path for path, rank in ranks.items() if rank}
    if not adapted:
        raise _wrong(name, "gives no module a rank above 0")
    if not isinstance(alphas, dict) or not all(_positive(alpha) for alpha in alphas.values()):
        raise _wrong(name, "alphas must be positive numbers by module path")
    if set(alphas) != adapted:
        raise _wrong(name, f"alphas must name exactly the modules with a rank: {_differing(adapted, set(alphas))}")
    for key in ("budget_params", "used_params"):
        if type(found[key]) is not int or found[key] < 0:
            raise _wrong(name, f"{key} must be a whole number")
    if found["used_params"] > found["budget_params"]:
        raise _wrong(name, f"used_params {found['used_params']:,} are above budget_params {found['budget_params']:,}")
    for key in ("method", "base_model"):
        if not isinstance(found[key], str) or not found[key]:
            raise _wrong(name, f"{key} must be a text")
    return Allocation(**found)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _differing(wanted: set[str], got: set[str]) -> str:
    missing, more = sorted(wanted - got), sorted(got - wanted)
    return "; ".join([*(["without one: " + ", ".join(missing[:2])] if missing else []),
                      *(["without a rank: " + ", ".join(more[:2])] if more else [])])  # fmt: skip


def _wrong(name: object, what: str) -> ConfigError:
    return ConfigError("allocation-file", f"{name}: {what}", "an allocation.json that lorascope wrote")
