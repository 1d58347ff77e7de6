"""What `--budget` means: a number of trained parameters, told in one of four ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from lorascope.errors import ConfigError

FORMS = "params=2.25M, r=8, like=attention_only:r=8 or 0.2%"

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A budget as it was asked for; how many parameters it is depends on the model (`lorascope.models.budgets`)."""

    text: str
    """As typed."""
    kind: Literal["params", "rank", "like", "share"]
    amount: float
    """Parameters; rank; rank; share of the base model's parameters, 0 to 1."""
    targets: tuple[str, ...] = ()
    """like: the targets whose adapters of that rank cost as much; of several, what all of them can use up."""


def parse_budget(text: str, targets: tuple[str, ...]) -> Budget:
    """Read `params=N` (with k, M, B), `r=N`, `like=TARGET[+TARGET]:r=N` or `N%`.

    Errors: ConfigError for anything else, with the form that was probably meant.
    """
    word = text.strip()
    number = r"(\d[\d_,]*(?:\.\d+)?)"
    if found := re.fullmatch(rf"params={number}([kKmMbBgG]?)", word):
        amount = float(re.sub("[_,]", "", found[1])) * _UNITS[found[2].lower()]
        if amount < 1 or abs(amount - round(amount)) > 1e-6 * amount:
            raise _wrong(text, "a whole number of parameters")
        return Budget(text=word, kind="params", amount=round(amount))
    if (found := re.fullmatch(r"r=(\d+)", word)) and int(found[1]):
        return Budget(text=word, kind="rank", amount=int(found[1]))
    if found := re.fullmatch(r"like=([\w+-]+):r=(\d+)", word):
        named = tuple(found[1].replace("-", "_").split("+"))
        if not set(named) <= set(targets):
            raise _wrong(text, f"like one of the targets {', '.join(targets)}, or several with + between them")
        if int(found[2]):
            return Budget(text=word, kind="like", amount=int(found[2]), targets=named)
    if (found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", word)) and 0 < float(found[1]) <= 100:
        return Budget(text=word, kind="share", amount=float(found[1]) / 100)
    raise _wrong(text, FORMS)


def _wrong(text: str, rule: str) -> ConfigError:
    plain = re.fullmatch(r"\s*(\d[\d_,.]*\s*[kKmMbBgG]?)\s*", text)
    guess = f"--budget params={plain[1].replace(' ', '')}" if plain else "--budget like=attention_only:r=8"
    return ConfigError("config-value", f"budget must be {rule}, got {text!r}", guess)
