"""Presets are whole configurations."""

from __future__ import annotations

from lorascope.config.experiment import DatasetType, ExperimentConfig
from lorascope.config.load import resolve
from lorascope.config.presets import PRESETS, STUDY


def test_there_is_a_preset_for_every_task_and_placement():
    assert set(STUDY) == {
        f"{task}_{part}"
        for task in ("e2e", "samsum", "wikisql", "mnli")
        for part in ("attention", "mlp", "both", "dynamic")
    }


def test_a_preset_differs_from_the_built_in_values_only_in_task_target_and_phases():
    tasks = {"e2e": "e2e_nlg", "samsum": "samsum", "wikisql": "wikisql", "mnli": "multi_nli"}
    targets = {"attention": "attention_only", "mlp": "mlp_only", "both": "both", "dynamic": "both"}
    for name in STUDY:
        preset = PRESETS[name]
        task, part = name.split("_")
        phases = {"dynamic_lora": True, "phase_strategy": "both-mlp-attn"} if part == "dynamic" else {}
        same = resolve({"dataset": tasks[task], "target": targets[part], **phases}).config
        assert preset() == same
        assert isinstance(preset(), ExperimentConfig)
        assert preset.__doc__


def test_a_quickstart_needs_nothing_from_elsewhere_and_compares_with_the_base():
    quick = [PRESETS[name]() for name in PRESETS if name not in STUDY]
    assert [config.data.dataset for config in quick] == [task.value for task in DatasetType]
    for config in quick:
        assert (config.model.model_id, config.data.data_source, config.evaluation.base) == ("embedded", "builtin", True)


def test_no_two_presets_are_the_same_run():
    assert len({preset().hash for preset in PRESETS.values()}) == len(PRESETS)
