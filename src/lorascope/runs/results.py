"""What results_summary.json holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorascope import __version__
from lorascope.config.experiment import ExperimentConfig
from lorascope.models.adapters import AdaptedModel, parameter_counts
from lorascope.runs.environment import peak_memory_bytes
from lorascope.tasks.split import EvaluationData, TrainingData
from lorascope.training.batching import RunSampler
from lorascope.training.phases import active_steps
from lorascope.training.rows import lengths, loss_tokens
from lorascope.training.run import Prepared
from lorascope.training.switching import phases_of
from lorascope.training.trainer import ExperimentTrainer


def summarise(
    config: ExperimentConfig,
    adapted: AdaptedModel,
    rows: Prepared,
    training: TrainingData,
    held_out: EvaluationData | None,
    trainer: ExperimentTrainer,
    resumed: Path | None,
) -> dict[str, Any]:
    """Losses in nats per answer token, steps, tokens, seconds, bytes, parameters; curves as [step, value] pairs.

    best_step is the step whose weights are in final_model. active_steps are the updates that an adapter of each group
    got over the whole run, the mean over the group's modules. `resumed` is the checkpoint that the run went on from;
    the seconds are those since.
    """
    phases = phases_of(trainer)
    parameters = parameter_counts(adapted.model)
    history = trainer.state.log_history
    validation = [[entry["step"], entry["eval_loss"]] for entry in history if "eval_loss" in entry]
    losses = trainer.gradient_callback.log.run_series("loss")
    return {
        "run": config.run_name,
        "status": "finished",
        "lorascope": __version__,
        "config_hash": config.hash,
        "dataset": config.data.dataset,
        "model": config.model.model_id,
        "target": config.lora.target,
        "r": config.lora.r,
        "lora_alpha": config.lora.lora_alpha,
        "seed": config.training.seed,
        "steps": trainer.state.global_step,
        "phases": [{"name": phase.name, **phase.to_dict()} for phase in phases],
        "active_steps": active_steps(phases, adapted.targets)
        if phases
        else dict.fromkeys(parameters["by_group"], trainer.state.global_step),
        "training_loss": [[step, loss] for step, loss in losses],
        "validation_loss": validation,
        "best_step": trainer.state.best_global_step,
        "best_validation_loss": trainer.state.best_metric,
        "rows": {
            "train": len(rows.train),
            "validation": len(rows.validation),
            "max_length": rows.max_length,
            "prompts_cut": rows.cut_rows,
            "left_out": list(rows.left_out),
            "passes": round(_rows_seen(config, trainer) / len(rows.train), 2),
        },
        "tokens": _tokens(config, rows, trainer),
        "resumed_after_step": int(resumed.name.rpartition("-")[2]) if resumed else None,
        "seconds": {
            "training": next(
                round(entry["train_runtime"], 1) for entry in reversed(history) if "train_runtime" in entry
            )
        },
        "peak_memory_bytes": peak_memory_bytes(),
        "parameters": parameters,
        "model_revision": adapted.base.revision,
        "dtype": str(adapted.base.dtype).removeprefix("torch."),
        "adapter_dtype": str(adapted.adapter_dtype).removeprefix("torch."),
        "device": str(adapted.base.device),
        "data": {"training": training.provenance, "evaluation": held_out.provenance if held_out else None},
        "notes": [*adapted.base.notes, *training.notes, *rows.notes, *(held_out.notes if held_out else ())],
    }


def _rows_seen(config: ExperimentConfig, trainer: ExperimentTrainer) -> int:
    return config.training.max_steps * config.training.grad_accum * config.training.batch_size * trainer.args.world_size


def _tokens(config: ExperimentConfig, rows: Prepared, trainer: ExperimentTrainer) -> dict[str, float]:
    """Tokens of the whole run: with loss, real, and as computed, padding included."""
    sampler: RunSampler = trainer._get_train_sampler()
    length, labelled = lengths(rows.train), loss_tokens(rows.train, config.data.loss_on)
    real = padded = with_loss = 0
    for batch in sampler.batches:
        real += sum(length[i] for i in batch)
        padded += max(length[i] for i in batch) * len(batch)
        with_loss += sum(labelled[i] for i in batch)
    return {"with_loss": with_loss, "real": real, "computed": padded, "padding_share": round(1 - real / padded, 4)}
