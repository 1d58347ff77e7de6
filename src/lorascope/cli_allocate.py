"""`lorascope allocate`: ranks for a budget, as files that trainers take."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from lorascope import __version__
from lorascope.analysis.allocating.methods import METHODS
from lorascope.analysis.budgets import by_kind
from lorascope.cli_split import Given
from lorascope.config.allocation import Allocation
from lorascope.config.load import resolve
from lorascope.errors import ConfigError, DataError, pick
from lorascope.report.terminal import Console
from lorascope.runs import rundir


def allocate(given: Given, console: Console) -> Any:
    """`lorascope allocate [FILE|FOLDER]`: ranks from a profile, from an allocation, or from nothing but the budget."""
    from lorascope.runs.allocating import (
        allocation_for,
        evidence_for,
        ranked_modules,
        read_source,
        refuse_other,
        spectra_end,
    )

    method, score = given.get("method", "uniform"), given.get("score")
    pick(METHODS, method, "method")
    source = read_source(Path(given.arguments[0])) if given.arguments else None
    evidence, flags = evidence_for(method, source, score), dict(given.settings)
    before = source.allocation if source is not None else None
    if source is not None and source.model and "model" not in flags:
        flags["model"] = source.model
    if source is not None and source.target and "target" not in flags:
        flags["target"] = source.target
    if evidence.ranks and "target" in flags:
        what = f"--method {method} takes the modules of the allocation, and reads no --target"
        raise ConfigError("method-needs", what, "the same without --target")
    config = resolve(flags).config
    if config.lora.budget is None and before is None:
        what = "allocate needs a budget"
        raise ConfigError("no-budget", what, "--budget params=2.25M", "--budget like=attention_only:r=8")
    console.note(f"lorascope {__version__}  allocate {method} | {config.model.model_id}", "  loading   torch")
    from lorascope.config.adapter_texts import PADDED
    from lorascope.models.base import load_config_only
    from lorascope.models.exports import write_exports
    from lorascope.models.modules import find_modules
    from lorascope.models.uniform import start_uniform
    from lorascope.runs.adapting import budget_of
    from lorascope.runs.logs import captured

    with captured(verbose=console.verbose):
        base = load_config_only(config.model)
        modules = find_modules(base.model)
        scaling = config.lora.lora_alpha / config.lora.r
        if before is not None and not {"r", "lora_alpha"} & set(flags):
            scaling = before.top[1] / before.top[0]
        ranked = [] if source is None else ranked_modules(source, modules, model_id=base.model_id, tied=base.tied)
        targets, asked = ranked, before.budget_params if before is not None else 0
        if config.lora.budget is not None:
            targets, asked = budget_of(base, config.lora, modules, ranked)
        allocation = allocation_for(
            targets, asked, method, evidence, scaling=scaling, base_model=base.model_id, seed=config.training.seed
        )
        if not allocation.adapted:
            what = f"--method {method} leaves no module for which {asked:,} parameters are enough"
            raise DataError("budget-too-small", what, "a larger --budget", "--method uniform")
        kept = (allocation.used_params, before.budget_params if before is not None else 0)
        if method == "shuffled_layers" and asked not in kept:
            what = f"--method shuffled_layers keeps its {allocation.used_params:,} parameters, of {asked:,} asked for"
            raise ConfigError("method-needs", what, "the same without --budget", "--method shuffled_kinds")
        folder = Path(given.get("output", "allocation"))
        refuse_other(folder, allocation, overwrite=given.get("overwrite", False))
        written = write_exports(base, config.lora, allocation, folder)
        notes = [*written.notes, *spectra_end(targets, allocation, evidence)]
        if given.get("padded"):
            one = start_uniform(base, config.lora, allocation, folder / PADDED, seed=config.training.seed)
            notes.append(f"padded: r={one.r} everywhere, {one.padded} of {one.modules} modules with rows of zeros")
    show_allocation(targets, allocation, console)
    console.note(*(f"  note      {note}" for note in notes))
    console.saved(folder)
    file = shlex.quote(str(folder / rundir.ALLOCATION))
    console.next(f"lorascope run --model {shlex.quote(config.model.model_id)} --allocation {file} --plan")
    return allocation.to_dict() | {"files": [str(file) for file in written.files], "notes": notes}


def show_allocation(targets: list[Any], allocation: Allocation, console: Console) -> None:
    """A row for every kind of module, and the budget."""
    rows = [list(row.values()) for row in by_kind(targets, allocation.ranks)]
    console.table(["group", "module", "adapted", "ranks", "parameters"], rows)
    left = allocation.budget_params - allocation.used_params
    console.out(f"asked {allocation.budget_params:,}, used {allocation.used_params:,} parameters, left {left:,}")
