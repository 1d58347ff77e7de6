"""The names of everything in a run folder. No other file knows them."""

from __future__ import annotations

CONFIG = "config.json"
FINAL_MODEL = "final_model"
CHECKPOINTS = "checkpoints"
GROUP_NORMS = "gradient_analysis.group_norms.csv"
LAYER_NORMS = "gradient_analysis.layer_norms.csv"
GRADIENT_SUMMARY = "gradient_analysis.summary.json"
GRADIENT_TABLE = "gradient_analysis.parquet"
PLOTS = ("gradient_norms", "layer_heatmap", "layer_comparison", "gradient_evolution", "training_loss")
RESULTS = "results_summary.json"
SAMPLES = "samples.jsonl"
ENVIRONMENT = "environment.json"
LOG = "log.txt"


def evaluation_name(dataset: str) -> str:
    """File of the evaluation of a task."""
    return f"{dataset}_evaluation.json"
