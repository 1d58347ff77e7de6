"""Every setting of a run as one row: where it lives, its flag, its type, its default, its words.

The rows are read off the dataclasses of a run, so a setting is written down in one place only.
"""

from __future__ import annotations

import ast
import dataclasses
import sys
import types
import typing
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from lorascope.config.experiment import FLAG_NAMES, ExperimentConfig


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting."""

    section: str
    """Name of the section's field in ExperimentConfig; "" for the two names at the top."""
    name: str
    """Name of the field."""
    flag: str
    """Name of the flag, without dashes, and of the key in a flat file."""
    kind: type
    """str, int, float or bool; tuple for a list, which is written in files only and has no flag."""
    optional: bool
    """None is allowed."""
    choices: tuple[str, ...]
    """The allowed texts; empty where there is no closed list."""
    default: Any
    """The built-in value."""

    @property
    def path(self) -> str:
        """`section.name`, or `name` at the top."""
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def rule(self) -> str:
        """What a text must look like to be a value of this setting."""
        rule = (
            f"one of {', '.join(self.choices)}"
            if self.choices
            else {str: "text", int: "a whole number", float: "a number", bool: "yes or no", tuple: "a list"}[self.kind]
        )
        return f"{rule}, or none" if self.optional else rule


def sections() -> dict[str, type]:
    """Name of a section -> its dataclass, in the order of ExperimentConfig."""
    hints = _hints(ExperimentConfig).items()
    return {name: hint for name, hint in hints if isinstance(hint, type) and dataclasses.is_dataclass(hint)}


@cache
def settings() -> tuple[Setting, ...]:
    """All settings in the order of the dataclasses; the names of the run's folders last."""
    rows = [row for section, cls in sections().items() for row in _rows(section, cls)]
    rows += [row for row in _rows("", ExperimentConfig) if row.name not in sections()]
    return tuple(rows)


@cache
def by_flag() -> dict[str, Setting]:
    """Flag, without dashes -> setting."""
    return {s.flag: s for s in settings()}


@cache
def by_path() -> dict[str, Setting]:
    """`section.name` -> setting."""
    return {s.path: s for s in settings()}


def read(setting: Setting, text: str, *, quoted: bool = False) -> Any:
    """The value that `text` stands for, by the field's type; ValueError with the rule where it stands for none.

    The same for flags and files, so that 2e-4, "2e-4" and 0.0002 are one value, `no` is text where text is wanted and
    false where a boolean is wanted. Whole numbers may be written 1e3. `none` unsets an optional setting; in quotes
    (`quoted`) it is a text where text is wanted, so that a folder of that name can be written down.
    """
    word = text.strip()
    if setting.optional and word.lower() in ("none", "null", "~") and not (quoted and setting.kind is str):
        return None
    try:
        if setting.choices:
            return {choice: choice for choice in setting.choices}[word]
        if setting.kind is bool:
            return _BOOLEANS[word.lower()]
        if setting.kind is int:
            return _whole(word)
        if setting.kind is float:
            return float(word)
        if setting.kind is tuple:
            raise ValueError
    except (KeyError, ValueError, OverflowError):
        raise ValueError(setting.rule) from None
    return text


@cache
def words() -> dict[str, str]:
    """Path of a setting -> the string under its field; name of a section -> the docstring of its class."""
    out = {}
    for section, cls in {**sections(), "": ExperimentConfig}.items():
        body = _classes(cls.__module__)[cls.__name__]
        out[section] = _string(body[0]) or ""
        for field, below in pairwise(body):
            text = _string(below)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and text:
                out[f"{section}.{field.target.id}" if section else field.target.id] = text
    return out


@cache
def _classes(module: str) -> dict[str, list[ast.stmt]]:
    """Name of a class -> its statements, as the module's file has them."""
    tree = ast.parse(Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8"))
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}


_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        value = float(word)
        if not value.is_integer():
            raise
        return int(value)


def _string(node: ast.stmt) -> str | None:
    """The text of a statement that is a string, its line breaks joined."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return None


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _rows(section: str, cls: type) -> list[Setting]:
    rows = []
    for field in dataclasses.fields(cls):
        hint = _hints(cls)[field.name]
        members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        kind = next(m for m in members if m is not types.NoneType)
        literal = typing.get_origin(kind) is Literal
        rows.append(
            Setting(
                section=section,
                name=field.name,
                flag=FLAG_NAMES.get((section, field.name), field.name),
                kind=str if literal else typing.get_origin(kind) or kind,
                optional=types.NoneType in members,
                choices=typing.get_args(kind) if literal else (),
                default=field.default,
            )
        )
    return rows
