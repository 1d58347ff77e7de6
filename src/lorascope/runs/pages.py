"""Pages of folders, each alone or side by side: what the report verb, `watch` and `lorascope.report` make."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lorascope.analysis.compare import compare_runs
from lorascope.analysis.compare_profiles import compare_profiles
from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.errors import ConfigError, RunError
from lorascope.report.page import frames_for, page_of, samples_for, unpack, write_page
from lorascope.report.page_profile import pairs_of, profile_source
from lorascope.report.page_recommendation import is_recommendation, recommendation_page
from lorascope.report.page_run import SAMPLES, run_source
from lorascope.report.page_source import Source
from lorascope.report.page_study import is_study, study_page
from lorascope.runs import rundir
from lorascope.runs.own_trainer import is_own_training, own_source
from lorascope.runs.unfinished import so_far

DRAWN = 4
"""Most maps that a page draws side by side, and so most profiles that it compares cell by cell."""


@dataclass(frozen=True)
class Page:
    """A page that was written; a path for whatever takes one."""

    path: Path
    said: tuple[str, ...]
    """Its verdict, the answer first."""

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        """What a notebook shows: a link to the page, and what its first screen says."""
        first, *more = map(html.escape, self.said)
        link = f'<a href="{html.escape(self.path.as_posix())}" target="_blank">{html.escape(str(self.path))}</a>'
        return f"<div><p><strong>{first}</strong></p>{''.join(f'<p>{words}</p>' for words in more)}<p>{link}</p></div>"


def report(*folders: str | Path, output: str | Path | None = None, samples: int | None = None) -> Page:
    """Write the page of a run, a probe, a study or a recommendation, or of several runs and probes side by side.

    Without `output` the page of one folder is its report.html, that of several is report.html here. `samples` is the
    most rows of the data to show: 200 on a page inside its own run's folder, none on any other unless told. Errors:
    RunError for a folder that holds none of these.
    """
    paths = [Path(folder) for folder in folders]
    if not paths:
        raise RunError("no-run", "no folder was given", "lorascope ls runs")
    path, text = made(paths, None if output is None else Path(output), samples)
    return Page(path, tuple(unpack(text)[0]["verdict"]))


def made(folders: list[Path], output: Path | None, samples: int | None) -> tuple[Path, str]:
    """Write a page; returns its file and its text."""
    inside = output is None and len(folders) == 1
    path = output if output is not None else (folders[0] if inside else Path()) / rundir.REPORT
    if path.is_dir():
        raise ConfigError("flag-value", f"--output {path} is a folder", f"--output {path / rundir.REPORT}")
    text = text_of(folders, samples if samples is not None or inside else 0)
    with rundir.writing(path.parent):
        write_page(path, text)
    return path, text


def known(folder: Path) -> None:
    """Refuse a folder that holds no run, also none that has just begun."""
    found = rundir.state(folder)
    if found not in ("finished", "unfinished") and not is_own_training(folder):
        raise RunError("no-run", f"{folder} holds no run ({found})", "lorascope ls runs")


def _is_profile(folder: Path) -> bool:
    return (folder / rundir.PROFILE).is_file()


def text_of(folders: list[Path], samples: int | None, *, live: str = "") -> str:
    """The text of the page of some runs, finished or not, and profiles; of one study, or of one recommendation.

    `live` is the version of a page that is served.
    """
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
            known(folder)
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
        if is_own_training(folder):
            sources.append(own_source(folder, frames=frames))
            continue
        going = rundir.state(folder) == "unfinished"
        results, table = so_far(folder) if going else (None, None)
        sources.append(run_source(folder, results=results, table=table, samples=each, frames=frames))
    all_done = all(source.about["state"] == "finished" for source in sources)
    pairs = pairs_of(profiles) if len(profiles) <= DRAWN else []
    return page_of(sources, remarks=_remarks(folders, all_done=all_done), pairs=pairs, live=live)


def _remarks(folders: list[Path], *, all_done: bool) -> Sequence[str]:
    """What must be said over several folders, the verdicts first."""
    if len(folders) == 1:
        return ()
    if not all_done:
        return ("undecided: not all of these runs are finished",)
    if any(map(is_own_training, folders)):
        return ("undecided: a Trainer of one's own says neither its rows nor its seed",)
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


def version_of(folder: Path) -> str:
    """Changes when the run has gone on."""
    for name in (rundir.RESULTS, rundir.GRADIENT_SUMMARY, rundir.GRADIENT_JOURNAL):
        if (folder / name).is_file():
            found = (folder / name).stat()
            return f"{name} {found.st_size} {found.st_mtime_ns}"
    return "nothing yet"
