"""Premises and hypotheses in the form of MultiNLI, with labels that follow from a small logic.

What a text says is a `Fact` (statements.py); `judge` compares what a premise says with what a hypothesis claims:

    Anna is a nurse, while Tom lives in Oakham. She lives in Milton.   Anna's home is in Milton.   entailment
    Tom lives in Milton. Anna lives in Oakham.                         Anna's home is in Milton.   contradiction
    As the report says, Tom lives in Milton, and Anna is a nurse.      Anna's home is in Milton.   neutral

Every hypothesis comes with three premises, one for each label, so that nothing in a hypothesis tells its label: whoever
reads hypotheses alone is right in exactly one case of three. And a premise often says of somebody else what the
hypothesis says (`LURE`), so that shared words alone tell little.

The reasons why a label holds: the same fact in other words, another value of it, an opposite, a number or a bound, a
negation, a kind and its members, a quantifier, a comparison, an order in time, who did it to whom.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from lorascope.tasks.base import Row
from lorascope.tasks.builtin import words
from lorascope.tasks.builtin.statements import REASONING, Fact, any_value, judge
from lorascope.tasks.builtin.words import Person
from lorascope.tasks.multi_nli import LABELS

SIZES = {"train": 6000, "validation": 300, "validation_mismatched": 300}
"""Rows of each split: a third of them hypotheses."""
SEED = 1
LURE = 0.45
"""How often a premise says of somebody else what the hypothesis claims, where that is not entailed."""
MORE = 0.2
"""How often it says another thing of the person that the hypothesis is about."""
MAX_WORDS = 30
"""Of a premise."""

GENRES = {
    "fiction": ("As everybody knew,", "It was no secret:", "The story goes on:", "He could see it all:"),
    "government": ("According to the report,", "As the form shows,", "The office writes:", "In short,"),
    "slate": ("As the paper wrote,", "To be fair,", "Here is the news:", "One thing is clear:"),
    "telephone": ("Well, you know,", "Yeah,", "Oh, right,", "Um, okay,"),
    "travel": ("On the tour we heard:", "As the guide says,", "Every visitor learns:", "Do not forget:"),
}
"""How premises of train and validation may begin, by the genre that they take after."""
OTHER_GENRES = {
    "facetoface": ("The thing is,", "My mother told me:", "I mean,", "Listen, this is it:"),
    "letters": ("Dear friends,", "It is in the letter:", "As you know,", "Please note:"),
    "nineeleven": ("The witness said:", "The record is plain:", "It was on the radio:", "We now know:"),
    "oup": ("As a study found,", "Experts agree:", "It is in the book:", "This is the rule:"),
    "verbatim": ("Strange but true:", "As they say,", "It has been said:", "What is true is this:"),
}
"""The same for validation_mismatched."""


def sentence(clause: str) -> str:
    """The clause with a capital and a full stop."""
    return f"{clause[0].upper()}{clause[1:]}."


def say(fact: Fact, person: Person, *, pronoun: bool = False) -> str:
    """The fact's clause about the person, by name, or by pronoun where the name was just said."""
    if pronoun:
        named = {"who": person.subject, "whose": person.possessive, "whom": person.object}
    else:
        named = {"who": person.name, "whose": f"{person.name}'s", "whom": person.name}
    return fact.clause.format(**named, he=person.subject, his=person.possessive)


class Pair(NamedTuple):
    """A premise and a hypothesis as texts, and what they say."""

    premise: str
    hypothesis: str
    facts: tuple[Fact, ...]
    claim: Fact


def triple(rng: random.Random, openings: Sequence[str]) -> dict[str, Pair] | None:
    """One hypothesis under a premise for each label; None where the draw allows no such three."""
    who, other, third = rng.sample(words.PEOPLE, 3)
    draw = rng.choices([draw for _, draw in REASONING.values()], [share for share, _ in REASONING.values()])[0]
    about, aside = draw(rng), rng.choice((draw, any_value))(rng)
    of_who, of_other = about(who, third), about(other, third)
    claim = rng.choice(of_who)
    if aside(who, third)[0].variable == claim.variable:
        return None
    pairs = {}
    for label in LABELS:
        core = [fact for fact in of_who if judge([fact], claim) == label]
        if label == "neutral" and (not core or rng.random() < 0.7):
            core = list(aside(who, third))
        # Somebody else has the claimed value, or another one where the claim holds; without a lure the two clauses are
        # as often about one matter as with it, whatever the label, so that a premise alone does not tell its label.
        elsewhere = [fact for fact in of_other if (fact.allowed == claim.allowed) == (label != "entailment")]
        if rng.random() >= LURE:
            elsewhere = list((aside if label == "neutral" else any_value(rng))(other, third))
        if not core or not elsewhere:
            return None
        # What holds is told in other words rather than in the hypothesis's own, what does not the other way round.
        choose = min if label == "entailment" else max
        mine = [choose(rng.choices(core, k=2), key=lambda fact: _shared(fact, claim))]
        theirs = [rng.choice(elsewhere)]
        more = rng.choice(any_value(rng)(who, third))
        if rng.random() < MORE and more.variable not in {claim.variable, mine[0].variable}:
            mine.insert(rng.randrange(2), more)
        parts = [(who, mine), (other, theirs)]
        rng.shuffle(parts)
        premise = _premise(rng, parts, openings)
        if len(premise.split()) > MAX_WORDS:
            return None
        pairs[label] = Pair(premise, sentence(say(claim, who)), (*mine, *theirs), claim)
    return pairs


def _shared(one: Fact, other: Fact) -> int:
    """Words that two clauses have in common."""
    return len(set(one.clause.split()) & set(other.clause.split()))


def _premise(rng: random.Random, parts: Sequence[tuple[Person, Sequence[Fact]]], openings: Sequence[str]) -> str:
    """The facts as one to three sentences; a second fact about a person mostly with a pronoun."""
    text = rng.choice(openings) + " " if rng.random() < 0.4 else ""
    for i, (person, facts) in enumerate(parts):
        for j, fact in enumerate(facts):
            clause = say(fact, person, pronoun=j > 0 and rng.random() < 0.6)
            if not text:
                text = sentence(clause)
            elif text.endswith(" "):  # after the opening
                text += f"{clause}."
            elif (joint := rng.choice((None, None, "and", "while" if i and not j else "and"))) and text.count(",") < 2:
                text = f"{text[:-1]}, {joint} {clause}."
            else:
                text += f" {sentence(clause)}"
    return text


@cache
def _splits() -> dict[str, list[Row]]:
    """All splits, small ones first; a premise or a hypothesis of one occurs in no other."""
    rng, seen = random.Random(SEED), set[str]()
    splits: dict[str, list[Row]] = {}
    for split in sorted(SIZES, key=SIZES.__getitem__):
        genres = OTHER_GENRES if split == "validation_mismatched" else GENRES
        openings = [opening for several in genres.values() for opening in several]
        pairs: list[tuple[str, str, str]] = []
        while len(pairs) < SIZES[split]:
            drawn = triple(rng, openings)
            if drawn is None:
                continue
            hypothesis = drawn[LABELS[0]].hypothesis
            texts = {hypothesis, *(pair.premise for pair in drawn.values())}
            if len(texts) > len(drawn) and texts.isdisjoint(seen):
                seen |= texts
                pairs += [(pair.premise, hypothesis, label) for label, pair in drawn.items()]
        rng.shuffle(pairs)
        splits[split] = [
            {"id": str(number), "sentence1": premise, "sentence2": hypothesis, "gold_label": label}
            for number, (premise, hypothesis, label) in enumerate(pairs)
        ]
    return splits


def rows(split: str) -> list[Row]:
    """The rows of a split, as the task's `read` gives them."""
    return list(_splits()[split])
