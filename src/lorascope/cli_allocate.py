"""`lorascope allocate`: ranks for a budget, as files that trainers take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lorascope import __version__
from lorascope.analysis.allocating.methods import METHODS, Evidence, Need, allot
from lorascope.analysis.budgets import used_params
from lorascope.cli_split import Given
from lorascope.config.allocation import Allocation, constant_alphas, read_allocation
from lorascope.config.load import resolve
from lorascope.errors import ConfigError, pick
from lorascope.report.terminal import Console
from lorascope.runs import rundir


def allocate(given: Given, console: Console) -> Any:
    """`lorascope allocate [FILE]`: methods that need no profile, and controls made of an allocation."""
    method = given.get("method", "uniform")
    needs = pick(METHODS, method, "method").needs
    source = Path(given.arguments[0]) if given.arguments else None
    evidence, flags = _evidence(method, needs, source), dict(given.settings)
    if source is not None and "model" not in flags:
        flags["model"] = read_allocation(source).base_model
    config = resolve(flags).config
    if config.lora.budget is None and source is None:
        what = "allocate needs a budget"
        raise ConfigError("no-budget", what, "--budget params=2.25M", "--budget like=attention_only:r=8")
    console.note(f"lorascope {__version__}  allocate {method} | {config.model.model_id}", "  loading   torch")
    from lorascope.models.base import load_config_only
    from lorascope.models.exports import write_exports
    from lorascope.models.modules import find_modules
    from lorascope.runs.adapting import budget_of
    from lorascope.runs.logs import captured

    with captured(verbose=console.verbose):
        base = load_config_only(config.model)
        modules = find_modules(base.model)
        scaling = config.lora.lora_alpha / config.lora.r
        if source is not None:
            before = read_allocation(source)
            if not {"r", "lora_alpha"} & set(flags):
                scaling = before.top[1] / before.top[0]
            targets = [module for module in modules if module.path in before.ranks]
            asked = before.budget_params
        if config.lora.budget is not None:
            chosen, asked = budget_of(base, config.lora, modules)
            targets = chosen if source is None else targets
        ranks = allot(targets, asked, method, evidence, seed=config.training.seed)
        allocation = Allocation(
            ranks=ranks,
            alphas=constant_alphas(ranks, scaling),
            budget_params=asked,
            used_params=used_params(targets, ranks),
            method=method,
            base_model=base.model_id,
        )
        folder = Path(given.get("output", "allocation"))
        written = write_exports(base, config.lora, allocation, folder)
    _show(targets, allocation, console)
    console.note(*(f"  note      {note}" for note in written.notes))
    console.saved(folder)
    console.next(f"lorascope run --model {config.model.model_id} --allocation {folder / rundir.ALLOCATION} --plan")
    return allocation.to_dict() | {"files": [str(file) for file in written.files], "notes": list(written.notes)}


def _evidence(method: str, needs: tuple[Need, ...], source: Path | None) -> Evidence:
    """What the method needs, from an allocation; the rest comes with a profile."""
    if set(needs) - {"ranks"}:
        known = ", ".join(name for name, rule in METHODS.items() if not set(rule.needs) - {"ranks"})
        what = f"--method {method} needs {', '.join(needs)} of every module, which an allocation does not hold"
        raise ConfigError("method-needs", what, f"--method uniform   (without a profile: {known})")
    if needs and source is None:
        what = f"--method {method} is made of the ranks of an allocation"
        raise ConfigError("method-needs", what, f"lorascope allocate allocation.json --method {method}")
    if source is not None and not needs:
        what = f"--method {method} reads no allocation"
        raise ConfigError("method-needs", what, f"lorascope allocate --method {method} --budget params=N")
    if source is None:
        return Evidence()
    return Evidence(ranks=read_allocation(source).ranks)


def _show(targets: list[Any], allocation: Allocation, console: Console) -> None:
    """A row for every kind of module, and the budget."""
    kinds: dict[tuple[str, str], list[Any]] = {}
    for module in targets:
        kinds.setdefault((module.group, module.projection), []).append(module)
    rows = []
    for (group, projection), members in kinds.items():
        ranks = [allocation.ranks[m.path] for m in members]
        params = sum(m.cost_per_rank * r for m, r in zip(members, ranks, strict=True))
        adapted = f"{sum(r > 0 for r in ranks)} of {len(ranks)}"
        span = str(min(ranks)) if min(ranks) == max(ranks) else f"{min(ranks)}-{max(ranks)}"
        rows.append([group, projection, adapted, span, params])
    console.table(["group", "module", "adapted", "ranks", "parameters"], rows)
    left = allocation.budget_params - allocation.used_params
    console.out(f"asked {allocation.budget_params:,}, used {allocation.used_params:,} parameters, left {left:,}")
