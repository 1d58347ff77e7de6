"""Restaurants in the form of E2E NLG: its attributes and columns, several references for a meaning representation.

Every name and value is ours or generic; the grammar gives different sentence orders and wordings, so that references of
one meaning representation differ as people's would.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

NAMES = [
    f"The {first} {second}"
    for first in ("Golden", "Silver", "Quiet", "Laughing", "Old", "Green", "Painted", "Lucky", "Hidden", "Travelling")
    for second in ("Fox", "Anchor", "Kettle", "Lantern", "Orchard", "Compass", "Heron", "Mill", "Garden", "Piper")
]
KINDS = ("pub", "restaurant", "coffee shop")
FOODS = ("Italian", "French", "Indian", "Japanese", "Chinese", "English", "fast food")
PRICES = ("cheap", "moderate", "high", "less than £20", "£20-25", "more than £30")
RATINGS = ("low", "average", "high", "1 out of 5", "3 out of 5", "5 out of 5")
AREAS = ("riverside", "city centre")
PLACES = ("Station Hall", "the Town Museum", "Harbour Hotel", "Central Park", "the Old Bakery", "Rose Theatre")
REFERENCES = 3
"""References of a meaning representation."""

_WORDS = {
    "cheap": ("cheap", "low-priced", "inexpensive"),
    "moderate": ("moderately priced", "mid-priced"),
    "high": ("expensive", "high-priced"),
    "less than £20": ("priced below £20",),
    "£20-25": ("priced at £20-25",),
    "more than £30": ("priced above £30",),
}


def meaning(rng: random.Random) -> dict[str, str]:
    """One restaurant: three to eight attributes in the official order."""
    values = {
        "name": rng.choice(NAMES),
        "eatType": rng.choice(KINDS),
        "food": rng.choice(FOODS),
        "priceRange": rng.choice(PRICES),
        "customer rating": rng.choice(RATINGS),
        "area": rng.choice(AREAS),
        "familyFriendly": rng.choice(("yes", "no")),
        "near": rng.choice(PLACES),
    }
    kept = {"name", "eatType", *rng.sample(sorted(set(values) - {"name", "eatType"}), rng.randint(1, 6))}
    return {key: value for key, value in values.items() if key in kept}


def write_meaning(values: dict[str, str]) -> str:
    """The official spelling: `name[The Golden Fox], eatType[pub], …`."""
    return ", ".join(f"{key}[{value}]" for key, value in values.items())


def describe(values: dict[str, str], rng: random.Random) -> str:
    """One sentence or two that say everything in `values`."""
    name, kind = values["name"], values["eatType"]
    food = f"{values['food']} " if "food" in values and rng.random() < 0.5 else ""
    head = f"{food}{kind}"
    if "priceRange" in values and values["priceRange"] in ("cheap", "moderate", "high") and rng.random() < 0.6:
        head, priced = f"{rng.choice(_WORDS[values['priceRange']])} {head}", True
    else:
        priced = "priceRange" not in values
    where = []
    if "area" in values:
        where.append(
            rng.choice(
                {
                    "riverside": ("by the river", "at the riverside"),
                    "city centre": ("in the city centre", "in the centre of the city"),
                }[values["area"]]
            )
        )
    if "near" in values:
        where.append(rng.choice(("near", "close to", "next to")) + f" {values['near']}")
    rng.shuffle(where)
    place = " " + " ".join(where) if where else ""
    article = "an" if head[0].lower() in "aeiou" else "a"
    first = rng.choice(
        (
            f"{name} is {article} {head}{place}",
            f"{article.capitalize()} {head}{place} is {name}",
            f"There is {article} {head} called {name}{place}",
        )
    )
    rest = []
    if "food" in values and not food:
        rest.append(
            rng.choice((f"serves {values['food']} food", f"offers {values['food']} food")).replace(
                "fast food food", "fast food"
            )
        )
    if not priced:
        rest.append(f"is {rng.choice(_WORDS[values['priceRange']])}")
    if "customer rating" in values:
        rest.append(
            rng.choice(
                (
                    f"has a {values['customer rating']} customer rating",
                    f"is rated {values['customer rating']} by customers",
                )
            )
        )
    if "familyFriendly" in values:
        rest.append(
            {
                "yes": rng.choice(("is family friendly", "welcomes children")),
                "no": rng.choice(("is not family friendly", "is for adults only")),
            }[values["familyFriendly"]]
        )
    rng.shuffle(rest)
    if not rest:
        return first + "."
    told = rest[0] if len(rest) == 1 else ", ".join(rest[:-1]) + " and " + rest[-1]
    return f"{first}. It {told}."


def splits(sizes: dict[str, int], seed: int) -> dict[str, list[tuple[str, str]]]:
    """(mr, ref) rows per split; `sizes` counts meaning representations, and no split shares one with another."""
    rng, seen = random.Random(seed), set()
    rows: dict[str, list[tuple[str, str]]] = {split: [] for split in sizes}
    for split, size in sizes.items():
        while size:
            values = meaning(rng)
            mr = write_meaning(values)
            if mr in seen:
                continue
            seen.add(mr)
            size -= 1
            told: set[str] = set()
            for _ in range(20 * REFERENCES):
                told.add(describe(values, rng))
                if len(told) == REFERENCES:
                    break
            rows[split] += [(mr, text) for text in sorted(told)]
    return rows


def sentences(count: int, seed: int) -> Iterator[str]:
    """Descriptions without the task's format: plain text to pretrain a model on."""
    rng = random.Random(seed)
    for _ in range(count):
        yield describe(meaning(rng), rng)


def write_official(folder: Path, *, train: int, validation: int, test: int, seed: int) -> None:
    """The three CSV files of E2E NLG, as the official release names them."""
    names = {"train": "trainset.csv", "validation": "devset.csv", "test": "testset_w_refs.csv"}
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits({"train": train, "validation": validation, "test": test}, seed).items():
        with (folder / names[split]).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("mr", "ref"), *rows])
