"""What can be said of a person, as clauses with a small logic below them: when does one follow from others?

What a clause says is a `Fact`: one variable ("where Anna lives") and the values that it may then have. Whether a claim
holds is a matter of sets, whatever the words are:

    Anna lives in Milton       home of Anna    {Milton}          entails "Anna's home is in Milton"
    Anna lives in Oakham       home of Anna    {Oakham}          contradicts it
    Tom lives in Milton        home of Tom     {Milton}          says nothing about it
    Anna has more than 3 keys  keys of Anna    {4, 5, ...}       entails "Anna has more than 2 keys"
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from lorascope.tasks.builtin import words
from lorascope.tasks.builtin.words import Person, article


class Fact(NamedTuple):
    """What one clause says: the variable is one of `allowed`."""

    variable: tuple[str, ...]
    allowed: frozenset[str]
    clause: str
    """With {who}, {whose}, {whom}, {he}, {his} for the person."""


Said = Sequence[tuple[str, frozenset[str]]]
"""Clauses and the values that each allows."""
About = Callable[[Person, Person], tuple[Fact, ...]]
"""(whom it is about, somebody else whom it may need) -> everything that can be said about one variable of theirs."""


def judge(premise: Sequence[Fact], claim: Fact) -> str:
    """The label: does the claim hold in every world that the premise allows, in none, or in some?

    A fact about another variable allows every value, and one that names all values ("some books") says nothing.
    """
    said = [fact.allowed for fact in premise if fact.variable == claim.variable]
    possible = frozenset.intersection(*said) if said else None
    if possible is not None and possible <= claim.allowed:
        return "entailment"
    return "contradiction" if possible is not None and not possible & claim.allowed else "neutral"


def _topic(name: tuple[str, ...], person: Person, said: Said) -> tuple[Fact, ...]:
    variable = (person.name, *name)
    return tuple(Fact(variable, allowed, clause) for clause, allowed in said)


# --- one value of several: the same fact in other words, or another value ------------------------------------------

VALUES: tuple[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "home", ("",), words.TOWNS,
        ("{who} lives in {v}", "{whose} home is in {v}", "the town where {who} lives is {v}"),
    ),
    (
        "childhood", ("",), words.TOWNS,
        ("{who} grew up in {v}", "{who} spent {his} childhood in {v}", "{who} was a child in {v}"),
    ),
    (
        "job", ("",), tuple(article(job) for job in words.JOBS),
        ("{who} works as {v}", "{who} is {v}", "{whose} job is that of {v}", "{who} earns money as {v}"),
    ),
    (
        "food", ("food", "snack"), words.FOODS,
        ("{whose} favourite {x} is {v}", "the {x} that {who} likes best is {v}", "{who} likes no {x} better than {v}"),
    ),
    (
        "sport", ("sport",), words.SPORTS,
        ("{whose} favourite {x} is {v}", "the {x} that {who} likes best is {v}", "the only {x} for {whom} is {v}"),
    ),
    (
        "colour", ("car", "bike", "coat", "hat", "door", "boat", "scarf", "tent"), words.COLOURS,
        ("{whose} {x} is {v}", "the colour of {whose} {x} is {v}", "{who} has one {x}, {a} one", "{who} has {a} {x}"),
    ),
    (
        "material", ("table", "shelf", "bed", "clock", "bowl"), words.MATERIALS,
        ("{whose} {x} is made of {v}", "the {x} that {who} has is of {v}", "{who} has a {x} of {v}"),
    ),
    (
        "birthday", ("",), words.MONTHS,
        ("{who} was born in {v}", "{whose} birthday is in {v}", "the month of {whose} birthday is {v}"),
    ),
    (
        "day", ("exam", "wedding", "party", "lesson", "concert", "trip"), words.DAYS,
        ("{whose} {x} is on {v}", "{whose} {x} takes place on {v}", "the day of {whose} {x} is {v}"),
    ),
    (
        "place", ("exam", "wedding", "party", "lesson", "concert", "show"), words.PLACES,
        ("{whose} {x} is at the {v}", "{whose} {x} takes place at the {v}", "the {v} is the place of {whose} {x}"),
    ),
    (
        "way", ("work", "school"), words.VEHICLES,
        ("{who} always goes to {x} by {v}", "{who} takes the {v} to {x} every day", "{whose} way to {x} is by {v}"),
    ),
    (
        "pet", ("",), tuple(article(animal.one) for animal in words.ANIMALS),
        ("{whose} only pet is {v}", "{who} has one pet, {v}", "the only pet that {who} has is {v}"),
    ),
    (
        "floor", ("flat", "office"), words.ORDINALS,
        ("{whose} {x} is on the {v} floor", "{who} has {his} {x} on the {v} floor"),
    ),
    (
        "reason", ("home", "work"), ("rain", "snow", "heat", "wind", "noise", "exam", "strike"),
        ("{who} stayed at {x} because of the {v}", "it was the {v} that kept {whom} at {x}",
         "the {v} was the reason why {who} stayed at {x}"),
    ),
)  # fmt: skip
"""(variable, things that it may be about, values, ways to say it): a person has exactly one value."""


def any_value(rng: random.Random) -> About:
    """A variable of VALUES."""
    number = rng.randrange(len(VALUES))
    name, things, *_ = VALUES[number]
    thing = rng.choice(things)
    return lambda who, other: _topic((name, thing), who, _said(number, thing))


@cache
def _said(number: int, thing: str) -> Said:
    """Every value in every way; what is left of the braces is the person."""
    _, _, values, ways = VALUES[number]
    return tuple(
        (way.replace("{x}", thing).replace("{v}", value).replace("{a}", article(value)), frozenset([value]))
        for value in values
        for way in ways
    )


# --- the other kinds of reasoning ----------------------------------------------------------------------------------

PERSONAL = ("tall", "rich", "happy", "strong", "kind", "famous", "healthy", "awake", "busy", "brave")
THINGS = {
    "bag": ("big", "heavy", "full", "clean", "cheap"),
    "bottle": ("big", "heavy", "full", "clean", "wet"),
    "box": ("big", "heavy", "full", "open", "thick"),
    "garden": ("big", "dark", "clean", "quiet", "near"),
    "kitchen": ("big", "dark", "clean", "hot", "quiet"),
    "van": ("big", "fast", "clean", "cheap", "full"),
    "jacket": ("big", "wet", "thick", "clean", "cheap"),
    "window": ("big", "open", "clean", "wide", "wet"),
    "soup": ("hot", "thick", "cheap", "sweet"),
}
"""What a person has one of, and the adjectives that it may have or not; they differ from the things of VALUES."""
OPPOSITE = {**dict(words.ADJECTIVES), **{second: first for first, second in words.ADJECTIVES}}


def _opposite(rng: random.Random) -> About:
    if rng.random() < 0.4:
        subject, adjective = "{who}", rng.choice(PERSONAL)
    else:
        thing = rng.choice(tuple(THINGS))
        subject, adjective = f"{{whose}} {thing}", rng.choice(THINGS[thing])
    opposite = OPPOSITE[adjective]
    scale = (f"very {adjective}", adjective, "neither", opposite, f"very {opposite}")
    said = [(f"{subject} is neither {adjective} nor {opposite}", frozenset(["neither"]))]
    for word, (most, more, *rest) in ((adjective, scale), (opposite, scale[::-1])):
        said += [(f"{subject} is {word}", frozenset([most, more])), (f"{subject} is very {word}", frozenset([most]))]
        said += [(f"{subject} is not {word}", frozenset(rest))]
    return lambda who, other: _topic((subject, adjective), who, said)


COUNTED = ("books", "keys", "plates", "tickets", "letters", "maps", "toys", "lamps", "brothers", "sisters", "cousins")


def _number(rng: random.Random) -> About:
    things = rng.choice(COUNTED)
    numbers = (*words.NUMBERS, "more")
    said = [(f"{{who}} has some {things}", frozenset(numbers[1:]))]
    for i, number in list(enumerate(words.NUMBERS))[2:]:
        said += [(f"{{who}} has {number} {things}", frozenset([number]))]
        said += [(f"the number of {{whose}} {things} is {number}", frozenset([number]))]
        said += [(f"{{who}} has more than {number} {things}", frozenset(numbers[i + 1 :]))]
        said += [(f"{{who}} has fewer than {number} {things}", frozenset(numbers[:i]))]
    return lambda who, other: _topic(("number", things), who, said)


VERBS = {verb.base: verb for verb in (*words.VERBS, *words.GOING)}
OBJECTS = {
    "cook": ("soup", "rice", "pasta", "fish"),
    "bake": ("bread", "cake", "cookies", "pizza"),
    "read": ("the letter", "the book", "the map", "the card"),
    "clean": ("the hall", "the attic", "the cellar", "the car"),
    "visit": ("the museum", "the zoo", "the library", "the market"),
    "win": ("the race", "the match", "the game", "the prize"),
    "fix": ("the radio", "the clock", "the bike", "the phone"),
    "paint": ("the door", "the desk", "the boat", "the shelf"),
    "lose": ("the key", "the ticket", "the wallet", "the ball"),
}


YES, NO, MAYBE = frozenset(["yes"]), frozenset(["no"]), frozenset(["yes", "no"])


def _negation(rng: random.Random) -> About:
    verb = VERBS[rng.choice(tuple(OBJECTS))]
    thing = rng.choice(OBJECTS[verb.base])
    said = (
        (f"{{who}} {verb.past} {thing}", YES),
        (f"it was {{who}} who {verb.past} {thing}", YES),
        (f"{{who}} did {verb.base} {thing}", YES),
        (f"{{who}} did not {verb.base} {thing}", NO),
        (f"{{who}} never {verb.past} {thing}", NO),
        (f"it is not true that {{who}} {verb.past} {thing}", NO),
        (f"{{who}} may have {verb.participle} {thing}", MAYBE),
        (f"{{who}} thought of {verb.ing} {thing}", MAYBE),
    )
    return lambda who, other: _topic((verb.base, thing), who, said)


KINDS = {
    "fruit": ("apples", "bananas", "cherries", "lemons", "oranges", "pears"),
    "vegetables": ("carrots", "mushrooms", "onions", "potatoes", "tomatoes"),
    "drinks": ("coffee", "juice", "milk", "tea", "wine"),
    "sweets": ("cake", "chocolate", "cookies", "honey"),
}


def _kind(rng: random.Random) -> About:
    everything = frozenset(member for members in KINDS.values() for member in members)
    said = [("{who} bought something to eat or drink", everything)]
    for kind, members in KINDS.items():
        for name, allowed in ((kind, members), (kind, members), *((member, (member,)) for member in members)):
            said += [(f"{{who}} only bought {name}", frozenset(allowed))]
            said += [(f"{{who}} bought {name} and nothing else", frozenset(allowed))]
    return lambda who, other: _topic(("bought",), who, said)


def _quantifier(rng: random.Random) -> About:
    group = rng.choice(("friends", "children", "students", "guests", "neighbours"))
    verb = VERBS[rng.choice(("like", "need", "want"))]
    thing = rng.choice((*words.FOODS, *words.DRINKS))
    every, some, none = frozenset(["all"]), frozenset(["all", "some"]), frozenset(["none"])
    said = (
        (f"all of {{whose}} {group} {verb.base} {thing}", every),
        (f"each of {{whose}} {group} {verb.third} {thing}", every),
        (f"some of {{whose}} {group} {verb.base} {thing}", some),
        (f"at least one of {{whose}} {group} {verb.third} {thing}", some),
        (f"none of {{whose}} {group} {verb.third} {thing}", none),
        (f"not one of {{whose}} {group} {verb.third} {thing}", none),
        (f"not all of {{whose}} {group} {verb.base} {thing}", frozenset(["some", "none"])),
    )
    return lambda who, other: _topic((group, verb.base, thing), who, said)


FIRST, SECOND, OPEN = frozenset(["first"]), frozenset(["second"]), frozenset(["first", "second"])


def _comparison(rng: random.Random) -> About:
    more, less = rng.choice((("taller", "shorter"), ("older", "younger"), ("richer", "poorer"), ("faster", "slower")))

    def about(who: Person, other: Person) -> tuple[Fact, ...]:
        said = (
            (f"{{who}} is {more} than {other.name}", FIRST),
            (f"{other.name} is {less} than {{whom}}", FIRST),
            (f"{{who}} is {less} than {other.name}", SECOND),
            (f"{other.name} is {more} than {{whom}}", SECOND),
        )
        return _topic((more, other.name), who, said)

    return about


def _order(rng: random.Random) -> About:
    one, two = (VERBS[base] for base in rng.sample(("swim", "laugh", "sleep", "sit", "run", "drive", "wait"), 2))
    said = [(f"{{who}} {one.past} and {two.past}", OPEN)]
    for allowed, a, b in ((FIRST, one, two), (SECOND, two, one)):
        said += [(f"{{who}} {a.past} before {{he}} {b.past}", allowed)]
        said += [(f"{{who}} {b.past} after {{he}} {a.past}", allowed)]
    return lambda who, other: _topic(("order", one.base, two.base), who, said)


def _role(rng: random.Random) -> About:
    game = rng.choice(("chess", "cricket", "golf", "hockey", "tennis"))

    def about(who: Person, other: Person) -> tuple[Fact, ...]:
        said = (
            (f"{{who}} won against {other.name} at {game}", FIRST),
            (f"{other.name} lost to {{whom}} at {game}", FIRST),
            (f"{{who}} lost to {other.name} at {game}", SECOND),
            (f"{other.name} won against {{whom}} at {game}", SECOND),
            (f"{{who}} and {other.name} met at {game}", OPEN),
        )
        return _topic((game, other.name), who, said)

    return about


REASONING: dict[str, tuple[float, Callable[[random.Random], About]]] = {
    "value": (0.52, any_value),
    "opposite": (0.12, _opposite),
    "number": (0.07, _number),
    "negation": (0.10, _negation),
    "kind": (0.06, _kind),
    "quantifier": (0.06, _quantifier),
    "comparison": (0.03, _comparison),
    "order": (0.02, _order),
    "role": (0.02, _role),
}
"""Kind of reasoning -> its share and what draws a variable of it."""
