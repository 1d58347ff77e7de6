"""The words that everything generated is made of: plain tuples of short, common words, written for this package.

A tiny model with a vocabulary of about 2,000 tokens has to learn them all, so the lists are short and most words are
one or two tokens. Every list is in a fixed order: a seeded draw from it gives the same texts everywhere.
"""

from __future__ import annotations

from typing import NamedTuple


class Person(NamedTuple):
    """A first name with its pronouns: "Anna", "she", "her", "her"."""

    name: str
    subject: str
    object: str
    possessive: str


class Noun(NamedTuple):
    """A thing that can be counted: "shelf", "shelves"."""

    one: str
    many: str


class Verb(NamedTuple):
    """A verb with its forms: "choose", "chooses", "chose", "choosing", "chosen"."""

    base: str
    third: str
    past: str
    ing: str
    participle: str


def _people(names: str, subject: str, object: str, possessive: str) -> tuple[Person, ...]:
    return tuple(Person(name, subject, object, possessive) for name in names.split())


def _nouns(words: str) -> tuple[Noun, ...]:
    """Nouns from "cup box:boxes": the plural after a colon where it is not the word with an s."""
    pairs = (word.partition(":") for word in words.split())
    return tuple(Noun(one, many or one + "s") for one, _, many in pairs)


def _verbs(lines: str) -> tuple[Verb, ...]:
    """Verbs from lines "base third past ing [participle]"."""
    rows = (line.split() for line in lines.strip().splitlines())
    return tuple(Verb(base, third, past, ing, "".join(other) or past) for base, third, past, ing, *other in rows)


WOMEN = _people(
    "Anna Maria Lucy Emma Kate Nina Sara Julia Clara Eva Ella Rosa Helen Laura Tina Mona Lena Vera Ruth Alice "
    "Jane Olga Sofia Paula Diana Carla Grace Molly Lily Irene Nora Zoe",
    "she", "her", "her",
)  # fmt: skip
MEN = _people(
    "Tom Ben Paul Mark Peter David Leo Max Sam Adam Jack Oscar Felix Hugo Luke Simon Victor Frank George Henry "
    "Karl Nick Oliver Robert Steve Martin Omar Ivan Daniel Eric Noah Finn",
    "he", "him", "his",
)  # fmt: skip
PEOPLE = tuple(person for pair in zip(WOMEN, MEN, strict=True) for person in pair)
"""64 people, women and men in turn."""

SURNAMES = (
    "Baker", "Carter", "Fisher", "Hunter", "Miller", "Porter", "Potter", "Turner", "Walker", "Weaver", "Brook",
    "Field", "Hill", "Lake", "Marsh", "Moore", "Stone", "Wood", "Banks", "Ford", "Kelly", "Price", "Silva",
    "Tanaka",
)  # fmt: skip

RELATIVES = ("mother", "father", "sister", "brother", "aunt", "uncle", "cousin", "neighbour", "friend", "boss")
JOBS = (
    "teacher", "doctor", "nurse", "driver", "farmer", "cook", "waiter", "singer", "painter", "writer", "pilot",
    "gardener", "builder", "dentist", "student", "manager", "engineer", "artist", "guard",
)  # fmt: skip

TOWNS = (
    "Ashford", "Castleton", "Eastbridge", "Fairview", "Highfield", "Kingsport", "Lakeside", "Milton", "Newport",
    "Northgate", "Oakham", "Redhill", "Riverton", "Seaford", "Southport", "Stonebury", "Weston", "Whitby",
    "Winfield", "Woodlake",
)  # fmt: skip
COUNTRIES = (
    "Canada", "France", "Germany", "India", "Italy", "Japan", "Kenya", "Mexico", "Norway", "Poland", "Spain",
    "Sweden",
)  # fmt: skip
PLACES = (
    "airport", "bakery", "bank", "beach", "bridge", "cafe", "cinema", "garage", "garden", "gym", "harbour",
    "hospital", "hotel", "library", "market", "museum", "office", "park", "pool", "school", "square", "stadium",
    "station", "theatre", "zoo",
)  # fmt: skip
"""Where people meet; each goes with "at the"."""
ROOMS = ("kitchen", "bathroom", "bedroom", "hall", "attic", "cellar", "balcony", "living room")

FOODS = (
    "apples", "bananas", "bread", "butter", "cake", "carrots", "cheese", "cherries", "chicken", "chocolate",
    "cookies", "eggs", "fish", "honey", "lemons", "mushrooms", "nuts", "onions", "oranges", "pasta", "pears",
    "pizza", "potatoes", "rice", "salad", "sandwiches", "soup", "tomatoes",
)  # fmt: skip
"""As they stand after "some"."""
DRINKS = ("coffee", "juice", "lemonade", "milk", "tea", "water", "wine")
CUISINES = ("Chinese", "English", "fast food", "French", "Indian", "Italian", "Japanese", "Mexican", "Spanish", "Thai")

ANIMALS = _nouns(
    "bear bird cat cow dog duck fox:foxes frog goat horse lion mouse:mice owl pig rabbit sheep:sheep snake tiger "
    "turtle wolf:wolves"
)
PLANTS = _nouns("tree flower rose bush:bushes oak pine tulip fern")
OBJECTS = _nouns(
    "bag ball basket bed bell bike boat book bottle bowl box:boxes brush:brushes camera car card chair clock coat "
    "cup desk door glove guitar hat jacket key knife:knives lamp letter map phone piano picture plate radio "
    "scarf:scarves shelf:shelves shirt shoe sock sofa suitcase table tent ticket toy umbrella van wallet "
    "watch:watches window"
)
MATERIALS = ("glass", "gold", "paper", "plastic", "silver", "stone", "wood")
COLOURS = ("black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow")

SPORTS = (
    "basketball", "chess", "cricket", "cycling", "football", "golf", "hockey", "running", "skiing", "swimming",
    "tennis", "volleyball", "yoga",
)  # fmt: skip
SUBJECTS = ("art", "English", "French", "history", "maths", "music", "Spanish")
TEAMS = ("Bears", "Eagles", "Falcons", "Giants", "Hawks", "Lions", "Rockets", "Sharks", "Stars", "Tigers", "Wolves")
FILM_KINDS = ("comedy", "drama", "thriller", "western", "cartoon", "musical")
VEHICLES = ("bike", "boat", "bus", "car", "ferry", "plane", "taxi", "train", "tram", "truck")
WEATHER = ("rainy", "sunny", "windy", "cloudy", "snowy", "foggy", "stormy", "warm", "cold")
EVENTS = (
    "birthday", "concert", "dinner", "exam", "festival", "lesson", "lunch", "match", "meeting", "party", "picnic",
    "play", "show", "trip", "wedding", "workshop",
)  # fmt: skip

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
SEASONS = ("spring", "summer", "autumn", "winter")
TIMES_OF_DAY = ("morning", "afternoon", "evening", "night")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
"""A number's word under the number itself."""
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")

ADJECTIVES = (
    ("big", "small"), ("tall", "short"), ("old", "young"), ("new", "used"), ("hot", "cold"), ("fast", "slow"),
    ("heavy", "light"), ("loud", "quiet"), ("rich", "poor"), ("strong", "weak"), ("happy", "sad"),
    ("clean", "dirty"), ("full", "empty"), ("open", "closed"), ("easy", "hard"), ("cheap", "expensive"),
    ("early", "late"), ("near", "far"), ("wet", "dry"), ("dark", "bright"), ("soft", "rough"),
    ("safe", "dangerous"), ("busy", "free"), ("thick", "thin"), ("wide", "narrow"), ("deep", "shallow"),
    ("sweet", "bitter"), ("kind", "rude"), ("awake", "asleep"), ("famous", "unknown"), ("healthy", "sick"),
    ("brave", "afraid"),
)  # fmt: skip
"""Adjectives, each with its opposite."""
FEELINGS = ("angry", "excited", "glad", "hungry", "nervous", "thirsty", "tired", "worried")
NAME_ADJECTIVES = (
    "Blue", "Brave", "Golden", "Green", "Happy", "Hidden", "Laughing", "Little", "Lucky", "Old", "Painted", "Quiet",
    "Red", "Royal", "Silver", "Sleepy", "Smiling", "Twin", "Wandering", "White",
)  # fmt: skip
"""First parts of composed names: of a pub, a ship, a film."""
NAME_NOUNS = (
    "Anchor", "Bear", "Bell", "Bridge", "Castle", "Compass", "Crown", "Fox", "Garden", "Harbour", "Heron", "Kettle",
    "Lantern", "Lion", "Mill", "Oak", "Orchard", "River", "Rose", "Ship", "Star", "Tower",
)  # fmt: skip
"""Second parts of composed names."""

VERBS = _verbs(
    """
    ask asks asked asking
    bake bakes baked baking
    borrow borrows borrowed borrowing
    bring brings brought bringing
    buy buys bought buying
    call calls called calling
    carry carries carried carrying
    choose chooses chose choosing chosen
    clean cleans cleaned cleaning
    close closes closed closing
    cook cooks cooked cooking
    drink drinks drank drinking drunk
    eat eats ate eating eaten
    find finds found finding
    fix fixes fixed fixing
    forget forgets forgot forgetting forgotten
    give gives gave giving given
    help helps helped helping
    leave leaves left leaving
    lend lends lent lending
    like likes liked liking
    lose loses lost losing
    love loves loved loving
    make makes made making
    meet meets met meeting
    need needs needed needing
    open opens opened opening
    order orders ordered ordering
    paint paints painted painting
    pay pays paid paying
    play plays played playing
    read reads read reading
    return returns returned returning
    sell sells sold selling
    send sends sent sending
    show shows showed showing shown
    start starts started starting
    take takes took taking taken
    tell tells told telling
    visit visits visited visiting
    walk walks walked walking
    want wants wanted wanting
    wash washes washed washing
    watch watches watched watching
    win wins won winning
    write writes wrote writing written
    """
)
"""Verbs that take an object."""
GOING = _verbs(
    """
    arrive arrives arrived arriving
    come comes came coming come
    drive drives drove driving driven
    go goes went going gone
    laugh laughs laughed laughing
    run runs ran running run
    sit sits sat sitting
    sleep sleeps slept sleeping
    stay stays stayed staying
    swim swims swam swimming swum
    travel travels travelled travelling
    wait waits waited waiting
    wake wakes woke waking woken
    work works worked working
    """
)
"""Verbs that need no object."""


def article(text: str) -> str:
    """`text` after its indefinite article, told from its letters: "an old hat", "a used car", "a one way ticket"."""
    vowel = text.lower().startswith(("a", "e", "i", "o", "um", "un")) and not text.lower().startswith("one")
    return f"{'an' if vowel else 'a'} {text}"


def listed(items: tuple[str, ...] | list[str]) -> str:
    """Items as in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))
