"""Phases in the configuration: as a list from Python and from files, and what is refused."""

from __future__ import annotations

import json

import pytest
import yaml

from lorascope.config.experiment import DynamicLoRAConfig, ExperimentConfig
from lorascope.config.load import from_json, resolve, to_json
from lorascope.config.phases import HALVES, STRATEGIES, Phase, read_phases
from lorascope.errors import ConfigError

LIST = """\
target: both
dynamic_lora:
  enabled: yes
  phase_configs:
    - {start_step: 40, end_step: 100, active_modules: [mlp], layer_range: null}
    - start_step: 0
      end-step: 40
      active_modules: [attention, mlp]
      layer_range: [0, 10]
"""
KEYS = "start_step, end_step, active_modules, layer_range, layers, modules"
PHASES = (Phase(0, 40, frozenset({"attention", "mlp"}), (0, 10)), Phase(40, 100, frozenset({"mlp"})))


@pytest.fixture
def write(tmp_path):
    def make(text):
        (tmp_path / "run.yaml").write_text(text)
        return tmp_path / "run.yaml"

    return make


def test_the_seeds_list_of_dictionaries_becomes_phases_in_order():
    seed = [
        {"start_step": 40, "end_step": 100, "active_modules": ["mlp"]},
        {"start_step": 0, "end_step": 40, "active_modules": ["attention", "mlp"], "layer_range": (0, 10)},
    ]
    assert DynamicLoRAConfig(enabled=True, phase_configs=seed).phase_configs == PHASES
    assert read_phases([*PHASES]) == PHASES


def test_a_file_holds_the_list_and_json_keeps_it(write):
    resolved = resolve(files=[write(LIST)])
    config = resolved.config
    assert config.dynamic_lora.phase_configs == PHASES
    assert resolved.sources["dynamic_lora.phase_configs"].endswith("run.yaml:4")
    assert config.run_name == "e2e_nlg_both_r8_phases_s42"
    again = from_json(to_json(config))
    assert again == config
    assert again.hash == config.hash
    stored = json.loads(to_json(config))["dynamic_lora"]["phase_configs"]
    assert stored[0] == {
        "start_step": 0,
        "end_step": 40,
        "active_modules": ["attention", "mlp"],
        "layer_range": [0, 10],
    }
    assert resolve(files=[write(yaml.safe_dump(config.to_dict()))]).config == config
    assert config.hash != ExperimentConfig(lora=config.lora).hash


def test_the_order_in_which_modules_are_named_is_no_difference(write):
    swapped = LIST.replace("[attention, mlp]", "[mlp, attention]")
    assert resolve(files=[write(LIST)]).config.hash == resolve(files=[write(swapped)]).config.hash


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("start_step: 40", "start_step: soon", "start_step as a whole number of at least 0, got 'soon'"),
        ("start_step: 40", "start_step: -1", "start_step as a whole number of at least 0, got '-1'"),
        ("start_step: 40", "start: 40", f"each phase as {KEYS}, got 'start'"),
        ("start_step: 40, ", "", "start_step for each phase, got {'end_step': 100"),
        ("[mlp]", "mlp", "active_modules as a list, got 'mlp'"),
        ("[mlp]", "[mpl]", "active_modules out of attention, mlp, embed, lm_head, other, got 'mpl'"),
        ("layer_range: [0, 10]", "layers: []", "layers as a list of layer numbers, got []"),
        ("layer_range: [0, 10]", "layers: [a]", "layers as a list of layer numbers, got ['a']"),
        ("layer_range: [0, 10]", "modules: []", "at least one module where a phase lists modules, got {"),
        ("layer_range: [0, 10]", "modules: q_proj", "modules as a list of module paths, got 'q_proj'"),
        (
            "layer_range: null",
            "layers: [1], layer_range: [0, 1]",
            "one of layer_range, layers and modules at most, got",
        ),
        ("[0, 10]", "[10, 0]", "layer_range as the first and the last layer, both included, got [10, 0]"),
        ("[0, 10]", "[0, 5, 10]", "layer_range as the first and the last layer, both included, got [0, 5, 10]"),
        ("{start_step: 40, end_step: 100, active_modules: [mlp], layer_range: null}", "both", "each phase as"),
    ],
)
def test_a_mistake_in_the_list_is_named_with_its_line(write, old, new, what):
    assert old in LIST
    with pytest.raises(ConfigError) as caught:
        resolve(files=[write(LIST.replace(old, new))])
    assert f"run.yaml:4  phase_configs must give {what}" in caught.value.what


def test_near_misses_are_named():
    with pytest.raises(ConfigError, match="did you mean: mlp"):
        read_phases([{"start_step": 0, "end_step": 1, "active_modules": ["mpl"]}])
    with pytest.raises(ConfigError, match="did you mean: end_step"):
        read_phases([{"start_step": 0, "endstep": 1, "active_modules": ["mlp"]}])


def test_what_is_no_list_is_refused(write):
    with pytest.raises(ConfigError, match=r"run\.yaml:2  dynamic_lora\.phase_configs got 'both'; it takes a list"):
        resolve(files=[write("dynamic_lora:\n  phase_configs: both\n")])
    with pytest.raises(ConfigError, match="phase_configs must give a list of phases"):
        DynamicLoRAConfig(enabled=True, phase_configs={"start_step": 0})
    with pytest.raises(ConfigError, match="start_step as a whole number of at least 0, got True"):
        read_phases([{"start_step": True, "end_step": 1, "active_modules": ["mlp"]}])


def test_without_a_strategy_it_is_the_recommended_one():
    assert DynamicLoRAConfig(enabled=True).phase_strategy == "both-mlp-attn"
    assert DynamicLoRAConfig().phase_strategy is None
    config = resolve({"dynamic_lora": True, "target": "both"}).config
    assert config.run_name == "e2e_nlg_both_r8_both-mlp-attn_s42"


@pytest.mark.parametrize("name", ["phase1_end", "phase2_end"])
def test_an_end_without_phases_is_an_error(write, name):
    with pytest.raises(ConfigError, match=rf"{name} must be left out without dynamic_lora") as caught:
        resolve({name: "10"})
    assert caught.value.tries == ("--dynamic_lora", f"--{name} none")
    with pytest.raises(ConfigError, match=rf"run\.yaml:1  {name} must be left out"):
        resolve(files=[write(f"{name}: 10\n")])


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"phase_strategy": "early-late"}, "phase_strategy must be left out without dynamic_lora"),
        ({"phase_configs": PHASES}, "phase_configs must be left out without dynamic_lora"),
        (
            {"enabled": True, "phase_strategy": "early->late", "phase2_end": 10},
            "phase2_end must be left out with early-late, which has two phases",
        ),
        (
            {"enabled": True, "phase_strategy": "early-late", "phase_configs": PHASES},
            "phase_strategy must be left out where phase_configs lists the phases",
        ),
        (
            {"enabled": True, "phase1_end": 3, "phase_configs": PHASES},
            "phase1_end must be left out where phase_configs lists the phases",
        ),
        ({"enabled": True, "phase_strategy": "both-mlp"}, "phase_strategy must be one of both-mlp-attn, "),
        ({"enabled": True, "phase_strategy": "late-early", "phase2_end": 9}, "phase2_end must be left out with late-"),
        ({"enabled": True, "phase_strategy": "lisa", "phase1_end": 9}, "phase1_end must be left out with lisa: it"),
        ({"enabled": True, "phase_every": 9}, "phase_every must be left out with both-mlp-attn"),
        ({"enabled": True, "phase_strategy": "sensitivity", "phase_layers": 2}, "phase_layers must be left out with"),
        ({"enabled": True, "phase_strategy": "lisa", "phase_budget": 0.5}, "phase_budget must be left out with lisa"),
        ({"enabled": True, "phase_every": 3, "phase_configs": PHASES}, "phase_every must be left out where phase_con"),
        ({"phase_every": 9}, "phase_every must be left out without dynamic_lora"),
        ({"inactive": "measure"}, "inactive must be left out without dynamic_lora"),
        ({"on_thaw": "zero_m"}, "on_thaw must be left out without dynamic_lora"),
        ({"phase_warmup": 3}, "phase_warmup must be left out without dynamic_lora"),
        (
            {"enabled": True, "phase_strategy": "early-late", "on_thaw": "zero_m"},
            "on_thaw must be left out with early-",
        ),
        ({"enabled": True, "on_thaw": "reset"}, "on_thaw must be keep or zero_m without phase_warmup"),
        ({"enabled": True, "on_thaw": "forget"}, "on_thaw must be one of keep, zero_m, reset, got 'forget'"),
        ({"enabled": True, "inactive": "off"}, "inactive must be one of freeze, measure, got 'off'"),
        ({"enabled": True, "phase_warmup": 0}, "phase_warmup must be a positive whole number, got 0"),
        ({"enabled": True, "phase_strategy": "sensitivity", "phase_budget": 1}, "phase_budget must be above 0 and be"),
    ],
)
def test_what_would_do_nothing_is_an_error(settings, what):
    with pytest.raises(ConfigError) as caught:
        DynamicLoRAConfig(**settings)
    assert caught.value.what.startswith(what)


def test_layers_and_modules_of_ones_own_survive_a_file(write):
    text = LIST.replace("layer_range: [0, 10]", "layers: [7, 3]").replace("layer_range: null", "modules: [a.b, a.c]")
    config = resolve(files=[write(text)]).config
    first, second = config.dynamic_lora.phase_configs
    assert (first.layers, second.modules) == ((3, 7), {"a.b", "a.c"})
    assert from_json(to_json(config)) == config
    assert config.to_dict()["dynamic_lora"]["phase_configs"][1]["modules"] == ["a.b", "a.c"]


def test_what_goes_with_every_strategy_can_be_set_with_each():
    for strategy in STRATEGIES:
        thaw = "keep" if strategy in HALVES else "reset"
        dynamic = DynamicLoRAConfig(
            enabled=True, phase_strategy=strategy, inactive="measure", on_thaw=thaw, phase_warmup=2
        )
        assert dynamic.phase_strategy == strategy


def test_a_misspelt_strategy_has_its_near_miss():
    with pytest.raises(ConfigError) as caught:
        DynamicLoRAConfig(enabled=True, phase_strategy="both->mpl->attn")
    assert caught.value.tries == ("--phase_strategy both-mlp-attn",)


def test_phases_have_names():
    names = [
        Phase(0, 1, frozenset(groups), layers).name
        for groups, layers in [
            ({"attention", "mlp"}, None), ({"mlp"}, None), ({"attention"}, (0, 10)),
            ({"embed", "mlp", "attention"}, None), (set(), None),
        ]
    ]  # fmt: skip
    assert names == ["both", "MLP", "attention L0-10", "attention+mlp+embed", "nothing"]
    both = frozenset({"attention", "mlp"})
    assert Phase(0, 1, both, layers=(7, 3)).name == "both L3,7"
    assert Phase(0, 1, both, layers=range(5)).name == "both 5 layers"
    assert Phase(0, 1, both, modules=["a", "b"]).name == "both 2 modules"
    assert Phase(0, 1, both, modules=[]).name == "most sensitive"
    assert str(Phase(0, 1000, frozenset({"mlp"}))) == "MLP 0 to 1,000"
