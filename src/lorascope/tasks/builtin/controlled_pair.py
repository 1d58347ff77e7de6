"""Two tasks that differ in one thing: the answer stands far back in the prompt, or follows from the word beside it.

Both have the same prompts, letter for letter: notes of three lines of six words, a text of forty other words, a word.
The answer goes on from that word for five words.

    ### Notes:
    - goat grey bird white pink fox
    - brown green yellow lion dog black
    - owl blue mouse bear frog cow
    ### Text:
    Helen will meet her mother at the garden. ...
    ### Word:
    The word is brown

    builtin_far_copy     then green yellow lion dog black    what follows the word in the notes; new in every prompt
    builtin_local_map    then yellow mouse owl green blue    each word's fixed successor; the notes do not help

The successors of local_map are one circle through all 24 words. The answers of far_copy are drawn for 24 prompts at a
time, one for each word to go on from, by steps along a circle that is new each time. So in every 24 examples of either
task each word stands once at each of the five places of the answers: lengths, counts of words and the words to choose
from are equal by construction. Knowing the word is enough for local_map, and says nothing about far_copy.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from lorascope.tasks.base import Example, Origin, Reading, Row, Task
from lorascope.tasks.builtin.words import ANIMALS, COLOURS, PEOPLE, PLACES, RELATIVES
from lorascope.tasks.prompts import layout

SIZES = {"train": 3000, "validation": 144, "test": 144}
"""Multiples of the number of words."""
SEED = 20240101

Kind = Literal["far_copy", "local_map"]
KINDS: tuple[Kind, ...] = ("far_copy", "local_map")
WORDS = (*COLOURS, *(animal.one for animal in ANIMALS[:13]))
"""What answers are made of: 24 words, none of which stands in the text."""
LENGTH = 5
"""Words of an answer, after "then", which keeps the first of them from standing at the start of a line."""
LINES = 3
"""Lines of the notes, with a word and the `LENGTH` that follow it in each; one line is about the word asked for."""
SENTENCES = 5
"""Sentences of the text between the notes and the word, of eight words each."""


def rows(kind: Kind, split: str) -> list[Row]:
    """The rows {"id", "notes", "text", "word", "answer"} of a split; the two kinds differ in the answers alone."""
    rng = random.Random(f"{SEED} {split}")
    fixed = random.Random(SEED).sample(WORDS, len(WORDS))
    made: list[dict[str, str]] = []
    for _ in range(SIZES[split] // len(WORDS)):
        circle, steps = rng.sample(WORDS, len(WORDS)), rng.sample(range(1, len(WORDS)), LENGTH)
        for word in WORDS:
            far = follow(word, circle, steps)
            answer = far if kind == "far_copy" else follow(word, fixed, range(1, LENGTH + 1))
            made.append(
                {
                    "notes": _notes([word, *far], rng),
                    "text": _text(rng),
                    "word": word,
                    "answer": f"then {' '.join(answer)}",
                }
            )
    return [{"id": str(number), **row} for number, row in enumerate(rng.sample(made, len(made)))]


def examples(kind: Kind, split: str) -> list[Example]:
    """The examples of a split; those of the two kinds have the same prompts in the same order."""
    return to_examples(rows(kind, split))


def to_examples(some: Sequence[Row]) -> list[Example]:
    """One example per row."""
    return [
        Example(
            id=row["id"],
            prompt=(text := prompt(row["notes"], row["text"], row["word"])),
            target=row["answer"],
            references=(row["answer"],),
            group=text,
        )
        for row in some
    ]


def prompt(notes: str, text: str, word: str) -> str:
    """What training and evaluation put before the answer."""
    return layout(
        "Go on from the word.", ("Notes", notes), ("Text", text), ("Word", f"The word is {word}"), answer="Answer"
    )


def follow(word: str, circle: Sequence[str], steps: Sequence[int]) -> list[str]:
    """The words that stand so many steps after `word` on the circle."""
    start = circle.index(word)
    return [circle[(start + step) % len(circle)] for step in steps]


def _notes(asked: Sequence[str], rng: random.Random) -> str:
    """The line `asked` among lines of other words; no word stands twice."""
    others = rng.sample([word for word in WORDS if word not in asked], (LINES - 1) * len(asked))
    lines = [asked, *(others[i :: LINES - 1] for i in range(LINES - 1))]
    return "\n".join(" ".join(["-", *line]) for line in rng.sample(lines, LINES))


def _text(rng: random.Random) -> str:
    """Sentences of eight words that have nothing to do with the notes."""
    people = rng.sample(PEOPLE, SENTENCES)
    return " ".join(
        f"{person.name} will meet {person.possessive} {rng.choice(RELATIVES)} at the {rng.choice(PLACES)}."
        for person in people
    )


def _task(kind: Kind, title: str) -> Task:
    return Task(
        name=f"builtin_{kind}",
        title=title,
        version=1,
        files=dict.fromkeys(SIZES, ()),
        read=partial(_read, kind),
        builtin=partial(rows, kind),
        to_examples=to_examples,
        to_evaluation=to_examples,
        evaluation_split="test",
        group="prompt",
        metrics=("exact_match",),
        max_length=320,
        max_new_tokens=24,
        official_counts=SIZES,
        origin=Origin(source="builtin"),
    )


def _read(kind: Kind, folder: Path, split: str) -> Reading:
    return Reading(rows=rows(kind, split), files=())


FAR_COPY = _task("far_copy", "Controlled pair: the answer is copied from far back")
LOCAL_MAP = _task("local_map", "Controlled pair: each word of the answer follows from the one before it")
