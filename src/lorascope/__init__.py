"""lorascope: where in a language model does LoRA matter for a task, and which adapter should one train?

The public names below are imported on first use, so that `import lorascope` loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "DataConfig": "lorascope.config.experiment",
    "DatasetType": "lorascope.config.experiment",
    "DynamicLoRACallback": "lorascope.training.switching",
    "DynamicLoRAConfig": "lorascope.config.experiment",
    "EvaluationConfig": "lorascope.config.experiment",
    "ExperimentConfig": "lorascope.config.experiment",
    "GradientAnalysisConfig": "lorascope.config.experiment",
    "GradientMeasuringTrainer": "lorascope.training.trainer",
    "GradientNormCallback": "lorascope.measure.callback",
    "GradientNormLog": "lorascope.measure.records",
    "LoRAConfig": "lorascope.config.experiment",
    "LorascopeError": "lorascope.errors",
    "ModelConfig": "lorascope.config.experiment",
    "ModelEvaluator": "lorascope.evaluation.evaluator",
    "SensitivityProfile": "lorascope.analysis.sensitivity",
    "TARGET_MODULES": "lorascope.config.experiment",
    "TrainingConfig": "lorascope.config.experiment",
    "evaluate_e2e_nlg": "lorascope.evaluation.evaluator",
    "evaluate_multi_nli": "lorascope.evaluation.evaluator",
    "evaluate_samsum": "lorascope.evaluation.evaluator",
    "evaluate_wikisql": "lorascope.evaluation.evaluator",
    "load": "lorascope.runs.loading",
    "probe": "lorascope.runs.probe",
    "recommend": "lorascope.runs.recommending",
    "report": "lorascope",
    "run": "lorascope.runs.experiment",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lorascope' has no attribute {name!r}")
    if name == "report":  # a room that can be called
        return import_module("lorascope.report")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
