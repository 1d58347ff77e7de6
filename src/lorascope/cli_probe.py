"""`lorascope probe`: how sensitive every module is to a task, before any training."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorascope import __version__
from lorascope.cli_options import Option, screen_options, setting_options
from lorascope.cli_split import Given
from lorascope.config import scores as menu
from lorascope.config.experiment import DatasetType, ExperimentConfig
from lorascope.errors import ConfigError, ModelError, RunError, pick
from lorascope.report.terminal import Console

if TYPE_CHECKING:
    from lorascope.config.load import Resolved
    from lorascope.runs.probe import ProbeOptions

UNITS = ("kind", "module")
BATCHES, ROWS, HOME = 96, 8, "profiles"
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_NOT_OF_A_RUN = ("target", "batch_size", "grad_accum", "output_dir", "experiment_name")


def probe_options() -> list[Option]:
    """The options of `lorascope probe`."""

    def value(flag: str, metavar: str, text: str) -> Option:
        return Option(flag=flag, kind="value", group="probe", metavar=metavar, help=text)

    def switch(flag: str, text: str) -> Option:
        return Option(flag=flag, kind="switch", group="probe", help=text)

    return [
        switch("plan", "Show what would be looked at; start nothing."),
        value("batches", "INT", f"At most so many batches of --batch_size rows (default: {BATCHES} of {ROWS})."),
        value("tau", "NUMBER", "Stop when halves of the batches rank the modules alike: Kendall's tau (default: 0.9)."),
        value("time_limit", "TIME", "Stop after this time, the control's included: 90s, 10m, 1h (default: none)."),
        Option(
            flag="scores", kind="values", group="probe", metavar="NAME", suggestions=menu.ON_REQUEST,
            help=f"Scores on request: {', '.join(menu.ON_REQUEST)}.",
        ),
        Option(
            flag="datasets", kind="values", group="probe", metavar="NAME",
            suggestions=tuple(task.value for task in DatasetType),
            help="Several tasks or files, one profile each, and what sets them apart. Where --data_dir holds folders "
            "of their names, each is read from its own.",
        ),
        switch("match_lengths", "With --datasets: take rows whose prompts and answers are of like length."),
        Option(
            flag="knock_out", kind="value", group="probe", metavar="UNIT", choices=UNITS,
            help="Of a finished RUN: its held-out loss without the adapters of each kind in either half of the layers "
            "(kind), or of each module (module).",
        ),
        value("trial_steps", "INT", f"Steps of the trial for the scores {' and '.join(menu.OF_TRIAL)} (default: 30)."),
        value("probe_after", "INT", "Train uniform adapters on --target for so many steps first (default: 0)."),
        switch("no_control", "Leave out the control: the same prompts with each other's answers."),
        switch("overwrite", "Replace what the profile's folder holds."),
        *setting_options(
            (
                "model", "dtype", "device_map", "attn_implementation", "trust_remote_code", "target", "r", "lora_alpha",
                "dataset", "data_source", "data_revision", "data_dir", "data_seed", "num_samples", "prompt_column",
                "target_column", "prompt_template", "max_length", "loss_on", "batch_size", "grad_accum", "lr", "seed",
                "activation_checkpointing", "output_dir", "experiment_name",
            )
        ),
        *screen_options("json", "quiet", "verbose"),
    ]  # fmt: skip


def probe(given: Given, console: Console) -> Any:
    """`lorascope probe`: one profile, with --datasets several and their comparison; or a look at a finished run."""
    if given.arguments:
        return _look_at_run(given, Path(given.arguments[0]), console)
    if given.get("knock_out"):
        raise ConfigError(
            "missing-argument", "--knock_out looks at a finished run", "lorascope probe RUN --knock_out kind"
        )
    typed = _typed(given)
    every = [_resolved(given, dataset) for dataset in _datasets(given)]
    config = every[0].config
    names = ", ".join(resolved.config.data.dataset for resolved in every)
    console.note(f"lorascope {__version__}  probe {config.model.model_id} | {names} {config.lora.target}")
    if given.get("plan"):
        return _plan(given, every, typed, console)
    console.note("  loading   torch and transformers")
    results = [_probe_one(given, resolved, every, typed, console) for resolved in every]
    verdicts = [result["verdict"] for result in results if result["verdict"]]
    if not typed["probe_after"] and any(v["control"] is not None and not v["decided"] for v in verdicts):
        console.note(
            "  note      before any training the gradient is mostly about the form of answers: --probe_after 60"
        )
    if len(results) == 1:
        profile = shlex.quote(results[0]["folder"])
        console.next(f"lorascope recommend {profile} --budget like=attention_only:r=8", _next(given))
        return results[0]
    from lorascope.cli_look import profiles_side_by_side

    console.out("")
    return {"profiles": results, "comparison": profiles_side_by_side([r["folder"] for r in results], console)}


def _probe_one(
    given: Given, resolved: Resolved, every: Sequence[Resolved], typed: dict[str, Any], console: Console
) -> dict[str, Any]:
    from lorascope.analysis.profile_folder import gains_of, summary
    from lorascope.report.profile_view import profile_lines, records
    from lorascope.runs.probing import probe_config

    matched = given.get("match_lengths", False)
    folder = _folder(resolved, matched=matched)
    profile = probe_config(
        resolved.config,
        _options(typed, resolved),
        folder,
        after=typed["probe_after"],
        overwrite=given.get("overwrite", False),
        beside=[other.config for other in every if other is not resolved] if matched else (),
        console=console,
    )
    console.out(*profile_lines(profile))
    console.saved(folder)
    return {
        "folder": str(folder),
        "verdict": summary(profile),
        "batches": profile.n,
        "tau": profile.tau,
        "loss": profile.loss._asdict(),
        "kinds": records(profile.table(by="projection", scale="share")),
        "groups": records(profile.table(by="group")),
        "gains": gains_of(profile),
        "about": dict(profile.about),
    }


def _look_at_run(given: Given, folder: Path, console: Console) -> dict[str, Any]:
    """A finished run: how its adapters change their weights, and what its held-out loss needs them for."""
    what = given.get("knock_out")
    other = [flag for flag in given.values if flag not in ("knock_out", "plan", "json", "quiet", "verbose", "color")]
    if other:
        raise ConfigError(
            "flags-exclude",
            f"a finished run is looked at as it was trained; --{other[0]} is about the probe of a model",
            f"lorascope probe {folder} --knock_out kind",
            "leave the folder out",
        )
    from lorascope.runs import rundir

    _refuse_what_is_no_run(folder)
    if given.get("plan"):
        return _plan_of_run(folder, what, given, console)
    from lorascope.report.trained_view import change_lines, knock_out_lines
    from lorascope.runs.logs import captured
    from lorascope.runs.trained import look_at_run

    console.note(f"lorascope {__version__}  probe {folder}", "  loading   torch and transformers")
    with captured(verbose=console.verbose):
        found = look_at_run(folder, knock_out=what, console=console)
    console.out(*change_lines(found.modules))
    saved = [folder / rundir.ADAPTERS]
    result: dict[str, Any] = {"folder": str(folder), "modules": found.modules, "knock_out": None}
    if found.knock_out is not None:
        console.out("", *knock_out_lines(found.knock_out.units, found.knock_out.about))
        saved.append(folder / rundir.knock_out_name(what))
        result["knock_out"] = {"units": found.knock_out.units, "about": found.knock_out.about}
    console.saved(*saved)
    if found.knock_out is None:
        console.next(shlex.join(["lorascope", "probe", str(folder), "--knock_out", "kind"]))
    return result


def _refuse_what_is_no_run(folder: Path) -> None:
    """A RunError that says what the folder holds instead."""
    from lorascope.runs import rundir

    if (folder / rundir.PROFILE).is_file():
        what = f"{folder} is the profile of a probe, which trained nothing; adapters are in the folder of a run"
        raise RunError("no-run", what, "lorascope ls runs", f"lorascope report {folder}")
    found = rundir.state(folder)
    if found == "unfinished":
        raise RunError("no-run", f"{folder} holds a run that is not finished", rundir.resume_command(folder))
    if found != "finished":
        raise RunError("no-run", f"{folder} holds no finished run ({found})", "lorascope ls runs")
    if not (folder / rundir.FINAL_MODEL / "adapter_config.json").is_file():
        what = f"{folder} has lost its adapter: there is no {rundir.FINAL_MODEL}/adapter_config.json in it"
        raise ModelError("no-adapter", what, "the run once more, with --overwrite")


def _plan_of_run(folder: Path, what: str | None, given: Given, console: Console) -> dict[str, Any]:
    """What would be looked at, without torch."""
    from lorascope.config.load import from_json
    from lorascope.runs import rundir

    config = from_json((folder / rundir.CONFIG).read_text(encoding="utf-8"))
    held = config.evaluation.eval_samples
    lines = {
        "run": str(folder),
        "model": config.model.model_id,
        "weights": "how far each adapter has changed its own",
        "rows": f"{held:,} of the task's evaluation split" if held else "all of the task's evaluation split",
        "without": f"the adapters of each {what}: the loss of these rows" if what else "nothing (--knock_out kind)",
    }
    console.out(*(f"  {name:<9} {text}" for name, text in lines.items()), "Nothing was started.")
    console.next(given.without("plan"))
    return lines


def _datasets(given: Given) -> tuple[str | None, ...]:
    """What --datasets names; None stands for the setting --dataset."""
    several = given.get("datasets", ())
    if several and given.get("dataset"):
        raise ConfigError("flags-exclude", "--datasets and --dataset exclude each other", "leave one of them out")
    if given.get("match_lengths") and len(several) < 2:
        raise ConfigError("flags-exclude", "--match_lengths takes several tasks", "--datasets NAME NAME")
    return several or (None,)


def _resolved(given: Given, dataset: str | None) -> Resolved:
    """The settings of one task; a target and a batch are a probe's own where nobody typed them."""
    from lorascope.config.load import resolve

    flags = {"target": "both", "output_dir": HOME, "batch_size": str(ROWS), "grad_accum": "1", **given.settings}
    if dataset is not None:
        flags["dataset"] = dataset
        own = Path(flags["data_dir"]) / dataset if flags.get("data_dir") else None
        if own is not None and own.is_dir():
            flags["data_dir"] = str(own)
    return resolve(flags)


def _typed(given: Given) -> dict[str, Any]:
    """The options of the probe itself, as values."""
    scores = tuple(given.get("scores", ()))
    for name in scores:
        pick(dict.fromkeys((*menu.DEFAULT, *menu.ON_REQUEST)), name, "score")
    return {
        "batches": _number("batches", given.get("batches"), BATCHES, int),
        "tau": _number("tau", given.get("tau"), 0.9, float),
        "time_limit": _seconds(given.get("time_limit")),
        "scores": scores,
        "trial_steps": _number("trial_steps", given.get("trial_steps"), 30, int),
        "probe_after": _number("probe_after", given.get("probe_after"), 0, int),
        "control": not given.get("no_control", False),
    }


def _number(flag: str, text: str | None, default: float, kind: type) -> Any:
    if text is None:
        return default
    try:
        value = kind(text)
    except ValueError:
        value = -1
    if not value >= 0:
        raise ConfigError(
            "flag-value",
            f"--{flag} got {text!r}; it takes a {'whole ' if kind is int else ''}number",
            f"--{flag} {default:g}",
        )
    return value


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not found or not float(found[1]):
        raise ConfigError("flag-value", f"--time_limit got {text!r}; it takes a time such as 90s, 10m, 1h",
                          "--time_limit 10m")  # fmt: skip
    return float(found[1]) * _SECONDS[found[2]]


def _options(typed: dict[str, Any], resolved: Resolved) -> ProbeOptions:
    from lorascope.measure.probing.collect import ProbeSettings
    from lorascope.runs.probe import ProbeOptions

    training = resolved.config.training
    return ProbeOptions(
        batches=typed["batches"],
        batch_size=training.batch_size,
        grad_accum=training.grad_accum,
        tau=typed["tau"],
        time_limit=typed["time_limit"],
        control=typed["control"],
        settings=ProbeSettings(scores=typed["scores"], trial_steps=typed["trial_steps"]),
    )


def _folder(resolved: Resolved, *, matched: bool = False) -> Path:
    config = resolved.config
    return Path(config.output_dir) / ((config.experiment_name or _name(config)) + ("_matched" if matched else ""))


def _name(config: ExperimentConfig) -> str:
    """Model and data, in small letters: qwen2.5-0.5b_support."""
    model = Path(config.model.model_id.rstrip("/")).name
    return re.sub(r"[^a-z0-9.]+", "-", model.lower()).strip("-") + "_" + config.data.task_name


def _next(given: Given) -> str:
    """A run on the same model and data."""
    words = ["lorascope", "run", "--target", "both"]
    for flag, value in given.settings.items():
        if isinstance(value, bool) and flag not in _NOT_OF_A_RUN:
            words.append(f"--{flag}" if value else f"--no_{flag}")
        elif flag not in _NOT_OF_A_RUN:
            words += [f"--{flag}", value]
    return shlex.join([*words, "--plan"])


def _plan(given: Given, every: Sequence[Resolved], typed: dict[str, Any], console: Console) -> dict[str, Any]:
    """What would be done, without torch."""
    from lorascope.runs.plan import model_line
    from lorascope.tasks import glance

    config = every[0].config
    matched = given.get("match_lengths", False)
    rows = config.training.batch_size * config.training.grad_accum
    limit = f", {typed['time_limit']:g} s" if typed["time_limit"] else ""
    lines = {
        "folder": ", ".join(str(_folder(resolved, matched=matched)) for resolved in every),
        "model": model_line(config.model.model_id),
        "data": "; ".join(glance(resolved.config.data).title for resolved in every),
        "rows": "training rows only, one of each group" + (", of like length in all of them" if matched else ""),
        "probe": f"at most {typed['batches']} batches of {rows} rows{limit}, "
        f"until halves of them agree on the ranking (tau {typed['tau']:g})",
        "scores": ", ".join(("signal", "noise", *menu.DEFAULT, *typed["scores"])),
        "trial": f"{typed['trial_steps']} steps of uniform adapters, taken back afterwards"
        if set(menu.OF_TRIAL) & set(typed["scores"])
        else "none",
        "control": "as many batches of the same prompts with each other's answers"
        if typed["control"]
        else "none, so attention against MLP stays undecided",
        "before": f"{typed['probe_after']} steps of uniform adapters, on half of the rows"
        if typed["probe_after"]
        else "nothing is trained",
    }
    console.out(*(f"  {name:<9} {text}" for name, text in lines.items()))
    typed_by_nobody = {"lora.target", "training.batch_size", "training.grad_accum", "output_dir"} - {
        path for path, source in every[0].sources.items() if source.removeprefix("--") in given.settings
    }
    changed = [
        [path, str(value), "what a probe takes" if path in typed_by_nobody else source]
        for path, value, source in every[0].changed()
        if len(every) == 1 or not path.startswith("data.data")
    ]
    console.table(["setting", "value", "from"], changed)
    console.out("Nothing was started.")
    console.next(given.without("plan"))
    return lines
