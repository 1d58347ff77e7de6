"""A finished run looked at again: how its adapters change their weights, and what its held-out loss needs them for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lorascope.analysis.knock_out import Units, rise, units
from lorascope.analysis.statistics import Floats, Ints
from lorascope.errors import DataError
from lorascope.evaluation.answer_loss import answer_losses
from lorascope.evaluation.generate import pad_id_of
from lorascope.measure.probing.trained import changes
from lorascope.models.adapters import AdaptedModel, load_adapter
from lorascope.models.base import load_base
from lorascope.models.knockout import knocked_out
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.runs.experiment import RunRecord, load
from lorascope.tasks import find_task
from lorascope.tasks.split import load_evaluation
from lorascope.training.encoding import encode


@dataclass(frozen=True)
class KnockOut:
    """What the held-out loss is without some adapters; JSON-ready."""

    units: list[dict[str, Any]]
    """unit, modules, value, ci_low, ci_high: rise of the loss without them, nats per answer token; in the order of the
    modules."""
    about: dict[str, Any]
    """by, split, rows, tokens, loss with all adapters, and how the rows were chosen."""


@dataclass(frozen=True)
class Trained:
    """What was found of a run."""

    modules: list[dict[str, Any]]
    """module, layer, projection, group, update_sq, base_sq, magnitude, direction: a row for each part."""
    knock_out: KnockOut | None
    """None where that was not asked for."""


def look_at_run(folder: Path, *, knock_out: Units | None = None, console: Console | None = None) -> Trained:
    """How the adapters of a finished run change their weights; with `knock_out` the loss without each of them.

    The rows are those on which the run was evaluated, or would have been. What is found is written into the run's
    folder. Errors: LorascopeErrors.
    """
    console = console or Console()
    record = load(folder)
    base = load_base(record.config.model)
    adapted = load_adapter(base, folder / rundir.FINAL_MODEL)
    modules = [
        {
            "module": c.part.module.path, "layer": c.part.module.layer, "projection": c.part.role,
            "group": c.part.module.group, "update_sq": c.update_sq, "base_sq": c.base_sq, "magnitude": c.magnitude,
            "direction": c.direction,
        }
        for c in changes(adapted.model, adapted.targets)
    ]  # fmt: skip
    rundir.write_json(folder / rundir.ADAPTERS, {"modules": modules})
    if knock_out is None:
        return Trained(modules, None)
    found = _knock_out(record, adapted, knock_out, console)
    rundir.write_json(folder / rundir.knock_out_name(knock_out), asdict(found))
    return Trained(modules, found)


def _knock_out(record: RunRecord, adapted: AdaptedModel, what: Units, console: Console) -> KnockOut:
    """The knock-out on the run's evaluation rows."""
    config = record.config
    task = find_task(config.data)
    held = load_evaluation(task, config.data, config.evaluation.eval_samples)
    encoded, left_out = encode(held.examples, adapted.tokenizer, record.results["rows"]["max_length"])
    if len(encoded) < 3:
        raise DataError("too-few-rows", f"{len(encoded)} rows of {held.split} fit: too few for an interval")
    pad, size = pad_id_of(adapted.tokenizer), config.evaluation.eval_batch_tokens

    def losses() -> tuple[Floats, Ints]:
        return answer_losses(adapted.model, encoded, pad_id=pad, batch_tokens=size, loss_on=config.data.loss_on)

    table, loss, tokens = knock_out_table(adapted, what, losses, console)
    return KnockOut(
        table,
        {
            "by": what, "split": held.split, "rows": len(encoded), "left_out": len(left_out), "chosen": held.chosen,
            "tokens": tokens, "loss": loss, "loss_on": config.data.loss_on,
        },
    )  # fmt: skip


def knock_out_table(
    adapted: AdaptedModel, what: Units, losses: Callable[[], tuple[Floats, Ints]], console: Console
) -> tuple[list[dict[str, Any]], float, int]:
    """The rows of a knock-out, the loss with all adapters, and its tokens.

    `losses()` gives nats and tokens of each held-out row, of the model as it is at that moment.
    """
    whole, tokens = losses()
    chosen = units(adapted.targets, what)
    missing = []
    with console.progress(len(chosen), "knock-out") as bar:
        for done, unit in enumerate(chosen, 1):
            with knocked_out(adapted, unit.paths):
                missing.append(losses()[0])
            bar.update(done)
    found = rise(whole, np.stack(missing), tokens)
    rows = zip(chosen, found.value, *found.interval(), strict=True)
    table = [
        {"unit": u.name, "modules": len(u.paths), "value": float(v), "ci_low": float(low), "ci_high": float(high)}
        for u, v, low, high in rows
    ]
    return table, float(whole.sum() / tokens.sum()), int(tokens.sum())
