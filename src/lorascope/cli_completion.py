"""Completion scripts for bash, zsh and fish: static text made from the verb table, so that TAB never starts Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lorascope.cli_options import Option, Verb
from lorascope.cli_split import Given
from lorascope.errors import pick
from lorascope.report.terminal import Console


def completion(given: Given, console: Console) -> Any:
    """`lorascope completion bash|zsh|fish`"""
    from lorascope.cli_table import VERBS

    script = pick(SHELLS, given.arguments[0], "shell")(VERBS)
    console.out(script.rstrip("\n"))
    return {"script": script}


def bash(verbs: Iterable[Verb]) -> str:
    """A script for bash 4 and later."""
    verbs = list(verbs)
    return f"""\
# lorascope completion for bash. Once:
#   lorascope completion bash > ~/.local/share/bash-completion/completions/lorascope
_lorascope() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} verb=${{COMP_WORDS[1]}} words=
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 && $cur != -* ]]; then
        words="{_names(verbs)}"
    else
        case $prev in
{_cases(_values(verbs), 12, 'words="{}"')}
        esac
        if [[ -z $words ]]; then
            [[ $verb == -* ]] && verb=run
            if [[ $cur == -* ]]; then
                case $verb in
{_cases({v.name: _flags(v) for v in verbs if v.options()}, 20, 'words="{}"')}
                esac
            else
                case $verb in
{_cases({v.name: _argument_words(v) for v in verbs if _argument_words(v)}, 20, 'words="{}"')}
                esac
            fi
        fi
    fi
    [[ -n $words ]] && mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}}
complete -o default -o bashdefault -F _lorascope lorascope
"""


def zsh(verbs: Iterable[Verb]) -> str:
    """A script for zsh 5 and later."""
    verbs = list(verbs)
    described = "\n".join(f"            {_quoted(f'{v.name}:{v.summary}')}" for v in verbs if v.heading)
    return f"""\
#compdef lorascope
# lorascope completion for zsh. Once, with a folder of your fpath:
#   lorascope completion zsh > ~/.zfunc/_lorascope
_lorascope() {{
    local verb=$words[2]
    if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then
        local -a verbs=(
{described}
        )
        _describe verb verbs
        return
    fi
    case $words[CURRENT-1] in
{_cases(_values(verbs), 8, "compadd -- {}; return")}
    esac
    [[ $verb == -* ]] && verb=run
    if [[ $PREFIX == -* ]]; then
        case $verb in
{_cases({v.name: _flags(v) for v in verbs if v.options()}, 12, "compadd -- {}")}
        esac
        return
    fi
    case $verb in
{_cases({v.name: _argument_words(v) for v in verbs if _argument_words(v)}, 8, "compadd -- {}; return")}
    esac
    _files
}}
if [[ $funcstack[1] == _lorascope ]]; then
    _lorascope "$@"
else
    compdef _lorascope lorascope
fi
"""


def fish(verbs: Iterable[Verb]) -> str:
    """A script for fish 3 and later."""
    verbs = list(verbs)
    lines = [
        "# lorascope completion for fish. Once:",
        "#   lorascope completion fish > ~/.config/fish/completions/lorascope.fish",
    ]
    shown = [v for v in verbs if v.heading]
    lines += [f"complete -c lorascope -f -n __fish_use_subcommand -a {v.name} -d {_quoted(v.summary)}" for v in shown]
    others = " ".join(v.name for v in verbs if v.name != "run")
    for verb in verbs:
        seen = (
            f"__fish_seen_subcommand_from {verb.name}"
            if verb.name != "run"
            else f"not __fish_seen_subcommand_from {others}"
        )
        start = f"complete -c lorascope -n {_quoted(seen)}"
        if _argument_words(verb):
            lines.append(f"{start} -f -a {_quoted(_argument_words(verb))}")
        for o in verb.options():
            short = f" -s {o.short}" if o.short else ""
            values = f" -r -f -a {_quoted(_choices(o))}" if _choices(o) else " -r" if o.metavar else ""
            lines += [f"{start}{short if i == 0 else ''} -l {name}{values}" for i, name in enumerate(_long(o))]
    return "\n".join(lines) + "\n"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}


def _names(verbs: Iterable[Verb]) -> str:
    return " ".join(v.name for v in verbs if v.heading)


def _flags(verb: Verb) -> str:
    return " ".join(
        [spelling for o in verb.options() for spelling in o.spellings if spelling.startswith("--")] + ["--help"]
    )


def _long(o: Option) -> list[str]:
    return [spelling[2:] for spelling in o.spellings if spelling.startswith("--")]


def _choices(o: Option) -> str:
    return " ".join(o.choices or o.suggestions)


def _values(verbs: Iterable[Verb]) -> dict[str, str]:
    """Flag -> the values it can take, where they are known; a flag means the same in every verb."""
    return {f"--{o.flag}": _choices(o) for v in verbs for o in v.options() if _choices(o)}


def _argument_words(verb: Verb) -> str:
    """The words of an argument that is a closed list: `[tasks|presets]`."""
    return " ".join(verb.arguments.strip("[]").split("|")) if "|" in verb.arguments else ""


def _cases(table: dict[str, str], indent: int, line: str) -> str:
    return "\n".join(f"{' ' * indent}{key}) {line.format(words)} ;;" for key, words in table.items())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
