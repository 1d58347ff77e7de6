"""Probes on a page: the profile's own numbers, intervals and noise, and differences that are decided or not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from facts import probe_profile
from lorascope.analysis.compare_cells import cells_between
from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.analysis.statistics import Estimate, difference
from lorascope.report.page import page_of, page_of_profile, unpack
from lorascope.report.page_facts import encode
from lorascope.report.page_profile import map_of_profile, pairs_of, profile_source, verdict_of_profile


def of_cell(found, score, projection, layer):
    at = found.cells.index[(found.cells["projection"] == projection) & (found.cells["layer"] == layer)][0]
    part = found.parts[score.matrices["W"][0]].values[at, 0]
    weight = score.weight[at] if score.weight is not None else 1.0
    return weight * part / next(iter(score.per.values()))[at], score.interval[at]


def score_of(found, name):
    return next(score for score in found.scores if score.name == name)


@pytest.mark.parametrize("name", ["signal", "taylor", "stable_rank"])
def test_cells_rows_and_groups_are_the_profiles_own_table(name):
    profile = probe_profile(spread=0.1)
    found = map_of_profile(profile)
    score = score_of(found, name)
    for row in profile.table(name, by="part").to_dict("records"):
        value, ends = of_cell(found, score, row["projection"], row["layer"])
        assert value == pytest.approx(row["value"])
        assert ends.tolist() == pytest.approx([row["ci_low"], row["ci_high"]], nan_ok=True)
    for by, prefix in (("group", ""), ("projection", "decoder ")):
        for row in profile.table(name, by=by).to_dict("records"):
            key = row["group"] if by == "group" else f"{prefix}{row['group']} {row['projection']}"
            assert score.bands[key] == pytest.approx((row["ci_low"], row["ci_high"]), nan_ok=True)


def with_signal(profile, value, without):
    return replace(profile, scores={**profile.scores, "signal": Estimate(value, without)})


def test_relative_is_1_where_every_weight_has_the_same_signal_and_a_larger_loss_changes_nothing():
    profile = probe_profile(np.full(8, 3.0), spread=0.1)
    signal = profile.scores["signal"]
    for one in (profile, with_signal(profile, 7 * signal.value, 7 * signal.without)):
        found = map_of_profile(one)
        assert found.scores[0].name == "relative"
        value, ends = of_cell(found, found.scores[0], "up", 1)
        assert value == pytest.approx(1.0)
        assert ends[0] < 1 < ends[1]
        assert ends == pytest.approx(of_cell(map_of_profile(profile), found.scores[0], "up", 1)[1])


def test_noise_is_marked_and_a_negative_signal_travels_as_it_is():
    profile = probe_profile(np.array([1.0, 2, 3, 4, -0.5, 6, 7, 8]), spread=0.1)
    found = map_of_profile(profile)
    signal = score_of(found, "signal")
    noisy = found.cells[~signal.above_noise]
    assert noisy[["projection", "layer"]].to_numpy().tolist() == [["q", 1]]
    assert of_cell(found, signal, "q", 1)[0] == pytest.approx(-0.5)
    plain, blob = encode(found)
    assert blob == b""
    assert min(plain["parts"]["signal"]["values"]) < 0
    assert plain["scores"][0]["root"] is False


def test_a_page_says_who_leads_how_sure_it_is_and_names_no_private_path(tmp_path):
    profile = probe_profile(spread=0.02, model="/home/alice/models/toy", rows=256, tokens=9)
    profile = replace(profile, control=probe_profile(np.ones(8), spread=0.02))
    content = unpack(page_of_profile(tmp_path / "toy_made-up", profile))[0]
    assert content["title"] == "toy_made-up"
    assert content["about"] == "probe of made up on .../toy; 32 batches, 256 rows, before any training"
    assert content["verdict"] == [line.replace("/home/alice/models", "...") for line in verdict_of_profile(profile)]
    assert content["verdict"][0].startswith("The task favours MLP over attention by 0.18 [0.")
    assert content["verdict"][0].endswith("]: -0.18 here, +0.00 with shuffled answers.")
    assert any("the same prompts, each with the answer of another one" in line for line in content["sure"])
    assert content["sure"][0] == "32 batches, ranking tau 0.93"
    assert "alice" not in json.dumps(content)
    labels = [one["label"] for one in content["sources"][0]["exports"]]
    assert labels == ["PEFT", "TRL script", "axolotl", "JSON", "run", "numbers"]
    shares = {row["name"]: row for row in content["sources"][0]["shares"]}
    table = profile.table(by="group", scale="share").set_index("group")
    assert shares["attention"]["value"] == pytest.approx(table.loc["attention", "value"])


def test_no_lead_is_said_to_be_undecided_with_what_would_decide_it(tmp_path):
    said = verdict_of_profile(probe_profile(np.array([4.0, 4, 4, 9, 4, 4, 4, 9]), spread=0.4))[0]
    assert said.startswith("Attention against MLP: undecided, ")


def test_the_same_task_twice_decides_no_cell_and_two_tasks_decide_those_that_differ():
    first, same = probe_profile(spread=0.1), probe_profile(spread=0.1, seed=1)
    assert not cells_between(first, same)["decided"].any()
    other = probe_profile(np.array([1.0, 2, 30, 4, 5, 6, 7, 8]), spread=0.02, seed=2)
    found = cells_between(probe_profile(spread=0.02), other)
    assert "other" not in set(found["group"])
    up = found[(found["projection"] == "up") & (found["layer"] == 0)].iloc[0]
    # shares of six cells per parameter: 3 of 1 + 2 + 3 + 5 + 6 + 7, then 30 of 51
    assert (up["first"], up["second"]) == (pytest.approx(3 / 24), pytest.approx(30 / 51))
    assert up["value"] == pytest.approx(30 / 51 - 3 / 24)
    assert up["decided"]
    assert up["ci_low"] < up["value"] < up["ci_high"]
    assert found["value"].sum() == pytest.approx(0.0)


def test_a_cells_interval_is_that_of_the_difference_of_two_estimates():
    first, second = probe_profile(spread=0.1), probe_profile(spread=0.3, seed=5)
    found = cells_between(first, second).set_index(["projection", "layer"]).loc[("q", 0)]
    shares = []
    for profile in (second, first):
        signal, numel = profile.scores["signal"], profile.parts["numel"].to_numpy(dtype=float)
        counted = (profile.parts["group"] != "other").to_numpy()
        each = Estimate(signal.value / numel, signal.without / numel[:, None])
        shares.append(
            Estimate(each.value[:1] / each.value[counted].sum(), each.without[:1] / each.without[counted].sum(axis=0))
        )
    expected = difference(*shares)
    assert found[["value", "ci_low", "ci_high"]].tolist() == pytest.approx(expected[:3], rel=1e-4)
    assert found["p_holm"] >= expected.p


def test_other_cells_have_no_difference():
    first = probe_profile(spread=0.1)
    kept = first.parts["layer"] == 0
    half = SensitivityProfile(
        parts=first.parts[kept].reset_index(drop=True),
        scores={"signal": Estimate(first.scores["signal"].value[kept], first.scores["signal"].without[kept])},
        n=32, tau=0.9, loss=first.loss, about=first.about, spectra=first.spectra,
    )  # fmt: skip
    assert cells_between(first, half) is None
    assert pairs_of([(0, first), (1, half)]) == []


def test_two_draws_of_one_task_decide_a_cell_about_as_seldom_as_holm_promises():
    rng = np.random.default_rng(0)
    plain, wrong = probe_profile(), 0

    def drawn():
        blocks = rng.normal(20.0, 3.0, (8, 16)) * plain.parts["numel"].to_numpy()[:, None]
        total = blocks.sum(axis=1, keepdims=True)
        return with_signal(plain, total[:, 0] / 16, (total - blocks) / 15)

    for _ in range(60):
        wrong += cells_between(drawn(), drawn())["decided"].any()
    assert wrong <= 8  # 5 % of 60 is 3; more than 8 has a chance below 1 %


def test_pairs_name_their_places_on_the_page(tmp_path):
    profiles = [probe_profile(spread=0.1, seed=seed) for seed in range(3)]
    pairs = pairs_of(list(zip((0, 2, 3), profiles, strict=True)))
    assert [(pair["first"], pair["second"]) for pair in pairs] == [(0, 2), (0, 3), (2, 3)]
    rows = ("attention q", "attention o", "mlp up")
    assert set(pairs[0]["cells"]) == {f"decoder {row} {layer}" for row in rows for layer in (0, 1)}
    content = unpack(page_of([profile_source(tmp_path / name, p) for name, p in zip("abc", profiles, strict=True)],
                             remarks=["undecided: x.", "Second."], pairs=pairs))[0]  # fmt: skip
    assert content["title"] == "3 probes side by side"
    assert content["verdict"] == ["Undecided: x.", "Second."]
    assert len(content["pairs"]) == 3
