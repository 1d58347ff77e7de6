"""The same or not? Short exercises with a yes or a no after every few words.

A small model finds out what "the same" means where hardly anything else can be learnt, and only from words first; what
it then needs for statements (the same of whom, the same in other words) comes one step at a time:

    pairs         Milton Milton yes; Milton Oakham no
    comparisons   Is the cake of Tom the same as the soup of Tom? No.
    facts         Tom Milton; Anna Oakham; Tom Oakham no; Anna Oakham yes
    bound         Tom has soup. Anna has cake. / Tom has cake: False / Omar has cake: Unknown
"""

from __future__ import annotations

import random

from corpus.drills import EVERY_WORD, LISTS

YES_NO = (("yes", "no"), ("yes", "no"), ("true", "false"), ("right", "wrong"))
NAMES = LISTS["names"]


def pairs(rng: random.Random) -> str:
    """Two words and their verdict, many times."""
    yes, no = rng.choice(YES_NO)
    form = rng.choice(
        (" {a} {b} {v}", " {a}, {b} {v}", " {a}, {b}: {v}", " {a} = {b}? {v}", " {a} and {b}: {v}", " Is {a} {b}? {v}")
    )
    several = EVERY_WORD if rng.random() < 0.5 else LISTS[rng.choice(tuple(LISTS))]
    lines = []
    for _ in range(rng.randint(10, 30)):
        one = rng.choice(several)
        other, verdict = (one, yes) if rng.random() < 0.5 else (_another(rng, several, one), no)
        lines.append(form.format(a=one, b=other, v=verdict))
    return rng.choice((",", ".", ";", "\n")).join(lines)


def comparisons(rng: random.Random) -> str:
    """Pairs of words or of short phrases: the same or not?"""
    yes, no = rng.choice((*YES_NO, ("Yes", "No"), ("same", "different"), ("True", "False")))
    form = rng.choice(
        ("{a}, {b}: {v}", "{a} = {b}? {v}", "Is {a} the same as {b}? {v}.", "{a} and {b}: {v}", "{a}. {b}. {v}.",
         "{a} / {b} / {v}")
    )  # fmt: skip
    frame = rng.choice(("{x}", "{x}", "{x}", "the {x} of {y}", "{y} has {x}", "{y}: {x}"))
    several = LISTS[rng.choice(tuple(LISTS))]
    lines = []
    for _ in range(rng.randint(5, 12)):
        x, y = rng.choice(several), rng.choice(NAMES)
        other_x, other_y, verdict = x, y, yes
        if rng.random() < 0.5:
            verdict = no
            if "{y}" in frame and rng.random() < 0.4:
                other_y = _another(rng, NAMES, y)
            else:
                other_x = _another(rng, several, x)
        lines.append(form.format(a=frame.format(x=x, y=y), b=frame.format(x=other_x, y=other_y), v=verdict))
    return "\n".join(lines)


def facts(rng: random.Random) -> str:
    """One to four people with a value each, and whether a person has a value, many times."""
    people = rng.sample(NAMES, rng.choice((1, 1, 2, 2, 3, 4)))
    values = list(LISTS[rng.choice(tuple(LISTS))] if rng.random() < 0.5 else EVERY_WORD)
    values = rng.sample(values, min(len(values), rng.choice((3, 5, 8, 20))))
    yes, no = rng.choice(YES_NO)
    has = {person: rng.choice(values) for person in people}
    frame = rng.choice(("{p} {x}", "{p}: {x}", "{p} has {x}", "{p} - {x}", "{p} likes the {x}"))
    form = rng.choice((" {a} {v}", " {a}? {v}", " {a}: {v}"))
    lines = [" " + frame.format(p=person, x=value) for person, value in has.items()]
    for _ in range(rng.randint(6, 20)):
        person = rng.choice(people)
        value, verdict = has[person], yes
        if rng.random() < 0.5:
            value, verdict = _another(rng, _said_or_not(rng, has, values), has[person]), no
        lines.append(form.format(a=frame.format(p=person, x=value), v=verdict))
    return rng.choice((",", ".", ";", "\n")).join(lines)


def bound(rng: random.Random) -> str:
    """Two to four people with a value each, somebody of whom nothing is said, and claims: yes, no, nobody knows."""
    *people, stranger = rng.sample(NAMES, rng.randint(3, 5))
    values = list(LISTS[rng.choice(tuple(LISTS))])
    if rng.random() < 0.4:
        values = rng.sample(values, min(len(values), 5))
    has = {person: rng.choice(values) for person in people}
    frame = rng.choice(
        ("{p}: {x}", "{p} has {x}", "{x} of {p}", "{p} - {x}", "the {x} of {p}", "{p} and the {x}")
    )  # fmt: skip
    yes, open_, no = rng.choice(
        (("yes", "unknown", "no"), ("Yes", "Perhaps", "No"), ("true", "open", "false"), ("True", "Unknown", "False"),
         ("right", "open", "wrong"))
    )  # fmt: skip
    form = rng.choice(("{a}: {v}", "{a}? {v}", "Is it true: {a}? {v}", "{a}. {v}.", "{a}\n= {v}"))
    lines = [". ".join(frame.format(p=person, x=value) for person, value in has.items()) + "."]
    for _ in range(rng.randint(5, 10)):
        person = rng.choice(people)
        value, verdict = has[person], yes
        if (draw := rng.random()) < 0.15:
            person, value, verdict = stranger, rng.choice(values), open_
        elif draw < 0.55:
            value, verdict = _another(rng, _said_or_not(rng, has, values), has[person]), no
        lines.append(form.format(a=frame.format(p=person, x=value), v=verdict))
    return "\n".join(lines)


def _said_or_not(rng: random.Random, has: dict[str, str], values: list[str]) -> list[str]:
    """Mostly the values that were said of somebody, if there are several."""
    said = list(has.values())
    return said if len(set(said)) > 1 and rng.random() < 0.6 else values


def _another(rng: random.Random, several: tuple[str, ...] | list[str], one: str) -> str:
    return rng.choice([other for other in several if other != one])
