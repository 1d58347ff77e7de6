"""Every error that lorascope recognises, and the near-miss lookup behind its messages.

LorascopeError                 exit 2: recognised and explained
|-- ConfigError                a setting, flag, YAML key or name
|   `-- UnknownName            a name that is not in a list (with the near misses)
|-- DataError                  a file, column, row or data set
|-- ModelError                 a checkpoint, tokenizer, architecture or adapter
|   `-- NoTargets              the LoRA target matches no module
|-- RunError                   a run folder: exists, locked, unfinished, cannot be written
|-- TrainingError              a run that cannot go on: NaN loss, out of memory
|-- Interrupted                exit 130: stopped by the user, can be resumed
`-- GateNotMet                 exit 3: a gate that the user asked for is not met
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class LorascopeError(Exception):
    """What was asked, what is there, and what to type instead.

    `code` is a short stable word for the kind of error ("no-column"), `what` one sentence, `tries` the commands or
    flags that would help. `str(error)` is the text that the command line prints after "error".
    """

    exit_code = 2

    def __init__(self, code: str, what: str, *tries: str) -> None:
        super().__init__(code, what, *tries)
        self.code = code
        self.what = what
        self.tries = tries

    def __str__(self) -> str:
        return f"[{self.code}]: {self.what}" + "".join(f"\n  try: {t}" for t in self.tries)


class ConfigError(LorascopeError):
    """A setting has a wrong value, or settings contradict each other."""


class UnknownName(ConfigError):
    """A name that is not in a list of known names."""


class DataError(LorascopeError):
    """A data file, column or row is missing or broken."""


class ModelError(LorascopeError):
    """A checkpoint, tokenizer or architecture cannot be used as asked."""


class NoTargets(ModelError):
    """The LoRA target matches no module of the model."""


class RunError(LorascopeError):
    """A run folder is in the way, locked, unfinished, damaged or not writable."""


class TrainingError(LorascopeError):
    """A run that cannot go on; what was saved before stays whole."""


class Interrupted(LorascopeError):
    """Stopped by the user; the run can be resumed."""

    exit_code = 130


class GateNotMet(LorascopeError):
    """A gate that the user asked for is not met."""

    exit_code = 3


def near(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most probably means, or None."""
    known = list(known)
    close = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=0.6)
    return next((k for k in known if close and k.lower() == close[0]), None)


def pick(table: Mapping[str, T], name: str, what: str) -> T:
    """`table[name]`, or an UnknownName that names the near miss and everything that is known."""
    if name in table:
        return table[name]
    guess = near(name, table)
    known = f"known: {', '.join(sorted(table))}"
    raise UnknownName(f"unknown-{what}", f"no {what} {name!r}; {known}", *([f"did you mean: {guess}"] if guess else []))
