"""Cards of people and things: what is known as a list, then told in sentences, in other sentences, or asked for.

Name: Silver Fox
Kind: inn
Colour: red
---
Silver Fox is a red inn. It stands near Milton Park.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from corpus.wording import capital, sentence
from lorascope.tasks.builtin import words
from lorascope.tasks.builtin.words import article, listed

Draw = Callable[[random.Random], str]


class Attribute(NamedTuple):
    """What can be known of a thing: its key on a card, its values, and ways to say it."""

    key: str
    values: Draw
    before: tuple[str, ...]
    """In front of the noun: "red"."""
    behind: tuple[str, ...]
    """After the noun, with its preposition: "with a red door"."""
    verbs: tuple[str, ...]
    """After "it": "has a red door"."""


def _of(values: Sequence[str]) -> Draw:
    return lambda rng: rng.choice(values)


def person_name(rng: random.Random) -> str:
    """First name and surname."""
    return f"{rng.choice(words.PEOPLE).name} {rng.choice(words.SURNAMES)}"


def made_name(rng: random.Random) -> str:
    """Such as Quiet Fox or The Quiet Fox."""
    name = f"{rng.choice(words.NAME_ADJECTIVES)} {rng.choice(words.NAME_NOUNS)}"
    return f"The {name}" if rng.random() < 0.5 else name


def sight(rng: random.Random) -> str:
    """Such as Milton Station."""
    return f"{rng.choice(words.TOWNS)} {rng.choice(words.PLACES).capitalize()}"


LEVELS = ("low", "average", "high", "1 star", "3 stars", "5 stars", "2 of 5", "4 of 5")
MONEY = ("cheap", "moderate", "expensive", "under 20", "20 to 25", "over 30")
HOUSE = (
    Attribute("price", _of(MONEY), (), ("at {v} prices", "for {v} money"), ("has {v} prices", "asks {v} prices")),
    Attribute("marks", _of(LEVELS), (), ("with {v} from its guests", "rated {v}"),
              ("got {v} from its guests", "is rated {v}", "is given {v} by those who know it")),
    Attribute("near", sight, (), ("near {v}", "next to {v}", "not far from {v}"),
              ("stands near {v}", "is close to {v}", "is next to {v}")),
    Attribute("town", _of(words.TOWNS), (), ("in {v}",), ("is in {v}", "stands in the town of {v}")),
    Attribute("part", _of(("river", "centre", "hill", "harbour", "forest", "lake")), (), ("by the {v}", "at the {v}"),
              ("lies by the {v}", "is found at the {v}")),
    Attribute("dishes", _of(words.CUISINES), ("{v}",), ("serving {v} dishes", "that offers {v} dishes"),
              ("serves {v} dishes", "cooks {v} food", "offers {v} meals")),
    Attribute("children", _of(("yes", "no")), (), (), ("{children}",)),
    Attribute("colour", _of(words.COLOURS), ("{v}",), ("with a {v} door",), ("is painted {v}", "has {v} walls")),
    Attribute("owner", person_name, (), ("owned by {v}",), ("belongs to {v}", "is the house of {v}")),
    Attribute("closed", _of(words.DAYS), (), (), ("is closed on {v}", "does not open on {v}")),
)  # fmt: skip
PERSON = (
    Attribute("job", _of(words.JOBS), (), (), ("is {a}", "works as {a}")),
    Attribute("town", _of(words.TOWNS), (), ("from {v}", "living in {v}"), ("lives in {v}", "has a home in {v}")),
    Attribute("food", _of(words.FOODS), (), ("who loves {v}",), ("loves {v}", "likes to eat {v}")),
    Attribute("pet", _of([noun.one for noun in words.ANIMALS]), (), ("with {a}",), ("has {a}", "keeps {a}")),
    Attribute("sport", _of(words.SPORTS), (), ("who loves {v}",), ("is good at {v}", "likes {v} most")),
    Attribute("age", lambda rng: str(rng.randint(6, 90)), (), ("aged {v}",), ("is {v} years old", "is {v}")),
    Attribute("car", _of(words.COLOURS), (), ("with a {v} car",), ("drives a {v} car", "has a {v} car")),
    Attribute("mood", _of(words.FEELINGS), ("{v}",), (), ("is often {v}", "looks {v} today")),
    Attribute("nature", _of(("tall", "kind", "rich", "famous", "brave", "strong", "quiet")), ("{v}",), (),
              ("is rather {v}", "is {v}")),
    Attribute("friend", person_name, (), (), ("is a friend of {v}", "has a friend called {v}")),
)  # fmt: skip
THING = (
    Attribute("colour", _of(words.COLOURS), ("{v}",), ("in {v}",), ("is {v}", "comes in {v}")),
    Attribute("material", _of(words.MATERIALS), (), ("made of {v}", "of {v}"), ("is made of {v}",)),
    Attribute("price", lambda rng: str(rng.randint(1, 99)), (), ("for {v} coins",),
              ("costs {v} coins", "is {v} coins")),
    Attribute("state", _of([word for pair in words.ADJECTIVES[:8] for word in pair]), ("{v}",), (), ("is {v}",)),
    Attribute("room", _of(words.ROOMS), (), ("in the {v}",), ("stands in the {v}", "belongs into the {v}")),
    Attribute("owner", person_name, (), ("of {v}",), ("belongs to {v}", "is owned by {v}")),
    Attribute("from", _of(words.COUNTRIES), (), ("from {v}",), ("comes from {v}", "was made in {v}")),
)  # fmt: skip
KINDS: Mapping[str, tuple[Draw, tuple[str, ...], tuple[Attribute, ...]]] = {
    "house": (made_name, ("inn", "restaurant", "pub", "coffee shop", "hotel", "bakery", "shop", "house"), HOUSE),
    "person": (person_name, ("man or woman",), PERSON),
    "thing": (made_name, tuple(noun.one for noun in words.OBJECTS), THING),
}
CHILDREN = {
    "yes": ("is family friendly", "is good for children", "welcomes families", "is a place for kids"),
    "no": ("is not for children", "is for adults", "welcomes no children", "is not family friendly"),
}
LAYOUTS = (
    ("{K}: {v}", "\n"),
    ("{k} = {v}", "; "),
    ("{k}: {v}", ", "),
    ("({k} {v})", " "),
    ("{k} | {v}", "\n"),
    ("{v}", " | "),
    ("{k}({v})", ", "),
    ("{k} {v}", ", "),
)
"""How a pair of key and value is written on a card, and what stands between two pairs."""
ENDS = ("\n---\n", "\n", "\nIn words: ", "\n\n", "\n=> ", "\n\nIn words:\n")


class Card(NamedTuple):
    """A thing with its name, its noun and what is known of it."""

    name: str
    noun: str
    facts: tuple[tuple[Attribute, str], ...]


def document(rng: random.Random) -> str:
    """A card and its text, a text and its card, one text and another, or a card with questions."""
    several = [draw(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
    form = rng.random()
    layout, end = rng.choice(LAYOUTS), rng.choice(ENDS)
    texts = []
    for one in several:
        if form < 0.6:
            texts.append(f"{listing(one, layout)}{end}{tell(rng, one)}")
        elif form < 0.7:
            texts.append(f"{tell(rng, one)}{end}{listing(one, layout)}")
        elif form < 0.8:
            texts.append(f"{tell(rng, one)}\nThat is to say: {tell(rng, one)}")
    if texts:
        return "\n\n".join(texts)
    if form < 0.9:
        return "\n".join(tell(rng, one) for one in several) + "\n" + _asked(rng, several)
    return "\n\n".join(listing(one, layout) for one in several) + "\n" + _asked(rng, several)


def draw(rng: random.Random) -> Card:
    """A card with two to seven facts."""
    name, nouns, attributes = KINDS[rng.choices(tuple(KINDS), (5, 3, 2))[0]]
    taken = rng.sample(attributes, min(len(attributes), rng.randint(2, 7)))
    taken.sort(key=attributes.index)
    return Card(name(rng), rng.choice(nouns), tuple((attribute, attribute.values(rng)) for attribute in taken))


def listing(one: Card, layout: tuple[str, str]) -> str:
    """The card as a list."""
    pairs = [("name", one.name), *([] if one.noun.startswith("man") else [("kind", one.noun)])]
    pairs += [(attribute.key, value) for attribute, value in one.facts]
    form, end = layout
    return end.join(form.format(k=key, K=key.capitalize(), v=value) for key, value in pairs)


def tell(rng: random.Random, one: Card) -> str:
    """Everything on the card in one to three sentences."""
    noun = one.noun if not one.noun.startswith("man") else rng.choice(("person", "somebody"))
    facts = rng.sample(one.facts, len(one.facts))
    before, behind, later = [], "", []
    for attribute, value in facts:
        ways = [way for way, room in (("before", len(before) < 2), ("behind", not behind)) if room]
        ways = [way for way in ways if getattr(attribute, way) and rng.random() < 0.5]
        if not ways or noun == "somebody":
            later.append(_fill(rng, attribute.verbs, value))
        elif ways[0] == "before":
            before.append(_fill(rng, attribute.before, value))
        else:
            behind = " " + _fill(rng, attribute.behind, value)
    thing = article(" ".join((*before, noun))) if noun != "somebody" else "somebody"
    first = rng.choice(
        (
            f"{one.name} is {thing}{behind}.",
            f"There is {thing}{behind} called {one.name}.",
            f"{capital(thing)}{behind} is {one.name}.",
            f"This is {one.name}, {thing}{behind}.",
        )
    )
    if noun == "somebody" and later:
        return " ".join(sentence(f"{name} {said}") for name, said in _named(rng, one.name, later))
    half = len(later) if len(later) < 3 else rng.randint(1, len(later))
    parts = [part for part in (later[:half], later[half:]) if part]
    return " ".join([first, *(f"{rng.choice(('It', one.name, 'It also'))} {listed(part)}." for part in parts)])


def _named(rng: random.Random, name: str, later: Sequence[str]) -> list[tuple[str, str]]:
    half = rng.randint(1, len(later))
    return [(name, listed(part)) for part in (list(later[:half]), list(later[half:])) if part]


def _fill(rng: random.Random, ways: Sequence[str], value: str) -> str:
    way = rng.choice(ways)
    return rng.choice(CHILDREN[value]) if way == "{children}" else way.format(v=value, a=article(value))


def _asked(rng: random.Random, several: Sequence[Card]) -> str:
    """Questions about the cards, by key; some ask what nobody has said."""
    lines = []
    for _ in range(rng.randint(2, 5)):
        one = rng.choice(several)
        known = {attribute.key: value for attribute, value in one.facts}
        key = rng.choice(tuple(known)) if rng.random() < 0.8 else rng.choice((*HOUSE, *PERSON, *THING)).key
        lines.append(f"{capital(key)} of {one.name}? {known.get(key, 'not said')}")
    return "\n".join(lines)
