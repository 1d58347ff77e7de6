"""A prompt made of columns: text with column names in braces, and nothing else that braces could do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from lorascope.errors import ConfigError, near

_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}


@dataclass(frozen=True)
class Template:
    """A template, taken apart."""

    parts: tuple[tuple[str, str | None], ...]
    """(text, name of the column behind it, or None at the end)"""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names, each once, in order."""
        return tuple(dict.fromkeys(name for _, name in self.parts if name is not None))

    def fill(self, values: Mapping[str, str]) -> str:
        """The prompt of one row; braces in a value are text."""
        return "".join(text + (values[name] if name is not None else "") for text, name in self.parts)


def parse(text: str) -> Template:
    r"""Take a template apart. `{name}` is a column, `{{` and `}}` are braces, `\n`, `\t` and `\\` as in Python.

    Python's own `format` would follow attributes and indices of a value wherever a data file or a flag asks for them.
    Raises ConfigError for everything but plain names.
    """
    text = re.sub(r"\\([nt\\])", lambda match: _ESCAPES[match[1]], text)
    parts = []
    try:
        for literal, name, spec, conversion in Formatter().parse(text):
            if name is not None and (not name or name.isdecimal()):
                raise _wrong(f"{{{name}}} names no column")
            if spec or conversion or re.search(r"[.\[\]{]", name or ""):
                shown = f"{name}{'!' if conversion else ''}{conversion or ''}{':' if spec else ''}{spec or ''}"
                raise _wrong(f"{{{shown}}} is more than the name of a column")
            parts.append((literal, name))
    except ValueError as error:
        raise _wrong(f"{str(error)[:1].lower()}{str(error)[1:]}") from None
    if all(name is None for _, name in parts):
        raise _wrong("it names no column, so that every prompt would be the same")
    return Template(tuple(parts))


def _wrong(reason: str) -> ConfigError:
    return ConfigError(
        "template",
        f"prompt_template: {reason}",
        '--prompt_template "{question}\\nAnswer:"   (columns in braces; a brace itself is doubled)',
    )


def unknown_column(template: Template, columns: Sequence[str], where: str) -> ConfigError | None:
    """The error for a column that the template names and that is not there, or None."""
    missing = next((name for name in template.columns if name not in columns), None)
    if missing is None:
        return None
    guess = near(missing, columns)
    return ConfigError(
        "template",
        f"prompt_template names the column {missing!r}; {where} has: {', '.join(columns)}",
        *([f"did you mean: {guess}"] if guess else []),
        '--prompt_template "{COLUMN}\\n"',
    )
