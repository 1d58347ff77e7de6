"""Drawing rows, splitting without leakage, and the two loads of a run."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import official
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorascope.config.experiment import DataConfig
from lorascope.errors import ConfigError, DataError
from lorascope.tasks import TASKS
from lorascope.tasks.base import Example
from lorascope.tasks.sources import rows_sha256
from lorascope.tasks.split import draw, load_evaluation, load_training, nearest_sum, shared_groups, split


def examples_of(groups: list[str]) -> list[Example]:
    return [Example(id=str(i), prompt="", target="", references=(), group=g) for i, g in enumerate(groups)]


def ids(examples: list[Example]) -> list[int]:
    return [int(e.id) for e in examples]


# draw


def test_zero_or_too_many_draws_all_in_order() -> None:
    assert draw("abc", 0, seed=1) == draw("abc", 3, seed=1) == draw("abc", 4, seed=1) == ["a", "b", "c"]


def test_a_draw_is_in_order_without_repeats_and_the_same_for_a_seed() -> None:
    drawn = draw(range(1000), 100, seed=5)
    assert len(set(drawn)) == 100
    assert drawn == sorted(drawn) == draw(range(1000), 100, seed=5) != draw(range(1000), 100, seed=6)


def test_a_larger_draw_holds_the_smaller_one() -> None:
    assert set(draw(range(500), 40, seed=3)) < set(draw(range(500), 41, seed=3)) < set(draw(range(500), 200, seed=3))


def test_every_row_is_as_likely() -> None:
    counts = [0] * 10
    for seed in range(2000):
        for i in draw(range(10), 3, seed):
            counts[i] += 1
    assert all(500 < count < 700 for count in counts), "600 each, standard deviation 20"


def test_draws_do_not_change_between_versions() -> None:
    assert draw(range(100), 5, seed=0) == [6, 8, 16, 48, 81]
    assert ids(split(examples_of([str(i) for i in range(20)]), 0.2, 0)[1]) == [6, 7, 10, 18]


def test_a_seed_below_zero_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match="data_seed must be at least 0, got -1"):
        DataConfig(data_seed=-1)


# nearest_sum and split


@given(st.lists(st.integers(1, 6), min_size=2, max_size=9), st.data())
def test_no_choice_of_groups_comes_nearer(sizes: list[int], data: st.DataObject) -> None:
    wanted = data.draw(st.integers(1, sum(sizes) - 1))
    chosen = nearest_sum(sizes, wanted)
    assert len(set(chosen)) == len(chosen)
    assert 0 < len(chosen) < len(sizes)
    everything = [sum(c) for k in range(1, len(sizes)) for c in combinations(sizes, k)]
    assert sum(sizes[i] for i in chosen) == min(everything, key=lambda total: (abs(total - wanted), total))


@given(
    st.lists(st.sampled_from("abcdefghij"), min_size=2, max_size=60).filter(lambda groups: len(set(groups)) > 1),
    st.floats(0.001, 0.999),
    st.integers(0, 2**32),
)
def test_no_group_parts_and_nothing_is_lost(groups: list[str], share: float, seed: int) -> None:
    examples = examples_of(groups)
    train, validation = split(examples, share, seed)
    assert not shared_groups(train, validation)
    assert train
    assert validation
    assert sorted(ids(train) + ids(validation)) == list(range(len(groups)))
    assert ids(train) == sorted(ids(train))
    assert ids(validation) == sorted(ids(validation))
    assert (train, validation) == split(examples, share, seed)
    wanted = min(max(1, round(share * len(groups))), len(groups) - 1)
    sizes = [groups.count(g) for g in sorted(set(groups))]
    sums = [sum(c) for k in range(1, len(sizes)) for c in combinations(sizes, k)]
    assert abs(len(validation) - wanted) == min(abs(s - wanted) for s in sums)


def test_groups_of_one_give_exactly_the_share() -> None:
    train, validation = split(examples_of([str(i) for i in range(2000)]), 0.1, seed=0)
    assert (len(train), len(validation)) == (1800, 200)


def test_large_and_small_groups_are_as_likely_to_be_kept_back() -> None:
    groups = [f"large{i // 8}" for i in range(800)] + [f"small{i}" for i in range(200)]
    large = small = 0
    for seed in range(200):
        validation = split(examples_of(groups), 0.1, seed)[1]
        kept = {e.group for e in validation}
        large += sum(g.startswith("large") for g in kept)
        small += sum(g.startswith("small") for g in kept)
    assert 0.08 < large / (200 * 100) < 0.12
    assert 0.08 < small / (200 * 200) < 0.12


def test_another_seed_keeps_other_groups_back() -> None:
    examples = examples_of([str(i // 3) for i in range(300)])
    assert split(examples, 0.2, seed=0)[1] != split(examples, 0.2, seed=1)[1]


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(
        DataError, match="need rows of at least two different dialogues, and all 3 rows share one dialogue"
    ):
        split(examples_of(["a", "a", "a"]), 0.1, seed=0, group="dialogue")


def test_a_hundred_thousand_groups_split_in_seconds() -> None:
    examples = examples_of([str(i // 3 if i % 2 else i) for i in range(150_000)])
    train, validation = split(examples, 0.1, seed=0)
    assert len(validation) == 15_000
    assert not shared_groups(train, validation)


# the loads of a run


def config(folder: Path, task: str, **settings: object) -> DataConfig:
    return DataConfig(dataset=task, data_dir=str(folder / task), **settings)


def test_training_rows_are_drawn_split_and_accounted_for(official_files: Path) -> None:
    rows = [(f"name[{i // 2}], eatType[pub]", f"Pub {i}.") for i in range(400)]
    official.write_csv(official_files / "e2e_nlg" / "trainset.csv", rows)
    data = config(official_files, "e2e_nlg", num_samples=100, validation_split=0.25, data_seed=7)
    training = load_training(TASKS["e2e_nlg"], data)
    drawn = sorted([*training.train, *training.validation], key=lambda e: int(e.id))
    assert (len(training.train), len(training.validation)) == (75, 25)
    assert [e.target for e in drawn] == [f"Pub {e.id}." for e in drawn], "the id is the row's number in the file"
    assert not shared_groups(training.train, training.validation)
    assert official.others(training.notes) == ()
    p = training.provenance
    assert (
        p["drawn_sha256"] == rows_sha256([{"id": e.id, "mr": e.group, "ref": e.target} for e in drawn]) != p["sha256"]
    )
    assert {k: v for k, v in p.items() if "sha256" not in k} == {
        "task": "e2e_nlg", "task_version": 1, "source": "local", "revision": None, "split": "train",
        "files": ["trainset.csv"], "rows": 400, "official_rows": 42_061, "left_out": 0, "duplicates": 0,
        "dropped": {"duplicates": 0, "in_evaluation": 0}, "drawn": 100, "data_seed": 7, "train": 75, "validation": 25,
    }  # fmt: skip
    assert training.describe() == (
        "  data      e2e_nlg: 75 rows to train on, 25 for validation; drawn from the 400 in trainset.csv\n"
        "  note      400 of the official 42,061 train rows"
    )


def test_the_training_seed_does_not_touch_the_rows(official_files: Path) -> None:
    data = config(official_files, "multi_nli", num_samples=0, validation_split=0.5)
    assert load_training(TASKS["multi_nli"], data) == load_training(TASKS["multi_nli"], data)


def test_asking_for_more_rows_than_there_are_is_noted(official_files: Path) -> None:
    training = load_training(TASKS["samsum"], config(official_files, "samsum", num_samples=5000, validation_split=0.3))
    assert official.others(training.notes) == ("num_samples asks for 5,000 rows and there are 3: all are taken",)
    assert training.describe().splitlines()[1:] == [f"  note      {note}" for note in training.notes]


def test_training_names_the_group_that_cannot_be_split(official_files: Path) -> None:
    official.write_csv(official_files / "e2e_nlg" / "trainset.csv", official.E2E["train"][:1] * 5)
    with pytest.raises(DataError, match="two different meaning representations, and all 5 rows share one"):
        load_training(TASKS["e2e_nlg"], config(official_files, "e2e_nlg"))


def test_evaluation_keeps_the_official_order_and_the_same_subset(official_files: Path) -> None:
    rows = [(f"name[{i // 2}]", f"Pub {i}.") for i in range(100)]
    official.write_csv(official_files / "e2e_nlg" / "testset_w_refs.csv", rows)
    task = TASKS["e2e_nlg"]
    everything = load_evaluation(task, config(official_files, "e2e_nlg"), 0)
    assert (everything.split, everything.total, everything.chosen) == ("test", 50, "all of the split, in its order")
    assert [e.id for e in everything.examples] == [str(i) for i in range(50)]
    some = load_evaluation(task, config(official_files, "e2e_nlg", data_seed=3), 10)
    assert (len(some.examples), some.total) == (10, 50)
    assert ids(some.examples) == sorted(ids(some.examples))
    assert some.examples == load_evaluation(task, config(official_files, "e2e_nlg", data_seed=4), 10).examples
    assert set(ids(some.examples)) < set(ids(load_evaluation(task, config(official_files, "e2e_nlg"), 20).examples))
    assert some.chosen == "eval_samples 10, the same ones in every run: seed 0, official order"
    assert (some.provenance["eval_samples"], everything.provenance["eval_samples"]) == (10, 0)
    assert some.provenance["why_split"] == "the task's test split"
    assert some.describe() == (
        f"  evaluate  10 of 50 test examples ({some.chosen})\n  note      100 of the official 4,693 test rows"
    )
    assert some.provenance["sha256"] == everything.provenance["sha256"]
    assert (some.provenance["rows"], some.provenance["examples"], some.provenance["total"]) == (100, 10, 50)
    assert "overlap" not in some.provenance


def test_more_evaluation_examples_than_there_are_is_noted(official_files: Path) -> None:
    data = load_evaluation(TASKS["samsum"], config(official_files, "samsum"), 200)
    assert official.others(data.notes) == ("eval_samples asks for 200 examples and test has 2: all are taken",)


def test_evaluation_takes_another_split_by_name(official_files: Path) -> None:
    data = load_evaluation(TASKS["multi_nli"], config(official_files, "multi_nli"), 0, split="validation_mismatched")
    assert (data.split, data.provenance["files"]) == ("validation_mismatched", ["multinli_1.0_dev_mismatched.jsonl"])
    assert data.provenance["why_split"] == "asked for"
    own = load_evaluation(TASKS["multi_nli"], config(official_files, "multi_nli"), 0)
    assert (own.split, own.provenance["why_split"]) == ("validation", "there is no test split with right answers")


def test_groups_that_both_splits_have_are_counted(official_files: Path) -> None:
    task, data = TASKS["samsum"], config(official_files, "samsum", num_samples=0, validation_split=0.3)
    training = load_training(task, data)
    evaluation = load_evaluation(task, data, 0, training=training)
    assert evaluation.provenance["overlap"] == {"examples": 1, "groups": 1, "split_examples": 1, "split_groups": 1}
    assert official.others(evaluation.notes) == (
        "1 dialogues of the test split are in the training split too, in 1 of its 2 examples; 1 of the 2 evaluated "
        "share theirs with rows in use (--drop_duplicates drops these rows)",
    )
    official.write_list(
        official_files / "samsum" / "train.json", [*official.SAMSUM["train"][1:2], *official.SAMSUM["validation"]]
    )
    clean = load_evaluation(task, data, 0, training=load_training(task, data))
    assert set(clean.provenance["overlap"].values()) == {0}
    assert official.others(clean.notes) == ()


def leaky(official_files: Path) -> DataConfig:
    """Test holds MR 1 and 2. In training: MR 1 twice with two answers, MR 2, MR 3 three times, twice the same."""
    rows = [("name[1]", "a"), ("name[1]", "b"), ("name[2]", "c"), ("name[3]", "d"), ("name[3]", "d"), ("name[3]", "e")]
    rows += [(f"name[x{i}]", "f") for i in range(6)]
    official.write_csv(official_files / "e2e_nlg" / "trainset.csv", rows)
    official.write_csv(official_files / "e2e_nlg" / "testset_w_refs.csv", [("name[1]", "g"), ("name[2]", "h")])
    return config(official_files, "e2e_nlg", num_samples=0)


def test_leaks_are_counted_over_the_whole_splits_whatever_is_drawn_and_evaluated(official_files: Path) -> None:
    data, task = leaky(official_files), TASKS["e2e_nlg"]
    for drawn, evaluated in ((2, 1), (0, 0)):
        training = load_training(task, replace(data, num_samples=drawn))
        overlap = load_evaluation(task, data, evaluated, training=training).provenance["overlap"]
        assert (overlap["split_groups"], overlap["split_examples"]) == (2, 2)
        used = {example.group for example in (*training.train, *training.validation)}
        assert overlap["groups"] == overlap["examples"] <= len(used & {"name[1]", "name[2]"})
        assert training.provenance["duplicates"] == 1


def test_repeated_rows_are_counted_and_said(official_files: Path) -> None:
    training = load_training(TASKS["e2e_nlg"], leaky(official_files))
    assert training.provenance["duplicates"] == 1
    assert official.others(training.notes) == (
        "1 of the 12 training rows repeat another's prompt and answer (--drop_duplicates drops them)",
    )
    assert len(training.train) + len(training.validation) == 12


def test_repeats_and_rows_of_the_evaluated_split_can_be_dropped(official_files: Path) -> None:
    data, task = replace(leaky(official_files), drop_duplicates=True), TASKS["e2e_nlg"]
    training = load_training(task, data)
    assert sorted(int(e.id) for e in (*training.train, *training.validation)) == [3, 5, 6, 7, 8, 9, 10, 11]
    assert training.provenance["dropped"] == {"duplicates": 1, "in_evaluation": 3}
    assert training.provenance["rows"] == 12
    assert training.provenance["drawn"] == 8
    assert official.others(training.notes) == (
        "1 rows that repeat another's prompt and answer are dropped, and 3 whose meaning representation is in the test "
        "split too; 8 are left",
    )
    assert "; all 8 in trainset.csv" in training.describe()
    held_out = load_evaluation(task, data, 0, training=training)
    assert set(held_out.provenance["overlap"].values()) == {0}
    assert official.others(held_out.notes) == ()


def test_rows_are_dropped_before_the_draw(official_files: Path) -> None:
    data = replace(leaky(official_files), drop_duplicates=True, num_samples=5)
    for seed in range(5):
        training = load_training(TASKS["e2e_nlg"], replace(data, data_seed=seed))
        used = [int(e.id) for e in (*training.train, *training.validation)]
        assert len(used) == 5
        assert set(used) <= {3, 5, 6, 7, 8, 9, 10, 11}


def test_two_evaluation_rows_with_one_id_are_refused(official_files: Path) -> None:
    official.write_list(official_files / "samsum" / "test.json", official.SAMSUM["test"] * 2)
    with pytest.raises(DataError, match=r"test\.json: two rows have the id 'x1'"):
        load_evaluation(TASKS["samsum"], config(official_files, "samsum"), 0)
