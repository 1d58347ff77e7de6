import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorascope.evaluation.batches import by_tokens


def test_a_batch_holds_what_the_budget_holds_longest_first():
    assert list(by_tokens([3, 9, 4, 4, 1], 12)) == [[1], [2, 3, 0], [4]]


def test_a_row_that_exceeds_the_budget_is_alone():
    assert list(by_tokens([5, 50, 5], 10)) == [[1], [0, 2]]


def test_no_more_rows_than_asked_for():
    assert list(by_tokens([1, 1, 1, 1, 1], 100, most=2)) == [[0, 1], [2, 3], [4]]


def test_no_rows_no_batches():
    assert list(by_tokens([], 10)) == []


def test_rows_without_tokens_are_no_endless_loop():
    assert list(by_tokens([0, 0], 1)) == [[0], [1]]


@given(st.lists(st.integers(1, 60), max_size=80), st.integers(1, 300), st.none() | st.integers(1, 9))
def test_every_row_comes_once_and_batches_are_full_but_not_fuller(lengths, budget, most):
    batches = list(by_tokens(lengths, budget, most=most))
    order = [i for batch in batches for i in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[i] for i in order] == sorted(lengths, reverse=True)
    for batch in batches:
        width = lengths[batch[0]]
        assert len(batch) == 1 or width * len(batch) <= budget
        assert most is None or len(batch) <= most
        full = width * (len(batch) + 1) > budget or len(batch) == most
        assert full or batch is batches[-1]


@pytest.mark.parametrize("lengths", [[7] * 10, [10, 2, 8, 2]])
def test_equal_lengths_stay_in_their_order(lengths):
    order = [i for batch in by_tokens(lengths, 20) for i in batch]
    assert order == sorted(order, key=lambda i: (-lengths[i], i))
