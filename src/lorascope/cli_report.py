"""What the verbs that make pages do: `report` and `watch`. No torch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from lorascope.cli_options import Option, screen_options
from lorascope.cli_split import Given
from lorascope.errors import ConfigError, RunError
from lorascope.report.terminal import Console
from lorascope.runs import rundir


def report_options() -> list[Option]:
    """The options of `lorascope report`."""
    return [
        Option(
            flag="output", kind="value", group="report", metavar="FILE", short="o",
            help="Write the page to this file, to be sent: without text of the data (default: report.html in the "
            "folder, or here for several folders).",
        ),
        Option(
            flag="samples", kind="value", group="report", metavar="INT",
            help="Show up to this many samples, prompts and answers included (default: 200 in the run's own folder, "
            "else 0).",
        ),
        Option(
            flag="surface", kind="switch", group="report",
            help="Also draw gradient_surface.png into each folder: step x layer x gradient in three dimensions.",
        ),
        *screen_options("json", "quiet"),
    ]  # fmt: skip


def watch_options() -> list[Option]:
    """The options of `lorascope watch`."""
    port = Option(
        flag="port", kind="value", group="watch", metavar="INT", help="Port on this machine (default: a free one)."
    )
    return [port, *screen_options("quiet")]


def report(given: Given, console: Console) -> Any:
    """`lorascope report FOLDER... [-o FILE]`"""
    folders = [Path(argument) for argument in given.arguments]
    output = None if given.get("output") is None else Path(given.get("output"))
    samples = _whole("samples", given.get("samples"), None)
    from lorascope.runs.pages import made

    path, text = made(folders, output, samples)
    if given.get("surface"):
        _surfaces(folders, console)
    console.saved(path)
    console.out(f"{len(text.encode()) / 1e6:.2f} MB, one file, works offline")
    if (output is not None or len(folders) > 1) and not samples:
        console.note("no text of the data inside (--samples 40 adds some)")
    console.next(shlex.join(["open", str(path)]))
    return {"file": str(path), "bytes": len(text.encode()), "sources": [str(folder) for folder in folders]}


def watch(given: Given, console: Console) -> Any:
    """`lorascope watch FOLDER`"""
    folder = Path(given.arguments[0])
    from lorascope.report.serve import serve
    from lorascope.runs.pages import known, text_of, version_of

    known(folder)
    port = _whole("port", given.get("port"), 0)
    serve(lambda live: text_of([folder], None, live=live), lambda: version_of(folder), port or 0, console)
    return None


def _surfaces(folders: list[Path], console: Console) -> None:
    import pandas as pd

    from lorascope.report.surface import draw_surface

    for folder in folders:
        if rundir.state(folder) != "finished":  # a profile has no steps
            raise RunError("no-run", f"{folder} holds no finished run; --surface draws its table", "lorascope ls runs")
        results = rundir.read_json(folder / rundir.RESULTS)
        figure = draw_surface(pd.read_parquet(folder / rundir.GRADIENT_TABLE), title=str(results["run"]))
        if figure is None:
            console.note(f"{folder} has no layers to draw a surface of")
            continue
        with rundir.writing(folder):
            figure.savefig(folder / f"{rundir.SURFACE}.png")
        console.saved(folder / f"{rundir.SURFACE}.png")


def _whole(flag: str, text: str | None, default: int | None) -> int | None:
    if text is None:
        return default
    if not text.isdigit():
        raise ConfigError("flag-value", f"--{flag} got {text!r}; it takes a whole number", f"--{flag} 40")
    return int(text)
