"""`lorascope recommend`: which adapter to train, from a profile or a probe, and with --prove from trainings."""

from __future__ import annotations

import os
import shlex
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorascope import __version__
from lorascope.cli_options import WIDTH, Option, screen_options, setting_options
from lorascope.cli_split import Given
from lorascope.config.presets import PRESETS
from lorascope.config.settings import words as texts
from lorascope.errors import ConfigError, RunError
from lorascope.report.terminal import Console
from lorascope.runs import rundir

if TYPE_CHECKING:
    from lorascope.analysis.sensitivity import SensitivityProfile
    from lorascope.config.experiment import ExperimentConfig
    from lorascope.config.load import Resolved

_DATA = (
    "dataset", "data_source", "data_revision", "data_dir", "data_seed", "num_samples", "prompt_column",
    "target_column", "prompt_template", "max_length", "loss_on", "validation_split",
)  # fmt: skip


def recommend_options() -> list[Option]:
    """The options of `lorascope recommend`."""
    return [
        Option(
            flag="prove", kind="switch", group="recommend",
            help="Train at most 8 candidates by successive halving, and the best of them beside uniform on fresh "
            "seeds; the same command goes on where it was stopped.",
        ),
        Option(
            flag="output", kind="value", group="recommend", metavar="FOLDER",
            help="Folder for the recommendation, and its forms for PEFT, Python, axolotl and TRL (default: adapter).",
        ),
        Option(flag="plan", kind="switch", group="recommend", help="Show what would be done; start nothing."),
        Option(
            flag="preset", kind="value", group="recommend", metavar="NAME", suggestions=tuple(PRESETS),
            help="Start from a named configuration (lorascope ls presets); flags go over it.",
        ),
        *_settings(
            (
                "model", "dtype", "device_map", "attn_implementation", "trust_remote_code", "target", "r", "lora_alpha",
                "lora_dropout", "budget", *_DATA, "batch_size", "grad_accum", "lr", "lr_scheduler", "optim",
                "weight_decay", "seed", "activation_checkpointing",
            )
        ),
        *screen_options("json", "quiet", "verbose"),
    ]  # fmt: skip


def _settings(names: tuple[str, ...]) -> list[Option]:
    """Options for settings, the target with what stands for it here where nobody types it."""
    text = texts()["lora.target"].partition(" [")[0]  # without the reason of a default that is not this one
    own = f"{text} (default: the preset's, else the profile's, else both)"
    return [replace(o, help=own) if o.flag == "target" else o for o in setting_options(names)]


def recommend(given: Given, console: Console) -> Any:
    """`lorascope recommend [PROFILE]`: a profile's recommendation, or that of a probe made for it."""
    folder = Path(given.get("output", "adapter"))
    place = Path(given.arguments[0]) if given.arguments else None
    if not given.get("prove"):
        _refuse_to_unprove(given, folder)
    resolved = _resolved(given, place)
    config = resolved.config
    budget = config.lora.budget
    console.note(f"lorascope {__version__}  recommend {config.model.model_id} | {config.data.dataset} {budget}")
    if given.get("plan"):
        return _plan(given, resolved, place, folder, console)
    console.note("  loading   torch and transformers")
    from lorascope.cli_allocate import show_allocation
    from lorascope.models.base import load_config_only
    from lorascope.models.exports import write_exports
    from lorascope.report.page_recommendation import write_recommendation_page
    from lorascope.runs.logs import captured
    from lorascope.runs.recommending import prove_it, recommend_from

    profile = _profile(config, place, folder, console)
    with captured(verbose=console.verbose):
        base = load_config_only(config.model)
        found = recommend_from(profile, base, config.lora)
        if given.get("prove"):
            found = prove_it(found, config, folder, console)
        written = write_exports(base, config.lora, found.allocation, folder)
    command = shlex.join(["lorascope", "run", *_words(given), "--allocation", str(folder / rundir.ALLOCATION)])
    told = found.to_dict() | {
        "profile": os.path.relpath(place or _home(folder), folder),
        "command": command,
        "notes": [*found.notes, *written.notes],
    }
    rundir.write_json(folder / rundir.RECOMMENDATION, told)
    write_recommendation_page(folder)
    show_allocation(list(found.targets), found.allocation, console)
    names = ", ".join(found.candidates)
    if found.proof is None:
        console.out(*_wrapped("proof", f"none; --prove trains {len(found.candidates)} candidates: {names}"))
    else:
        console.out(
            *_wrapped("compared", names), *(line for said in found.proof.words() for line in _wrapped("", said))
        )
    console.out(*textwrap.wrap(found.why, WIDTH))
    console.note(*(f"  note      {note}" for note in told["notes"]))
    console.saved(folder)
    console.saved(folder / rundir.REPORT)
    console.next(f"{command} --plan")
    return told | {"folder": str(folder)}


def _wrapped(name: str, words: str) -> list[str]:
    """A name and what stands beside it, in lines."""
    first, *more = textwrap.wrap(words, WIDTH - 10)
    return [f"{name:<9} {first}", *(f"{'':10}{line}" for line in more)]


def _refuse_to_unprove(given: Given, folder: Path) -> None:
    """RunError where the folder holds a proven recommendation, which one without proof would replace."""
    try:
        there = rundir.read_json(folder / rundir.RECOMMENDATION)
        said = there["proof"]["words"][0]
    except (RunError, TypeError, LookupError):  # nothing that could be lost
        return
    what = f"{folder} holds a recommendation with its proof ({said}), and this one would have none"
    again = shlex.join(["lorascope", given.verb, *given.words, "--prove"])
    raise RunError("other-run", what, f"{again}   (go on with it)", "--output OTHER")


def _resolved(given: Given, place: Path | None) -> Resolved:
    """The settings; model and data are the profile's where nobody typed them, the budget what --r costs.

    The target is the one that was typed, the preset's, the profile's, both: the first that there is.
    """
    from lorascope.config.load import resolve

    preset = given.get("preset")
    flags = {"target": "both"}
    if place is not None:
        flags |= _about(place)
    if preset is not None:
        del flags["target"]
    flags |= given.settings
    if "budget" not in flags:
        r = resolve(flags, preset=preset).config.lora.r
        flags["budget"] = f"r={r}"
    return resolve(flags, preset=preset)


def _about(place: Path) -> dict[str, str]:
    """What a profile says of itself, as flags."""
    if not (place / rundir.PROFILE).is_file():
        raise ConfigError("no-profile", f"{place} holds no profile", "lorascope probe --help")
    about = rundir.read_json(place / rundir.PROFILE).get("about", {})
    found = {"model": about.get("model"), "dataset": about.get("dataset")}
    found["target"] = about.get("options", {}).get("target")
    if about.get("data", {}).get("source") == "builtin":
        found["data_source"] = "builtin"
    return {flag: value for flag, value in found.items() if isinstance(value, str)}


def _profile(config: ExperimentConfig, place: Path | None, folder: Path, console: Console) -> SensitivityProfile:
    """The profile that was named, or one made now."""
    from lorascope.analysis.sensitivity import SensitivityProfile
    from lorascope.cli_probe import ROWS
    from lorascope.measure.probing.collect import ProbeSettings
    from lorascope.runs.probe import ProbeOptions
    from lorascope.runs.probing import probe_config
    from lorascope.runs.recommending import SCORES

    if place is not None:
        return SensitivityProfile.load(place)
    options = ProbeOptions(batch_size=ROWS, settings=ProbeSettings(scores=SCORES))
    # The budget is what is decided here; it is no setting of a probe.
    plain = replace(config, lora=replace(config.lora, budget=None))
    home = _home(folder)
    try:
        return probe_config(plain, options, home, console=console)
    except RunError as error:
        if error.code not in ("other-run", "not-a-run"):
            raise
        raise RunError(error.code, error.what, "--output OTHER", f"lorascope recommend {home}") from None


def _home(folder: Path) -> Path:
    """Where the profile of a recommendation lies: beside it."""
    return folder.with_name(f"{folder.name}_profile")


def _words(given: Given) -> list[str]:
    """The settings of the model, the data and the training, as they were typed."""
    words = [f"--preset={given.get('preset')}"] if given.get("preset") else []
    if given.arguments:
        typed = given.settings
        words += [f"--{k}={v}" for k, v in _about(Path(given.arguments[0])).items() if k != "target" and k not in typed]
    for flag, value in given.settings.items():
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no_{flag}")
        elif flag not in ("target", "budget", "r", "lora_alpha"):
            words.append(f"--{flag}={value}")
    return words


def _plan(given: Given, resolved: Resolved, place: Path | None, folder: Path, console: Console) -> dict[str, Any]:
    """What would be done, without torch."""
    from lorascope.tasks import glance

    config = resolved.config
    lines = {
        "profile": str(place)
        if place
        else f"a probe of {config.model.model_id}, and one with shuffled answers, in {_home(folder)}",
        "data": glance(config.data).title,
        "budget": f"{config.lora.budget} of {config.lora.target}",
        "proof": "8 candidates at most x 2 learning rates x 20 steps, the better half with twice the steps until one "
        "is left beside uniform; their learning rates tuned; 5 fresh seeds each on test rows"
        if given.get("prove")
        else "none; --prove trains candidates",
        "folder": str(folder),
    }
    console.out(*(f"  {name:<9} {text}" for name, text in lines.items()))
    console.out("Nothing was started.")
    console.next(given.without("plan"))
    return lines
