"""Splitting a command line into flags and arguments, and saying what is wrong with it.

tyro splits (`--r 4`, `--r=4`, `_` or `-`, `--eval` and `--no_eval`, no abbreviations). Values stay text until
`config/settings.py` converts them by their type, so that a flag and a line of a file mean the same and fail alike.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypedDict

from lorascope.cli_options import Option, Verb
from lorascope.config.phases import STRATEGIES
from lorascope.errors import ConfigError, near


@dataclass(frozen=True)
class Given:
    """What the user typed."""

    verb: str
    values: dict[str, Any]
    """Flag -> text, tuple of texts, or bool; only what was typed."""
    arguments: list[str]
    options: list[Option]
    words: list[str]
    """The words after the verb, as they were typed."""

    def get(self, flag: str, default: Any = None) -> Any:
        """The value of a flag, or `default` where it was not typed."""
        return self.values.get(flag, default)

    def without(self, *flags: str) -> str:
        """The command line without some switches, to be pasted."""
        kept = [word for word in self.words if flag_name(word) not in flags or not word.startswith("--")]
        return shlex.join(["lorascope", self.verb, *kept])

    @property
    def settings(self) -> dict[str, Any]:
        """The flags that set a run."""
        of_run = {o.flag for o in self.options if o.setting}
        return {flag: value for flag, value in self.values.items() if flag in of_run}


def split(verb: Verb, argv: Sequence[str], elsewhere: Iterable[Verb] = ()) -> Given:
    """Split the words after a verb; ConfigError for a flag or an argument that it does not take.

    `elsewhere`: verbs to look a foreign flag up in.
    """
    options = verb.options()
    _refuse_cut_arrow(argv)
    _refuse_missing_values(options, argv)
    if argv and flag_name(argv[0]).startswith("tyro_"):  # tyro would print a completion script of its own
        raise _unknown_flag(verb, options, argv[0], elsewhere)
    values, rest = _tyro_split(verb, options, argv)
    for word in rest:
        if word.startswith("-"):
            raise _unknown_flag(verb, options, word, elsewhere)
    for o in options:
        value = values.get(o.flag)
        if isinstance(value, str) and o.choices and not o.setting and value not in o.choices:
            guess = near(value, o.choices) or o.choices[0]
            raise ConfigError(
                "flag-value", f"--{o.flag} got {value!r}; it takes one of {', '.join(o.choices)}", f"--{o.flag} {guess}"
            )
    _check_arguments(verb, options, argv, rest, elsewhere)
    return Given(verb.name, values, rest, options, list(argv))


def _tyro_split(verb: Verb, options: list[Option], argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """(what was typed for the options, every other word in order)."""
    if not any(word.startswith("-") for word in argv):  # nothing to split; tyro takes a tenth of a second to load
        return {}, list(argv)
    import tyro
    from tyro.constructors import PrimitiveConstructorSpec

    several = PrimitiveConstructorSpec(
        nargs="*",
        metavar="",
        instance_from_str=tuple,
        is_instance=lambda x: isinstance(x, tuple),
        str_from_instance=list,
    )
    types: dict[str, Any] = {}
    for o in options:
        short = (f"-{o.short}",) if o.short else ()
        if o.kind == "switch":
            types[o.flag] = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(aliases=short)]
        elif short:
            types[o.flag] = Annotated[str, tyro.conf.arg(aliases=short)]
        else:
            types[o.flag] = {"value": str, "pair": bool, "values": Annotated[str, several]}[o.kind]
    make: Any = TypedDict  # its functional form takes names that are data
    shape = make("Options", types, total=False)  # not total: a flag that nobody typed stays out
    off = {o.flag: False for o in options if o.kind == "switch"}
    values, rest = tyro.cli(
        shape,
        prog=f"lorascope {verb.name}",
        args=list(argv),
        default=off,
        return_unknown_args=True,
        use_underscores=True,
        add_help=False,
    )
    return {flag: value for flag, value in values.items() if value is not False or flag not in off}, rest


def flag_name(word: str) -> str:
    """`--max-steps=5` -> `max_steps`."""
    return word.lstrip("-").partition("=")[0].replace("-", "_")


def _refuse_missing_values(options: list[Option], argv: Sequence[str]) -> None:
    """Say what tyro would say in a box of its own: a flag without its value; and refuse a list that is begun twice."""
    kinds = {o.flag: o for o in options}
    shorts = {f"-{o.short}": o for o in options if o.short}
    seen = set()
    for word, following in pairwise([*argv, "--"]):
        if word == "--":
            return
        o = kinds.get(flag_name(word)) if word.startswith("--") else shorts.get(word)
        if o is None or o.kind not in ("value", "values"):
            continue
        if "=" not in word and _is_flag(following):
            raise ConfigError("missing-value", f"--{o.flag} needs a value", f"--{o.flag} {o.metavar}")
        if o.kind == "values" and o.flag in seen:
            both = f"--{o.flag} {o.metavar} {o.metavar}   (all after one)"
            raise ConfigError("flag-twice", f"--{o.flag} is given twice", both)
        seen.add(o.flag)


def _is_flag(word: str) -> bool:
    """Whether a word is a flag and no value: negative numbers, -inf and -nan are values."""
    body = word.lstrip("-")
    return word == "--" or (
        word.startswith("-") and body[:1].isalpha() and body.lower() not in ("inf", "infinity", "nan")
    )


def _unknown_flag(verb: Verb, options: list[Option], word: str, elsewhere: Iterable[Verb]) -> ConfigError:
    name = flag_name(word)
    known = [flag_name(spelling) for o in options for spelling in o.spellings if spelling.startswith("--")]
    guess = near(name, known)
    tries = [f"--{guess}   (did you mean this?)"] if guess else []
    others = [v.name for v in elsewhere if v.name != verb.name and name in {o.flag for o in v.options()}]
    if others and not guess:
        tries = [f"lorascope {others[0]} --help   (--{name} belongs to {' and '.join(others)})"]
    what = f"lorascope {verb.name} has no flag {word.partition('=')[0]}"
    return ConfigError("unknown-flag", what, *tries, f"lorascope {verb.name} --help")


def _check_arguments(
    verb: Verb, options: list[Option], argv: Sequence[str], rest: list[str], elsewhere: Iterable[Verb]
) -> None:
    fewest, most = verb.takes
    if len(rest) < fewest:
        usage = f"lorascope {verb.name} {verb.arguments}"
        raise ConfigError("missing-argument", f"lorascope {verb.name} needs {verb.arguments}", usage)
    if most is None or len(rest) <= most:
        return
    word = rest[most]
    tries = [f"lorascope {verb.name} --help"]
    before = flag_name(argv[argv.index(word) - 1]) if word in argv[1:] else ""
    if any(o.flag == before and o.kind == "pair" for o in options):
        tries = [f"--{before}", f"--no_{before}"]
    elif any(v.name == word for v in elsewhere):
        tries = [f"lorascope {word} {' '.join(w for w in argv if w != word)}   (the verb comes first)"]
    raise ConfigError("unexpected-argument", f"lorascope {verb.name} does not take {word!r}", *tries)


# ---- the arrow that the shell took ----------------------------------------------------------------------------------


def _refuse_cut_arrow(argv: Sequence[str]) -> None:
    """Explain what a shell makes of `--phase_strategy both->mlp->attn`: `both-`, and files named mlp- and attn."""
    for word, following in pairwise([*argv, ""]):
        if not word.startswith("--") or flag_name(word) != "phase_strategy":
            continue
        value = word.partition("=")[2] if "=" in word else following
        if not value.endswith("-"):
            continue
        begun = [s for s in STRATEGIES if s.startswith(value)] or list(STRATEGIES)
        made = {s: _stray_files(s.removeprefix(value).split("-")) for s in begun}
        likely = max(begun, key=lambda s: len(made[s]))
        files = [f'"{name}"' for name in made[likely]]
        took = f"the shell took {' and '.join(f'>{name[1:-1]}' for name in files) or 'what followed'} as files"
        clean = f"   (and delete the files {', '.join(files)})" if files else ""
        raise ConfigError("shell-arrow", f'--phase_strategy got "{value}": {took}', f"--phase_strategy {likely}{clean}")


def _stray_files(phases: list[str]) -> list[str]:
    """The empty files in this folder that the redirections to these phases made; all but the last keep a dash."""
    names = [f"{phase}-" for phase in phases[:-1]] + phases[-1:]
    return [name for name in names if Path(name).is_file() and not Path(name).stat().st_size]
