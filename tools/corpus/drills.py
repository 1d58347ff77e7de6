"""Short exercises with words and numbers: copying, looking up, ordering, comparing, counting."""

from __future__ import annotations

import random

from corpus.wording import some
from lorascope.tasks.builtin import words

LISTS: dict[str, tuple[str, ...]] = {
    "names": tuple(person.name for person in words.PEOPLE),
    "towns": words.TOWNS,
    "countries": words.COUNTRIES,
    "places": words.PLACES,
    "jobs": words.JOBS,
    "foods": words.FOODS,
    "drinks": words.DRINKS,
    "colours": words.COLOURS,
    "things": tuple(noun.one for noun in words.OBJECTS),
    "animals": tuple(noun.one for noun in words.ANIMALS),
    "sports": words.SPORTS,
    "days": words.DAYS,
    "months": words.MONTHS,
    "teams": words.TEAMS,
    "rooms": words.ROOMS,
    "adjectives": tuple(word for pair in words.ADJECTIVES for word in pair),
    "verbs": tuple(verb.base for verb in (*words.VERBS, *words.GOING)),
    "surnames": words.SURNAMES,
    "kinds of food": words.CUISINES,
}
EVERY_WORD = tuple(dict.fromkeys(word for several in LISTS.values() for word in several))


def document(rng: random.Random) -> str:
    """One exercise."""
    kinds = (repeated, looked_up, renamed, filtered, numbers, ordered, opposites, glossary)
    return rng.choices(kinds, (5, 5, 3, 3, 3, 2, 1, 2))[0](rng)


def copies(rng: random.Random) -> str:
    """Words in no order, two or three times, and nothing else."""
    mark = rng.choice((", ", " ", "\n", "; "))
    text = mark.join(_item(rng) for _ in range(rng.randint(5, 25)))
    return "\n".join([text] * rng.choice((2, 2, 3)))


def repeated(rng: random.Random) -> str:
    """Words, and the same words again in the same order, or only from one place on."""
    items = [_item(rng) for _ in range(rng.randint(6, 30))]
    mark = rng.choice((", ", " ", "\n", " / ", "; "))
    again = items[rng.randrange(len(items) - 3) :] if rng.random() < 0.4 else items
    head, middle = rng.choice((("", "\nAgain:\n"), ("List:\n", "\nCopy:\n"), ("One says: ", "\nThe other says: ")))
    return head + mark.join(items) + middle + mark.join(again)


def _item(rng: random.Random) -> str:
    if rng.random() < 0.15:
        return str(rng.randint(0, 9999))
    if rng.random() < 0.2:
        return f"{rng.choice(words.NAME_ADJECTIVES)} {rng.choice(words.NAME_NOUNS)}"
    if rng.random() < 0.2:
        return f"{rng.choice(words.PEOPLE).name} {rng.choice(words.SURNAMES)}"
    return rng.choice(EVERY_WORD)


def looked_up(rng: random.Random) -> str:
    """Pairs, and then their second parts asked for in another order, with some that are not there."""
    size = rng.randint(3, 9)
    left = some(rng, LISTS[rng.choice(("names", "towns", "things", "surnames", "places", "jobs"))], size, size)
    kind = rng.choice(tuple(LISTS))
    right = [str(rng.randint(1, 2025)) if rng.random() < 0.3 else rng.choice(LISTS[kind]) for _ in left]
    mark, end = rng.choice(((": ", "\n"), (" = ", ", "), (" - ", "\n"), (" has ", ". "), (" -> ", "; ")))
    pairs = end.join(f"{a}{mark}{b}" for a, b in zip(left, right, strict=True))
    order = rng.sample(range(len(left)), min(len(left), rng.randint(2, 6)))
    if rng.random() < 0.4:  # the other way round: who has it?
        asked = [(right[i], left[i] if right.count(right[i]) == 1 else "several") for i in order]
    else:
        asked = [(left[i], right[i]) for i in order]
        if rng.random() < 0.3:
            asked.insert(rng.randrange(len(asked) + 1), (rng.choice([w for w in EVERY_WORD if w not in left]), "none"))
    answers = "\n".join(f"{a}? {b}" for a, b in asked)
    return f"{pairs}\n{answers}"


def renamed(rng: random.Random) -> str:
    """A list whose items are put into a sentence one after the other, with a fixed frame."""
    items = some(rng, LISTS[rng.choice(tuple(LISTS))], 3, 7)
    before, after = rng.choice(
        (("the ", ""), ("", " first"), ("no ", ""), ("not ", ""), ("", " too"), ("one ", " more"))
    )
    return ", ".join(items) + "\n" + "\n".join(f"{before}{item}{after}" for item in items)


def filtered(rng: random.Random) -> str:
    """Things of two kinds mixed: those of one, those of the other, those left when some are taken away."""
    one, two = rng.sample([name for name in LISTS if name not in ("surnames", "verbs", "adjectives")], 2)
    first, second = some(rng, LISTS[one], 2, 5), some(rng, LISTS[two], 2, 5)
    mixed = rng.sample([*first, *second], len(first) + len(second))
    in_order = [[item for item in mixed if item in several] for several in (first, second)]
    lines = [f"{name}: {', '.join(items)}" for name, items in zip((one, two), in_order, strict=True)]
    if rng.random() < 0.5:
        gone = rng.choice(mixed)
        lines.append(f"without {gone}: {', '.join(item for item in mixed if item != gone)}")
    return "All: " + ", ".join(mixed) + "\n" + "\n".join(rng.sample(lines, len(lines)))


def numbers(rng: random.Random) -> str:
    """Numbers: the highest, the lowest, how many, which are above a bound, which of two is more."""
    if rng.random() < 0.5:
        lines = []
        for _ in range(rng.randint(3, 6)):
            a, b = (rng.randint(0, rng.choice((12, 99, 2025))) for _ in range(2))
            said = "more than" if a > b else "less than" if a < b else "as much as"
            lines.append(f"{a} is {said} {b}.")
        return "\n".join(lines)
    items = [rng.randint(0, rng.choice((20, 99, 999))) for _ in range(rng.randint(3, 8))]
    bound = rng.choice(items)
    lines = [
        f"highest: {max(items)}",
        f"lowest: {min(items)}",
        f"how many: {len(items)}, {words.NUMBERS[len(items)]}",
        f"first: {items[0]}",
        f"last: {items[-1]}",
        f"above {bound}: {', '.join(str(i) for i in items if i > bound) or 'none'}",
        f"below {bound}: {', '.join(str(i) for i in items if i < bound) or 'none'}",
    ]
    return ", ".join(map(str, items)) + "\n" + "\n".join(rng.sample(lines, rng.randint(2, 5)))


def ordered(rng: random.Random) -> str:
    """Things with a place in a row: what comes before, what comes after."""
    items = some(rng, LISTS[rng.choice(tuple(LISTS))], 4, 8)
    lines = []
    for _ in range(rng.randint(2, 4)):
        i = rng.randrange(len(items) - 1)
        lines.append(
            rng.choice(
                (
                    f"After {items[i]} comes {items[i + 1]}.",
                    f"Before {items[i + 1]} stands {items[i]}.",
                    f"The {words.ORDINALS[i]} is {items[i]}.",
                )
            )
        )
    return " ".join(items) + "\n" + "\n".join(lines)


def opposites(rng: random.Random) -> str:
    """Words and their opposites; numbers and their words."""
    lines = []
    for one, two in rng.sample(words.ADJECTIVES, 6):
        a, b = (one, two) if rng.random() < 0.5 else (two, one)
        lines.append(rng.choice((f"not {a}, but {b}", f"{a}: the opposite of {b}", f"what is {a} is not {b}")))
    lines += [f"{n} is {words.NUMBERS[n]}" for n in rng.sample(range(13), 3)]
    return "\n".join(rng.sample(lines, len(lines)))


TERMS = {
    "instruction": "what you are told to do", "description": "a text that tells what something is like",
    "meaning": "what a word or a text says", "representation": "one thing that stands for another",
    "summary": "a long text in a few words", "summarize": "to tell a long text in a few words",
    "dialogue": "a talk between people", "premise": "what is known before", "hypothesis": "what may be true",
    "label": "a word that says of which kind a thing is", "entailment": "what must be true if something else is",
    "neutral": "neither for nor against", "contradiction": "what cannot be true if something else is",
    "classify": "to say of which kind a thing is", "pair": "two things that belong together",
    "generate": "to make something", "table": "rows and columns", "question": "what wants an answer",
    "answer": "what a question wants", "customer": "somebody who buys", "rating": "how good people find it",
    "price": "what a thing costs", "range": "from the lowest to the highest", "area": "a part of a town",
    "friendly": "nice to people", "family": "parents and their children", "name": "what a thing is called",
    "type": "a kind of thing", "SQL": "how one asks a table", "centre": "the middle", "riverside": "by the river",
}  # fmt: skip


def glossary(rng: random.Random) -> str:
    """Words and what they mean, asked for in both directions."""
    chosen = rng.sample(tuple(TERMS), rng.randint(3, 6))
    lines = []
    for term in chosen:
        written = rng.choice((term, term.capitalize(), term.upper()))
        lines.append(rng.choice(("{t}: {m}", "{m}: {t}", "# {t} = {m}", "({t}) {m}")).format(t=written, m=TERMS[term]))
    return "\n".join(lines)
