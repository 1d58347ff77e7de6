"""Tables, questions and queries in the form of WikiSQL.

    {"header": ["film", "director", "year"], "types": ["text", "text", "real"],
     "rows": [["Quiet River", "Anna Hill", 1987], ["Twin Foxes", "Omar Brook", 2003], ...]}
    What is the highest year where the director is Anna Hill?
    {"sel": 2, "agg": 1, "conds": [[1, 0, "Anna Hill"]]}      SELECT MAX year FROM table WHERE director = Anna Hill

A query is drawn first, around a row that it finds, so that its result is never empty; then a wording. Mostly a question
names columns as the header does and in the query's order. Sometimes a column has another name (`SYNONYMS`), is asked
for by "who" or "when", is left unsaid beside the value of the table's key, or the condition comes first.

Which split a table belongs to is told by its set of columns: no header of one split is met in another.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from lorascope.tasks.base import Row
from lorascope.tasks.builtin import words
from lorascope.tasks.builtin.words import article
from lorascope.tasks.wikisql import AGG_OPS, COND_OPS

SIZES = {"train": 4000, "validation": 150, "test": 150}
"""Questions of each split."""
SEED = 20_262
QUESTIONS = 3
"""Of a table."""
SHARES = {"test": 1, "validation": 2}
"""Remainder modulo 20 of a header's checksum: which headers are kept for a split; all others are for training."""

Cell = str | int | float
Draw = Callable[[random.Random], Cell]


def _number(low: int, high: int) -> Draw:
    return lambda rng: rng.randint(low, high)


def _one_of(values: Sequence[str]) -> Draw:
    return lambda rng: rng.choice(values)


def _person(rng: random.Random) -> Cell:
    return f"{rng.choice(words.PEOPLE).name} {rng.choice(words.SURNAMES)}"


def _title(rng: random.Random) -> Cell:
    return f"{rng.choice(words.NAME_ADJECTIVES)} {rng.choice(words.NAME_NOUNS)}"


def _team(rng: random.Random) -> Cell:
    return f"{rng.choice(words.TOWNS)} {rng.choice(words.TEAMS)}"


CELLS: dict[str, tuple[str, Draw]] = {
    # Columns whose cells differ from row to row.
    "person": ("text", _person),
    "title": ("text", _title),
    "date": ("text", lambda rng: f"{rng.randint(1, 28)} {rng.choice(words.MONTHS)}"),
    "time": ("text", lambda rng: f"{rng.randint(6, 23)}:{rng.randrange(0, 60, 5):02}"),
    "year": ("real", _number(1950, 2025)),
    "digit": ("real", _number(0, 9)),
    "small": ("real", _number(1, 99)),
    "hundreds": ("real", _number(100, 999)),
    "thousands": ("real", _number(1000, 9999)),
    "price": ("real", lambda rng: rng.randint(1, 40) + 0.5),
    "lap time": ("text", lambda rng: f"{rng.randint(1, 3)}:{rng.randint(0, 59):02}"),
    # Columns with few different cells.
    "team": ("text", _team),
    "town": ("text", _one_of(words.TOWNS)),
    "country": ("text", _one_of(words.COUNTRIES)),
    "colour": ("text", _one_of(words.COLOURS)),
    "day": ("text", _one_of(words.DAYS)),
    "month": ("text", _one_of(words.MONTHS)),
    "season": ("text", _one_of(words.SEASONS)),
    "job": ("text", _one_of(words.JOBS)),
    "food": ("text", _one_of(words.FOODS)),
    "cuisine": ("text", _one_of(words.CUISINES)),
    "sport": ("text", _one_of(words.SPORTS)),
    "subject": ("text", _one_of(words.SUBJECTS)),
    "film kind": ("text", _one_of(words.FILM_KINDS)),
    "material": ("text", _one_of(words.MATERIALS)),
    "animal": ("text", _one_of(tuple(animal.one for animal in words.ANIMALS))),
    "object": ("text", _one_of(tuple(thing.one for thing in words.OBJECTS))),
}
"""Kind of a column -> its type, and what draws a cell."""
FEW = tuple(CELLS)[tuple(CELLS).index("team") :]

DOMAINS = (
    "player:person team:team country:country goals:digit points:small age:small number:small home_goals:digit "
    "away_goals:digit first_match:date",
    "driver:person team:team country:country laps:small points:small rank:digit year:year best_time:lap_time "
    "first_race:date",
    "film:title director:person kind:film_kind year:year minutes:hundreds country:country rating:digit "
    "lead_actor:person ticket_price:price",
    "book:title author:person pages:hundreds price:price year:year subject:subject country:country copies:thousands",
    "town:town country:country mayor:person population:thousands area:hundreds founding_year:year schools:small "
    "market_day:day",
    "shop:title owner:person town:town staff:small opening_year:year rating:digit rent:thousands main_product:food "
    "closed_day:day",
    "employee:person job:job office:town salary:thousands age:small start_year:year free_day:day desk:small "
    "boss:person",
    "school:title head:person town:town pupils:hundreds teachers:small school_colour:colour opening_year:year "
    "main_sport:sport",
    "song:title singer:person album:title year:year weeks:small rank:digit country:country seconds:hundreds",
    "animal:animal food:food keeper:person weight:hundreds age:small arrival_month:month visitors:thousands "
    "feeding_time:time",
    "train:title destination:town platform:digit departure_time:time minutes:small price:price stops:digit day:day",
    "building:title architect:person town:town height:hundreds floors:small opening_year:year material:material "
    "visitors:thousands",
    "candidate:person party:colour town:town votes:thousands age:small seats:small first_year:year rank:digit",
    "dish:food cook:person cuisine:cuisine minutes:small price:price rating:digit season:season weight:hundreds",
    "ship:title captain:person harbour:town length:hundreds crew:small year:year colour:colour speed:small",
    "horse:title rider:person colour:colour wins:digit age:digit weight:hundreds stable:town best_distance:thousands",
    "hotel:title manager:person town:town rooms:hundreds stars:digit price:price opening_year:year staff:small",
    "country:country rank:digit gold:digit silver:digit bronze:digit summer_games:year winter_games:year team:small",
    "product:object colour:colour price:price material:material weight:hundreds spring_sales:thousands "
    "summer_sales:thousands autumn_sales:thousands winter_sales:thousands",
)
"""What tables are about: the key column first, then the columns that may stand beside it, each with its kind."""

SYNONYMS = {
    "age": "number of years", "author": "writer", "employee": "worker", "film": "movie", "harbour": "port",
    "height": "size", "main product": "best product", "minutes": "length", "population": "number of people",
    "price": "cost", "pupils": "number of children", "rank": "place", "rent": "monthly cost", "rider": "jockey",
    "salary": "pay", "speed": "top speed", "staff": "number of workers", "team": "club", "visitors": "number of guests",
    "weight": "mass",
}  # fmt: skip
WHEN = ("year", "day", "date", "month", "time")
"""Kinds of columns that "when" may ask for."""

HIGH, LOW = ("highest", "largest", "greatest", "maximum"), ("lowest", "smallest", "minimum", "least")
SELECTED = {  # {c}: the column as _name calls it, {raw}: as the header does
    "": ("the {c}",),
    "MAX": tuple(f"the {word} {{c}}" for word in HIGH),
    "MIN": tuple(f"the {word} {{c}}" for word in LOW),
    "COUNT": ("the number of {raw} entries", "the count of {raw} entries"),
    "SUM": ("the total {c}", "the sum of the {raw}"),
    "AVG": ("the average {c}", "the mean {c}"),
}
BOUNDS = {
    ">": ("above", "over", "greater than", "more than"),
    "<": ("below", "under", "less than", "smaller than"),
}


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: str


class Query(NamedTuple):
    """A query by column numbers, as the official dict."""

    sel: int
    agg: str
    conds: tuple[tuple[int, str, Cell], ...]


def official(query: Query) -> dict[str, Any]:
    """The dict of the official files."""
    conds = [[column, COND_OPS.index(op), value] for column, op, value in query.conds]
    return {"sel": query.sel, "agg": AGG_OPS.index(query.agg), "conds": conds}


def draw_columns(rng: random.Random) -> tuple[list[Column], int]:
    """Three to six columns of a domain, and where its key is: mostly in front."""
    key, *others = (
        Column(*(part.replace("_", " ") for part in text.split(":"))) for text in rng.choice(DOMAINS).split()
    )
    columns = [key, *rng.sample(others, rng.randint(2, 5))]
    if rng.random() < 0.2:
        rng.shuffle(columns)
    return columns, columns.index(key)


def split_of(header: Sequence[str]) -> str:
    """The split that tables with these columns, in any order, are for."""
    remainder = zlib.crc32(",".join(sorted(header)).encode()) % 20
    return next((split for split, share in SHARES.items() if share == remainder), "train")


def draw_rows(rng: random.Random, columns: Sequence[Column], key: int) -> list[list[Cell]]:
    """Four to twelve rows; the key's cells differ, columns of few values repeat theirs."""
    size, cells = rng.randint(4, 12), []
    for number, column in enumerate(columns):
        draw = CELLS[column.kind][1]
        pool = [draw(rng) for _ in range(4 * size)]
        if number == key:
            distinct = list(dict.fromkeys(pool))
            size = min(size, len(distinct))
            cells.append(distinct)
        elif column.kind in FEW:
            few = list(dict.fromkeys(pool))[: rng.randint(2, 4)]
            cells.append([rng.choice(few) for _ in pool])
        else:
            cells.append(pool)
    return [list(row) for row in zip(*(column[:size] for column in cells), strict=True)]


def draw_query(rng: random.Random, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Query:
    """A query that finds something, since its conditions hold in a row of the table."""
    real = [i for i, column in enumerate(columns) if CELLS[column.kind][0] == "real"]
    agg = rng.choices(("", "COUNT", "MAX", "MIN", "SUM", "AVG"), (58, 12, 9, 9, 6, 6))[0]
    if agg in ("MAX", "MIN", "SUM", "AVG") and not real:
        agg = ""
    sel = rng.choice(real) if agg not in ("", "COUNT") else rng.randrange(len(columns))
    count = rng.choices((0, 1, 2, 3), (2, 68, 24, 6) if not agg else (20, 58, 18, 4))[0]
    others = [i for i in range(len(columns)) if i != sel]
    row = rng.choice(rows)
    conds = [_condition(rng, column, row[column], rows) for column in rng.sample(others, min(count, len(others)))]
    return Query(sel, agg, tuple(conds))


def _condition(rng: random.Random, column: int, cell: Cell, rows: Sequence[Sequence[Cell]]) -> tuple[int, str, Cell]:
    """A condition that holds for `cell`, with a value from its column."""
    op = rng.choice(("=", "=", ">", "<"))
    if isinstance(cell, str) or op == "=":
        return column, "=", cell
    numbers = [other for row in rows if not isinstance(other := row[column], str)]
    bounds = [number for number in numbers if (number < cell if op == ">" else number > cell)]
    return (column, op, rng.choice(bounds)) if bounds else (column, "=", cell)


def ask(rng: random.Random, query: Query, columns: Sequence[Column], key: int) -> str:
    """A question for the query; conditions keep its order. `key` is the column whose value needs no name beside it."""
    sel, (first, *others) = columns[query.sel], query.conds or (None,)
    asked = rng.choice(SELECTED[query.agg]).format(c=_name(rng, sel), raw=sel.name)
    if first is None and not query.agg:
        return _pick(rng, f"List {asked} of all rows.", f"Show {asked} of each row.")
    if first is None:
        return _pick(rng, f"What is {asked}?", f"What is {asked} in the table?", f"Tell me {asked}.")
    having = " and ".join(_having(rng, condition, columns) for condition in query.conds)
    holds = " and ".join(_holds(rng, condition, columns) for condition in query.conds)
    if first[0] == key and first[1] == "=" and rng.random() < 0.6:
        rest = " with " + " and ".join(_having(rng, other, columns) for other in others) if others else ""
        return f"{_pick(rng, 'What is', 'What was')} {asked} of {first[2]}{rest}?"
    if not query.agg and rng.random() < 0.4:
        alone = sum(column.kind == sel.kind for column in columns) == 1
        if alone and sel.kind == "person" and rng.random() < 0.5:
            return f"Who has {having}?"
        if alone and sel.kind in (*WHEN, "town") and rng.random() < 0.4:
            return f"{'Where' if sel.kind == 'town' else 'When'} is it that {holds}?"
        return f"{_pick(rng, 'Which', 'What')} {_name(rng, sel)} {_pick(rng, 'has', 'comes with')} {having}?"
    if query.agg == "COUNT" and rng.random() < 0.6:
        return f"How many {sel.name} entries {_pick(rng, 'have', 'are there with')} {having}?"
    if rng.random() < 0.35:
        return _pick(rng, f"If {holds}, what is {asked}?", f"When {holds}, what is {asked}?")
    told = _pick(rng, f"where {holds}", f"when {holds}", f"if {holds}", f"with {having}", f"that has {having}")
    return _pick(rng, f"What is {asked} {told}?", f"What was {asked} {told}?", f"Tell me {asked} {told}.")


def _having(rng: random.Random, condition: tuple[int, str, Cell], columns: Sequence[Column]) -> str:
    """A condition as a thing: "a town of Milton", "an age above 30", "over 30 rooms"."""
    column, op, value = condition
    if _counts(columns[column]) and rng.random() < 0.7:
        return f"{_pick(rng, *BOUNDS[op]) + ' ' if op != '=' else ''}{value} {columns[column].name}"
    return f"{article(_name(rng, columns[column]))} {_pick(rng, *BOUNDS[op]) if op != '=' else 'of'} {value}"


def _holds(rng: random.Random, condition: tuple[int, str, Cell], columns: Sequence[Column]) -> str:
    """A condition as a clause: "the town is Milton", "the age is above 30"."""
    column, op, value = condition
    return f"the {_name(rng, columns[column])} is {_pick(rng, *BOUNDS[op]) + ' ' if op != '=' else ''}{value}"


def _name(rng: random.Random, column: Column) -> str:
    """What a question calls a column, after "the": its name, mostly."""
    if column.name in SYNONYMS and rng.random() < 0.2:
        return SYNONYMS[column.name]
    return f"number of {column.name}" if _counts(column) else column.name


def _counts(column: Column) -> bool:
    """Is its name a plural, of what its numbers count: "rooms"?"""
    return column.name.endswith("s") and CELLS[column.kind][0] == "real"


def _pick(rng: random.Random, *texts: str) -> str:
    return rng.choice(texts)


@cache
def _split(split: str) -> list[Row]:
    """The rows of a split; no two tables have the same id, no two questions of a table the same query."""
    rng = random.Random(f"{SEED} {split}")
    made: list[Row] = []
    number = 0
    while len(made) < SIZES[split]:
        columns, key = draw_columns(rng)
        if split_of([column.name for column in columns]) != split:
            continue
        number += 1
        cells = draw_rows(rng, columns, key)
        table = {
            "header": [column.name for column in columns],
            "types": [CELLS[column.kind][0] for column in columns],
            "rows": cells,
        }
        queries: list[Query] = []
        while len(queries) < min(QUESTIONS, SIZES[split] - len(made)):
            query = draw_query(rng, columns, cells)
            if query in queries:
                continue
            queries.append(query)
        table_id = f"1-{1 + list(SIZES).index(split)}{number:05}-1"
        for query in queries:
            asked, sql = ask(rng, query, columns, key), official(query)
            made.append({"id": str(len(made)), "table_id": table_id, "question": asked, "sql": sql, "table": table})
    return made


def rows(split: str) -> list[Row]:
    """The rows of a split, as the task's `read` gives them; rows of one table share the table."""
    return list(_split(split))
