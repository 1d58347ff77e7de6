"""What the verbs do: read what was typed, call one function of a room, show what it returns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lorascope import __version__
from lorascope.cli_split import Given
from lorascope.config.load import Resolved, resolve
from lorascope.config.presets import STUDY
from lorascope.errors import ConfigError, Interrupted, LorascopeError, RunError
from lorascope.report.terminal import Console
from lorascope.runs import rundir


def run(given: Given, console: Console) -> Any:
    """`lorascope run`: one run, all presets (--batch), a plan (--plan), or a comparison (--compare)."""
    if given.get("compare"):
        _refuse_beside("compare", given, set(given.values) - {"compare", "json", "color"})
        from lorascope.cli_look import side_by_side

        return side_by_side(given.get("compare"), console)
    if given.get("resume"):
        return _resume(given, console)
    if given.get("batch"):
        return _batch(given, console)
    resolved = _resolved(given, console, given.get("preset"))
    return _plan([resolved], console) if given.get("plan") else _run_one(resolved, given, console)


def check(given: Given, console: Console) -> Any:
    """`lorascope check [FILE...]`"""
    if given.get("list"):
        return _list_settings(console)
    files = [*given.arguments, *given.get("config", ())]
    resolved = _resolved(given, console, given.get("preset"), files)
    _announce("check", resolved, console)
    from lorascope.runs.check import check as check_config

    return check_config(resolved.config, console)


def quickstart(given: Given, console: Console) -> Any:
    """`lorascope quickstart`: the embedded model probed on generated data, then trained and evaluated."""
    named = {"experiment_name": "quickstart", **given.settings}
    resolved = resolve(named, preset="quickstart")
    config = resolved.config
    _announce("run", resolved, console)
    from lorascope.report.profile_view import profile_lines
    from lorascope.runs.experiment import run as run_experiment
    from lorascope.runs.probe import ProbeOptions
    from lorascope.runs.probing import probe_config

    folder = Path(config.output_dir) / f"{config.experiment_name}_probe"
    profile = probe_config(config, ProbeOptions(), folder, console=console)
    console.out("Where the gradient is, before anything is trained", *profile_lines(profile), "")
    console.saved(folder)
    record = _record(run_experiment(config, console=console))
    console.next("lorascope probe --model YOUR_MODEL --dataset YOUR.jsonl")
    return record | {"profile": str(folder)}


def env(given: Given, console: Console) -> Any:
    """`lorascope env`"""
    console.note("  loading   torch")
    import torch

    from lorascope.runs.environment import describe

    facts = describe("cuda" if torch.cuda.is_available() else "cpu")
    rows: list[tuple[str, object]] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            rows += [(package, version or "not installed") for package, version in value.items()]
        else:
            rows.append((name, ", ".join(value) or "none" if isinstance(value, list) else str(value)))
    width = max(len(name) for name, _ in rows)
    console.out(*(f"{name:<{width}}  {value}" for name, value in rows))
    return facts


# ---- run ------------------------------------------------------------------------------------------------------------


def _resolved(given: Given, console: Console, preset: str | None, files: Any = None) -> Resolved:
    resolved = resolve(given.settings, preset=preset, files=given.get("config", ()) if files is None else files)
    for note in resolved.notes:
        console.warn(note)
    return resolved


def _announce(verb: str, resolved: Resolved, console: Console) -> None:
    """The first line, before anything that takes time; it names what does."""
    c = resolved.config
    what = f"{c.model.model_id} | {c.data.dataset} {c.lora.words}"
    console.note(f"lorascope {__version__}  {verb} {c.run_name}  | {what}", "  loading   torch and transformers")


def _run_one(resolved: Resolved, given: Given, console: Console, resume: Path | None = None) -> Any:
    _announce("resume" if resume else "run", resolved, console)
    from lorascope.runs.experiment import run as run_experiment

    return _record(
        run_experiment(resolved.config, resume=resume, overwrite=given.get("overwrite", False), console=console)
    )


def _refuse_beside(flag: str, given: Given, others: Iterable[str]) -> None:
    for other in sorted(others):
        if other in given.values:
            raise ConfigError("flags-exclude", f"--{flag} and --{other} exclude each other", "leave one of them out")


def _resume(given: Given, console: Console) -> Any:
    """Go on with a run: its own configuration; flags beside it may repeat it, not change it."""
    _refuse_beside("resume", given, ("batch", "overwrite", "plan"))
    folder = Path(given.get("resume"))
    if rundir.state(folder) not in ("unfinished", "finished"):
        raise RunError("no-run", f"{folder} holds no run to resume", "lorascope ls runs")
    files = [str(folder / rundir.CONFIG), *given.get("config", ())]
    return _run_one(_resolved(given, console, given.get("preset"), files), given, console, resume=folder)


def _batch(given: Given, console: Console) -> Any:
    """Every preset with the same flags over it; one that fails does not stop the others."""
    _refuse_beside("batch", given, ("preset", "experiment_name"))
    runs = {name: _resolved(given, console, name) for name in STUDY}
    if given.get("plan"):
        return _plan(list(runs.values()), console)
    results: dict[str, Any] = {}
    failed: dict[str, LorascopeError] = {}
    for number, (name, resolved) in enumerate(runs.items(), 1):
        console.note(f"preset {name}, {number} of {len(runs)}")
        try:
            results[name] = _run_one(resolved, given, console)
        except Interrupted:
            raise
        except LorascopeError as error:
            failed[name] = error
            console.warn(f"preset {name} failed: {error.what}")
    if failed:
        tries = [f"lorascope run --preset {name}   ({error.code})" for name, error in list(failed.items())[:3]]
        raise RunError("batch-failed", f"{len(failed)} of {len(runs)} runs failed: {', '.join(failed)}", *tries)
    return results


def _plan(runs: list[Resolved], console: Console) -> Any:
    from lorascope.runs.plan import plan

    plans = [plan(resolved, console, example=len(runs) == 1) for resolved in runs]
    return plans[0] if len(plans) == 1 else plans


def _record(record: Any) -> dict[str, Any]:
    """What `--json` shows of a finished run."""
    return {
        "folder": str(record.folder),
        "results": record.results,
        "gradients": record.gradients,
        "evaluation": record.evaluation,
        "base_evaluation": record.base_evaluation,
    }


def _list_settings(console: Console) -> Any:
    from lorascope.config.settings import settings, words

    rows = [
        (s.path, "-" if s.kind is tuple else f"--{s.flag}", "none" if s.default is None else str(s.default), s.rule)
        for s in settings()
    ]
    console.table(["setting", "flag", "built in", "takes"], rows)
    console.next("lorascope run --help", "lorascope check run.yaml")
    return [
        {"path": s.path, "flag": s.flag, "takes": s.rule, "default": s.default, "help": words()[s.path]}
        for s in settings()
    ]
