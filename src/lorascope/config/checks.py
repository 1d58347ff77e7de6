"""Rules that fields of a configuration keep; each raises a ConfigError that names the field."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from lorascope.errors import ConfigError


def require(ok: bool, name: str, rule: str, value: object) -> None:
    """A ConfigError that names field, rule and value, unless `ok`."""
    if not ok:
        raise ConfigError("config-value", f"{name} must be {rule}, got {value!r}", f"--{name} VALUE   ({rule})")


def positive(section: object, *names: str) -> None:
    """These fields hold positive whole numbers."""
    for name in names:
        value = getattr(section, name)
        require(isinstance(value, int) and value > 0, name, "a positive whole number", value)


def floats(section: Any) -> None:
    """Store whole numbers in fields of type float as floats, so that alpha 32 and alpha 32.0 are one configuration."""
    for f in fields(section):
        if f.type in ("float", "float | None") and type(getattr(section, f.name)) is int:
            object.__setattr__(section, f.name, float(getattr(section, f.name)))


def one_of(section: object, name: str, choices: tuple[str, ...]) -> None:
    """The field holds one of the choices."""
    require(getattr(section, name) in choices, name, f"one of {', '.join(choices)}", getattr(section, name))
