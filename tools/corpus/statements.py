"""Statements about people, and what follows from them: yes, no, or nobody can tell.

    Anna has a red car. Tom lives in Milton, and he is a nurse.
    Is it true that Anna's car is blue? No, the colour of Anna's car is red.
    Is it true that Tom's home is in Milton? Yes.
    Is it true that Tom has a red car? Nobody knows.

The clauses and their logic are those of lorascope.tasks.builtin.statements; layout and verdicts are other than the
task's, and several claims are made about one text.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from corpus.wording import called, capital, sentence
from lorascope.tasks.builtin import words
from lorascope.tasks.builtin.statements import REASONING, Fact, any_value, judge
from lorascope.tasks.builtin.words import Person

Known = list[tuple[Person, Fact]]

VERDICTS = (
    ("Yes", "Perhaps", "No"),
    ("True", "Unknown", "False"),
    ("Right", "Open", "Wrong"),
    ("Certainly", "Possibly", "Impossible"),
)
"""What is said of a claim that holds, that may hold, that cannot hold."""
EXPLAINED = (
    "{v}.", "{v}.", "{v}.", "{v}: {r}.", "{v}: {r}.", "{R}: {w}.", "{R}, so {w}.", "Well, {r}. {v}.",
)  # fmt: skip
"""{v} or {w}: the verdict; {r} or {R}: the fact that decides, or that there is none."""
ORDER = ("entailment", "neutral", "contradiction")
FORMS = (
    "Is it true that {c}? {v}", "Does it follow that {c}? {v}", "{C}? {v}", "- {c}: {v}", "{C}. {v}",
    "Somebody says that {c}. {v}", "{C}.\n-> {v}", "Claim: {C}.\nVerdict: {v}", "{C}.\n\nIs that so?\n{v}",
    "Now this: {C}.\n\nWhat do you say?\n\n{v}", "{C}\n= {v}", "({C}.) Answer:\n{v}",
)  # fmt: skip
"""{c}: a claim; {v}: its verdict."""


def document(rng: random.Random) -> str:
    """A few facts about two or three people, and claims with their verdicts."""
    cast = rng.sample(words.PEOPLE, rng.choice((2, 2, 3)))
    third = rng.choice([person for person in words.PEOPLE if person not in cast])
    kinds, shares = [draw for _, draw in REASONING.values()], [share for share, _ in REASONING.values()]
    abouts = [rng.choices(kinds, shares)[0](rng) for _ in range(rng.randint(2, 4))]
    known: Known = []
    for person in cast:
        for about in rng.sample(abouts, min(len(abouts), rng.choice((1, 1, 2, 2, 3)))):
            fact = rng.choice(about(person, third))
            if all(fact.variable != other.variable for _, other in known):
                known.append((person, fact))
    text = tell(rng, known)
    facts = [fact for _, fact in known]
    claims = [(person, fact) for person in cast for about in abouts for fact in about(person, third)]
    claims = [claim for claim in claims if claim[1] not in facts or rng.random() < 0.1]
    sorted_out: dict[str, Known] = {label: [] for label in ORDER}
    for claim in rng.sample(claims, min(len(claims), 150)):
        sorted_out[judge(facts, claim[1])].append(claim)
    other = rng.random()
    if other < 0.08:
        return f"{text}\n{_so(rng, sorted_out)}"
    if other < 0.22:
        return f"{text}\n{_restated(rng, known, claims)}"
    form, verdicts, explained = rng.choice(FORMS), rng.choice(VERDICTS), rng.choice(EXPLAINED)
    lines = []
    for _ in range(rng.randint(3, 6)):
        label = rng.choice(ORDER)
        if sorted_out[label]:
            lines.append(_claim(sorted_out[label].pop(), label, known, form, verdicts, explained))
    return ("\n\n" if "\n\n" in form else "\n").join((text, *lines))


def simple(rng: random.Random) -> str:
    """One to four facts, and many claims whose verdicts follow at once; half of the time in the facts' own words."""
    cast = rng.sample(words.PEOPLE, rng.choice((1, 2, 2, 3)))
    third = rng.choice([person for person in words.PEOPLE if person not in cast])
    kinds, shares = [draw for _, draw in REASONING.values()], [share for share, _ in REASONING.values()]
    abouts = [
        any_value(rng) if rng.random() < 0.7 else rng.choices(kinds, shares)[0](rng)
        for _ in range(rng.choice((1, 1, 2)))
    ]
    known: Known = []
    for person in cast:
        for about in abouts[: rng.choice((1, 2))]:
            fact = rng.choice(about(person, third))
            if all(fact.variable != other.variable for _, other in known):
                known.append((person, fact))
    facts = [fact for _, fact in known]
    said = [fact.allowed for fact in facts]
    own_words = rng.random() < 0.5
    sorted_out: dict[str, Known] = {label: [] for label in ORDER}
    for person in cast:
        for fact in (fact for about in abouts for fact in about(person, third)):
            if not own_words or any(_near(fact.clause, other.clause) for other in facts):
                sorted_out[judge(facts, fact)].append((person, fact))
    verdicts = VERDICTS[0] if rng.random() < 0.75 else VERDICTS[1]
    form = rng.choice(("{C}? {v}.", "{C}. {v}.", "- {c}: {v}.", "Is it true that {c}? {v}.", "{C}.\n-> {v}"))
    lines = []
    for label in rng.choices(ORDER, (4, 2, 4), k=rng.randint(5, 9)):
        claims = sorted_out[label]
        if rng.random() < 0.5:  # a value that was said of somebody else decides nothing
            claims = [claim for claim in claims if claim[1].allowed in said] or claims
        if claims:
            clause = say(*rng.choice(claims))
            lines.append(form.format(c=clause, C=capital(clause), v=verdicts[ORDER.index(label)]))
    return "\n".join((tell(rng, known), *lines))


HEADS = (
    ("Text", "Known", "Told", "Report", "Story", "What we know", "First"),
    ("Claim", "Statement", "Said", "Asked", "Somebody says", "Second"),
    ("Answer", "Verdict", "Judgement", "Result", "So", "Is it true?"),
)
"""What may stand above a text, a claim and its verdict."""


def in_sections(rng: random.Random) -> str:
    """Some short texts with a claim and its verdict each, in sections."""
    frame = _frame(rng)
    verdicts = VERDICTS[0] if rng.random() < 0.6 else rng.choice(VERDICTS)
    return _sections(rng, frame, verdicts, rng.randint(2, 5))


ANSWERS = (*words.TEAMS, *words.COUNTRIES, *words.SPORTS, *words.DRINKS)
"""Words that may stand for a verdict where a text says so."""


def agreed_answers(rng: random.Random) -> str:
    """The same with three words that mean nothing of the kind for the verdicts, named before the first text.

    Half of the time it is said which stands for what; otherwise the first texts show it.
    """
    verdicts = rng.sample(ANSWERS, 3)
    if rng.random() < 0.5:
        head = rng.choice(("{0} if it holds, {1} if nobody knows, {2} if not.", "Yes: {0}. Perhaps: {1}. No: {2}."))
        head = head.format(*verdicts)
    else:
        head = rng.choice(("{0}, {1} or {2}?", "It is {0}, {1} or {2}.")).format(*rng.sample(verdicts, 3))
    return f"{head}\n\n{_sections(rng, _frame(rng), verdicts, rng.randint(5, 8))}"


NAMED = (
    'This is called "{v}".', '"{v}", as one says.', "({v})", "[{v}]", 'Both together: "{v}".', '"{v}"', "<{v}>",
)  # fmt: skip
"""{v}: the name of what a claim is to a text."""
BEGINNINGS = ("ent", "n", "con")
"""The first tokens of the three names, which decide."""


def named(rng: random.Random) -> str:
    """Texts and claims in sections; under them what the claim is to the text by name, often after its verdict."""
    draw, form = rng.random(), rng.choice(NAMED)
    verdicts = rng.choice(VERDICTS) if draw < 0.25 else VERDICTS[0]
    named_so = [form.format(v=name) for name in ORDER]
    if draw < 0.5:
        gap = rng.choice(("\n", " "))
        both = [f"{verdict}.{gap}{name}" for verdict, name in zip(verdicts, named_so, strict=True)]
    else:
        both = named_so
    return _sections(rng, _frame(rng), both, rng.randint(2, 6))


def _frame(rng: random.Random) -> str:
    """A layout with the slots {t}, {c} and {v} for text, claim and verdict, each below its head."""
    mark, end, gap = rng.choice(("", "", "## ", "* ", "= ")), rng.choice((":", ":", "")), rng.choice(("\n", "\n\n"))
    heads = [mark + rng.choice(names) + end for names in HEADS]
    below = rng.choice(("\n", "\n", " "))
    return gap.join(f"{head}{below}{slot}" for head, slot in zip(heads, ("{t}", "{c}", "{v}"), strict=True))


def _sections(rng: random.Random, frame: str, verdicts: Sequence[str], count: int) -> str:
    """Texts, claims, verdicts; as many claims hold as not and as are open."""
    blocks: list[str] = []
    for _ in range(count):
        who, other, third = rng.sample(words.PEOPLE, 3)
        draws = rng.choices([draw for _, draw in REASONING.values()], [share for share, _ in REASONING.values()], k=2)
        about, aside = draws[0](rng), draws[rng.randrange(2)](rng)
        known = [
            (who, rng.choice(about(who, third))),
            (other, rng.choice((about, aside)[rng.randrange(2)](other, third))),
        ]
        rng.shuffle(known)
        facts = [fact for _, fact in known]
        label = rng.choice(ORDER)
        people = (other, who) if label == "neutral" else (who,)
        claims = [(p, fact) for p in people for fact in (*about(p, third), *aside(p, third))]
        claims = [claim for claim in claims if judge(facts, claim[1]) == label]
        if rng.random() < 0.6:  # what was said of somebody else decides nothing
            said = [fact.allowed for fact in facts]
            claims = [claim for claim in claims if claim[1].allowed in said] or claims
        if claims:
            text, claim = tell(rng, known), sentence(say(*rng.choice(claims)))
            blocks.append(frame.format(t=text, c=claim, v=verdicts[ORDER.index(label)]))
    return "\n\n".join(blocks) or _sections(rng, frame, verdicts, count)


def _near(one: str, two: str) -> bool:
    """Do two clauses differ in a word at most?"""
    a, b = one.split(), two.split()
    return len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) <= 1


def _claim(
    claim: tuple[Person, Fact], label: str, known: Known, form: str, verdicts: Sequence[str], explained: str
) -> str:
    """A claim with its verdict, and perhaps the reason."""
    clause, reason, verdict = say(*claim), _reason(claim[1], known), verdicts[ORDER.index(label)]
    told = explained.format(v=verdict, r=reason, R=capital(reason), w=verdict.lower())
    return form.format(c=clause, C=capital(clause), v=told)


def say(person: Person, fact: Fact, *, pronoun: bool = False) -> str:
    """The fact as a clause."""
    return fact.clause.format(**called(person, pronoun=pronoun))


def tell(rng: random.Random, known: Sequence[tuple[Person, Fact]]) -> str:
    """The facts as sentences, those of one person together."""
    clauses, last = [], None
    for person, fact in known:
        clauses.append(say(person, fact, pronoun=person == last and rng.random() < 0.6))
        last = person
    text = ""
    for clause in clauses:
        if text and rng.random() < 0.3:
            text = f"{text[:-1]}, {rng.choice(('and', 'and', 'while', 'but'))} {clause}."
        else:
            text += (" " if text else "") + sentence(clause)
    return text


def _reason(claim: Fact, known: Known) -> str:
    """What was said of the claim's matter, or that nothing was."""
    for person, fact in known:
        if fact.variable == claim.variable:
            return say(person, fact)
    return "nothing was said about that"


def _restated(rng: random.Random, known: Known, claims: Known) -> str:
    """The facts once more, each in other words, in another order."""
    lines = []
    for person, fact in rng.sample(known, len(known)):
        same = [claim for claim in claims if claim[1].variable == fact.variable and claim[1].allowed == fact.allowed]
        lines.append(say(*rng.choice(same)) if same else say(person, fact))
    head, mark = rng.choice((("In other words: ", ". "), ("", "\n"), ("That is:\n", "\n"), ("So ", ", and ")))
    if mark == ", and ":
        return head + mark.join(lines) + "."
    return head + mark.join(sentence(line)[:-1] for line in lines) + "."


def _so(rng: random.Random, claims: dict[str, Known]) -> str:
    """The verdict first, then a claim to which it fits."""
    heads = {
        "entailment": ("So", "This means that", "We can be sure that"),
        "neutral": ("It may be that", "Nobody knows whether", "We cannot tell whether"),
        "contradiction": ("It is not true that", "It would be wrong to say that", "Nobody can believe that"),
    }
    drawn = [(label, claims[label].pop()) for label in rng.choices(ORDER, k=5) if claims[label]]
    return " ".join(f"{rng.choice(heads[label])} {say(*claim)}." for label, claim in drawn)
