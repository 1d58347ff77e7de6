"""The options of the verbs: what can be typed, and what the help says about it.

The options that set a run are read off the configuration's dataclasses: a field is a flag, its string is the help.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from lorascope.config.experiment import DatasetType
from lorascope.config.phases import STRATEGIES
from lorascope.config.presets import PRESETS
from lorascope.config.settings import Setting, settings, words

WIDTH = 80


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a verb."""

    flag: str
    """Its name without dashes, with underscores."""
    kind: Literal["value", "values", "switch", "pair"]
    """One text, several texts, on, or on and off (`--eval`, `--no_eval`)."""
    group: str
    """Its heading in the help."""
    metavar: str = ""
    help: str = ""
    """Its help; "" for the string under the field of `setting`."""
    setting: Setting | None = None
    short: str = ""
    """A letter that stands for it, without dash."""
    choices: tuple[str, ...] = ()
    """A closed list of values."""
    suggestions: tuple[str, ...] = ()
    """Values for TAB where the list is open."""

    @property
    def spellings(self) -> list[str]:
        """Everything that can be typed for it, with dashes."""
        names = [f"--{self.flag}", *([f"--no_{self.flag}"] if self.kind == "pair" else [])]
        return [f"-{self.short}", *names] if self.short else names


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One verb: what it is called, what it takes, who does it."""

    name: str
    heading: str
    """Its place in the top help: look, prove, help; "" is hidden."""
    summary: str
    """One sentence."""
    examples: tuple[str, ...]
    """Three command lines that run as printed."""
    call: str
    """module:function; called with a Given and a Console, returns the result for `--json`."""
    options: Callable[[], list[Option]]
    arguments: str = ""
    """Its arguments as the usage line shows them."""
    takes: tuple[int, int | None] = (0, 0)
    """Fewest and most arguments; None is any number."""


def setting_options(names: Iterable[str] | None = None) -> list[Option]:
    """Options for settings (all of them, or those with these flags), grouped by section; a list is for files only."""
    kept = None if names is None else set(names)
    return [_setting_option(s) for s in settings() if (kept is None or s.flag in kept) and s.kind is not tuple]


def screen_options(*names: str) -> list[Option]:
    """The options about what is shown; `--color` is always among them."""
    known = {
        "json": ("", "Print one JSON document on stdout, nothing else."),
        "quiet": ("q", "Print only the paths that were made, one a line."),
        "verbose": ("v", "Show what the libraries log, and no live bar."),
    }
    switches = [
        Option(flag=name, kind="switch", group="screen", short=known[name][0], help=known[name][1]) for name in names
    ]
    color = Option(
        flag="color", kind="value", group="screen", metavar="WHEN", choices=("auto", "always", "never"),
        help="Colour: auto, always or never (default: auto, on a terminal without NO_COLOR).",
    )  # fmt: skip
    return [*switches, color]


def _setting_option(s: Setting) -> Option:
    group = s.section or "folder"
    if s.kind is bool:
        return Option(flag=s.flag, kind="pair", group=group, setting=s)
    return Option(
        flag=s.flag, kind="value", group=group, metavar=_metavar(s), setting=s, choices=s.choices,
        suggestions=_SUGGESTIONS.get(s.flag, ()),
    )  # fmt: skip


_SUGGESTIONS = {"dataset": tuple(task.value for task in DatasetType), "phase_strategy": STRATEGIES}


def _metavar(s: Setting) -> str:
    if s.flag in ("data_dir", "output_dir"):
        return "FOLDER"
    return "NAME" if s.choices else {str: "TEXT", int: "INT", float: "NUMBER"}[s.kind]


# ---- what each verb takes --------------------------------------------------------------------------------------------


def _start(group: str) -> list[Option]:
    """What a configuration is built from before its single settings."""
    return [
        Option(
            flag="preset", kind="value", group=group, metavar="NAME", suggestions=tuple(PRESETS),
            help="Start from a named configuration (lorascope ls presets); files and flags go over it.",
        ),
        Option(
            flag="config", kind="values", group=group, metavar="FILE",
            help="YAML or JSON files with settings, a run's config.json too; a later file goes over an earlier one, "
            "flags go over all files.",
        ),
    ]  # fmt: skip


def run_options() -> list[Option]:
    """The options of `lorascope run`."""

    def switch(flag: str, text: str) -> Option:
        return Option(flag=flag, kind="switch", group="run", help=text)

    return [
        *_start("run"),
        switch("plan", "Show what would be done, and where each value comes from; start nothing."),
        switch("batch", "Run the 16 presets of the study, with the other flags over each."),
        Option(
            flag="compare", kind="values", group="run", metavar="FOLDER",
            help="Put finished runs side by side instead of running, like lorascope compare.",
        ),
        Option(flag="resume", kind="value", group="run", metavar="FOLDER", help="Go on with an unfinished run."),
        switch("overwrite", "Replace what the run's folder holds."),
        *setting_options(),
        *screen_options("json", "quiet", "verbose"),
    ]  # fmt: skip


def evaluate_options() -> list[Option]:
    """The options of `lorascope evaluate`."""
    return [
        Option(
            flag="split", kind="value", group="evaluate", metavar="NAME", suggestions=("train", "validation", "test"),
            help="Split to evaluate (default: the task's: test, or validation where test has no labels).",
        ),
        Option(
            flag="predictions", kind="value", group="evaluate", metavar="FILE",
            help="Score predictions made elsewhere: JSON lines with `prediction` and optionally `id`. Needs no model.",
        ),
        Option(
            flag="output", kind="value", group="evaluate", metavar="FILE",
            help="Write the evaluation to this JSON file; of several folders, into this folder, one file each.",
        ),
        Option(
            flag="merge", kind="switch", group="evaluate",
            help="Merge each adapter into the base while it is evaluated: faster, and exact to rounding, which is "
            "checked. Refused on an embedding or head that are one matrix.",
        ),
        Option(
            flag="engine", kind="value", group="evaluate", metavar="NAME", choices=("transformers", "vllm"),
            help="What generates (default: transformers). vllm is an optional package for a GPU; it gives no answer "
            "loss.",
        ),
        Option(flag="plan", kind="switch", group="evaluate", help="Show what would be evaluated, and start nothing."),
        *setting_options(
            (
                "model", "dtype", "device_map", "attn_implementation", "trust_remote_code",
                "dataset", "data_source", "data_revision", "data_dir", "prompt_column", "target_column",
                "prompt_template", "max_length",
                "eval_samples", "temperature", "top_p", "constrained", "max_new_tokens", "metrics", "eval_batch_tokens",
            )
        ),
        *screen_options("json", "quiet", "verbose"),
    ]  # fmt: skip


def allocate_options() -> list[Option]:
    """The options of `lorascope allocate`."""
    return [
        Option(
            flag="method", kind="value", group="allocate", metavar="NAME",
            suggestions=(
                "uniform", "random", "proportional", "attribution", "threshold", "adam_first_step", "spectral",
                "whitened", "mixed", "eva", "gora", "efim", "inverted", "shuffled_layers", "shuffled_kinds", "adalora",
            ),
            help="How the budget is divided: uniform, random; of a profile: proportional, attribution, threshold, "
            "adam_first_step, spectral, whitened, mixed, eva, gora, efim; of an allocation: inverted, "
            "shuffled_layers, shuffled_kinds; of AdaLoRA's adapter: adalora (default: uniform).",
        ),
        Option(
            flag="score", kind="value", group="allocate", metavar="NAME",
            suggestions=("signal", "grad_sq", "lora_sq", "adam_step", "snip", "fisher", "whitened_diagonal"),
            help="Score of the profile that proportional, attribution and threshold read (default: signal); for "
            "whitened also whitened_diagonal.",
        ),
        Option(
            flag="output", kind="value", group="allocate", metavar="FOLDER",
            help="Folder for allocation.json and its forms for PEFT, Python, axolotl and TRL (default: allocation).",
        ),
        Option(
            flag="padded", kind="switch", group="allocate",
            help="Write an untrained adapter, too: one rank, padded with zeros, for programs without rank maps.",
        ),
        Option(
            flag="overwrite", kind="switch", group="allocate",
            help="Replace another allocation in the folder.",
        ),
        *setting_options(
            ("model", "trust_remote_code", "target", "r", "lora_alpha", "lora_dropout", "budget", "seed")
        ),
        *screen_options("json", "quiet", "verbose"),
    ]  # fmt: skip


def ls_options() -> list[Option]:
    """The options of `lorascope ls`."""
    return [*setting_options(("output_dir",)), *screen_options("json")]


def check_options() -> list[Option]:
    """The options of `lorascope check`."""
    return [
        Option(flag="list", kind="switch", group="check", help="List all settings with type and built-in value."),
        *_start("check"),
        *setting_options(),
        *screen_options("json", "quiet", "verbose"),
    ]


def quickstart_options() -> list[Option]:
    """The options of `lorascope quickstart`."""
    return [*setting_options(("output_dir",)), *screen_options("json", "quiet", "verbose")]


# ---- help -----------------------------------------------------------------------------------------------------------


def help_text(verb: Verb) -> str:
    """The help of a verb, at most 80 columns wide."""
    usage = " ".join(part for part in (f"usage: lorascope {verb.name}", verb.arguments, "[OPTIONS]") if part)
    lines = [usage, "", *textwrap.wrap(verb.summary, WIDTH)]
    for group, options in groupby(verb.options(), key=lambda o: o.group):
        title = words().get(group, "").rstrip(".")
        lines += ["", f"{group}: {title[0].lower()}{title[1:]}" if title else group]
        for o in options:
            lines += _option_lines(o)
    lines += ["", "examples", *(f"  {example}" for example in verb.examples)]
    return "\n".join(lines) + "\n"


def _option_lines(o: Option) -> list[str]:
    shown = ", ".join(o.spellings) + (f" {o.metavar}" if o.metavar else "") + (" ..." if o.kind == "values" else "")
    body = textwrap.wrap(o.help or (_help_of(o.setting) if o.setting else ""), WIDTH - 26)
    first = [f"  {shown:<22}  {body[0]}"] if len(shown) <= 22 else [f"  {shown}", f"{'':26}{body[0]}"]
    return first + [f"{'':26}{line}" for line in body[1:]]


def _help_of(s: Setting) -> str:
    """The string under the field, its choices where the string does not name them, and the built-in value."""
    text = words()[s.path]
    if isinstance(s.default, bool):
        default = "yes" if s.default else "no"
    elif isinstance(s.default, float):
        default = f"{s.default:g}"
    else:
        default = "none" if s.default is None else str(s.default)
    unnamed = set(s.choices) - set(re.findall(r"\w+", text))
    return f"{text} ({', '.join(s.choices) + '; ' if unnamed else ''}default: {default})"
