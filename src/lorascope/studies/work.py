"""What a worker does with one run of a study: train it, or go on with it, then take its losses on test rows."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lorascope.config.experiment import ExperimentConfig
from lorascope.evaluation.answer_loss import answer_losses
from lorascope.models.adapters import load_adapter, parameter_counts
from lorascope.models.base import load_base
from lorascope.models.knockout import without
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.runs.experiment import run
from lorascope.tasks import find_task
from lorascope.tasks.split import load_evaluation
from lorascope.training.encoding import encode

_BASES: dict[Hashable, float] = {}
"""Losses of base models on test rows that this process has taken."""


def work(config: ExperimentConfig, *, fresh: bool = False, console: Console) -> None:
    """Make the run's folder whole: what is there is kept, what is missing is done. `fresh` begins it anew.

    Raises what `lorascope.run` raises: Interrupted after a signal, a LorascopeError for what is recognised.
    """
    folder = Path(config.output_dir) / config.run_name
    folder.parent.mkdir(parents=True, exist_ok=True)
    rundir.wait(folder)  # a worker whose study was killed may take a moment to end
    going = rundir.state(folder) == "unfinished" and not fresh
    run(config, resume=folder if going else None, overwrite=fresh, console=console)
    if not (folder / rundir.HELD_OUT).is_file():
        rundir.write_json(folder / rundir.HELD_OUT, held_out(config, folder))


def held_out(config: ExperimentConfig, folder: Path) -> dict[str, Any]:
    """{"rows", "tokens", "base", "tuned", "without": {group: loss}, "parameters": {group: trained}} of test rows.

    Losses in nats per answer token, of the adapter that was kept; `without` a group, its adapters add nothing while the
    others stay.
    """
    task = find_task(config.data)
    data = load_evaluation(task, config.data, config.evaluation.eval_samples)
    adapted = load_adapter(load_base(config.model), folder / rundir.FINAL_MODEL)
    most = rundir.read_json(folder / rundir.RESULTS)["rows"]["max_length"]
    rows, _ = encode(data.examples, adapted.tokenizer, most)

    def loss() -> float:
        nats, tokens = answer_losses(
            adapted.model, rows, pad_id=adapted.tokenizer.pad_token_id,
            batch_tokens=config.evaluation.eval_batch_tokens, loss_on=config.data.loss_on,
        )  # fmt: skip
        return float(nats.sum() / tokens.sum())

    groups = sorted({target.group for target in adapted.targets})
    tuned = loss()
    # Runs of one worker share base and rows, and their loss without any adapter is one number.
    same = (config.model, replace(config.data, num_samples=0), config.evaluation, most)
    if same not in _BASES:
        with without(adapted, groups):
            _BASES[same] = loss()
    base = _BASES[same]
    missing = {groups[0]: base} if len(groups) == 1 else {}
    for group in groups if len(groups) > 1 else ():
        with without(adapted, [group]):
            missing[group] = loss()
    return {
        "rows": len(rows),
        "base": base,
        "tuned": tuned,
        "without": missing,
        "parameters": parameter_counts(adapted.model)["by_group"],
    }
