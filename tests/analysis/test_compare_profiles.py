"""Profiles side by side: shares, differences that are decided and that are not, what must be said beside them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from facts import probe_profile
from lorascope.analysis.compare_profiles import compare_profiles, contrasts
from lorascope.errors import RunError

STRONG_ATTENTION = np.array([8.0, 8, 1, 1, 8, 8, 1, 1])


@pytest.fixture
def folders(tmp_path):
    """Two alike, one in which attention leads, one without a model's both groups."""
    tokens = {"tokens_per_row": {"prompt": 30.0, "answer": 10.0}}
    made = {
        "one": probe_profile(spread=0.1, seed=1, **tokens),
        "same": probe_profile(spread=0.1, seed=2, **tokens),
        "other": probe_profile(
            STRONG_ATTENTION, spread=0.1, seed=3, dataset="copying", tokens_per_row={"prompt": 31.0, "answer": 40.0}
        ),
    }
    return [profile.save(tmp_path / name) for name, profile in made.items()]


def test_shares_and_their_differences(folders) -> None:
    found = compare_profiles(folders)
    assert [side.name for side in found.sides] == ["A", "B", "C"]
    assert found.sides[0].attention == pytest.approx(3.5 / 8.5)
    assert found.sides[0].ci_low < found.sides[0].attention < found.sides[0].ci_high
    pairs = {(c.first, c.second): c for c in found.contrasts}
    assert set(pairs) == {("A", "B"), ("A", "C"), ("B", "C")}
    assert not pairs["A", "B"].decided
    assert pairs["A", "C"].decided
    assert pairs["A", "C"].effect == pytest.approx(3.5 / 8.5 - 8 / 9)
    assert pairs["A", "C"].ci_low < pairs["A", "C"].effect < pairs["A", "C"].ci_high < 0
    assert "undecided" in str(pairs["A", "B"])
    assert str(pairs["A", "C"]).startswith("attention has the larger share in C than in A: -0.48 [")
    assert pairs["A", "B"].tau == pytest.approx(1.0)
    assert found.kinds["q"] == pytest.approx([0.25, 0.25, 8 / 17])
    json.dumps(found.to_dict())


def test_several_pairs_are_decided_with_more_care_than_one() -> None:
    one, other = probe_profile(spread=0.1, seed=1), probe_profile(np.arange(1.0, 9.0) ** 0.65, spread=0.1, seed=3)
    (alone,) = contrasts([one, other], "AB")
    third = probe_profile(spread=0.1, seed=4)
    among = next(c for c in contrasts([one, other, third], "ABC") if (c.first, c.second) == ("A", "B"))
    assert (among.effect, among.ci_low) == (alone.effect, alone.ci_low)
    assert among.p_holm > alone.p_holm


def test_lengths_that_differ_are_said(folders) -> None:
    remarks = compare_profiles(folders).remarks
    assert any("answers are of different length (A 10, B 10, C 40 tokens)" in remark for remark in remarks)
    assert not any("prompts are of different length" in remark for remark in remarks)
    assert not any("length" in remark for remark in compare_profiles(folders[:2]).remarks)


def test_other_models_have_no_common_ranking_and_one_group_alone_has_no_share(tmp_path) -> None:
    one = probe_profile(spread=0.1)
    changed = probe_profile(spread=0.1, model="other")
    changed.parts["module"] = "x." + changed.parts["module"]
    lone = probe_profile(spread=0.1, model="mamba")
    lone.parts["group"] = "other"
    folders = [p.save(tmp_path / str(i)) for i, p in enumerate((one, changed, lone))]
    found = compare_profiles(folders)
    assert [c.tau for c in found.contrasts] == [None]
    assert found.sides[2].attention is None
    assert any("has no share" in remark for remark in found.remarks)
    assert any("models differ" in remark for remark in found.remarks)


def test_too_few_batches_leave_it_open() -> None:
    (found,) = contrasts([probe_profile(spread=math.nan), probe_profile(spread=0.1)], "AB")
    assert not found.decided
    assert "too few batches" in str(found)


def test_one_profile_is_no_comparison(folders) -> None:
    with pytest.raises(RunError, match="at least two"):
        compare_profiles(folders[:1])
