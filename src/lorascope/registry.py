"""Names that come from outside: tasks, metrics and scores of other packages join ours in the same plain tables.

A package registers in code (`register` of the table's room) or by an entry point, which is loaded when a name is looked
up that is not in the table yet. A package that cannot be loaded harms nobody who does not ask for what it brings.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TypeVar

from lorascope.errors import ConfigError, LorascopeError, pick

T = TypeVar("T")


@dataclass(frozen=True)
class Broken:
    """An entry point that gives nothing usable."""

    name: str
    package: str
    reason: str

    def sentence(self, what: str) -> str:
        """What is wrong with it; `what` is the kind of thing that it should bring."""
        return f"{what} {self.name!r} comes with the package {self.package} and cannot be used: {self.reason}"


def put(table: MutableMapping[str, T], name: str, value: T, what: str) -> T:
    """Register `value` under `name`, and return it. ConfigError where the name is another one's already."""
    if name in table and table[name] is not value:
        raise ConfigError("name-taken", f"there is a {what} {name!r} already", f"give the {what} another name")
    table[name] = value
    return value


def extend(
    table: MutableMapping[str, T], what: str, *, group: str, accept: Callable[[str, object], T]
) -> dict[str, Broken]:
    """Register what the entry points of `group` bring; returns, by name, those that bring nothing.

    `accept(name, object)` gives the value to register, or raises a LorascopeError that says what is wrong with it.
    """
    broken = {}
    for point in sorted(entry_points(group=group), key=lambda p: p.name):
        try:
            value = accept(point.name, point.load())
            put(table, point.name, value, what)
        except LorascopeError as error:
            reason = error.what
        except (Exception, SystemExit) as error:  # whatever the import of foreign code may raise
            reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        else:
            continue
        broken[point.name] = Broken(point.name, point.dist.name if point.dist else "?", reason)
    return broken


def find(
    table: MutableMapping[str, T], name: str, what: str, *, group: str, accept: Callable[[str, object], T]
) -> T | None:
    """What is registered under a name, here or by an installed package; None where there is nothing.

    ConfigError where a package promises it and cannot be loaded.
    """
    if name not in table:
        broken = extend(table, what, group=group, accept=accept)
        if name in broken and name not in table:
            package = broken[name].package
            tries = f"pip install --upgrade {package}", f"pip uninstall {package}"
            raise ConfigError("broken-plugin", broken[name].sentence(what), *tries)
    return table.get(name)


def lookup(table: MutableMapping[str, T], name: str, what: str, *, group: str, accept: Callable[[str, object], T]) -> T:
    """`find`, or an UnknownName that names the near miss and everything that is known."""
    found = find(table, name, what, group=group, accept=accept)
    return pick(table, name, what) if found is None else found
