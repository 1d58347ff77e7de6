"""What a run would do, in a second and without torch: nothing is started, nothing is written."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from safetensors import safe_open

from lorascope.config.experiment import EvaluationConfig, ExperimentConfig
from lorascope.config.load import Resolved, flat
from lorascope.errors import DataError
from lorascope.models import embedded
from lorascope.report.example import show_example
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.tasks import first_example, glance
from lorascope.tasks.base import Example
from lorascope.training.phases import draw_phases, left_open, outline, plan_phases


def plan(resolved: Resolved, console: Console, *, example: bool = True) -> dict[str, Any]:
    """Print every value that is not the built-in one, with its source, and the size of the run. Returns them.

    With `example`, the first row of the data too, where it can be read at once.
    """
    config = resolved.config
    training, data, evaluation = config.training, config.data, config.evaluation
    task = glance(data)
    if evaluation.metrics is not None:
        from lorascope.evaluation.metrics import metric_names  # a third of a second

        metric_names(evaluation.metrics)
    if data.data_dir is not None and not Path(data.data_dir).is_dir():
        raise DataError("no-folder", f"--data_dir {data.data_dir} is not a folder", "--data_dir FOLDER")
    first = first_example(data) if example else None
    layers = _depth(config.model.model_id)
    phases = outline(config) if layers is None else plan_phases(config, layers)
    folder = Path(config.output_dir) / config.run_name
    values = flat(config)
    console.table(
        ["setting", "value", "from"], [[path, _text(value), source] for path, value, source in resolved.changed()]
    )
    rows = training.batch_size * training.grad_accum
    found = rundir.state(folder)
    lines = {
        "folder": f"{folder} ({ {'absent': 'new', 'foreign': 'in the way: no run folder'}.get(found, found) })",
        "model": model_line(config.model.model_id),
        "task": f"{task.title}; " + (f"{data.num_samples:,} rows" if data.num_samples else "all rows")
        + f" drawn, {data.validation_split:.0%} of them for validation",
        "training": f"{training.max_steps:,} steps x {rows} rows ({training.batch_size} x {training.grad_accum}) "
        f"= {training.max_steps * rows:,} rows per process; validation and checkpoint every {training.validate_every} "
        f"and {training.checkpoint_every} steps",
        "evaluation": (f"{evaluation.eval_samples or 'all'} examples of the {task.evaluation_split or 'test'} split, "
        + _answers(evaluation, first))
        if evaluation.enabled
        else "none",
    }  # fmt: skip
    budget = _budget(config)
    if budget:
        lines["budget"] = budget
    for name, text in lines.items():
        console.out(f"  {name:<11} {text}")
    if phases:
        console.out(
            "  phases      by updates done" + (left_open(config) if layers is None else ""),
            *draw_phases(phases, training.max_steps),
        )
    if example:
        _show_first(first, data.loss_on, console)
    console.out("Nothing was started.")
    words = _command(resolved)
    console.next(f"lorascope run {words}".rstrip(), f"lorascope check {words}".rstrip())
    return {
        "settings": values | {"dynamic_lora.phase_configs": config.to_dict()["dynamic_lora"]["phase_configs"]},
        "sources": dict(resolved.sources),
        "folder": str(folder),
        "state": found,
        "hash": config.hash,
        "phases": [{"name": phase.name, **phase.to_dict()} for phase in phases],
    }


def _budget(config: ExperimentConfig) -> str | None:
    """Asked, used and trained parameters, counted on the empty model where its checkpoint lies here."""
    if config.lora.budget is None and config.lora.allocation is None:
        return None
    if not (embedded.folder_of(config.model.model_id) / "config.json").is_file():
        asked = config.lora.budget or f"that of {config.lora.allocation}"
        return f"asked {asked}; lorascope check loads the model's shapes and counts what is used"
    from lorascope.models.adapters import parameter_counts, wrap  # torch, but only here
    from lorascope.models.base import load_config_only
    from lorascope.runs.adapting import budget_words, choose

    base = load_config_only(config.model)
    chosen = choose(base, config.lora)
    adapted = wrap(base, config.lora, chosen.targets, seed=config.training.seed, allocation=chosen.allocation)
    facts = chosen.facts(parameter_counts(adapted.model)["trained"])
    return budget_words(facts).removeprefix("budget: ") if facts else None


def _answers(evaluation: EvaluationConfig, first: Example | None) -> str:
    if first is not None and first.is_text:
        return "by the loss alone"
    return evaluation.decoding


def _show_first(example: Example | None, loss_on: str, console: Console) -> None:
    """The first row, without the tokens that only the model's tokenizer knows."""
    if example is None:
        console.out("  first row   lorascope check shows it")
        return
    whole = loss_on == "all"
    pieces = [(example.prompt, whole), (example.target, True)]
    if example.messages:
        pieces = []
        for turn in example.messages:
            pieces += [(f"{turn.role}: ", whole), (turn.content, whole or turn.role == "assistant"), ("\n", whole)]
        del pieces[-1]
    show_example(pieces, console, what="first row of the data, without the model's own tokens")


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _command(resolved: Resolved) -> str:
    """Flags that give the same configuration again."""
    values, layers, flags = flat(resolved.config), dict[str, None](), []
    for path, source in resolved.sources.items():
        kind, _, name = source.partition(" ")
        if not source.startswith("--"):
            file = source.rpartition(":")[0]
            layers[f"--preset {name}" if kind == "preset" else f"--config {shlex.quote(file)}"] = None
        elif values[path] is True or values[path] is False:
            flags.append(source)
        else:
            flags.append(f"{source} {shlex.quote(str(values[path]))}")
    return " ".join([*layers, *flags])


def _depth(model_id: str) -> int | None:
    """Number of layers, where the checkpoint lies here and says so."""
    file = embedded.folder_of(model_id) / "config.json"
    facts = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return next((facts[name] for name in ("num_hidden_layers", "n_layer", "num_layers") if name in facts), None)


def model_line(model_id: str) -> str:
    """Name, and size where the checkpoint lies here: read off the headers of its weight files."""
    folder = embedded.folder_of(model_id)
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return f"{model_id} (from the hub)" if not folder.is_dir() else model_id
    total = 0
    for file in files:
        with safe_open(file, "numpy") as tensors:
            for name in sorted(tensors.keys()):
                count = 1
                for size in tensors.get_slice(name).get_shape():
                    count *= size
                total += count
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures", ["?"])[0]
    return f"{model_id}: {kind}, {total:,} parameters"
