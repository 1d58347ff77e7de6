"""Whole configurations by name. A preset is a function; a variant changes a line of another.

Every flag and every `--config` file goes over a preset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lorascope.config.experiment import (
    DataConfig,
    DatasetType,
    DynamicLoRAConfig,
    EvaluationConfig,
    ExperimentConfig,
    LoRAConfig,
    ModelConfig,
    Target,
    TrainingConfig,
)


def e2e_attention() -> ExperimentConfig:
    """E2E NLG, attention only: the study's first run, and all defaults."""
    return ExperimentConfig()


def e2e_mlp() -> ExperimentConfig:
    """E2E NLG, MLP only."""
    return _with(DatasetType.E2E_NLG, "mlp_only")


def e2e_both() -> ExperimentConfig:
    """E2E NLG, attention and MLP."""
    return _with(DatasetType.E2E_NLG, "both")


def e2e_dynamic() -> ExperimentConfig:
    """E2E NLG, attention and MLP in phases: both, MLP, attention."""
    return _in_phases(e2e_both())


def samsum_attention() -> ExperimentConfig:
    """SAMSum, attention only."""
    return _with(DatasetType.SAMSUM, "attention_only")


def samsum_mlp() -> ExperimentConfig:
    """SAMSum, MLP only."""
    return _with(DatasetType.SAMSUM, "mlp_only")


def samsum_both() -> ExperimentConfig:
    """SAMSum, attention and MLP."""
    return _with(DatasetType.SAMSUM, "both")


def samsum_dynamic() -> ExperimentConfig:
    """SAMSum, attention and MLP in phases: both, MLP, attention."""
    return _in_phases(samsum_both())


def wikisql_attention() -> ExperimentConfig:
    """WikiSQL, attention only."""
    return _with(DatasetType.WIKISQL, "attention_only")


def wikisql_mlp() -> ExperimentConfig:
    """WikiSQL, MLP only."""
    return _with(DatasetType.WIKISQL, "mlp_only")


def wikisql_both() -> ExperimentConfig:
    """WikiSQL, attention and MLP."""
    return _with(DatasetType.WIKISQL, "both")


def wikisql_dynamic() -> ExperimentConfig:
    """WikiSQL, attention and MLP in phases: both, MLP, attention."""
    return _in_phases(wikisql_both())


def mnli_attention() -> ExperimentConfig:
    """Multi-NLI, attention only."""
    return _with(DatasetType.MULTI_NLI, "attention_only")


def mnli_mlp() -> ExperimentConfig:
    """Multi-NLI, MLP only."""
    return _with(DatasetType.MULTI_NLI, "mlp_only")


def mnli_both() -> ExperimentConfig:
    """Multi-NLI, attention and MLP."""
    return _with(DatasetType.MULTI_NLI, "both")


def mnli_dynamic() -> ExperimentConfig:
    """Multi-NLI, attention and MLP in phases: both, MLP, attention."""
    return _in_phases(mnli_both())


def quickstart() -> ExperimentConfig:
    """E2E NLG in small: the model inside lorascope, generated data, two minutes on two cores."""
    return _quick(DatasetType.E2E_NLG)


def quickstart_samsum() -> ExperimentConfig:
    """SAMSum in small: the model inside lorascope, generated data."""
    return _quick(DatasetType.SAMSUM)


def quickstart_wikisql() -> ExperimentConfig:
    """WikiSQL in small: the model inside lorascope, generated data."""
    return _quick(DatasetType.WIKISQL)


def quickstart_mnli() -> ExperimentConfig:
    """Multi-NLI in small: the model inside lorascope, generated data."""
    quick = _quick(DatasetType.MULTI_NLI)
    return replace(quick, training=replace(quick.training, lr=5e-3))  # at 1e-2 it unlearns what it can compare


PRESETS: dict[str, Callable[[], ExperimentConfig]] = {
    preset.__name__: preset
    for preset in (
        e2e_attention, e2e_mlp, e2e_both, e2e_dynamic,
        samsum_attention, samsum_mlp, samsum_both, samsum_dynamic,
        wikisql_attention, wikisql_mlp, wikisql_both, wikisql_dynamic,
        mnli_attention, mnli_mlp, mnli_both, mnli_dynamic,
        quickstart, quickstart_samsum, quickstart_wikisql, quickstart_mnli,
    )
}  # fmt: skip

STUDY = tuple(name for name in PRESETS if not name.startswith("quickstart"))
"""The seed's presets, four placements of four tasks: what --batch runs."""


def _with(dataset: DatasetType, target: Target) -> ExperimentConfig:
    base = e2e_attention()
    return replace(base, data=replace(base.data, dataset=dataset.value), lora=replace(base.lora, target=target))


def _quick(dataset: DatasetType) -> ExperimentConfig:
    return ExperimentConfig(
        model=ModelConfig(model_id="embedded"),
        lora=LoRAConfig(target="both", r=16, lora_alpha=32, lora_dropout=0.0),
        training=TrainingConfig(batch_size=16, grad_accum=1, max_steps=160, eval_every=40, lr=1e-2),
        data=DataConfig(
            dataset=dataset.value, data_source="builtin", num_samples=0, validation_split=0.05, max_length=320
        ),
        evaluation=EvaluationConfig(eval_samples=0, base=True),
    )


def _in_phases(base: ExperimentConfig) -> ExperimentConfig:
    return replace(base, dynamic_lora=DynamicLoRAConfig(enabled=True, phase_strategy="both-mlp-attn"))
