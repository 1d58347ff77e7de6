"""What a page says of a run in words: verdict, how sure, notes, budget, the adapter to copy, the exact command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import pandas as pd

from lorascope.config.adapter_texts import adapter_fields, axolotl_text, trl_text
from lorascope.config.settings import settings
from lorascope.report.run_summary import GROUP_WORDS
from lorascope.report.terminal import short

ABOUT_PEFT = {
    "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision",
}  # fmt: skip
"""Keys of adapter_config.json that say where it came from, not what it is."""
NEUTRAL = {"bias": "none", "init_lora_weights": True, "qalora_group_size": 16, "megatron_core": "megatron.core"}
"""Values that PEFT takes anyway."""


def line_of_run(results: Mapping[str, Any], config: Mapping[str, Any], state: str) -> str:
    """What stands beside the name of a run."""
    what = f"{results['dataset']}, {results['target']} r = {results['r']} on {results['model']}"
    done = f"{results['steps']:,} of {config['training']['max_steps']:,} steps, seed {results['seed']}"
    return f"{what}; {done}{'' if state == 'finished' else f', {state}'}"


def row_of_run(results: Mapping[str, Any]) -> dict[str, str | float | None]:
    """Heading -> cell, where several stand in a table."""
    losses = [loss for _, loss in results["validation_loss"] if loss is not None]
    return {
        "task": str(results["dataset"]),
        "target": str(results["target"]),
        "r": str(results["r"]),
        "seed": str(results["seed"]),
        "steps": results["steps"],
        "best validation loss": min(losses, default=None),
    }


def verdict_of_run(
    results: Mapping[str, Any],
    config: Mapping[str, Any],
    groups: Mapping[str, float],
    evaluation: Mapping[str, Any] | None,
    base: Mapping[str, Any] | None,
) -> list[str]:
    """Sentences, the answer first. One run has one seed, so that it decides nothing between modules."""
    said = []
    if {"attention", "mlp"} <= groups.keys():
        said.append("Attention or MLP: undecided with one seed.")
    if results["status"] != "finished":
        said.append(f"{results['status']}: {results['steps']:,} of {config['training']['max_steps']:,} steps done.")
    loss = _loss(results)
    score = _score(evaluation, base)
    said += [sentence for sentence in (loss, score) if sentence]
    if groups:
        each = ", ".join(f"{GROUP_WORDS[group]} {short(value)}" for group, value in groups.items())
        said.append(f"Gradient per parameter (RMS over the run; a description, no verdict): {each}.")
    return said


def _loss(results: Mapping[str, Any]) -> str:
    best = results.get("best_validation_loss")
    if best is None:
        return ""
    first = next((loss for step, loss in results["validation_loss"] if step == 0), None)
    start = f"{short(first)} -> " if first is not None else ""
    at = f", best at step {results['best_step']:,}" if results.get("best_step") is not None else ""
    return f"Validation loss {start}{short(best)} nats per answer token{at}."


def _score(evaluation: Mapping[str, Any] | None, base: Mapping[str, Any] | None) -> str:
    if not evaluation or not evaluation["metrics"]:
        return ""
    name, score = next(iter(evaluation["metrics"].items()))
    before = (base or {"metrics": {}})["metrics"].get(name, {}).get("value")
    start = f"{short(before)} -> " if before is not None else ""
    ends = (score["ci_low"], score["ci_high"])
    interval = "" if None in ends else f" [{short(ends[0])}, {short(ends[1])}]"
    return f"{name} {start}{short(score['value'])}{interval} on {evaluation['n']:,} {evaluation['split']} examples."


def verdict_of_several(remarks: Sequence[str]) -> list[str]:
    """Sentences over several runs: what `analysis.compare` remarks, or that they are one arm."""
    said = [f"{remark[0].upper()}{remark[1:].rstrip('.')}." for remark in remarks]
    return said or ["Undecided: these runs differ in their seed at most; nothing is compared."]


def how_sure(results: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> list[str]:
    """What the numbers can bear: the first sentence is short, the others explain it."""
    n = f", {evaluation['n']:,} examples" if evaluation else ""
    said = [
        f"1 seed{n}",
        "The seed of a run is what a difference between modules is tested over; steps of one run are not replicates. "
        "So means and whiskers over steps describe this run. A verdict takes paired runs with several seeds.",
        "Raw norms grow with alpha, rank, width and the number of modules; the map opens with a score that does not.",
    ]
    if evaluation:
        said.append("Intervals of metrics are 95 % over the examples of the split, not over seeds.")
    return said


def notes(results: Mapping[str, Any], table: pd.DataFrame, log: Sequence[str]) -> list[str]:
    """Everything that a reader must know before trusting a number."""
    said = [str(note) for note in results.get("notes") or ()]
    facts = table[table["score"] == "grad_sq"]
    bad = facts.loc[~facts["finite"], "step"].nunique()
    if bad:
        said.append(f"gradients were not finite at {bad:,} step{'s' * (bad != 1)}; they are left out of means")
    rows = results.get("rows") or {}
    if rows.get("prompts_cut"):
        said.append(f"{rows['prompts_cut']:,} rows were cut to fit {rows['max_length']:,} tokens")
    if rows.get("left_out"):
        said.append(f"{len(rows['left_out']):,} rows were left out: their answer alone is longer, or empty")
    if results.get("resumed_after_step"):
        said.append(f"the run was interrupted and went on after step {results['resumed_after_step']:,}")
    more = (results.get("warnings") or 0) - len(log)
    said += [f"log: {line}" for line in log]
    if more > 0:
        said.append(f"{more} more warnings of libraries are in log.txt")
    return said


def budget(results: Mapping[str, Any], config: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the table of parameters: what was asked, what is trained, where, for how many updates."""
    parameters = results["parameters"]
    trained, total = parameters["trained"], parameters.get("total")
    share = f", {trained / total:.2%} of {total:,}" if total else ""
    rows = [
        ["asked", f"{results['target']}, r = {results['r']}, alpha = {short(results['lora_alpha'])}"],
        ["trained", f"{trained:,} parameters{share}"],
    ]
    updates = results.get("active_steps") or {}
    for group, count in parameters["by_group"].items():
        steps = f"; {updates[group]:,.4g} of {results['steps']:,} updates" if group in updates else ""
        rows.append([GROUP_WORDS.get(group, group), f"{count:,} ({count / trained:.1%}){steps}"])
    rows.append(["learning rate", f"{config['training']['lr']:g}, {config['training']['lr_scheduler']}"])
    return rows


def exports(
    adapter: Mapping[str, Any] | None, results: Mapping[str, Any], config: Mapping[str, Any]
) -> list[dict[str, str]]:
    """What can be copied: the adapter as it was trained, as four programs take it, and the command of the run."""
    out = adapter_exports(adapter, str(results["run"]), results["parameters"]["trained"]) if adapter is not None else []
    out.append({"label": "command", "text": command(config)})
    return out


def adapter_exports(adapter: Mapping[str, Any], run: str, trained: int) -> list[dict[str, str]]:
    """An adapter_config.json as four programs take it; a base model by its name, not by its place on this machine."""
    plain = dict(adapter) | {"inference_mode": False}
    name = str(adapter.get("base_model_name_or_path"))
    plain["base_model_name_or_path"] = name = PurePath(name).name if _is_path(name) else name
    head = _comment(f"{run}: {trained:,} trained parameters, on {name}. Written by lorascope.")
    fields = adapter_fields(adapter)
    axolotl = axolotl_text(fields, head, name)
    return [
        {"label": "PEFT", "text": _peft(adapter)},
        {"label": "TRL script", "text": trl_text(fields, head, name, trained)},
        *([{"label": "axolotl", "text": axolotl}] if axolotl else []),
        {"label": "JSON", "text": json.dumps(plain, indent=2)},
    ]


def _comment(words: str) -> str:
    """One line, whatever a name in it holds."""
    return f"# {' '.join(words.split())}\n"


def _is_path(name: str) -> bool:
    return PurePath(name).is_absolute() or name.count("/") > 1 or name.startswith((".", "~"))


def _peft(adapter: Mapping[str, Any]) -> str:
    """Python that makes the same LoraConfig."""
    first = ("r", "lora_alpha", "lora_dropout", "target_modules")
    keys = [*first, *(key for key in adapter if key not in first)]
    lines = [
        f"    {key}={adapter[key]!r},"
        for key in keys
        if key in adapter and key not in ABOUT_PEFT and not _neutral(key, adapter[key])
    ]
    return "\n".join(["from peft import LoraConfig", "", "config = LoraConfig(", *lines, ")"])


def _neutral(key: str, value: Any) -> bool:
    return value is None or value is False or value in ({}, []) or (key in NEUTRAL and value == NEUTRAL[key])


def command(config: Mapping[str, Any]) -> str:
    """The command that makes this run: a flag for every setting that is not built in."""
    words = ["lorascope", "run"]
    for setting in settings():
        values = config.get(setting.section, {}) if setting.section else config
        if setting.name not in values or values[setting.name] == setting.default:
            continue
        value = values[setting.name]
        if setting.kind is tuple:
            if value:  # a list is for files only
                return "lorascope run --config config.json"
        elif setting.kind is bool:
            words.append(f"--{setting.flag}" if value else f"--no_{setting.flag}")
        else:
            words += [f"--{setting.flag}", "none" if value is None else f"{value}"]
    return shlex.join(words)


def facts(results: Mapping[str, Any], environment: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the table of provenance: versions, device, seconds, memory, hashes."""
    rows = [["lorascope", str(results.get("lorascope") or environment.get("packages", {}).get("lorascope", ""))]]
    rows += [["configuration", str(results["config_hash"])]] if "config_hash" in results else []
    rows.append(model_row(results["model"], results.get("model_revision")))
    for which, data in (results.get("data") or {}).items():
        rows += data_rows(which, data)
    seconds = results.get("seconds") or {}
    if seconds:
        rows.append(["seconds", ", ".join(f"{name} {value:,.0f}" for name, value in seconds.items())])
    if results.get("peak_memory_bytes"):
        rows.append(["peak memory", f"{results['peak_memory_bytes'] / 2**30:.2f} GiB"])
    return rows + environment_rows(environment)


def model_row(model: object, revision: object) -> list[str]:
    """The model and its commit."""
    return ["model", f"{model}{_revision(revision)}"]


def data_rows(which: str, data: Mapping[str, Any] | None) -> list[list[str]]:
    """Where rows came from, and their hash."""
    if not data:
        return []
    source = f"{data.get('source')}{_revision(data.get('revision'))}"
    return [
        [f"data, {which}", f"{source}, {data.get('split')}: {data.get('rows'):,} rows"],
        [f"SHA-256, {which}", str(data.get("drawn_sha256") or data.get("sha256"))],
    ]


def environment_rows(environment: Mapping[str, Any]) -> list[list[str]]:
    """Device, Python, versions of packages."""
    if not environment:
        return []
    device = ", ".join([str(environment.get("device")), *environment.get("gpus", ())])
    return [
        ["device", f"{device}; {environment.get('cpus')} CPUs, {environment.get('processes')} process(es)"],
        ["Python", f"{environment.get('python')}, {environment.get('platform')}"],
        ["source revision", str(environment.get("git") or "installed package")],
        *([name, str(version)] for name, version in environment.get("packages", {}).items() if version),
    ]


def _revision(revision: object) -> str:
    return f" @ {revision}" if revision else ""
