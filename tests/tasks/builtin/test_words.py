from __future__ import annotations

import re

import pytest

from lorascope.tasks.builtin import words
from lorascope.tasks.builtin.words import Noun, Person, Verb, article, listed

LISTS = {name: value for name, value in vars(words).items() if name.isupper()}


def texts(items):
    """Every string in a list of strings or of tuples of strings."""
    return [text for item in items for text in ([item] if isinstance(item, str) else item)]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_says_nothing_twice(name):
    assert LISTS[name]
    assert len(set(LISTS[name])) == len(LISTS[name])


@pytest.mark.parametrize("name", LISTS)
def test_words_are_plain_letters(name):
    assert all(re.fullmatch(r"[A-Za-z]+( [a-z]+)?", text) for text in texts(LISTS[name]))


def test_there_are_few_enough_to_learn():
    everything = {word.lower() for items in LISTS.values() for text in texts(items) for word in text.split()}
    assert 600 <= len(everything) <= 1000


def test_people_have_their_own_pronouns():
    assert len({person.name for person in words.PEOPLE}) == 64
    assert words.PEOPLE[:2] == (Person("Anna", "she", "her", "her"), Person("Tom", "he", "him", "his"))


def test_nobody_is_called_like_something_else():
    others = {word for name, items in LISTS.items() if name not in ("PEOPLE", "WOMEN", "MEN") for word in texts(items)}
    assert not {person.name for person in words.PEOPLE} & others


def test_plurals_and_participles():
    assert Noun("shelf", "shelves") in words.OBJECTS
    assert Noun("lamp", "lamps") in words.OBJECTS
    assert Verb("take", "takes", "took", "taking", "taken") in words.VERBS
    assert Verb("sell", "sells", "sold", "selling", "sold") in words.VERBS
    assert all(verb.third.startswith(verb.base[:-1]) and verb.ing.endswith("ing") for verb in words.VERBS + words.GOING)


def test_opposites_are_two_different_words_and_belong_to_one_pair():
    sides = texts(words.ADJECTIVES)
    assert [word for word in set(sides) if sides.count(word) > 1] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("old hat", "an old hat"),
        ("used car", "a used car"),
        ("umbrella", "an umbrella"),
        ("Italian pub", "an Italian pub"),
        ("one star", "a one star"),
    ],
)
def test_articles(text, said):
    assert article(text) == said


@pytest.mark.parametrize(
    ("items", "said"), [((), ""), (("a",), "a"), (("a", "b"), "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_in_a_sentence(items, said):
    assert listed(items) == said
