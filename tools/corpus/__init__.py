"""The text that the embedded model is pretrained on: generated documents of six kinds, without end, from a seed.

It teaches what the tasks need (copying over a distance, looking up, telling a fact in other words, what follows from
what, who said what in the end) in layouts that are none of the tasks'. Words come from
lorascope.tasks.builtin.words, the logic of statements from lorascope.tasks.builtin.statements.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from corpus import cards, drills, statements, stories, tables, talks

KINDS: dict[str, tuple[Callable[[random.Random], str], float]] = {
    "statements": (statements.document, 0.36),
    "talks": (talks.document, 0.20),
    "tables": (tables.document, 0.18),
    "cards": (cards.document, 0.13),
    "drills": (drills.document, 0.08),
    "stories": (stories.document, 0.05),
}
"""Kind of document -> what draws one, and its share of the documents."""


def documents(seed: str | int, kind: str | None = None) -> Iterator[tuple[str, str]]:
    """(kind, text) without end, of all kinds by their shares or of one."""
    rng = random.Random(f"corpus {seed}")
    names = [kind] if kind else list(KINDS)
    shares = [KINDS[name][1] for name in names]
    while True:
        name = rng.choices(names, shares)[0]
        yield name, KINDS[name][0](rng)
