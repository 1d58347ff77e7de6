"""The text that the embedded model is pretrained on: generated documents of fifteen kinds, without end, from a seed.

It teaches what the tasks need (copying over a distance, looking up, telling a fact in other words, what follows from
what, who said what in the end) in layouts that are none of the tasks'. Words come from
lorascope.tasks.builtin.words, the logic of statements from lorascope.tasks.builtin.statements.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from corpus import cards, drills, statements, stories, tables, talks, verdicts

KINDS: dict[str, Callable[[random.Random], str]] = {
    "statements": statements.document,
    "talks": talks.document,
    "tables": tables.document,
    "cards": cards.document,
    "drills": drills.document,
    "stories": stories.document,
    "copies": drills.copies,
    "pairs": verdicts.pairs,
    "comparisons": verdicts.comparisons,
    "facts": verdicts.facts,
    "bound": verdicts.bound,
    "simple statements": statements.simple,
    "sections": statements.in_sections,
    "agreed answers": statements.agreed_answers,
    "named": statements.named,
}
"""Kind of document -> what draws one."""
STAGES: tuple[tuple[float, ...], ...] = (
    (0.36, 0.20, 0.18, 0.13, 0.08, 0.05, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    (0.25, 0.10, 0.10, 0.10, 0.10, 0.00, 0.35, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    (0.34, 0.20, 0.18, 0.12, 0.06, 0.03, 0.07, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    (0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.50, 0.20, 0.15, 0.00, 0.15, 0.00, 0.00, 0.00),
    (0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.05, 0.15, 0.35, 0.25, 0.20, 0.00, 0.00, 0.00),
    (0.12, 0.12, 0.08, 0.08, 0.00, 0.00, 0.00, 0.00, 0.05, 0.05, 0.10, 0.40, 0.00, 0.00, 0.00),
    (0.17, 0.18, 0.15, 0.13, 0.05, 0.02, 0.05, 0.00, 0.03, 0.03, 0.03, 0.16, 0.00, 0.00, 0.00),
    (0.10, 0.23, 0.15, 0.14, 0.04, 0.02, 0.05, 0.00, 0.01, 0.01, 0.01, 0.07, 0.17, 0.00, 0.00),
    (0.08, 0.20, 0.12, 0.12, 0.03, 0.02, 0.04, 0.00, 0.01, 0.01, 0.01, 0.04, 0.06, 0.12, 0.14),
)
"""The kinds' shares of the documents. The second stage is for copying: before it the model had learnt every phrase and
kept mixing up the names. From the fourth on it learns what is the same (verdicts.py), then the mix comes back."""
VERDICTS = tuple(
    sorted(
        {"yes", "no", "true", "false", "right", "wrong", "same", "different", "unknown", "open", "Yes", "No"}
        | {verdict for several in statements.VERDICTS for verdict in several}
    )
)
"""What is said of a claim or of a pair: the few words of such a document that can be learnt."""


def documents(seed: str | int, kind: str | None = None, *, stage: int = 0) -> Iterator[tuple[str, str]]:
    """(kind, text) without end, of all kinds by their shares in a stage or of one kind."""
    rng = random.Random(f"corpus {seed}")
    names = [kind] if kind else list(KINDS)
    shares = [1.0] if kind else STAGES[stage]
    while True:
        name = rng.choices(names, shares)[0]
        yield name, KINDS[name](rng)
