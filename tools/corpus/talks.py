"""Talks between two or three people, and what a narrator makes of them: who does what, when and where in the end.

    Anna: Shall we go swimming?
    Ben: Good idea. When?
    Anna: On Monday?
    Ben: I can't then. What about Friday?
    Anna: Fine.
    So Anna and Ben will go swimming on Friday.

What is agreed on is drawn first; a talk leads there over offers that are taken, changed or refused.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from corpus.cards import made_name
from corpus.scenes import ASIDES, NEWS, PLANS
from corpus.wording import say
from lorascope.tasks.builtin import words
from lorascope.tasks.builtin.words import article

Turns = list[tuple[str, str]]

VALUES: dict[str, Callable[[random.Random], str]] = {
    "day": lambda rng: rng.choice((*words.DAYS, *words.DAYS, "today", "tomorrow")),
    "time": lambda rng: rng.choice((str(rng.randint(1, 12)),
                                    f"{rng.randint(7, 22)}:{rng.choice(('00', '15', '30', '45'))}",
                                    f"{rng.randint(1, 11)} {rng.choice(('am', 'pm'))}")),
    "place": lambda rng: rng.choice(words.PLACES),
    "town": lambda rng: rng.choice(words.TOWNS),
    "food": lambda rng: rng.choice(words.FOODS),
    "drink": lambda rng: rng.choice(words.DRINKS),
    "cuisine": lambda rng: rng.choice(words.CUISINES),
    "thing": lambda rng: rng.choice(words.OBJECTS).one,
    "colour": lambda rng: rng.choice(words.COLOURS),
    "sport": lambda rng: rng.choice(words.SPORTS),
    "event": lambda rng: rng.choice(words.EVENTS),
    "animal": lambda rng: rng.choice(words.ANIMALS).one,
    "job": lambda rng: rng.choice(words.JOBS),
    "vehicle": lambda rng: rng.choice(words.VEHICLES),
    "room": lambda rng: rng.choice(words.ROOMS),
    "price": lambda rng: str(rng.randint(1, 40) * 5),
    "minutes": lambda rng: str(rng.randint(1, 12) * 5),
    "number": lambda rng: rng.choice(words.NUMBERS[2:]),
    "weather": lambda rng: rng.choice(words.WEATHER),
    "name": made_name,
}  # fmt: skip

OFFERS = {
    "day": ("[How about|Are you free on|What about|Shall we say] {v}?", "{v}", "on {v}"),
    "time": ("[At|How about|Is it OK at|Shall we say] {v}?", "{v}", "at {v}"),
    "place": ("[Shall we meet at the|Let's meet at the|At the|How about the] {v}?", "the {v}", "at the {v}"),
    "town": ("[How about|Shall we go to|What about] {v}?", "{v}", "in {v}"),
    "vehicle": ("[Shall we take the|By|We could take the] {v}?", "the {v}", "by {v}"),
    "cuisine": ("[Would you like|How about|I'd like] {v} food.", "{v}", "with {v} food"),
    "price": ("[I want|It's|Can you give me] {v} euros.", "{v}", "for {v} euros"),
}
"""A slot that people agree on: an offer, its short form, how it stands in the end."""
YES = (
    "OK.",
    "Sure.",
    "Fine with me.",
    "Good.",
    "Perfect.",
    "All right.",
    "Yes!",
    "That works.",
    "{s.S} is fine.",
    "Great.",
)
NO = ("I can't then.", "Sorry, no.", "Not so good.", "Hm, no.", "I don't like that.", "No, that's bad for me.", "Hm.")
OTHER = ("[Rather|Better|What about|How about|Maybe|Can we make it] {s}?", "{s.S} [would be better|is better].")
BACK = ("Sorry, no, I can't.", "No, it must be {s}.", "I'm busy then.", "That's no good. {s.S} please.")
YIELD = ("OK, {s} then.", "All right, {s}.", "Fine, as you said.", "OK, your way.")
CHANGE = ("[Wait|Oh no|Sorry], I [just saw|forgot] that I can't. [Is {s} OK?|Can we make it {s}?|{s.S} instead?]",)

HELLO = ("Hi {o}!", "Hello {o}.", "Hey!", "Hi!", "Good morning {o}!", "{o}?")
BYE = ("Bye!", "See you!", "Thanks!", "See you then.", "Great, thank you!", "Bye, {o}!")
MARKS = ("{w}: {t}", "{w}: {t}", "{w}: {t}", "{w} - {t}", "<{w}> {t}", '"{t}" said {w}.', "{w} says: {t}")
ENDS = (
    "So {s}", "In short: {s}", "What came of it: {s}", "{s}", "So they said. {s}", "* {s}", "\n{s}", "\nIn short:\n{s}",
    "\nWhat came of it?\n\n{s}",
)  # fmt: skip


def document(rng: random.Random) -> str:
    """A talk and its outcome."""
    people = rng.sample(words.PEOPLE, 5)
    slots = _slots(rng, [person.name for person in people])
    slots["X_he"] = people[2].subject
    turns, outcome = (_plan if rng.random() < 0.55 else _news)(rng, slots)
    if rng.random() < 0.3:
        more, second = _news(rng, _slots(rng, [person.name for person in people]))
        turns, outcome = turns + more, f"{outcome} {second}"
    if rng.random() < 0.6:
        turns = [("A", say(rng, rng.choice(HELLO), {"o": slots["B"]})), *turns]
    if rng.random() < 0.5:
        place = rng.randrange(2) if rng.random() < 0.7 else len(turns)
        aside = [(line[0], say(rng, line[3:], slots)) for line in rng.choice(ASIDES)]
        turns = turns[:place] + aside + turns[place:]
    if rng.random() < 0.5:
        turns.append(("AB"[rng.randrange(2)], say(rng, rng.choice(BYE), {"o": slots["A"]})))
    mark = rng.choice(MARKS)
    told = "\n".join(mark.format(w=slots[who], t=text) for who, text in turns)
    return f"{told}\n{rng.choice(ENDS).format(s=outcome)}"


def _slots(rng: random.Random, names: list[str]) -> dict[str, str]:
    slots = dict(zip("ABXYZ", names, strict=True))
    for kind, value in VALUES.items():
        first, second = value(rng), value(rng)
        while second == first:
            second = value(rng)
        slots |= {f"{kind}1": first, f"{kind}2": second}
    slots |= {"relative1": rng.choice(words.RELATIVES), "ordinal1": rng.choice(words.ORDINALS[1:5])}
    return slots | {f"{kind}1_a": article(slots[f"{kind}1"]) for kind in ("thing", "animal")}


def _plan(rng: random.Random, slots: dict[str, str]) -> tuple[Turns, str]:
    opening, outcome, kinds = rng.choice(PLANS)
    turns: Turns = [("A", say(rng, opening, slots))]
    if rng.random() < 0.6:
        turns.append(("B", rng.choice(("Sure.", "Good idea!", "Yes, when?", "Yes.", "I'd love to.", "OK."))))
    ends = []
    for kind in kinds.split():
        asker = "A" if rng.random() < 0.6 else "B"
        more, end = _agree(rng, kind, asker)
        turns += more
        ends.append(end)
    return turns, outcome.format_map(slots | {"when": " ".join(ends)})


def _agree(rng: random.Random, kind: str, one: str) -> tuple[Turns, str]:
    """Turns that settle one slot, and how it stands in the end."""
    other = "B" if one == "A" else "A"
    offer, short, end = OFFERS[kind]
    first, second = VALUES[kind](rng), VALUES[kind](rng)
    while second == first:
        second = VALUES[kind](rng)
    s1, s2 = {"s": short.format(v=first)}, {"s": short.format(v=second)}
    turns: Turns = [(one, say(rng, offer, {"v": first}))]
    form = rng.random()
    if form < 0.35:
        turns.append((other, say(rng, rng.choice(YES), s1)))
        settled = first
        if rng.random() < 0.25:
            turns.append((rng.choice((one, other)), say(rng, rng.choice(CHANGE), s2)))
            turns.append(("A" if turns[-1][0] == "B" else "B", say(rng, rng.choice(YES), s2)))
            settled = second
    else:
        start = rng.choice(NO) + " " if rng.random() < 0.7 else ""
        turns.append((other, start + say(rng, rng.choice(OTHER), s2)))
        if form < 0.75:
            turns.append((one, say(rng, rng.choice(YES), s2)))
            settled = second
        else:
            turns.append((one, say(rng, rng.choice(BACK), s1)))
            turns.append((other, say(rng, rng.choice(YIELD), s1)))
            settled = first
    return turns, end.format(v=settled)


def _news(rng: random.Random, slots: dict[str, str]) -> tuple[Turns, str]:
    *lines, outcome = rng.choice(NEWS)
    turns = [(line[0], say(rng, line[3:], slots)) for line in lines]
    return turns, say(rng, outcome[2:], slots)
