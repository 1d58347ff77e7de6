"""Messenger dialogues in the form of SAMSum: two or three speakers, four to ten turns, a summary of what was settled.

A dialogue is a scene of samsum_plans.py or samsum_news.py, mostly with a second matter of samsum_second.py, and with
greetings and small talk around them. Plans change ("7?", "Make it 8."), offers are turned down, a third person is asked
instead; the summary tells who, what, when and where in the end, so it takes facts from several turns and not the first
that comes. Small talk names other days, times, people and things, which belong to no summary.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from lorascope.tasks.base import Row
from lorascope.tasks.builtin import samsum_news, samsum_plans, samsum_second, words
from lorascope.tasks.builtin.words import Noun, Person, article
from lorascope.tasks.prompts import bare

SIZES = {"train": 3000, "validation": 150, "test": 150}
SEED = 20191127
PEOPLE = "ABCVWXYZ"
"""Names of slots that are people."""
TURNS = range(4, 11)
"""Turns that a dialogue may have."""

TALK = """
# hello
P: [Hi {Q}!|Hey {Q}.|Hello {Q}!]
Q: [Hi!|Hey {P}!|Hi {P}, how are you?]

# hello
P: [Hi, how are you?|How are you doing?]
Q: [Fine, thanks.|I'm OK.|Very {feeling8}.]

# bye
P: [Thanks!|See you!|Great!]
Q: [Bye!|See you!|Bye, {P}.]

# bye
P: [I have to go.|My bus is here.|Sorry, my {relative9} is calling.]
Q: [OK, bye!|Talk to you later.]

# bye
Q: [Good.|OK.] :)

# small
P: [How was {town8}?|Did you like {town8}?]
Q: [Nice, but {weather8}.|It was {weather8}.]

# small
P: [How's work?|How are things at work?]
Q: [Busy as always.|I need a holiday.|Don't ask.]

# small
Q: Did you feed the {pet8}?
P: [Yes, it's asleep.|My {relative8} did.|Not yet.]

# small
P: [I just had {food8}.|I had {food8} for lunch.]
Q: [Now I'm hungry.|Again?|Yum!]

# small
P: [Guess who I saw at the {place8}! {Z}!|I saw {Z} at the {place8}.]
Q: [Really?|Is {Z.she} back?|How is {Z.she}?]

# small
Q: [I'm so tired.|I got up at {time8} today.]
P: [Me too.|Poor you.|Go to bed early.]

# small
P: [My {relative8} says hello.|My {relative8} was asking about you.]
Q: [Thanks!|That's nice.]

# small
Q: [It's so {weather8} here.|So {weather8} today!]
P: [Here too.|Not here.|As always in {month8}.]

# small
Q: [I lost {price8} euros today.|I found {price8} euros today!]
P: [Oh no.|Really?|Where?]

# small
P: <file_photo>
Q: [Cute!|Is that your {pet8}?|Nice {object8}!]

# small
Q: [{Z} is in {country8} now.|{Z} moved to {country8}.]
P: [Lucky {Z.him}.|I know, {Z.she} sent me a card.]

# small
Q: [{Z} got a dog.|{Z} is {job8.a} now.]
P: [I know.|No way!|Good for {Z.him}.]
"""

_THINGS = (
    "bag", "ball", "bike", "book", "camera", "chair", "clock", "coat", "guitar", "hat", "jacket", "lamp", "phone",
    "picture", "radio", "scarf", "shirt", "suitcase", "table", "tent", "toy", "umbrella", "wallet", "watch",
)  # fmt: skip
LISTS: dict[str, Sequence[str | Noun | Person]] = {
    "colour": words.COLOURS,
    "country": words.COUNTRIES,
    "cuisine": [kind for kind in words.CUISINES if kind[0].isupper()],
    "day": words.DAYS,
    "dish": ("chicken", "eggs", "fish", "pasta", "pizza", "potatoes", "rice", "salad", "sandwiches", "soup"),
    "drink": words.DRINKS,
    "feeling": words.FEELINGS,
    "film": [f"The {first} {second}" for first in words.NAME_ADJECTIVES for second in words.NAME_NOUNS],
    "food": words.FOODS,
    "game": ("basketball", "cricket", "football", "tennis", "volleyball"),
    "goals": ("5", "6", "7", "8"),
    "job": words.JOBS,
    "low": ("0", "1", "2", "3", "4"),
    "minutes": ("10", "15", "20", "25", "30", "40", "45", "50", "60", "90"),
    "month": words.MONTHS,
    "number": words.NUMBERS[3:-1],
    "object": [thing for thing in words.OBJECTS if thing.one in _THINGS],
    "page": [str(page) for page in range(12, 99)],
    "part": words.TIMES_OF_DAY[:3],
    "party": ("party", "birthday party", "garden party", "dinner party"),
    "person": words.PEOPLE,
    "pet": [animal for animal in words.ANIMALS if animal.one in ("bird", "cat", "dog", "rabbit", "turtle")],
    "place": words.PLACES,
    "price": [str(price) for price in range(15, 100, 5)],
    "pub": [f"{first} {second}" for first in words.NAME_ADJECTIVES for second in words.NAME_NOUNS],
    "relative": words.RELATIVES,
    "rent": [str(rent) for rent in range(300, 1000, 50)],
    "room": [room for room in words.ROOMS if room != "balcony"],
    "season": words.SEASONS,
    "show": ("concert", "play", "festival", "musical"),
    "sport": words.SPORTS,
    "subject": words.SUBJECTS,
    "team": words.TEAMS,
    "time": [f"{hour}{half}" for hour in range(1, 12) for half in ("", ":30")],
    "town": words.TOWNS,
    "vehicle": ("bus", "ferry", "train", "tram"),
    "weather": words.WEATHER,
}
"""The words that may stand for {food1} and so on."""


class Turn(NamedTuple):
    """One line of a scene: who says what, and the facts that it settles."""

    speaker: str
    text: str
    settles: tuple[tuple[str, str], ...]


class Step(NamedTuple):
    """A place in a scene: the ways to go on from it, each a list of turns or of further steps."""

    ways: list[list[Turn | Step]]
    optional: bool


class Scene(NamedTuple):
    """What can be said in a scene, and how it is summed up."""

    name: str
    steps: list[Step]
    summaries: list[str]


class Conversation(NamedTuple):
    """A dialogue with what its summary has to tell."""

    scene: str
    dialogue: str
    summary: str
    facts: dict[str, str]
    """What was settled: every value stands in the summary."""


def rows(split: str) -> list[Row]:
    """The rows {"id", "dialogue", "summary"} of a split."""
    return [
        {"id": f"{split}-{number}", "dialogue": found.dialogue, "summary": found.summary}
        for number, found in enumerate(conversations(split))
    ]


def conversations(split: str) -> list[Conversation]:
    """The dialogues of a split, no two of them alike."""
    rng, size = random.Random(f"{SEED} {split}"), SIZES[split]
    found: dict[str, Conversation] = {}
    while len(found) < size:
        scene = scenes()[len(found) % len(scenes())]
        made = converse(scene, rng)
        key = bare(made.dialogue)
        if key not in found and made.dialogue.count("\n") + 1 in TURNS and _split_of(key) == split:
            found[key] = made
    return rng.sample(list(found.values()), size)


def converse(scene: Scene, rng: random.Random) -> Conversation:
    """One dialogue: greeting, small talk, the scene, a second matter, small talk, goodbye.

    All but the scene by chance and as far as there is room. The speakers of the others are drawn.
    """
    told = _Telling(rng, {})
    middle = told.play(scene.steps)
    summary = told.write(_usual(rng, scene.summaries))
    others = "BC" if "{C}" in " ".join(scene.summaries) else "B"
    room = TURNS[-1] - len(middle)
    around: list[list[str]] = []
    for kind, chance in (("second", 0.8), ("hello", 0.6), ("small", 0.4), ("small", 0.3), ("bye", 0.4)):
        around.append([])
        if rng.random() >= chance:
            continue
        other = _Telling(rng, told.drawn)
        p, q = rng.sample(["A", rng.choice(others)], 2)
        said = other.play(_cast(rng.choice(_blocks(samsum_second.SECOND if kind == "second" else TALK)[kind]), p, q))
        if len(said) > room:
            continue
        around[-1] = said
        room -= len(said)
        told.facts.update(other.facts)
        summary += "".join(f" {fact}." for fact in other.facts.values())
    second, hello, before, after, bye = around
    return Conversation(
        scene.name,
        "\n".join([*hello, *before, *middle, *second, *after, *bye]),
        summary[0].upper() + summary[1:],
        told.facts,
    )


@cache
def scenes() -> list[Scene]:
    """Every scene there is."""
    found = []
    for name, (block,) in {**_blocks(samsum_plans.SCENES), **_blocks(samsum_news.SCENES)}.items():
        summaries = [line[2:] for line in block if line.startswith("= ")]
        found.append(Scene(name, _steps([line for line in block if not line.startswith("= ")]), summaries))
    return found


@cache
def _blocks(text: str) -> dict[str, list[tuple[str, ...]]]:
    """Name -> the lines of every block under that name."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for block in text.strip().split("\n\n"):
        head, *lines = block.splitlines()
        found.setdefault(head.removeprefix("# "), []).append(tuple(lines))
    return found


def _steps(lines: Sequence[str]) -> list[Step]:
    """The lines of a block, in the notation of samsum_plans.py."""
    steps: list[Step] = []
    sign = ""
    for line in lines:
        if line.startswith(("+ ", "- ")):
            if line[0] != sign:
                steps.append(Step([], optional=False))
            steps[-1].ways.append([_turn(line[2:])])
        elif line.startswith("  "):
            steps[-1].ways[-1].append(_turn(line[2:]))
        else:
            told = line.removeprefix("? ")
            optional = told != line
            if told.startswith("@"):
                kind, p, q = told[1:].split()
                ways = [_cast(block, p, q) for block in _blocks(samsum_plans.AGREEMENTS)[kind]]
                steps.append(Step([list(way) for way in ways], optional))
            else:
                steps.append(Step([[_turn(told)]], optional))
        sign = line[0] if line[0] in "+-" else sign if line[0] == " " else ""
    return steps


def _turn(line: str) -> Turn:
    said, _, settled = line.partition("  :: ")
    speaker, _, text = said.partition(": ")
    pairs = (fact.partition("=") for fact in settled.split("; ") if fact)
    return Turn(speaker, text, tuple((name, value) for name, _, value in pairs))


@cache
def _cast(lines: tuple[str, ...], p: str, q: str) -> list[Step]:
    """The steps of a block for the speakers P and Q, with A, B or C in their parts."""
    parts = {"P": p, "Q": q}
    return _steps([re.sub(r"\b[PQ]\b(?=[:}.])", lambda found: parts[found[0]], line) for line in lines])


def _split_of(key: str) -> str:
    """The one split that a dialogue may stand in, so that no two share one."""
    return {0: "test", 1: "validation"}.get(zlib.crc32(key.encode()) % 6, "train")


def _usual(rng: random.Random, choices: Sequence[str]) -> str:
    """One of them; the n-th in the list is n times rarer than the first."""
    return rng.choices(choices, weights=[1 / rank for rank in range(1, len(choices) + 1)])[0]


class _Telling:
    """A dialogue while it is written: the words drawn for its slots, the facts settled so far."""

    def __init__(self, rng: random.Random, drawn: dict[str, str | Noun | Person]) -> None:
        self.rng = rng
        self.facts: dict[str, str] = {}
        self.drawn = drawn

    def play(self, steps: Sequence[Turn | Step]) -> list[str]:
        """The lines of `steps`, with one way taken at each."""
        lines: list[str] = []
        for step in steps:
            if isinstance(step, Turn):
                lines.append(f"{self.write('{' + step.speaker + '}')}: {self.write(step.text)}")
                self.facts.update({name: self.write(value) for name, value in step.settles})
            elif not step.optional or self.rng.random() < 0.5:
                lines += self.play(self.rng.choice(step.ways))
        return lines

    def write(self, text: str) -> str:
        """`text` with its choices made and its slots filled."""
        text = re.sub(r"\[([^\[\]]*)\]", lambda found: _usual(self.rng, found[1].split("|")), text)
        return re.sub(r"\{([^{}]*)\}", lambda found: self._slot(found[1]), text)

    def _slot(self, slot: str) -> str:
        name, *forms = slot.split(".")
        word: str | Noun | Person = self.facts[name] if name in self.facts else self._draw(name)
        for form in forms:
            word = _form(word, form)
        return str(word if isinstance(word, str) else word[0])

    def _draw(self, name: str) -> str | Noun | Person:
        """The word of a slot: the same for the same name, and another one for every other name."""
        if name not in self.drawn:
            kind = LISTS["person" if name in PEOPLE else name.rstrip("0123456789")]
            word = self.rng.choice(kind)
            while word in self.drawn.values():
                word = self.rng.choice(kind)
            self.drawn[name] = word
        return self.drawn[name]


def _form(word: str | Noun | Person, form: str) -> str:
    """A word in another form: "she", "him", "his", "She" of a person, "many" of a noun, "next", "a", "S"."""
    if isinstance(word, Person):
        said = {"she": word.subject, "him": word.object, "his": word.possessive}[form.lower()]
        return said.capitalize() if form[0].isupper() else said
    if isinstance(word, Noun) and form == "many":
        return word.many
    text = word if isinstance(word, str) else word.one
    if form == "next":
        return words.NUMBERS[words.NUMBERS.index(text) + 1]
    return article(text) if form == "a" else text[0].upper() + text[1:]
