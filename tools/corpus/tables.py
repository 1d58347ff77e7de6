"""Tables as text, what they say in sentences, questions with their answers, and queries with their results.

    films (film, director, year)
    Quiet River, Anna Hill, 1987
    Twin Foxes, Omar Brook, 2003
    We want the highest year where the director is Anna Hill.
    select max(year) from films where director = 'Anna Hill';
    1987

Queries are SQL as databases take it, with brackets and quotes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from corpus.cards import made_name, person_name
from corpus.wording import capital
from lorascope.tasks.builtin import words

Cell = str | int
Draw = Callable[[random.Random], Cell]


def _of(values: Sequence[str]) -> Draw:
    return lambda rng: rng.choice(values)


def _to(high: int) -> Draw:
    return lambda rng: rng.randint(high // 100, high)


def _date(rng: random.Random) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(words.MONTHS)}"


def _time(rng: random.Random) -> str:
    return f"{rng.randint(6, 23)}:{rng.randrange(0, 60, 5):02}"


def _team(rng: random.Random) -> str:
    return f"{rng.choice(words.TOWNS)} {rng.choice(words.TEAMS)}"


COLUMNS: dict[str, tuple[tuple[str, ...], Draw]] = {
    "person": (("name", "player", "driver", "director", "author", "owner", "mayor", "boss", "singer", "captain",
                "rider", "keeper", "cook", "head", "manager", "lead actor", "teacher", "guest"), person_name),
    "title": (("film", "book", "shop", "song", "album", "ship", "hotel", "horse", "building", "train", "title",
               "school"), made_name),
    "team": (("team", "club", "home team", "guests"), _team),
    "town": (("town", "city", "home", "harbour", "office", "destination", "birth place"), _of(words.TOWNS)),
    "country": (("country", "nation", "origin"), _of(words.COUNTRIES)),
    "colour": (("colour", "party", "shirt colour"), _of(words.COLOURS)),
    "day": (("day", "free day", "market day", "closed day"), _of(words.DAYS)),
    "month": (("month", "first month", "arrival month"), _of(words.MONTHS)),
    "season": (("season",), _of(words.SEASONS)),
    "job": (("job", "work", "profession"), _of(words.JOBS)),
    "food": (("food", "dish", "main product", "favourite food"), _of(words.FOODS)),
    "kind": (("kind", "type"), _of(words.FILM_KINDS)),
    "cuisine": (("cuisine",), _of(words.CUISINES)),
    "sport": (("sport", "main sport"), _of(words.SPORTS)),
    "subject": (("subject", "lesson"), _of(words.SUBJECTS)),
    "animal": (("animal", "pet"), _of([noun.one for noun in words.ANIMALS])),
    "object": (("product", "thing", "object"), _of([noun.one for noun in words.OBJECTS])),
    "material": (("material",), _of(words.MATERIALS)),
    "date": (("date", "first match", "first race", "opening date"), _date),
    "time": (("time", "best time", "departure time", "feeding time"), _time),
    "year": (("year", "opening year", "start year", "first year", "founding year"),
             lambda rng: rng.randint(1950, 2025)),
    "digit": (("rank", "goals", "stars", "home goals", "away goals", "wins", "gold", "silver", "bronze", "stops",
               "platform", "rating"), lambda rng: rng.randint(0, 9)),
    "small": (("age", "points", "laps", "number", "staff", "crew", "floors", "price", "weeks", "desk", "seats",
               "teachers", "minutes", "speed", "ticket price"), _to(99)),
    "large": (("pages", "weight", "height", "length", "rooms", "pupils", "population", "salary", "votes", "visitors",
               "rent", "copies", "area", "summer sales", "winter sales", "seconds"),
              lambda rng: rng.randint(100, 9999)),
}  # fmt: skip
"""Kind of a column -> names that it may have, and what draws a cell."""
NUMERIC = ("year", "digit", "small", "large")
NAMES = ("list", "items", "data", "people", "games", "things", "places", "works", "sales")

MOST = {"max": ("highest", "largest", "greatest", "maximum"), "min": ("lowest", "smallest", "least", "minimum")}
WHOLE = {"count": ("number of", "count of"), "sum": ("total", "sum of the"), "avg": ("average", "mean")}
OVER, UNDER = (
    ("above", "over", "more than", "greater than", "higher than"),
    ("below", "under", "less than", "lower than"),
)


class Table(NamedTuple):
    """A table with its name."""

    name: str
    columns: tuple[tuple[str, str], ...]
    """(name, kind)"""
    rows: tuple[tuple[Cell, ...], ...]


class Query(NamedTuple):
    """A query by column numbers."""

    column: int
    over: str
    """"", max, min, count, sum or avg."""
    where: tuple[tuple[int, str, Cell], ...]


def document(rng: random.Random) -> str:
    """A table in one of several layouts with sentences, questions or queries below it."""
    drawn = draw(rng)
    form = rng.random()
    if form < 0.15:
        return f"{layout(rng, drawn)}\n{sentences(rng, drawn)}"
    if form < 0.4:
        return f"{layout(rng, drawn)}\n{questions(rng, drawn)}"
    with_rows, result, loud = rng.random() < 0.3, rng.random() < 0.5, rng.random() < 0.5
    between = rng.choice(("\n", "\n", "\n\n", "\nQuery:\n", "\n\nIn SQL:\n", " "))
    top = layout(rng, drawn) if with_rows else header(rng, drawn)
    blocks = []
    for _ in range(rng.randint(2, 5)):
        query = ask(rng, drawn)
        text = f"{wish(rng, drawn, query)}{between}{sql(drawn, query, loud=loud)}"
        blocks.append(f"{text}\n{answer(drawn, query)}" if with_rows and result else text)
    return "\n".join((top, *blocks))


def draw(rng: random.Random) -> Table:
    """Three to six columns with different names, three to six rows."""
    kinds = ["person" if rng.random() < 0.5 else "title"]
    kinds += rng.sample([kind for kind in COLUMNS if kind not in kinds], rng.randint(1, 3))
    kinds += rng.choices(NUMERIC, k=rng.randint(1, 2))
    columns: dict[str, str] = {}
    for kind in kinds:
        columns.setdefault(rng.choice(COLUMNS[kind][0]), kind)
    header = list(columns.items())
    if rng.random() < 0.4:
        rng.shuffle(header)
    rows = [tuple(COLUMNS[kind][1](rng) for _, kind in header) for _ in range(rng.randint(3, 6))]
    return Table(rng.choice(NAMES), tuple(header), tuple(rows))


def header(rng: random.Random, drawn: Table) -> str:
    """Name and columns alone."""
    columns = [name for name, _ in drawn.columns]
    return rng.choice(
        (
            f"{drawn.name} ({', '.join(columns)})",
            f"columns of {drawn.name}: {', '.join(columns)}",
            f"create table {drawn.name} ({', '.join(columns)});",
            f"{drawn.name} | {' | '.join(columns)}",
        )
    )


def layout(rng: random.Random, drawn: Table) -> str:
    """Header and rows."""
    mark = rng.choice((", ", " | ", ";", ","))
    rows = [mark.join(map(str, row)) for row in drawn.rows]
    if mark in (", ", " | ") and rng.random() < 0.5:
        return "\n".join((header(rng, drawn), *rows))
    return "\n".join((mark.join(name for name, _ in drawn.columns), *rows))


def sentences(rng: random.Random, drawn: Table) -> str:
    """Rows of the table, each told in a sentence."""
    lines = []
    for row in rng.sample(drawn.rows, min(len(drawn.rows), rng.randint(2, 4))):
        pairs = [f"the {name} is {cell}" for (name, _), cell in zip(drawn.columns, row, strict=True)]
        lines.append(f"{capital(pairs[0])}, {', '.join(pairs[1:-1])} and {pairs[-1]}.".replace(",  and", " and"))
    return "\n".join(lines)


def questions(rng: random.Random, drawn: Table) -> str:
    """Questions with their answers, looked up by a cell of the same row."""
    lines = []
    for _ in range(rng.randint(3, 6)):
        query = ask(rng, drawn, plain=rng.random() < 0.6)
        lines.append(f"{wish(rng, drawn, query, question=True)} {answer(drawn, query)}")
    return "\n".join(lines)


def ask(rng: random.Random, drawn: Table, *, plain: bool = False) -> Query:
    """A query that holds for one of the rows."""
    numeric = [i for i, (_, kind) in enumerate(drawn.columns) if kind in NUMERIC]
    over = "" if plain else rng.choices(("", "max", "min", "count", "sum", "avg"), (55, 11, 11, 11, 6, 6))[0]
    column = rng.choice(numeric) if over in ("max", "min", "sum", "avg") else rng.randrange(len(drawn.columns))
    row = rng.choice(drawn.rows)
    others = [i for i in range(len(drawn.columns)) if i != column]
    count = 1 if plain else rng.choices((0, 1, 2, 3), (10, 60, 24, 6))[0]
    where = []
    for i in rng.sample(others, min(count, len(others))):
        cell, mark = row[i], "="
        if not isinstance(cell, str) and not plain and rng.random() < 0.5:
            mark = rng.choice("<>")
            cell = cell + rng.randint(1, 9) if mark == "<" else max(0, cell - rng.randint(1, 9))
        where.append((i, mark, cell))
    return Query(column, over, tuple(where))


def wish(rng: random.Random, drawn: Table, query: Query, *, question: bool = False) -> str:
    """The query in words."""
    name = drawn.columns[query.column][0]
    if query.over in MOST:
        wanted = f"the {rng.choice(MOST[query.over])} {name}"
    elif query.over:
        wanted = f"the {rng.choice(WHOLE[query.over])} {name}"
    else:
        wanted = f"the {name}"
    parts = [_condition(rng, drawn.columns[i][0], mark, cell) for i, mark, cell in query.where]
    told = rng.choice((" where ", " if ", " when ", " for which ")) + " and ".join(parts) if parts else ""
    if parts and rng.random() < 0.25:
        return f"{rng.choice(('Where', 'If', 'When'))} {' and '.join(parts)}, what is {wanted}?"
    if question or rng.random() < 0.5:
        if not query.over and parts and rng.random() < 0.3:
            return f"Which {name} has {_having(rng, drawn, query)}?"
        return f"{rng.choice(('What is', 'What was', 'Tell me', 'Say'))} {wanted}{told}?"
    return f"{rng.choice(('We want', 'Find', 'Show', 'Give me', 'I need', 'Look for'))} {wanted}{told}."


def _condition(rng: random.Random, name: str, mark: str, cell: Cell) -> str:
    if mark == "=":
        return rng.choice((f"the {name} is {cell}", f"{name} is {cell}", f"the {name} equals {cell}"))
    return f"{rng.choice(('the ', ''))}{name} is {rng.choice(OVER if mark == '>' else UNDER)} {cell}"


def _having(rng: random.Random, drawn: Table, query: Query) -> str:
    parts = []
    for i, mark, cell in query.where:
        bound = "" if mark == "=" else rng.choice(OVER if mark == ">" else UNDER) + " "
        parts.append(f"{rng.choice(('a', 'the'))} {drawn.columns[i][0]} {rng.choice(('', 'of '))}{bound}{cell}")
    return " and ".join(parts)


def sql(drawn: Table, query: Query, *, loud: bool) -> str:
    """The query as SQL, key words in capitals if `loud`."""
    names = [name for name, _ in drawn.columns]
    select, source, where, both = ["SELECT", "FROM", "WHERE", "AND"] if loud else ["select", "from", "where", "and"]
    over = query.over.upper() if loud else query.over
    wanted = f"{over}({names[query.column]})" if over else names[query.column]
    parts = [f"{names[i]} {mark} {_quoted(cell)}" for i, mark, cell in query.where]
    text = f"{select} {wanted} {source} {drawn.name}"
    return f"{text}{f' {where} ' + f' {both} '.join(parts) if parts else ''};"


def _quoted(cell: Cell) -> str:
    return f"'{cell}'" if isinstance(cell, str) else str(cell)


def answer(drawn: Table, query: Query) -> str:
    """What the query finds, "nothing" where it finds nothing."""
    tests = {"=": lambda a, b: a == b, ">": lambda a, b: a > b, "<": lambda a, b: a < b}
    cells = [row[query.column] for row in drawn.rows if all(tests[mark](row[i], cell) for i, mark, cell in query.where)]
    numbers = [cell for cell in cells if not isinstance(cell, str)]
    if query.over == "count":
        return str(len(cells))
    if not cells:
        return "nothing"
    if query.over in ("max", "min", "sum"):
        return str({"max": max, "min": min, "sum": sum}[query.over](numbers))
    if query.over == "avg":
        return f"{sum(numbers) / len(numbers):g}"
    return ", ".join(dict.fromkeys(map(str, cells)))
