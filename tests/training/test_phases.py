"""From a configuration to phases: strategies, ends, halves, errors that draw the time line, and who is active when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lorascope.config.experiment import (
    DynamicLoRAConfig,
    ExperimentConfig,
    GradientAnalysisConfig,
    LoRAConfig,
    TrainingConfig,
)
from lorascope.config.phases import SensitivityPhases
from lorascope.errors import ConfigError
from lorascope.models.target import TargetModule
from lorascope.training.phases import (
    Phase,
    active_since,
    active_steps,
    check_phases,
    depth,
    draw_phases,
    is_active,
    left_open,
    lisa_phases,
    outline,
    phase_at,
    plan_phases,
    sensitivity_of,
)

ATTENTION, MLP, BOTH = frozenset({"attention"}), frozenset({"mlp"}), frozenset({"attention", "mlp"})


def config(strategy=None, target="both", max_steps=90, **dynamic):
    return ExperimentConfig(
        lora=LoRAConfig(target=target),
        training=TrainingConfig(max_steps=max_steps, warmup_steps=0),
        dynamic_lora=DynamicLoRAConfig(enabled=True, phase_strategy=strategy, **dynamic),
    )


def planned(*args, layers=4, **kwargs):
    return plan_phases(config(*args, **kwargs), layers)


def error(*args, layers=4, **kwargs):
    with pytest.raises(ConfigError) as caught:
        planned(*args, layers=layers, **kwargs)
    assert caught.value.code == "phases"
    return caught.value


@pytest.mark.parametrize("spelling", ["{}-{}-{}", "{}->{}->{}"])
@pytest.mark.parametrize(
    ("parts", "groups"),
    [
        (("attn", "mlp", "both"), (ATTENTION, MLP, BOTH)),
        (("both", "mlp", "attn"), (BOTH, MLP, ATTENTION)),
        (("both", "mlp", "both"), (BOTH, MLP, BOTH)),
    ],
)
def test_a_strategy_is_three_phases_of_equal_length(spelling, parts, groups):
    assert planned(spelling.format(*parts)) == tuple(
        Phase(30 * i, 30 * (i + 1), active) for i, active in enumerate(groups)
    )


def test_the_seeds_command():
    phases = planned("both->mlp->attn", phase1_end=300, phase2_end=600, max_steps=1500)
    assert phases == (Phase(0, 300, BOTH), Phase(300, 600, MLP), Phase(600, 1500, ATTENTION))


@pytest.mark.parametrize(
    ("layers", "early", "late"),
    [(22, (0, 10), (11, 21)), (2, (0, 0), (1, 1)), (5, (0, 2), (3, 4)), (80, (0, 39), (40, 79))],
)
def test_early_late_halves_any_depth_and_the_middle_layer_is_early(layers, early, late):
    for spelling in ("early-late", "early->late"):
        assert planned(spelling, layers=layers) == (Phase(0, 45, BOTH, early), Phase(45, 90, BOTH, late))


def test_late_early_is_the_other_way_round():
    late, early = planned("late->early", target="all", layers=5, phase1_end=30)
    assert late == Phase(0, 30, BOTH | {"lm_head"}, (3, 4))
    assert early == Phase(30, 90, BOTH | {"embed"}, (0, 2))
    with pytest.raises(ConfigError, match="late-early needs at least 2 layers"):
        planned("late-early", layers=1)


def test_lisa_draws_layers_anew_as_a_function_of_seed_and_number():
    phases = planned("lisa", target="all", layers=22, phase_every=20, phase_layers=3)
    assert [(p.start_step, p.end_step) for p in phases] == [(0, 20), (20, 40), (40, 60), (60, 80), (80, 90)]
    assert all(len(p.layers) == 3 and max(p.layers) < 22 for p in phases)
    assert all(p.active_modules == BOTH | {"embed", "lm_head"} for p in phases)
    assert phases == planned("lisa", target="all", layers=22, phase_every=20, phase_layers=3)
    assert len({p.layers for p in phases}) == 5
    longer = planned("lisa", target="all", layers=22, phase_every=20, phase_layers=3, max_steps=200)
    assert [p.layers for p in longer[:5]] == [p.layers for p in phases]  # of the window, not of the run's length
    assert lisa_phases(90, 20, 3, 22, seed=1)[0].layers != lisa_phases(90, 20, 3, 22, seed=2)[0].layers


def test_lisa_draws_every_layer_equally_often():
    counts = [0] * 6
    for phase in lisa_phases(3000, 1, 2, 6, seed=0):
        for layer in phase.layers:
            counts[layer] += 1
    assert sum(counts) == 6000
    assert all(abs(count - 1000) < 4 * (3000 * 1 / 3 * 2 / 3) ** 0.5 for count in counts), counts


def test_lisa_has_defaults_of_its_own():
    phases = planned("lisa", max_steps=100, layers=22)
    assert (len(phases), len(phases[0].layers)) == (10, 2)


def test_sensitivity_leaves_all_but_its_first_phase_open():
    first, *others = planned("sensitivity", phase_every=40)
    assert first == Phase(0, 40, BOTH)
    assert [(p.start_step, p.end_step, p.is_open, p.name) for p in others] == [
        (40, 80, True, "most sensitive"), (80, 90, True, "most sensitive"),
    ]  # fmt: skip
    settings = sensitivity_of(config("sensitivity", phase_every=40, phase_budget=0.3))
    assert settings == SensitivityPhases(every=40, budget=0.3, explore=0.1, seed=42)
    assert sensitivity_of(config("lisa")) is None


def test_what_is_left_open_without_the_model_is_said():
    words = [left_open(config(strategy)) for strategy in ("both-mlp-attn", "late-early", "lisa", "sensitivity")]
    assert words == [
        "", ", first the late half of the layers, then the early half", ", 2 random layers each", "",
    ]  # fmt: skip
    assert [phase.layers for phase in outline(config("lisa", phase_every=45))] == [None, None]


def test_early_late_switches_at_phase1_end():
    assert [phase.end_step for phase in planned("early-late", phase1_end=10)] == [10, 90]


def test_early_late_trains_what_has_an_adapter_and_the_embedding_is_early_and_the_head_late():
    assert {phase.active_modules for phase in planned("early-late", target="mlp_only")} == {MLP}
    assert {phase.active_modules for phase in planned("early-late", target="attention_qv")} == {ATTENTION}
    early, late = planned("early-late", target="all")
    assert early.active_modules == BOTH | {"embed"}
    assert late.active_modules == BOTH | {"lm_head"}


@pytest.mark.parametrize(
    ("given", "ends"),
    [
        ({}, (33, 66, 100)),
        ({"phase1_end": 60}, (60, 80, 100)),
        ({"phase2_end": 50}, (25, 50, 100)),
        ({"phase1_end": 10, "phase2_end": 20}, (10, 20, 100)),
    ],
)
def test_ends_that_are_not_given_divide_what_is_left_evenly(given, ends):
    assert tuple(phase.end_step for phase in planned("both-mlp-attn", max_steps=100, **given)) == ends


def test_a_list_of_ones_own_is_taken_as_it_is():
    mine = [Phase(0, 50, MLP, (1, 2)), Phase(50, 90, ATTENTION)]
    assert planned(phase_configs=mine) == tuple(mine)


def test_without_phases_there_are_none():
    assert plan_phases(ExperimentConfig(), 4) == ()
    assert outline(ExperimentConfig()) == ()


def test_without_the_model_everything_but_layers_is_known_and_checked():
    early, late = outline(config("early-late"))
    assert (early.end_step, late.layer_range) == (45, None)
    assert outline(config("both-mlp-attn")) == planned("both-mlp-attn")
    with pytest.raises(ConfigError, match="has no adapter"):
        outline(config("both-mlp-attn", target="mlp_only"))


def test_an_error_draws_the_time_line():
    found = error("both-mlp-attn", max_steps=1500, phase1_end=600, phase2_end=300)
    assert found.what.splitlines() == [
        "phase 2 (MLP) is empty: it starts at 600 and ends at 300",
        "  both         0 to 600    |#################                           |",
        "  MLP        600 to 300    |                                            |",
        "  attention  300 to 1,500  |        ####################################|",
        "  overlap    300 to 600    |        !!!!!!!!!                           |",
    ]
    assert found.tries == ("--phase1_end 500 --phase2_end 1000 --max_steps 1500",)


@pytest.mark.parametrize(
    ("phases", "what", "drawn"),
    [
        ([(0, 30), (40, 90)], "no phase covers the updates from 30 to 40", "gap  30 to 40"),
        ([(10, 90)], "no phase covers the updates from 0 to 10", "gap   0 to 10"),
        ([(0, 80)], "no phase covers the updates from 80 to 90", "gap  80 to 90"),
        ([(0, 50), (40, 90)], "two phases cover the updates from 40 to 50", "overlap  40 to 50"),
        ([(0, 50), (0, 50), (50, 90)], "two phases cover the updates from 0 to 50", "overlap   0 to 50"),
        ([(0, 50), (50, 100)], "the phases go on to 100, past max_steps 90", "past max_steps  90 to 100"),
        ([(0, 50), (50, 50), (50, 90)], "phase 2 (MLP) is empty: it starts at 50 and ends at 50", "MLP  50 to 50"),
        ([(0, 90, set())], "phase 1 is empty: it trains no module", "nothing  0 to 90"),
        ([(0, 90, {"mlp", "lm_head"})], "trains lm_head, which has no adapter", "mlp+lm_head  0 to 90"),
        ([(0, 90, {"mlp"}, (2, 4))], "goes past the last layer of the model, 3", "MLP L2-4  0 to 90"),
        ([(0, 90, {"mlp"}, None, (2, 4))], "goes past the last layer of the model, 3", "MLP L2,4  0 to 90"),
    ],
)
def test_phases_that_do_not_fit_are_named_and_drawn(phases, what, drawn):
    mine = [Phase(*phase) if len(phase) > 2 else Phase(*phase, MLP) for phase in phases]
    found = error(phase_configs=mine)
    assert what in found.what.splitlines()[0]
    assert any(line.startswith(f"  {drawn}") for line in found.what.splitlines()[1:]), found.what


@pytest.mark.parametrize(
    ("kwargs", "what", "tries"),
    [
        (
            {"strategy": "both-mlp-attn", "target": "mlp_only"},
            "phase both 0 to 30 trains attention, which has no adapter",
            ("--target both",),
        ),
        (
            {"strategy": "attn-mlp-both", "target": "all"},
            "attn-mlp-both never trains the adapters on embed, lm_head",
            ("--target both",),
        ),
        (
            {"strategy": "both-mlp-attn", "phase1_end": 300, "phase2_end": 600},
            "the phases go on to 600, past max_steps 90",
            ("--phase1_end 30 --phase2_end 60 --max_steps 90", "--max_steps 900"),
        ),
        (
            {"strategy": "both-mlp-attn", "max_steps": 2},
            "phase 1 (both) is empty: it starts at 0 and ends at 0",
            ("--phase1_end 1 --phase2_end 2 --max_steps 3",),
        ),
        ({"strategy": "early-late", "phase1_end": 90}, "phase 2 (both) is empty", ("--phase1_end 45 --max_steps 90",)),
        (
            {"strategy": "lisa", "phase_layers": 4},
            "lisa trains 4 of 4 layers at a time: nothing is left to switch off",
            ("--phase_layers 2",),
        ),
        (
            {"strategy": "lisa", "phase_every": 90},
            "lisa chooses every 90 updates, so it never switches within max_steps 90",
            ("--phase_every 45", "--max_steps 900"),
        ),
        (
            {"strategy": "both-mlp-attn", "phase_warmup": 31},
            "phase_warmup 31 is longer than every phase, the longest has 30 updates",
            ("--phase_warmup 30",),
        ),
        (
            {"strategy": "early-late", "layers": 1},
            "early-late needs at least 2 layers; this model has 1",
            ("--phase_strategy both-mlp-attn",),
        ),
    ],
)
def test_a_strategy_that_does_not_fit_says_what_would(kwargs, what, tries):
    found = error(**kwargs)
    assert found.what.startswith(what)
    assert found.tries[: len(tries)] == tries


@pytest.mark.parametrize("strategy", ["both-mlp-attn", "attn-mlp-both", "both-mlp-both", "early-late"])
def test_the_flags_that_an_error_offers_fit(strategy):
    for max_steps in (1, 2, 3, 7, 90):
        try:
            planned(strategy, max_steps=max_steps, phase1_end=50)
        except ConfigError as found:
            for line in found.tries:
                words = line.split()
                flags = dict(zip((w.lstrip("-") for w in words[::2]), map(int, words[1::2]), strict=True))
                assert planned(strategy, **({"phase1_end": 50} | flags))


def test_a_drawing_gives_every_phase_a_mark_of_its_own():
    lines = draw_phases([Phase(0, 1, BOTH), Phase(1, 999, MLP), Phase(999, 1000, ATTENTION)], 1000)
    assert [line.split("|")[1].count("#") for line in lines] == [1, 43, 1]
    assert len({len(line) for line in lines}) == 1


def test_a_drawing_of_many_phases_stays_short():
    lines = draw_phases(planned("lisa", max_steps=1000, phase_every=10), 1000)
    assert len(lines) == 11
    assert lines[5].startswith("  90 more     50 to 950    |  ......")
    assert len({len(line) for line in lines}) == 1
    assert len(draw_phases(planned("lisa", max_steps=120, phase_every=10), 120)) == 12


def test_log_frequency_must_see_every_window():
    seldom = replace(config("sensitivity"), gradient_analysis=GradientAnalysisConfig(log_frequency=10))
    with pytest.raises(ConfigError, match="log_frequency 10 measures no step between some choices, which are 9 upd"):
        outline(seldom)
    assert outline(replace(config("lisa"), gradient_analysis=GradientAnalysisConfig(log_frequency=10)))


def module(group, layer=None):
    return TargetModule(
        path=f"{group}.{layer}", layer=layer, stack="decoder", projection="x", group=group, shape=(2, 2),
        cost_per_rank=4, kind="linear",
    )  # fmt: skip


def test_a_phase_is_active_from_its_start_to_before_its_end():
    phases = (Phase(0, 3, MLP), Phase(3, 4, BOTH), Phase(4, 6, ATTENTION))
    assert [phase_at(phases, step).start_step for step in range(7)] == [0, 0, 0, 3, 4, 4, 4]


def test_layers_are_counted_with_both_ends_and_do_not_hold_for_what_lies_outside():
    phase = Phase(0, 1, frozenset({"mlp", "embed"}), (1, 2))
    assert [is_active(phase, module("mlp", layer)) for layer in range(4)] == [False, True, True, False]
    assert is_active(phase, module("embed"))
    assert not is_active(phase, module("attention", 1))
    assert not is_active(phase, module("lm_head"))


def test_layers_and_modules_by_name():
    few = Phase(0, 1, frozenset({"mlp", "embed"}), layers=(1, 3))
    assert [is_active(few, module("mlp", layer)) for layer in range(4)] == [False, True, False, True]
    assert is_active(few, module("embed"))
    one = Phase(0, 1, BOTH, modules={"mlp.2"})
    assert [is_active(one, module("mlp", layer)) for layer in range(4)] == [False, False, True, False]
    assert not is_active(one, module("attention", 2))


def test_a_module_has_trained_since_its_switch_on():
    phases = (Phase(0, 3, MLP), Phase(3, 5, BOTH), Phase(5, 7, ATTENTION), Phase(7, 9, MLP))
    since = {g: [active_since(phases, step, module(g)) for step in (0, 3, 4, 6, 8)] for g in ("mlp", "attention")}
    assert since == {"mlp": [0, 0, 0, None, 7], "attention": [None, 3, 3, 3, None]}


def test_modules_of_ones_own_must_have_an_adapter():
    with pytest.raises(ConfigError, match=r"trains mlp\.4, which has no adapter") as caught:
        check_phases([Phase(0, 5, MLP, modules={"mlp.4"})], 5, modules=[module("mlp", 1)])
    assert caught.value.tries == ("did you mean: mlp.1",)


def test_active_steps_are_the_mean_over_a_groups_modules():
    modules = [
        module("attention", 0),
        module("attention", 1),
        module("attention", 2),
        module("mlp", 0),
        module("embed"),
    ]
    phases = (Phase(0, 10, ATTENTION, (0, 1)), Phase(10, 30, BOTH, (2, 2)))
    # attention: layers 0 and 1 get 10 updates, layer 2 gets 20; mlp has only layer 0, which the second phase leaves out
    assert active_steps(phases, modules) == {"attention": 13.33, "mlp": 0, "embed": 0}
    assert active_steps(planned("both-mlp-attn"), modules[:4]) == {"attention": 60, "mlp": 60}


def test_the_depth_of_a_model_is_its_highest_layer():
    assert depth([module("mlp", 3), module("embed"), module("mlp", 1)]) == 4
    assert depth([module("embed")]) == 0


def test_a_phase_must_find_an_adapter_in_its_layers():
    with pytest.raises(ConfigError, match="MLP L1-1 0 to 5 trains nothing"):
        check_phases([Phase(0, 5, MLP, (1, 1))], 5, modules=[module("mlp", 0), module("attention", 1)])
