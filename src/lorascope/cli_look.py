"""What the verbs that only look do: `ls` and `compare`. No torch, no pandas: an answer in a blink."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lorascope.cli_split import Given
from lorascope.config.experiment import TARGET_MODULES
from lorascope.config.presets import PRESETS
from lorascope.errors import RunError, pick
from lorascope.report.terminal import Console, cell, short
from lorascope.runs import rundir


def compare(given: Given, console: Console) -> Any:
    """`lorascope compare FOLDER FOLDER...`: runs or profiles; a folder knows what it is."""
    profiles = [folder for folder in given.arguments if (Path(folder) / rundir.PROFILE).is_file()]
    if profiles and len(profiles) < len(given.arguments):
        other = next(folder for folder in given.arguments if folder not in profiles)
        raise RunError(
            "mixed-folders",
            f"{profiles[0]} holds a probe's profile and {other} does not: only alike compares",
            "runs with runs, profiles with profiles",
        )
    return profiles_side_by_side(profiles, console) if profiles else side_by_side(given.arguments, console)


def side_by_side(folders: Sequence[str], console: Console) -> Any:
    """Show finished runs side by side."""
    from lorascope.analysis.compare import compare_runs

    found = compare_runs(folders)
    names = [run["name"] for run in found.runs]
    console.table(
        ["", "run", "target", "r", "alpha", "seed", "steps"],
        [[run[k] for k in ("name", "folder", "target", "r", "lora_alpha", "seed", "steps")] for run in found.runs],
    )
    console.out("")
    rows = [
        [f"{q.name} ({q.unit})" if q.unit else q.name, *map(_with_interval, q.values, q.intervals)]
        for q in found.quantities
    ]
    console.table(["", *names], rows)
    console.out("", *found.remarks)
    console.next(f"lorascope evaluate {found.runs[0]['folder']} --eval_samples 0", "lorascope ls runs")
    return found.to_dict()


def profiles_side_by_side(folders: Sequence[str], console: Console) -> Any:
    """Show profiles of tasks or models side by side."""
    from lorascope.analysis.compare_profiles import compare_profiles

    found = compare_profiles(folders)
    heads = ["", "profile", "model", "data", "batches", "loss", "prompt", "answer", "attention's share"]
    rows: list[list[object]] = []
    for s in found.sides:
        ends = (s.ci_low, s.ci_high) if s.ci_low is not None and s.ci_high is not None else None
        where = [s.name, s.folder, Path(s.model).name, Path(s.dataset).name]
        rows.append([*where, s.batches, s.loss, s.prompt_tokens, s.answer_tokens, _with_interval(s.attention, ends)])
    console.table(heads, rows)
    console.out("loss: nats per answer token before training; prompt, answer: mean tokens of a row", "")
    names = [side.name for side in found.sides]
    console.table(
        ["share of the signal per parameter", *names], [[kind, *shares] for kind, shares in found.kinds.items()]
    )
    console.out("")
    for pair in found.contrasts:
        tau = f"; rankings of the modules: tau {pair.tau:.2f}" if pair.tau is not None else ""
        console.out(f"{pair}{tau}")
    console.out("", *found.remarks)
    console.next("lorascope ls runs")
    return found.to_dict()


def _with_interval(value: float | int | None, interval: tuple[float, float] | None) -> str:
    ends = f" [{short(interval[0])}, {short(interval[1])}]" if interval else ""
    return f"{cell(value)}{ends}"


def ls(given: Given, console: Console) -> Any:
    """`lorascope ls [tasks|presets|targets|runs]`; all of them without an argument."""
    lists = {"tasks": _ls_tasks, "presets": _ls_presets, "targets": _ls_targets, "runs": _ls_runs}
    wanted = [given.arguments[0]] if given.arguments else list(lists)
    result: dict[str, Any] = {}
    for name in wanted:
        headers, rows = pick(lists, name, "list")(given, console)
        result[name] = [dict(zip(headers, row, strict=True)) for row in rows]
        console.out(*([name] if len(wanted) > 1 else []))
        if rows:
            console.table(headers, rows)
        else:
            console.out(f"no {name} in {given.get('output_dir', 'results')}")
        console.out(*([""] if len(wanted) > 1 else []))
    console.next("lorascope run --preset e2e_attention --plan")
    return result


def _ls_tasks(given: Given, console: Console) -> tuple[list[str], list[list[object]]]:
    from lorascope.tasks import TASKS, extend

    for broken in extend().values():
        console.warn(broken.sentence("task"))
    rows: list[list[object]] = [
        [name, task.title, ", ".join(task.metrics), task.evaluation_split] for name, task in TASKS.items()
    ]
    return ["task", "title", "metrics", "evaluated on"], rows


def _ls_presets(given: Given, console: Console) -> tuple[list[str], list[list[object]]]:
    return ["preset", "what"], [[name, preset.__doc__] for name, preset in PRESETS.items()]


def _ls_targets(given: Given, console: Console) -> tuple[list[str], list[list[object]]]:
    return ["target", "modules, by Llama's names"], [[name, " ".join(names)] for name, names in TARGET_MODULES.items()]


def _ls_runs(given: Given, console: Console) -> tuple[list[str], list[list[object]]]:
    home = Path(given.get("output_dir", "results"))
    rows: list[list[object]] = []
    for folder in sorted(path for path in home.iterdir() if path.is_dir()) if home.is_dir() else ():
        found = rundir.state(folder)
        if found == "unfinished":
            rows.append([str(folder), found, None, None, None])
        elif found == "finished":
            results = rundir.read_json(folder / rundir.RESULTS)
            trained = results["parameters"]["trained"]
            rows.append([str(folder), found, trained, results["steps"], results["best_validation_loss"]])
    return ["run", "state", "trained parameters", "steps", "val loss (nats)"], rows
