"""Small means for grammars: choices in a text, and how a person is called."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache

from lorascope.tasks.builtin.words import Person

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def say(rng: random.Random, text: str, slots: Mapping[str, object] | None = None) -> str:
    """`text` with one of each [choice|of|texts] taken, then its {slots} filled; {slot.S} begins with a capital.

    Choices are not nested; those of a slot's own text are not taken.
    """
    pieces = _pieces(text)
    taken = "".join(piece if i % 2 == 0 else rng.choice(piece.split("|")) for i, piece in enumerate(pieces))
    return taken.format_map(_Slots(slots)) if slots is not None else taken


@cache
def _pieces(text: str) -> list[str]:
    return _CHOICE.split(text)


class _Slots(dict[str, object]):
    """Slots of a text: texts get the attribute S (with a capital)."""

    def __getitem__(self, key: str) -> object:
        value = super().__getitem__(key)
        return Text(value) if isinstance(value, str) else value


class Text(str):
    """A text that can be written with a capital inside a format."""

    @property
    def S(self) -> str:
        """With a capital."""
        return capital(self)


def capital(text: str) -> str:
    """With its first letter as a capital."""
    return text[:1].upper() + text[1:]


def sentence(clause: str) -> str:
    """The clause with a capital and a full stop."""
    return f"{capital(clause)}."


def called(person: Person, *, pronoun: bool = False) -> dict[str, str]:
    """The slots {who}, {whose}, {whom}, {he}, {his} of a clause about a person, by name or by pronoun."""
    if pronoun:
        named = {"who": person.subject, "whose": person.possessive, "whom": person.object}
    else:
        named = {"who": person.name, "whose": f"{person.name}'s", "whom": person.name}
    return named | {"he": person.subject, "his": person.possessive}


def some(rng: random.Random, items: Sequence[str], low: int, high: int) -> list[str]:
    """From `low` to `high` different ones of `items` in random order."""
    return rng.sample(list(items), min(len(items), rng.randint(low, high)))
