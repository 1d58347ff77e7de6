"""The command line: which verb does what, and how results, errors and bugs reach the screen. No logic of its own.

Nothing heavy is imported before a verb that needs it is called: help, version and errors of the command line load
neither torch nor pandas nor Matplotlib.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, TextIO

from lorascope import __version__
from lorascope.cli_options import Verb, help_text
from lorascope.cli_split import Given, flag_name, split
from lorascope.cli_table import VERBS
from lorascope.errors import ConfigError, Interrupted, LorascopeError, RunError, near
from lorascope.report.terminal import Color, Console, write

SCHEMA = 1
"""Version of the `--json` document."""

SAYING = "Where in this model does LoRA matter for my task, and which adapter should I\ntrain?"


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit code.

    0 done, 2 recognised and explained, 1 a bug of ours, 3 a gate that was asked for is not met, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    stdout, stderr = sys.stdout, sys.stderr
    try:
        if not words or words[0] in ("-h", "--help"):
            write(stdout, top_help())
            return 0
        if words[0] in ("-V", "--version"):
            write(stdout, f"lorascope {__version__}\n")
            return 0
        return _call(words, stdout, stderr)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        return 0


def top_help() -> str:
    """The help of `lorascope` alone."""
    lines = [
        f"lorascope {__version__}",
        SAYING,
        "",
        "usage: lorascope VERB [OPTIONS]     lorascope VERB --help",
        "       lorascope [OPTIONS]          the same as lorascope run [OPTIONS]",
    ]
    for heading, verbs in groupby((v for v in VERBS if v.heading), key=lambda v: v.heading):
        lines += ["", heading]
        for verb in verbs:
            first, *more = textwrap.wrap(verb.summary, 66)
            lines += [f"  {verb.name:<10}  {first}", *(f"{'':14}{line}" for line in more)]
    lines += ["", "examples", *(f"  {verb.examples[0]}" for verb in VERBS if verb.name in ("quickstart", "run", "ls"))]
    return "\n".join(lines) + "\n"


def _call(words: list[str], stdout: TextIO, stderr: TextIO) -> int:
    """Find the verb, split its words, call it; everything that is raised ends here."""
    verb: Verb | None = None
    given: Given | None = None
    console = Console(json="--json" in words, color=_asked_color(words), stdout=stdout, stderr=stderr)
    result: Any = None
    try:
        verb, words = _verb(words)
        if any(word in ("-h", "--help") for word in _before_end(words)):
            write(stdout, help_text(verb))
            return 0
        given = split(verb, words, VERBS)
        console = Console(
            json=given.get("json", False),
            quiet=given.get("quiet", False),
            verbose=given.get("verbose", False),
            color=_asked_color(words),
            stdout=stdout,
            stderr=stderr,
        )
        module, _, name = verb.call.partition(":")
        # With --json, stdout holds the document and nothing that a library prints.
        with contextlib.redirect_stdout(stderr) if console.json else contextlib.nullcontext():
            result = getattr(import_module(module), name)(given, console)
        error = None
    except LorascopeError as problem:
        error = problem
    except KeyboardInterrupt:
        error = Interrupted("interrupted", "stopped; what was saved before is whole", "the same command again")
    except BrokenPipeError:
        raise
    except Exception as problem:
        error = _os_error(problem) or _bug(problem, given)
    return _end(verb, console, result, error)


def _verb(words: list[str]) -> tuple[Verb, list[str]]:
    """The verb and the words after it; flags without a verb mean run."""
    table = {v.name: v for v in VERBS}
    if words[0].startswith("-"):
        return table["run"], words
    if words[0] in table:
        return table[words[0]], words[1:]
    known = [v.name for v in VERBS if v.heading]
    guess = near(words[0], known)
    raise ConfigError(
        "unknown-verb",
        f"no verb {words[0]!r}; known: {', '.join(known)}",
        *([f"lorascope {guess}   (did you mean this?)"] if guess else []),
        "lorascope --help",
    )


def _before_end(words: list[str]) -> list[str]:
    return words[: words.index("--")] if "--" in words else words


def _asked_color(words: list[str]) -> Color:
    """What --color asks for, also where the rest of the command line is wrong."""
    asked: Color = "auto"
    for word, following in pairwise([*words, ""]):
        if word.startswith("--") and flag_name(word) == "color":
            value = word.partition("=")[2] if "=" in word else following
            if value == "always":
                asked = "always"
            elif value == "never":
                asked = "never"
    return asked


class _Bug(LorascopeError):
    """A bug of ours."""

    exit_code = 1


def _os_error(problem: Exception) -> LorascopeError | None:
    """What the operating system refuses is the user's to mend, wherever it happens."""
    refused = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)
    if not isinstance(problem, OSError) or problem.errno not in refused:
        return None
    where = f": {problem.filename}" if problem.filename else ""
    return RunError("refused-by-system", f"{problem.strerror}{where}", "--output_dir FOLDER")


def _bug(problem: Exception, given: Given | None) -> LorascopeError:
    """Save the trace into the output folder, or the temporary one, and name it."""
    import tempfile
    import time
    import traceback

    frames = traceback.extract_tb(problem.__traceback__)
    ours = [f for f in frames if Path(f.filename).is_relative_to(Path(__file__).parent)] or list(frames)
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    text = "".join(traceback.format_exception(problem))
    name = f"lorascope-trace-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    wanted = Path((given.get("output_dir") if given else None) or "results")
    for folder in (wanted, Path(tempfile.gettempdir()), Path()):
        with contextlib.suppress(OSError):
            if folder.is_dir():
                (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
                break
    else:
        folder = Path("nowhere")
    first = (str(problem).splitlines() or [""])[0][:200]
    return _Bug(
        "bug",
        f"{type(problem).__name__}: {first} at {place}; this is a mistake in lorascope",
        f"report this line and the file {folder / name}   (lorascope {__version__}, Python {sys.version.split()[0]})",
    )


def _end(verb: Verb | None, console: Console, result: Any, error: LorascopeError | None) -> int:
    """Print the error, or the document of `--json`; returns the exit code.

    Of several processes the first one prints the document; an error says which process it is from.
    """
    tries = (error.tries or (f"lorascope {verb.name if verb else ''} --help",)) if error else ()
    if console.json and console.rank == 0:
        document: dict[str, Any] = {"schema": SCHEMA, "verb": verb.name if verb else None}
        if error:
            document["error"] = {"code": error.code, "what": error.what, "try": list(tries)}
        else:
            document["result"] = _plain(result)
        document |= {"files": console.files, "warnings": console.warnings, "next": console.commands}
        write(console.stdout, json.dumps(document, indent=2, allow_nan=False) + "\n")
    if not error:
        return 0
    head = console.style(f"error[{error.code}]:", "red", console.stderr)
    head = f"process {console.rank}: {head}" if console.rank else head
    lines = [f"{head} {error.what}", *(f"  {_hint(text)}" for text in tries)]
    write(console.stderr, "\n".join(lines[:6]) + "\n")
    return error.exit_code


def _hint(text: str) -> str:
    return text if text.startswith("did you mean: ") else f"try: {text}"


def _plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses as objects, paths as text, numbers that are not finite as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
