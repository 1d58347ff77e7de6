from __future__ import annotations

import random
import re

import pytest

from lorascope.tasks.builtin import e2e_nlg
from lorascope.tasks.e2e_nlg import FILES, TASK, to_row
from lorascope.tasks.files import Record

SPLITS = tuple(FILES)
KEYS = ("name", "eatType", "food", "priceRange", "customer rating", "area", "familyFriendly", "near")
ALL = {
    "name": "The Quiet Heron", "eatType": "pub", "food": "Indian", "priceRange": "cheap", "customer rating": "low",
    "area": "riverside", "familyFriendly": "yes", "near": "Weston Hotel",
}  # fmt: skip

SAID = {
    "food": lambda value: [value],
    "near": lambda value: ["ear ", "ext to ", "lose to ", "ot far from "],
    "eatType": lambda value: [value],
    "area": lambda value: ["river"] if value == "riverside" else ["centre"],
    "familyFriendly": lambda value: ["famil", "Famil", "child", "Child", "kid", "adults"],
    "priceRange": lambda value: ["price", "cheap", "inexpensive", "expensive", "costly", "Prices"],
    "customer rating": lambda value: ["rated", "rating", " star", "rate it"],
}
"""Attribute -> words of which one stands in a text that says it, and none in a text that does not."""
NO = ("not", "no place", "free", "only", "Leave")


@pytest.fixture(scope="module")
def restaurants():
    return {split: e2e_nlg.restaurants(split) for split in SPLITS}


@pytest.fixture(scope="module")
def everything(restaurants):
    return [(values, text) for several in restaurants.values() for values, texts in several for text in texts]


def test_it_has_the_splits_of_the_task_in_the_sizes_it_names(restaurants):
    assert tuple(e2e_nlg.SIZES) == SPLITS
    assert {split: len(found) for split, found in restaurants.items()} == e2e_nlg.SIZES
    assert 4500 <= len(e2e_nlg.rows("train")) <= 5500


def test_it_is_the_same_every_time():
    assert e2e_nlg.rows("test") == e2e_nlg.rows("test")


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_those_of_the_real_reader(split):
    rows = e2e_nlg.rows(split)
    records = [Record(f"file:{i}", {"mr": row["mr"], "ref": row["ref"]}) for i, row in enumerate(rows)]
    assert [to_row(record, str(i)) for i, record in enumerate(records)] == rows
    assert len(TASK.to_examples(rows)) == len(rows)


def test_evaluation_asks_each_restaurant_once_with_three_to_five_references(restaurants):
    examples = TASK.to_evaluation(e2e_nlg.rows("test"))
    assert len(examples) == e2e_nlg.SIZES["test"]
    assert {len(set(example.references)) for example in examples} == {3, 4, 5}
    assert list(examples[0].references) == restaurants["test"][0][1]


def test_no_meaning_representation_stands_twice_or_in_two_splits():
    found = [mr for split in SPLITS for mr in dict.fromkeys(row["mr"] for row in e2e_nlg.rows(split))]
    assert len(found) == len(set(found)) == sum(e2e_nlg.SIZES.values())


def test_meaning_representations_are_spelt_as_the_official_ones():
    assert e2e_nlg.write_meaning(ALL) == (
        "name[The Quiet Heron], eatType[pub], food[Indian], priceRange[cheap], customer rating[low], area[riverside], "
        "familyFriendly[yes], near[Weston Hotel]"
    )


def test_attributes_are_the_real_ones_in_their_order_three_to_eight_of_them(restaurants):
    sizes = set()
    for values, _ in restaurants["train"]:
        assert list(values) == [key for key in KEYS if key in values]
        sizes.add(len(values))
    assert sizes == {3, 4, 5, 6, 7, 8}


def test_a_reference_names_the_restaurant_and_repeats_food_place_and_kind(everything):
    for values, text in everything:
        for key in {"name", "food", "near", "eatType"} & set(values):
            assert values[key] in text, (values, text)


@pytest.mark.parametrize("key", SAID)
def test_a_reference_says_what_is_known_and_nothing_else(key, everything):
    for values, text in everything:
        bare = text.replace(values["name"], "").replace(values.get("near", "-"), "")
        if key in values:
            assert any(word in bare for word in SAID[key](values[key])), (values, text)
        elif key in ("food", "eatType", "area"):
            wrong = {"food": e2e_nlg.FOODS, "eatType": e2e_nlg.KINDS, "area": (" river", "centre")}[key]
            assert not any(word in bare for word in wrong), (values, text)
        else:
            assert not any(word in bare for word in SAID[key](None)), (values, text)


def test_families_are_welcome_where_the_attribute_says_so(everything):
    for values, text in everything:
        bare = text.replace("not far", "")
        if "familyFriendly" in values:
            assert any(word in bare for word in NO) == (values["familyFriendly"] == "no"), (values, text)


PRICES = {
    "cheap": "cheap|low|inexpensive",
    "moderate": "moderate|mid|reasonabl|average",
    "high": "high|expensive|costly|steep",
    "less than \u00a320": r"(less than|below|under) \u00a320",
    "\u00a320-25": r"\u00a320-25|\u00a320 and \u00a325",
    "more than \u00a330": r"(more than|above|over) \u00a330",
}
RATINGS = {
    "low": "low|poor",
    "average": "average|decent",
    "high": "high|well|top",
    "1 out of 5": "1 out of 5|1 star|one star",
    "3 out of 5": "3 out of 5|3 star|three star",
    "5 out of 5": "5 out of 5|5 star|five star",
}


@pytest.mark.parametrize(("key", "words"), [("priceRange", PRICES), ("customer rating", RATINGS)])
def test_prices_and_ratings_are_said_in_words_of_their_own(key, words, everything):
    for values, text in everything:
        if key in values:
            assert re.search(words[values[key]], text), (values, text)


def test_a_wording_has_one_to_three_sentences_and_wordings_differ():
    rng = random.Random(0)
    texts = {e2e_nlg.describe(ALL, rng) for _ in range(300)}
    assert len(texts) > 250
    assert {2, 3} <= {text.count(". ") + 1 for text in texts} <= {1, 2, 3}


@pytest.mark.parametrize("key", ["name", "near"])
def test_half_of_the_test_names_and_places_are_new_and_made_of_known_parts(key, restaurants):
    seen = {values[key] for values, _ in restaurants["train"] if key in values}
    asked = [values[key] for values, _ in restaurants["test"] if key in values]
    parts = {word for text in seen for word in text.split()}
    assert {word for text in asked for word in text.split()} <= parts
    assert 0.35 < sum(text not in seen for text in asked) / len(asked) < 0.65


def test_an_unknown_split_is_a_key_error():
    with pytest.raises(KeyError):
        e2e_nlg.rows("dev")
