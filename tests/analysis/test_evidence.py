"""What methods read of a profile: sums over a module's roles, intervals as errors, spectra; and what is missing."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from facts import probe_profile
from lorascope.analysis.allocating.evidence import READINGS, adalora_ranks, evidence_of, possible
from lorascope.analysis.allocating.methods import METHODS
from lorascope.analysis.statistics import Estimate
from lorascope.errors import ConfigError, UnknownName

NUMEL = {"q": 16, "o": 16, "up": 32, "router": 8}


def test_signal_is_summed_for_shares_of_parameters_and_per_weight_for_shares_of_ranks():
    profile = probe_profile()  # signals 1 .. 8 per weight, by layer: q, o, up, router
    assert evidence_of(profile, "attribution").scores["layers.0.up"] == pytest.approx(3 * NUMEL["up"])
    assert evidence_of(profile, "proportional").scores["layers.1.q"] == pytest.approx(5.0)
    assert evidence_of(profile, "efim").scores["layers.1.router"] == pytest.approx(8.0)
    assert evidence_of(profile, "proportional", "stable_rank").scores["layers.1.o"] == pytest.approx(5.0)


def test_attribution_reads_what_a_trial_attributed_where_a_probe_was_asked_for_it():
    profile = probe_profile()
    values = np.array([1.0, -2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    profile.scores["attribution"] = Estimate(values, np.repeat(values[:, None], 16, axis=1))
    assert evidence_of(profile, "attribution").scores["layers.0.up"] == pytest.approx(3.0)
    assert evidence_of(profile, "attribution", "signal").scores["layers.0.up"] == pytest.approx(3 * NUMEL["up"])
    assert evidence_of(profile, "threshold").scores["layers.0.up"] == pytest.approx(3 * NUMEL["up"])


def test_the_roles_of_a_fused_module_are_added():
    profile = probe_profile()
    profile.parts["module"] = ["a", "a", "b", "c", "d", "e", "f", "g"]  # q and o of layer 0 in one weight
    scores = evidence_of(profile, "attribution").scores
    assert scores["a"] == pytest.approx(1 * 16 + 2 * 16)
    assert evidence_of(profile, "proportional").scores["a"] == pytest.approx((1 * 16 + 2 * 16) / 32)


def test_what_threshold_leaves_out_is_what_the_map_hatches():
    values = np.array([1.0, 1.0, 1.0, 1.0, -0.1, 0.2, 1.0, 1.0])
    profile = probe_profile(values, spread=0.45)
    profile.scores["signal"].without[5] += np.linspace(-4, 4, 16)  # 0.2 x 16 with a wide interval
    evidence = evidence_of(profile, "threshold")
    kept = [s - 1.96 * evidence.errors[m] > 0 for m, s in evidence.scores.items()]
    assert kept == profile.above_noise().astype(bool).tolist()
    assert 0 < sum(kept) < len(kept)


def test_spectra_and_edges_are_by_module_the_largest_first():
    profile = probe_profile()
    profile.scores["adam_step"] = profile.scores["signal"]
    evidence = evidence_of(profile, "spectral")
    assert evidence.spectra == {"layers.0.q": [3.0, 2.0, 1.0]}
    assert evidence_of(profile, "adam_first_step").edges == {"layers.0.q": 2}  # 3 and 2 are above the noise's 1


def test_what_is_missing_is_named_as_the_probe_that_takes_it():
    with pytest.raises(ConfigError, match="reads whitened, which the profile does not hold") as caught:
        evidence_of(probe_profile(), "whitened")
    assert caught.value.code == "method-needs"
    again = "lorascope probe --model toy --dataset 'made up' --scores spectrum whitened --overwrite"
    assert caught.value.tries[0] == again
    assert possible(probe_profile()) == sorted(["uniform", "random", "attribution", "proportional", "threshold", "efim",
                                                "spectral"])  # fmt: skip
    with pytest.raises(ConfigError, match="reads weight_sq") as caught:
        evidence_of(probe_profile(), "mixed")
    assert "--scores spectrum weight " in caught.value.tries[0]
    with pytest.raises(ConfigError, match="adam_step and spectrum"):
        evidence_of(probe_profile(), "adam_first_step")


def test_a_score_of_choice_is_taken_by_those_that_read_any_and_refused_elsewhere():
    with pytest.raises(UnknownName, match="no score 'signall'"):
        evidence_of(probe_profile(), "proportional", "signall")
    for method in ("gora", "uniform"):
        with pytest.raises(ConfigError, match="does not read a score of choice"):
            evidence_of(probe_profile(), method, "signal")
    with pytest.raises(ConfigError, match="row of numbers"):
        evidence_of(probe_profile(), "proportional", "eva")
    profile = probe_profile()
    profile = type(profile)(**{**vars(profile), "spectra": pd.concat([profile.spectra, profile.spectra.assign(
        spectrum="whitened_diagonal", value=[1.0, 5.0, 2.0])])})  # fmt: skip
    assert evidence_of(profile, "whitened", "whitened_diagonal").spectra["layers.0.q"] == [5.0, 2.0, 1.0]


def test_every_method_that_reads_measurements_has_a_reading():
    measured = {name for name, rule in METHODS.items() if set(rule.needs) & {"scores", "spectra"}}
    assert measured == set(READINGS)


def test_adaloras_ranks_are_its_kept_directions(tmp_path):
    file = tmp_path / "adapter_config.json"
    pattern = {"model.layers.0.q_proj.lora_E": [True, False, True], "model.layers.1.q_proj.lora_E": [False] * 3}
    file.write_text(json.dumps({"peft_type": "ADALORA", "rank_pattern": pattern, "base_model_name_or_path": "m"}))
    assert adalora_ranks(file) == ({"model.layers.0.q_proj": 2, "model.layers.1.q_proj": 0}, "m")
    file.write_text(json.dumps({"peft_type": "LORA", "rank_pattern": {}}))
    with pytest.raises(ConfigError, match="no ranks of AdaLoRA"):
        adalora_ranks(file)
