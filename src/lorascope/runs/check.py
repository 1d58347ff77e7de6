"""A dry run: model, adapters and data are built as a run would build them, on the meta device; nothing is trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from lorascope.config.experiment import ExperimentConfig
from lorascope.evaluation.metrics import as_asked
from lorascope.models.adapters import parameter_counts, wrap
from lorascope.models.base import load_config_only
from lorascope.report.example import show_example
from lorascope.report.run_summary import show_rows
from lorascope.report.terminal import Console
from lorascope.runs.adapting import choose, show_adapters
from lorascope.runs.logs import captured
from lorascope.tasks import find_task
from lorascope.tasks.split import load_evaluation, load_training
from lorascope.training.choices import check_choices
from lorascope.training.encoding import pieces
from lorascope.training.phases import depth, draw_phases, plan_phases
from lorascope.training.rows import lengths
from lorascope.training.run import prepare


def check(config: ExperimentConfig, console: Console) -> dict[str, Any]:
    """Print coverage, rows, lengths and the first example as the model will see it. Raises what the run would raise."""
    with captured(verbose=console.verbose):
        base = load_config_only(config.model)
        chosen = choose(base, config.lora)
        phases = plan_phases(config, depth(chosen.modules))
        adapted = wrap(base, config.lora, chosen.targets, seed=config.training.seed, allocation=chosen.allocation)
        check_choices(config, adapted)
        counts = parameter_counts(adapted.model)
        budget = show_adapters(chosen, adapted, config.lora, console)

        task = as_asked(find_task(config.data), config.evaluation)
        training = load_training(task, config.data)
        held_out = load_evaluation(task, config.data, config.evaluation.eval_samples, training=training)
        rows = prepare(config, task, base, training.train, training.validation, console=console)
    console.note(*base.notes, *training.notes, *rows.notes, *held_out.notes)
    show_rows(rows, console)
    if phases:
        console.out("phases, by updates done:", *draw_phases(phases, config.training.max_steps))
    tokens = np.array(lengths(rows.train))
    console.out(f"tokens of a row: {np.median(tokens):.0f} in the middle, {tokens.max()} at most")
    console.out(f"{held_out.count()} to evaluate: {held_out.chosen}")
    show_example(pieces(rows.train[0], base.tokenizer, config.data.loss_on), console)
    return {
        "modules": len(chosen.targets),
        "trained_parameters": counts["trained"],
        "budget": budget,
        "phases": [{"name": phase.name, **phase.to_dict()} for phase in phases],
        "train_rows": len(rows.train),
        "validation_rows": len(rows.validation),
        "prompts_cut": rows.cut_rows,
        "left_out": len(rows.left_out),
        "evaluation_examples": len(held_out.examples),
    }
