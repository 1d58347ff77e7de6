"""Short stories that keep track of people, things and places, then are told again or asked about.

Anna took the red ball from the kitchen to the garden. Ben was in the attic. Later Ben came to the garden too.
Where is the red ball? In the garden.
Who is in the garden? Anna and Ben.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from corpus.wording import capital, some
from lorascope.tasks.builtin import words
from lorascope.tasks.builtin.words import Person, article, listed


def document(rng: random.Random) -> str:
    """One of the kinds below."""
    return rng.choices((moves, gifts, days, tale), (3, 2, 2, 3))[0](rng)


def moves(rng: random.Random) -> str:
    """People and things go from place to place; where are they in the end?"""
    people = rng.sample(words.PEOPLE, rng.choice((2, 3)))
    things = [f"{rng.choice(words.COLOURS)} {noun.one}" for noun in rng.sample(words.OBJECTS, 2)]
    places = some(rng, (*words.ROOMS, *words.PLACES), 3, 4)
    where: dict[str, str] = {}
    lines = []
    for person in people:
        where[person.name] = rng.choice(places)
        lines.append(f"{person.name} is in the {where[person.name]}.")
    for thing in things:
        where[thing] = rng.choice(places)
        lines.append(f"The {thing} is in the {where[thing]}.")
    for _ in range(rng.randint(2, 6)):
        person, place = rng.choice(people), rng.choice(places)
        here = [thing for thing in things if where[thing] == where[person.name]]
        if place == where[person.name]:
            continue
        if here and rng.random() < 0.6:
            thing = rng.choice(here)
            lines.append(f"{person.name} {rng.choice(('takes', 'carries', 'brings'))} the {thing} to the {place}.")
            where[thing] = place
        else:
            way = rng.choice(("goes to the {p}", "walks to the {p}", "leaves the {o} and goes to the {p}"))
            lines.append(f"{person.name} {way.format(p=place, o=where[person.name])}.")
        where[person.name] = place
    asked = []
    for name in rng.sample(tuple(where), min(4, len(where))):
        label = name if name[0].isupper() else f"the {name}"
        asked.append(
            rng.choice((f"Where is {label}? In the {where[name]}.", f"{capital(label)} is now in the {where[name]}."))
        )
    place = rng.choice(places)
    there = [person.name for person in people if where[person.name] == place]
    asked.append(f"Who is in the {place}? {listed(there) or 'Nobody'}.")
    return " ".join(lines) + "\n" + "\n".join(asked)


class Gift(NamedTuple):
    """Who gives what to whom, and why."""

    giver: Person
    thing: str
    taker: Person


def gifts(rng: random.Random) -> str:
    """Things change hands; who has them, who gave them to whom?"""
    people = rng.sample(words.PEOPLE, 4)
    given = []
    things = [noun.one for noun in rng.sample(words.OBJECTS, 3)]
    for thing in things:
        giver, taker = rng.sample(people, 2)
        given.append(Gift(giver, thing, taker))
    lines = [
        rng.choice(
            (
                f"{g.giver.name} gave {g.taker.name} {article(g.thing)}.",
                f"{g.taker.name} got {article(g.thing)} from {g.giver.name}.",
                f"{g.giver.name} lent {article(g.thing)} to {g.taker.name}.",
                f"{g.giver.name} sold {g.giver.possessive} {g.thing} to {g.taker.name}.",
            )
        )
        for g in given
    ]
    asked = []
    for g in rng.sample(given, len(given)):
        asked.append(
            rng.choice(
                (
                    f"Who has the {g.thing}? {g.taker.name}, and not {g.giver.name}.",
                    f"From whom is the {g.thing}? From {g.giver.name}.",
                    f"What did {g.taker.name} get from {g.giver.name}? {article(g.thing).capitalize()}.",
                    f"The {g.thing} was {g.giver.possessive}, but now {g.taker.name} has it.",
                )
            )
        )
    return " ".join(lines) + "\n" + "\n".join(asked)


def days(rng: random.Random) -> str:
    """What somebody does on which day, in order, then told by the thing or by the day."""
    person = rng.choice(words.PEOPLE)
    chosen = rng.sample(words.DAYS, rng.randint(3, 5))
    doings = [f"{verb.base} at the {place}" for verb, place in zip(rng.sample(words.GOING, len(chosen)),
              rng.sample(words.PLACES, len(chosen)), strict=True)]  # fmt: skip
    lines = [f"On {day} {person.name} will {doing}." for day, doing in zip(chosen, doings, strict=True)]
    asked = []
    for i in rng.sample(range(len(chosen)), len(chosen)):
        asked.append(
            rng.choice(
                (
                    f"When will {person.subject} {doings[i]}? On {chosen[i]}.",
                    f"What will {person.subject} do on {chosen[i]}? {capital(doings[i])}.",
                    f"{person.name} will {doings[i]} on {chosen[i]}.",
                )
            )
        )
    return "\n".join((" ".join(lines), *asked))


BEGINNINGS = (
    "{A} was a {adj} {job} who lived in {town}.",
    "In {town} there was a {adj} {job} called {A}.",
    "Once {A}, {a_job} from {town}, was very {feel}.",
)
MIDDLES = (
    "One {day} {he} lost {his} {colour} {thing}.",
    "One {day} {he} found {a_colour} {thing} at the {place}.",
    "One {day} {he} wanted to buy {a_colour} {thing}.",
    "In {month} {he} heard a {loud} {animal} in the {room}.",
)
TURNS = (
    "{B}, {his} {relative}, helped {him}.",
    "Then {B} came by {vehicle} and brought {food}.",
    "But {B} said: No, it is mine.",
    "At the {place} {he} met {B}, who was {feel2}.",
)
FINALS = (
    "In the end they ate {food} together and were {feel3}.",
    "Since then {A} and {B} are friends.",
    "So {A} went home by {vehicle}, and {B} stayed at the {place}.",
    "That is why {A} never goes to the {place} without {B}.",
)
RETOLD = (
    ("{A} is {a_job}.", "{A} works as {a_job}.", "The {job} is called {A}."),
    ("{A} lives in {town}.", "The story plays in {town}.", "{town} is where {A} comes from."),
    ("It was about {a_colour} {thing}.", "The {thing} was {colour}.", "A part of the story: the {colour} {thing}."),
    ("{B} was there too.", "The other one is {B}.", "{A} and {B} are the people of the story."),
)


def tale(rng: random.Random) -> str:
    """A tale of four sentences and more, and what it was about."""
    a, b = rng.sample(words.PEOPLE, 2)
    slots = {
        "A": a.name, "B": b.name, "he": a.subject, "his": a.possessive, "him": a.object,
        "adj": rng.choice(("big", "small", "tall", "short", "young", "rich", "poor", "kind", "brave", "quiet")),
        "loud": rng.choice(("loud", "small", "big", "wet", "sad")),
        "job": rng.choice(words.JOBS), "town": rng.choice(words.TOWNS), "day": rng.choice(words.DAYS),
        "month": rng.choice(words.MONTHS), "colour": rng.choice(words.COLOURS), "thing": rng.choice(words.OBJECTS).one,
        "place": rng.choice(words.PLACES), "room": rng.choice(words.ROOMS), "animal": rng.choice(words.ANIMALS).one,
        "relative": rng.choice(words.RELATIVES), "vehicle": rng.choice(words.VEHICLES), "food": rng.choice(words.FOODS),
        "feel": rng.choice(words.FEELINGS), "feel2": rng.choice(words.FEELINGS), "feel3": rng.choice(words.FEELINGS),
    }  # fmt: skip
    slots |= {"a_job": article(slots["job"]), "a_colour": article(slots["colour"])}
    parts = [rng.choice(BEGINNINGS), rng.choice(MIDDLES), *rng.sample(TURNS, rng.choice((1, 2))), rng.choice(FINALS)]
    text = " ".join(part.format_map(slots) for part in parts)
    known = [said for said, needs in zip(RETOLD, ("job}", "{town}", "colour}", "{B}"), strict=True)
             if any(needs in part for part in parts)]  # fmt: skip
    again = [rng.choice(said).format_map(slots) for said in rng.sample(known, len(known))]
    return f"{capital(text)}\n{rng.choice(('In short: ', 'Again: ', '', 'What we know: '))}{' '.join(again)}"
