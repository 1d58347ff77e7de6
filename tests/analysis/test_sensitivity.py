"""Views of a probe's profile: worked by hand, and their sums, intervals and words."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from facts import probe_profile as profile
from lorascope.analysis.sensitivity import PART_COLUMNS, SensitivityProfile
from lorascope.analysis.statistics import quantile
from lorascope.errors import ConfigError, RunError, UnknownName


def rows(table: pd.DataFrame, name: str) -> dict[str, float]:
    return dict(zip(table[name], table["value"], strict=True))


def test_sums_come_first_then_the_division() -> None:
    """Signals per weight: layer 0 has q 1, o 2, up 3, router 4; layer 1 has 5, 6, 7, 8. q and o 16 weights, up 32."""
    found = profile()
    assert rows(found.table(by="projection"), "projection") == {"q": 3.0, "o": 4.0, "up": 5.0, "router": 6.0}
    assert rows(found.table(by="projection", scale="sum"), "projection") == {"q": 96, "o": 128, "up": 320, "router": 96}
    assert rows(found.table(by="group"), "group") == {"attention": 3.5, "mlp": 5.0, "other": 6.0}
    norms = rows(found.table("grad_sq", by="group", scale="norm"), "group")
    assert norms["mlp"] == pytest.approx(math.sqrt(320))
    assert rows(found.table("grad_sq", by="group", scale="rms"), "group")["mlp"] == pytest.approx(math.sqrt(5.0))
    layers = found.table(by="layer")
    assert layers[["layer", "group", "value"]].values.tolist()[:2] == [[0, "attention", 1.5], [0, "mlp", 3.0]]
    assert found.table(by="module")["numel"].tolist() == [16, 16, 32, 8] * 2


def test_shares_are_of_attention_and_mlp_and_leave_what_is_neither_out() -> None:
    table = profile().table(by="projection", scale="share")
    shares = rows(table, "projection")
    assert [shares[kind] for kind in ("q", "o", "up")] == pytest.approx([0.25, 4 / 12, 5 / 12])
    assert math.isnan(shares["router"])
    groups = rows(profile().table(by="group", scale="share"), "group")
    assert groups["attention"] == pytest.approx(3.5 / 8.5)


def test_an_interval_is_the_jackknifes_and_above_noise_where_it_leaves_zero_out() -> None:
    table = profile(spread=0.1).table(by="part")
    half = quantile(15) * 0.1
    assert table["ci_low"].tolist() == pytest.approx([v * (1 - half) for v in range(1, 9)])
    assert table["ci_high"].tolist() == pytest.approx([v * (1 + half) for v in range(1, 9)])
    noisy = profile(np.array([1.0, 1, 1, 1, 1, 1, 1, -1]), spread=0.5)
    assert noisy.above_noise().sum() == 0
    mixed = profile(spread=0.4)
    assert mixed.table(by="projection")[["above", "of"]].values.tolist() == [[2, 2]] * 4
    roots = profile(np.full(8, -1.0), spread=0.1).table("grad_sq", scale="norm")
    assert (roots[["value", "ci_low", "ci_high"]] == 0).all(axis=None)


def test_scores_that_do_not_add_up_are_averaged_and_signed_ones_have_no_root() -> None:
    found = profile()
    assert rows(found.table("stable_rank", by="group"), "group") == {"attention": 2.5, "mlp": 4.0, "other": 5.0}
    assert rows(found.table("taylor", by="group", scale="sum"), "group") == {"attention": -4, "mlp": -2, "other": -2}
    with pytest.raises(ConfigError, match="can be negative"):
        found.table("taylor", scale="norm")


def test_unknown_names_are_named() -> None:
    found = profile()
    for wrong in (
        lambda: found.table("signl"),
        lambda: found.table(by="groups"),
        lambda: found.table(scale="shares"),
        lambda: found.compare("attention", "mpl"),
        lambda: found.spectrum("spectrun", "layers.0.q"),
        lambda: found.spectrum("spectrum", "layers.9.q"),
    ):
        with pytest.raises(UnknownName):
            wrong()


def test_the_verdict_is_the_difference_in_shares_with_its_words() -> None:
    even = profile(np.array([1.0, 1, 1, 1, 1, 1, 1, 1]), spread=0.02)  # attention and MLP alike: effect 0
    found = replace(profile(spread=0.02), control=even).verdict
    assert found.effect == pytest.approx((3.5 - 5) / 8.5)
    assert (found.control, found.task.value) == (0.0, pytest.approx(found.effect))
    assert found.decided
    assert found.more == 0
    assert str(found).startswith("the task favours mlp over attention by 0.18 [0.1")
    assert str(found).endswith("]: -0.18 here, +0.00 with shuffled answers, 32 batches")

    twice = replace(profile(spread=0.02), control=profile(7.0 * np.arange(1, 9), spread=0.02)).verdict
    assert (twice.effect, twice.control) == (pytest.approx(found.effect), pytest.approx(found.effect))
    assert not twice.decided
    assert twice.more is None
    assert str(twice) == (
        "attention against mlp: undecided, -0.18 here and -0.18 with shuffled answers, difference "
        f"{twice.task.value:+.2f} [{twice.task.low:+.2f}, {twice.task.high:+.2f}]; more batches will not decide it"
    )

    wide = replace(profile(spread=0.9), control=even).verdict
    assert not wide.decided
    assert wide.ci_low < wide.effect < wide.ci_high
    assert wide.more is not None
    assert f"about {wide.more:,} more batches would decide" in str(wide)

    alone = profile(spread=0.02).verdict
    assert not alone.decided
    assert alone.more is None
    assert str(alone).startswith("attention against mlp: undecided, -0.18 [-0.19, -0.16")
    assert str(alone).endswith("] without a control")

    nothing = profile(np.zeros(8) + 1e-9, spread=1e6).verdict
    assert (nothing.ci_low, nothing.ci_high) == (-1.0, 1.0)
    assert "no signal above the noise of 32 batches" in str(nothing)

    few = profile(spread=math.nan, n=2).verdict
    assert not few.decided
    assert "2 batches give no interval" in str(few)


def test_kinds_are_compared_too_and_a_model_with_one_group_has_no_verdict() -> None:
    found = profile(spread=0.02)
    assert found.compare("up", "q").effect == pytest.approx((5 - 3) / 8)
    assert found.compare("q", "up").effect == pytest.approx(-(5 - 3) / 8)
    alone = SensitivityProfile(**{**vars(found), "parts": found.parts.assign(group="other")})
    assert alone.verdict is None


def test_the_strongest_layers_come_first() -> None:
    assert profile().strongest("q") == [1, 0]
    assert profile().strongest("q", count=1) == [1]


def test_everything_as_one_table() -> None:
    table = profile(spread=0.1).to_pandas()
    assert len(table) == 4 * 8
    assert list(table.columns) == [*PART_COLUMNS, "score", "value", "ci_low", "ci_high"]


def test_a_spectrum_is_given_with_its_noise() -> None:
    values, noise = profile().spectrum("spectrum", "layers.0.q")
    assert values.tolist() == [3.0, 2.0, 1.0]
    assert noise.tolist() == [1.0, 0.5, 0.25]


def test_a_profile_is_read_back_digit_for_digit(tmp_path) -> None:
    found = replace(profile(spread=0.1), control=profile(spread=0.2, seed=1))
    folder = found.save(tmp_path / "profiles" / "toy")
    back = SensitivityProfile.load(folder)
    assert back.verdict == found.verdict
    assert back.control is not None
    pd.testing.assert_frame_equal(back.control.to_pandas(), found.control.to_pandas())
    pd.testing.assert_frame_equal(back.parts, found.parts)
    pd.testing.assert_frame_equal(back.to_pandas(), found.to_pandas())
    pd.testing.assert_frame_equal(back.spectra, found.spectra)
    for name in found.scores:
        assert np.array_equal(back.scores[name].without, found.scores[name].without)
    assert (back.n, back.tau, back.loss, back.about) == (found.n, found.tau, found.loss, found.about)
    written = json.loads((folder / "profile.json").read_text())
    assert written["verdict"]["sentence"] == str(found.verdict)
    assert written["verdict"]["control"] == found.verdict.control
    assert written["verdict"]["task"]["ci_low"] == found.verdict.task.low
    assert SensitivityProfile.load(replace(found, control=None).save(folder)).control is None


def test_a_profile_of_two_batches_is_read_back_too(tmp_path) -> None:
    found = profile(spread=math.nan, n=2)
    back = SensitivityProfile.load(found.save(tmp_path))
    assert math.isnan(back.verdict.ci_low)


def test_folders_without_a_whole_profile_are_refused(tmp_path) -> None:
    with pytest.raises(RunError, match="holds no profile"):
        SensitivityProfile.load(tmp_path)
    folder = profile().save(tmp_path / "a")
    (folder / "profile.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(RunError, match="cannot be read"):
        SensitivityProfile.load(folder)
    folder = profile().save(tmp_path / "b")
    text = (folder / "profile.json").read_text().replace('"version": 1', '"version": 0')
    (folder / "profile.json").write_text(text)
    with pytest.raises(RunError, match="another version"):
        SensitivityProfile.load(folder)
