"""Candidates at one budget: which are none, and why; what is recommended of them, and that nothing is dropped."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from facts import probe_profile
from lorascope.analysis.allocating.preference import Preference
from lorascope.config.experiment import LoRAConfig
from lorascope.errors import ConfigError, DataError
from lorascope.models.target import TargetModule
from lorascope.runs import recommending
from lorascope.runs.recommending import candidates, prove_it, recommend_from

SHAPES = {"q": ("attention", (4, 4)), "o": ("attention", (4, 4)), "up": ("mlp", (8, 4))}
TARGETS = [
    TargetModule(
        path=f"layers.{layer}.{kind}", layer=layer, stack="decoder", projection=kind, group=group, shape=shape,
        cost_per_rank=sum(shape), kind="linear",
    )
    for layer in range(2) for kind, (group, shape) in SHAPES.items()
]  # fmt: skip
"""Costs per rank: 8 for each of four attention modules, 12 for each of two of the MLP; at full rank 4 that is 128 and
96."""

WHOLE = probe_profile(spread=0.1)
PROFILE = replace(WHOLE, spectra=WHOLE.spectra.iloc[:0])
DECIDED = Preference(decided=True, kind="q", times=2.0, control=None, p=0.01, above=3, of=6)


def of(asked, targets=TARGETS):
    return candidates(PROFILE, targets, asked, scaling=2.0, base_model="toy")


def test_a_group_that_ends_at_full_rank_below_the_budget_is_no_candidate():
    kept, left_out = of(200)
    assert kept["uniform"].used_params == 200
    assert left_out["attention_only"] == "its ranks end at 128 of 200 parameters"
    assert left_out["mlp_only"] == "its ranks end at 96 of 200 parameters"
    assert not {"attention_only", "mlp_only"} & set(kept)
    assert all(found.used_params == 200 for found in kept.values())


def test_a_candidate_may_stay_below_the_budget_by_less_than_a_rank():
    kept, left_out = of(100)
    assert (kept["attention_only"].used_params, kept["mlp_only"].used_params) == (96, 96)
    assert not {"attention_only", "mlp_only"} & set(left_out)
    kept, left_out = of(108)  # the MLP is at full rank, and one rank of it is missing
    assert kept["attention_only"].used_params == 104
    assert left_out["mlp_only"] == "its ranks end at 96 of 108 parameters"


def test_what_has_the_ranks_of_an_earlier_one_is_named():
    kept, left_out = of(72, [target for target in TARGETS if target.group == "mlp"])
    assert left_out["mlp_only"] == "it has the ranks of uniform"
    assert not {"mlp_only", "attention_only"} & set(kept)


@pytest.fixture
def recommended(monkeypatch):
    """The recommendation for a budget of the targets above, with a METHOD and a preference."""

    def make(asked, method="uniform", seen=None):
        monkeypatch.setattr(recommending, "METHOD", method)
        monkeypatch.setattr(recommending, "find_modules", lambda model: TARGETS)
        monkeypatch.setattr(recommending, "budget_of", lambda base, lora, modules: (TARGETS, asked))
        undecided = replace(DECIDED, decided=False, p=0.5)
        monkeypatch.setattr(recommending, "preference", lambda profile: seen or undecided)
        return recommend_from(PROFILE, SimpleNamespace(model=None, model_id="toy"), LoRAConfig(target="both"))

    return make


def test_what_is_left_out_stands_in_the_notes_and_in_the_record(recommended):
    found = recommended(200)
    assert found.to_dict()["left_out"]["mlp_only"] == "its ranks end at 96 of 200 parameters"
    assert "mlp_only: its ranks end at 96 of 200 parameters" in found.notes[0]
    alone = replace(found, candidates={"uniform": found.candidates["uniform"]})
    with pytest.raises(DataError, match="mlp_only: its ranks end at 96 of 200 parameters"):
        prove_it(alone, None, None, None)


@pytest.mark.parametrize(
    ("kind", "times", "control", "method"),
    [
        ("up", 2.0, 1.5, "mlp_only"),
        ("up", 2.0, None, "mlp_only"),
        ("up", 1.2, 1.5, "uniform"),  # what stands out less than with wrong answers is no preference for it
        ("q", 2.0, 1.5, "uniform"),
        ("q", 0.5, None, "mlp_only"),
        ("k", 2.0, 1.5, "uniform"),  # of the profile, and not of the target
        ("k", 0.5, 1.5, "uniform"),
    ],
)
def test_mlp_alone_is_recommended_where_the_preference_is_for_the_mlp(recommended, kind, times, control, method):
    seen = replace(DECIDED, kind=kind, times=times, control=control)
    found = recommended(96, "mlp_only", seen)
    assert found.allocation.method == method
    if method == "mlp_only":
        assert found.why.startswith(f"Use mlp_only: rank 4, 96 parameters. {kind} has ")
        assert found.why.endswith("on a model of 4.7 M parameters it ended 0.006 nats per answer token below even "
                                  "ranks everywhere.")  # fmt: skip
    undecided = recommended(96, "mlp_only", replace(seen, decided=False))
    assert undecided.allocation.method == "uniform"
    assert undecided.why.startswith("No preference found. Use uniform")


def test_a_method_that_reads_the_profile_waits_for_a_preference(recommended):
    assert recommended(96, "proportional").allocation.method == "uniform"
    assert recommended(96, "proportional").why.startswith("No preference found. Use uniform")
    assert recommended(96, "proportional", DECIDED).allocation.method == "proportional"


def test_a_method_that_is_no_candidate_is_not_dropped_in_silence(recommended):
    said = recommended(200, "mlp_only", replace(DECIDED, kind="up"))
    assert said.allocation.method == "uniform"
    assert said.why.endswith(
        "mlp_only, which would be recommended, is no candidate: its ranks end at 96 of 200 parameters."
    )
    said = recommended(96, "spectral", DECIDED)
    assert said.why.endswith(
        "spectral, which would be recommended, is no candidate: the profile or the target lacks what it is made of."
    )
    assert "which would be recommended" not in recommended(96, "spectral").why
    assert "which would be recommended" not in recommended(96, "uniform", DECIDED).why


def test_a_target_that_the_profile_did_not_look_at_is_refused_with_the_probe_that_would(recommended, monkeypatch):
    about = {"model": "toy", "dataset": "e2e_nlg", "data": {"source": "builtin"}, "options": {"target": "mlp_only"}}
    mlp = (PROFILE.parts["group"] == "mlp").to_numpy()
    monkeypatch.setattr(f"{__name__}.PROFILE", replace(PROFILE, parts=PROFILE.parts[mlp], about=about))
    with pytest.raises(ConfigError) as caught:
        recommended(96)
    assert caught.value.what == (
        "the profile did not look at 4 of the 6 modules of --target both in toy, such as layers.0.q"
    )
    assert caught.value.tries == (
        "lorascope probe --model toy --dataset e2e_nlg --data_source builtin --target both --scores spectrum gora "
        "--overwrite",
        "--target mlp_only   (what it looked at)",
    )
    assert caught.value.exit_code == 2
