"""Restaurants in the form of E2E NLG: its eight attributes, three to five references for each meaning representation.

A grammar words the facts as people do: in another order, in one to three sentences, before the noun ("a cheap pub"),
behind it ("a pub with low prices") or in a sentence of their own ("Prices are low."). Every reference says exactly what
the meaning representation says. Wordings are drawn by Zipf's law over the lists below, so that there is a usual way to
say each thing, listed first, and a tail.

Names and places are made of two parts. One pair in four is kept out of training, so that a test name such as "The Quiet
Heron" has parts that were seen and has never been seen as a whole: it must be copied.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping, Sequence

from lorascope.tasks.base import Row
from lorascope.tasks.builtin.words import NAME_ADJECTIVES, NAME_NOUNS, TOWNS, article, listed

SIZES = {"train": 1200, "validation": 150, "test": 150}
"""Meaning representations of a split; three to five rows each."""
SEED = 20170628

Values = Mapping[str, str]
"""The attributes of one restaurant in the official order; "name" and two to seven others."""

POUND = "\N{POUND SIGN}"
KINDS = ("restaurant", "pub", "coffee shop")
FOODS = ("Chinese", "English", "fast food", "French", "Indian", "Italian", "Japanese")
PRICES = ("cheap", "moderate", "high", f"less than {POUND}20", f"{POUND}20-25", f"more than {POUND}30")
RATINGS = ("low", "average", "high", "1 out of 5", "3 out of 5", "5 out of 5")
AREAS = ("city centre", "riverside")
LANDMARKS = ("Station", "Museum", "Theatre", "Library", "Market", "Hotel", "Park", "Stadium")
NAMES = [
    f"The {first} {second}" if (i + j) % 2 else f"{first} {second}"
    for i, first in enumerate(NAME_ADJECTIVES)
    for j, second in enumerate(NAME_NOUNS)
]
NEAR = [f"{town} {landmark}" for town in TOWNS for landmark in LANDMARKS]

_PRICED = {
    "cheap": ("cheap", "low-priced", "inexpensive"),
    "moderate": ("moderately priced", "mid-priced", "reasonably priced"),
    "high": ("expensive", "high-priced", "costly"),
}
_PRICES = {
    "cheap": ("low prices", "cheap prices", "a low price range"),
    "moderate": ("moderate prices", "average prices", "a moderate price range"),
    "high": ("high prices", "steep prices", "a high price range"),
    PRICES[3]: (f"prices of less than {POUND}20", f"prices below {POUND}20", f"prices under {POUND}20"),
    PRICES[4]: (f"prices of {POUND}20-25", f"a price range of {POUND}20-25", f"prices between {POUND}20 and {POUND}25"),
    PRICES[5]: (f"prices of more than {POUND}30", f"prices above {POUND}30", f"prices over {POUND}30"),
}
_RATED = {
    "low": ("low rated", "poorly rated"),
    "average": ("average rated", "decently rated"),
    "high": ("highly rated", "well rated", "top rated"),
    "1 out of 5": ("1 star", "one star"),
    "3 out of 5": ("3 star", "three star"),
    "5 out of 5": ("5 star", "five star"),
}
_FAMILY = {
    "yes": ("family friendly", "child friendly", "kid friendly"),
    "no": ("adults only", "child free"),
}
_BEFORE: Mapping[str, Mapping[str, Sequence[str]]] = {
    "priceRange": _PRICED,
    "customer rating": _RATED,
    "familyFriendly": _FAMILY,
}
_FAMILY_SAID = {
    "yes": ("is family friendly", "is child friendly", "welcomes children", "is a good place for families"),
    "no": ("is not family friendly", "is not child friendly", "does not welcome children", "is for adults only"),
}
_FAMILY_ALONE = {
    "yes": ("Children are welcome.", "Families are welcome.", "You can bring your kids."),
    "no": ("Children are not welcome.", "It is no place for families.", "Leave the kids at home."),
}
_AREA = {
    "city centre": ("in the city centre", "in the centre of the city", "in the centre of town"),
    "riverside": ("by the river", "in the riverside area", "at the riverside"),
}
_NEAR = ("near", "close to", "next to", "not far from")

_ORDER = ("food", "priceRange", "customer rating", "familyFriendly", "place")


def rows(split: str) -> list[Row]:
    """The rows {"id", "mr", "ref"} of a split: those of one meaning representation stand together."""
    texts = [(write_meaning(values), text) for values, several in restaurants(split) for text in several]
    return [{"id": str(number), "mr": mr, "ref": ref} for number, (mr, ref) in enumerate(texts)]


def restaurants(split: str) -> list[tuple[Values, list[str]]]:
    """Every restaurant of a split with its references."""
    rng = random.Random(f"{SEED} {split}")
    halves = random.Random(SEED)
    names, near = _parted(NAMES, halves), _parted(NEAR, halves)
    found: dict[str, tuple[Values, list[str]]] = {}
    while len(found) < SIZES[split]:
        values = _restaurant(rng, names, near, training=split == "train")
        mr = write_meaning(values)
        if mr not in found and _split_of(mr) == split:
            found[mr] = values, references(values, rng)
    return list(found.values())


def _split_of(mr: str) -> str:
    """The one split that a meaning representation may stand in, so that no two share one."""
    return {0: "test", 1: "validation"}.get(zlib.crc32(mr.encode()) % 4, "train")


def write_meaning(values: Values) -> str:
    """The official spelling: `name[The Golden Fox], eatType[pub], ...`."""
    return ", ".join(f"{key}[{value}]" for key, value in values.items())


def references(values: Values, rng: random.Random) -> list[str]:
    """Three to five different descriptions of one restaurant."""
    wanted = rng.randint(3, 5)
    told: dict[str, None] = {}
    while len(told) < wanted:
        told[describe(values, rng)] = None
    return list(told)


def describe(values: Values, rng: random.Random) -> str:
    """One to three sentences that say everything in `values`, and nothing else."""
    where, said = _places(values, rng), _said_where(values, rng)
    before, behind, later = [], "", []
    for key in ("priceRange", "customer rating", "familyFriendly"):
        if key not in values:
            continue
        if said[key] == "before":
            before.append(_usual(rng, _BEFORE[key][values[key]]))
        elif said[key] == "behind":
            behind = f" with {_noun(key, values[key], rng)}"
        else:
            later.append(key)
    food = values.get("food", "")
    before = before if rng.random() < 0.7 else before[::-1]
    noun = " ".join([*before, *([food] if said["food"] == "before" else []), values.get("eatType", "place")])
    served = f" {_usual(rng, ('serving', 'that serves', 'offering'))} {_dishes(food, rng)}" * (said["food"] == "behind")
    if said["food"] == "later":
        later.insert(0, "food")
    place = f" {where}" * (said["place"] == "first")
    if said["place"] == "later":
        later.append("place")
    first = _opening(values["name"], noun, served + behind, place, rng)
    later = later if rng.random() < 0.6 else rng.sample(later, len(later))
    return " ".join([first, *_sentences(later, values, where, rng)])


def _parted(pairs: list[str], rng: random.Random) -> tuple[list[str], list[str]]:
    """(three quarters, which training sees; the rest)."""
    mixed = rng.sample(pairs, len(pairs))
    return mixed[len(mixed) // 4 :], mixed[: len(mixed) // 4]


def _restaurant(
    rng: random.Random, names: tuple[list[str], list[str]], near: tuple[list[str], list[str]], *, training: bool
) -> Values:
    """Three to eight attributes; outside training, names and places are unseen every other time."""
    values = {
        "name": rng.choice(names[0 if training else rng.randrange(2)]),
        "eatType": rng.choice(KINDS),
        "food": rng.choice(FOODS),
        "priceRange": rng.choice(PRICES),
        "customer rating": rng.choice(RATINGS),
        "area": rng.choice(AREAS),
        "familyFriendly": rng.choice(("yes", "no")),
        "near": rng.choice(near[0 if training else rng.randrange(2)]),
    }
    others = list(values)[1:]
    size = rng.choices(range(2, 8), weights=(4, 15, 30, 30, 17, 4))[0]  # as often as in the real data
    kept = {"name", *rng.sample(others, size)}
    return {key: value for key, value in values.items() if key in kept}


def _usual(rng: random.Random, wordings: Sequence[str]) -> str:
    """One of the wordings; the n-th in the list is n times rarer than the first."""
    return rng.choices(wordings, weights=[1 / rank for rank in range(1, len(wordings) + 1)])[0]


def _said_where(values: Values, rng: random.Random) -> dict[str, str]:
    """Fact -> before the noun, behind it, or later; the place: first (in the first sentence) or later."""
    said = {
        "food": "" if "food" not in values else rng.choices(("before", "behind", "later"), weights=(6, 3, 1))[0],
        "place": rng.choices(("first", "later"), weights=(4, 1))[0] if {"area", "near"} & set(values) else "",
    }
    room = {"before": 2, "behind": 1, "later": 3}
    for key in ("priceRange", "customer rating", "familyFriendly"):
        weights = {"before": 3, "behind": 2, "later": 4}
        if key == "familyFriendly":
            weights["behind"] = 0
        if key == "priceRange" and values.get(key) not in _PRICED:
            weights["before"] = 0
        weights = {side: weight for side, weight in weights.items() if room[side]}
        if key in values:
            said[key] = rng.choices(list(weights), weights=list(weights.values()))[0]
            room[said[key]] -= 1
    return said


def _places(values: Values, rng: random.Random) -> str:
    """ "by the river near Weston Hotel"; empty where nothing is known."""
    parts = [_usual(rng, _AREA[values["area"]])] if "area" in values else []
    if "near" in values:
        parts.append(f"{_usual(rng, _NEAR)} {values['near']}")
    return " ".join(parts if rng.random() < 0.7 else parts[::-1])


def _dishes(food: str, rng: random.Random) -> str:
    return food if food == "fast food" else f"{food} {_usual(rng, ('food', 'dishes', 'meals'))}"


def _noun(key: str, value: str, rng: random.Random) -> str:
    """What follows "with" or "has": "low prices", "a high customer rating"."""
    if key == "priceRange":
        return _usual(rng, _PRICES[value])
    return _usual(rng, (f"{article(value)} customer rating", f"{article(value)} rating"))


def _opening(name: str, noun: str, about: str, place: str, rng: random.Random) -> str:
    """The first sentence, with the name, the noun, what is said behind it and perhaps the place."""
    thing = "a place to eat" if noun == "place" else article(noun)
    orders = [
        f"{name} is {thing}{place}{about}." if rng.random() < 0.5 else f"{name} is {thing}{about}{place}.",
        f"There is {thing}{place} called {name}{about.replace(' that serves', ', which serves')}.",
    ]
    if noun != "place":
        orders.append(f"{thing[0].upper()}{thing[1:]}{about}{place} is {name}.")
    if place:
        orders.insert(1, f"{place[1:2].upper()}{place[2:]}, there is {thing} called {name}{about}.")
        orders.append(f"{name},{place}, is {thing}{about}.")
    return _usual(rng, orders)


def _sentences(keys: list[str], values: Values, where: str, rng: random.Random) -> list[str]:
    """What is left to say, in one or two sentences."""
    if keys and rng.random() < 0.3:
        alone = _alone(keys[-1], values, where, rng)
        return [*_told(keys[:-1], values, where, rng), alone]
    if len(keys) > 3:
        return [*_told(keys[:2], values, where, rng), *_told(keys[2:], values, where, rng)]
    return _told(keys, values, where, rng)


def _told(keys: list[str], values: Values, where: str, rng: random.Random) -> list[str]:
    """ "It has low prices and is family friendly." """
    parts = [_verb(key, values, where, rng) for key in keys]
    return [f"{_usual(rng, ('It', 'The place', values['name']))} {listed(parts)}."] if parts else []


def _verb(key: str, values: Values, where: str, rng: random.Random) -> str:
    value = values.get(key, "")
    if key == "food":
        return f"{_usual(rng, ('serves', 'offers'))} {_dishes(value, rng)}"
    if key == "place":
        return f"{_usual(rng, ('is', 'is located', 'can be found'))} {where}"
    if key == "familyFriendly":
        return _usual(rng, _FAMILY_SAID[value])
    if key == "priceRange" and value in _PRICED and rng.random() < 0.5:
        return f"is {_usual(rng, _PRICED[value])}"
    if key == "customer rating" and rng.random() < 0.4:
        return f"is rated {value} by customers"
    return f"has {_noun(key, value, rng)}"


def _alone(key: str, values: Values, where: str, rng: random.Random) -> str:
    """One fact in a sentence of its own."""
    value = values.get(key, "")
    if key == "familyFriendly":
        return _usual(rng, _FAMILY_ALONE[value])
    if key == "priceRange":
        amount = "low" if value == "cheap" else value
        return _usual(rng, (f"The price range is {amount}.", f"Prices are {amount}."))
    if key == "customer rating":
        return _usual(rng, (f"The customer rating is {value}.", f"Customers rate it {value}."))
    if key == "place":
        return f"You will find it {where}."
    return f"The food is {value}." if value != "fast food" else "The menu is fast food."
