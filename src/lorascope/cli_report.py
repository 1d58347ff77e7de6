"""What the verbs that make pages do: `report` and `watch`. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lorascope.cli_options import Option, screen_options
from lorascope.cli_split import Given
from lorascope.errors import ConfigError, RunError
from lorascope.report.terminal import Console
from lorascope.runs import rundir

DRAWN = 4
"""Most maps that a page draws side by side, and so most profiles that it compares cell by cell."""


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
    output = given.get("output")
    inside = output is None and len(folders) == 1
    path = Path(output) if output is not None else (folders[0] if inside else Path()) / rundir.REPORT
    if path.is_dir():
        raise ConfigError("flag-value", f"--output {path} is a folder", f"--output {path / rundir.REPORT}")
    samples = _whole("samples", given.get("samples"), None if inside else 0)
    text = _page(folders, samples)
    from lorascope.report.page import write_page

    with rundir.writing(path.parent):
        write_page(path, text)
    if given.get("surface"):
        _surfaces(folders, console)
    console.saved(path)
    console.out(f"{len(text.encode()) / 1e6:.2f} MB, one file, works offline")
    if not inside and not samples:
        console.note("no text of the data inside (--samples 40 adds some)")
    console.next(shlex.join(["open", str(path)]))
    return {"file": str(path), "bytes": len(text.encode()), "sources": [str(folder) for folder in folders]}


def watch(given: Given, console: Console) -> Any:
    """`lorascope watch FOLDER`"""
    folder = Path(given.arguments[0])
    _known(folder)
    port = _whole("port", given.get("port"), 0)
    from lorascope.report.serve import serve

    serve(lambda live: _page([folder], None, live=live), lambda: _version(folder), port or 0, console)
    return None


def _known(folder: Path) -> None:
    """Refuse a folder that holds no run, also none that has just begun."""
    found = rundir.state(folder)
    if found not in ("finished", "unfinished"):
        raise RunError("no-run", f"{folder} holds no run ({found})", "lorascope ls runs")


def _is_profile(folder: Path) -> bool:
    return (folder / rundir.PROFILE).is_file()


def _page(folders: list[Path], samples: int | None, *, live: str = "") -> str:
    """The page of some runs, finished or not, and profiles."""
    from lorascope.analysis.sensitivity import SensitivityProfile
    from lorascope.report.page import frames_for, page_of, samples_for
    from lorascope.report.page_profile import pairs_of, profile_source
    from lorascope.report.page_recommendation import is_recommendation, recommendation_page
    from lorascope.report.page_run import SAMPLES, run_source
    from lorascope.report.page_source import Source
    from lorascope.report.page_study import is_study, study_page
    from lorascope.runs.unfinished import so_far

    studies = [folder for folder in folders if is_study(folder)]
    if studies and len(folders) > 1:
        what = f"{studies[0]} holds a study, which has a page of its own"
        raise RunError("no-run", what, f"lorascope report {studies[0]}", f"lorascope report {studies[0]}/runs/*")
    if studies:
        return study_page(studies[0])
    recommended = [folder for folder in folders if is_recommendation(folder)]
    if recommended and len(folders) > 1:
        what = f"{recommended[0]} holds a recommendation, which has a page of its own"
        raise RunError("no-run", what, f"lorascope report {recommended[0]}")
    if recommended:
        return recommendation_page(recommended[0])
    for folder in folders:
        if not _is_profile(folder):
            _known(folder)
    each = samples_for(len(folders), SAMPLES if samples is None else samples)
    frames = frames_for(len(folders))
    sources: list[Source] = []
    profiles: list[tuple[int, SensitivityProfile]] = []
    for folder in folders:
        if _is_profile(folder):
            profile = SensitivityProfile.load(folder)
            profiles.append((len(sources), profile))
            sources.append(profile_source(folder, profile))
            continue
        going = rundir.state(folder) == "unfinished"
        results, table = so_far(folder) if going else (None, None)
        sources.append(run_source(folder, results=results, table=table, samples=each, frames=frames))
    all_done = all(source.about["state"] == "finished" for source in sources)
    pairs = pairs_of(profiles) if len(profiles) <= DRAWN else []
    return page_of(sources, remarks=_remarks(folders, all_done=all_done), pairs=pairs, live=live)


def _remarks(folders: list[Path], *, all_done: bool) -> Sequence[str]:
    """What must be said over several folders, the verdicts first."""
    from lorascope.analysis.compare import compare_runs
    from lorascope.analysis.compare_profiles import compare_profiles

    if len(folders) == 1:
        return ()
    if not all_done:
        return ("undecided: not all of these runs are finished",)
    profiles = [folder for folder in folders if _is_profile(folder)]
    if not profiles:
        return compare_runs(folders).remarks
    if len(profiles) == len(folders):
        found = compare_profiles(folders)
        names = {side.name: f"{side.dataset} ({side.name})" for side in found.sides}
        pairs = [replace(pair, first=names[pair.first], second=names[pair.second]) for pair in found.contrasts]
        return (*map(str, pairs), *found.remarks)
    return (
        "a probe reads the gradient of the weights before training, a run that of its adapters: only alike compares",
    )


def _version(folder: Path) -> str:
    """Changes when the run has gone on."""
    for name in (rundir.RESULTS, rundir.GRADIENT_JOURNAL):
        if (folder / name).is_file():
            found = (folder / name).stat()
            return f"{name} {found.st_size} {found.st_mtime_ns}"
    return "nothing yet"


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
