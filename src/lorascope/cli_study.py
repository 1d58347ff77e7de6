"""`lorascope study`: a grid of runs from a name or a file, in parallel, ending in verdicts."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorascope import __version__
from lorascope.cli_options import Option, screen_options, setting_options
from lorascope.cli_split import Given
from lorascope.errors import ConfigError, GateNotMet
from lorascope.report.terminal import Console, short
from lorascope.runs import rundir

if TYPE_CHECKING:
    from lorascope.studies.experiment import Execute, StudyRecord

NAMES = (
    "lora_sensitivity", "standard_comparison", "dynamic_sensitivity", "rank_comparison", "hypothesis_3",
    "controlled_pair",
)  # fmt: skip
EXECUTORS = ("local", "ray")
_NOT_OF_A_STUDY = ("dataset", "seed", "target", "allocation", "experiment_name", "output_dir", "overwrite")


def study_options() -> list[Option]:
    """The options of `lorascope study`."""

    def value(flag: str, metavar: str, text: str, **more: Any) -> Option:
        return Option(flag=flag, kind="value", group="study", metavar=metavar, help=text, **more)

    settings = [o for o in setting_options() if o.flag not in _NOT_OF_A_STUDY]
    return [
        Option(
            flag="plan", kind="switch", group="study",
            help="Show grid, budgets, time, disk and the differences that the seeds can see; start nothing.",
        ),
        value("jobs", "INT", "Runs at a time (default: one for each GPU, or for two cores)."),
        value("executor", "NAME", "Where runs are made: local processes, or a Ray cluster (default: local).",
              choices=EXECUTORS),
        Option(flag="seeds", kind="values", group="study", metavar="INT", help="Seeds (default: the study's, 1 to 5)."),
        value("require", "WHAT", "End with exit code 3 unless every hypothesis is decided.", choices=("decided",)),
        *setting_options(("output_dir",)),
        *settings,
        *screen_options("json", "quiet", "verbose"),
    ]  # fmt: skip


def study(given: Given, console: Console) -> Any:
    """`lorascope study NAME|FILE`"""
    console.note(f"lorascope {__version__}  study {given.arguments[0]}")
    from lorascope.studies.design import with_settings
    from lorascope.studies.reading import find_study

    chosen = with_settings(find_study(given.arguments[0]), _settings(given), _seeds(given))
    folder = Path(given.get("output_dir", "results")) / chosen.name
    jobs = _jobs(given)
    if given.get("plan"):
        from lorascope.studies.local import slots
        from lorascope.studies.planning import plan_study

        found = plan_study(chosen, folder, len(slots(jobs)), console)
        console.next(given.without("plan"))
        return found
    from lorascope.report.page_study import write_study_page
    from lorascope.studies.experiment import run_study
    from lorascope.studies.page import write_page

    record = run_study(chosen, folder, _executor(given, jobs), console)
    shown = _show(record, console)
    command = given.without("quiet", "json")
    rundir.write_text(folder / rundir.STUDY_COMMAND, f"{command}\n")
    files = write_page(chosen, record.table, record.verdicts, folder, command)
    files.append(write_study_page(folder))
    console.saved(folder, *files)
    console.next(shlex.join(["open", str(folder / rundir.REPORT)]), given.without("plan") + " --plan")
    undecided = [verdict.name for verdict in record.verdicts if verdict.outcome == "undecided"]
    if given.get("require") and undecided:
        raise GateNotMet(
            "undecided",
            f"not decided: {', '.join(undecided)}",
            f"more seeds: --seeds, with --output_dir OTHER; {folder}",
        )
    return shown


def _settings(given: Given) -> dict[str, str | bool]:
    return {flag: value for flag, value in given.settings.items() if flag != "output_dir"}


def _seeds(given: Given) -> tuple[int, ...] | None:
    words = given.get("seeds")
    if words is None:
        return None
    if not all(word.isdecimal() for word in words):
        raise ConfigError("flag-value", f"--seeds got {' '.join(words)!r}; it takes whole numbers", "--seeds 1 2 3 4 5")
    return tuple(int(word) for word in words)


def _jobs(given: Given) -> int | None:
    text = given.get("jobs")
    if text is None:
        return None
    if not text.isdecimal() or not int(text):
        raise ConfigError("flag-value", f"--jobs got {text!r}; it takes a positive whole number", "--jobs 2")
    return int(text)


def _executor(given: Given, jobs: int | None) -> Execute:
    if given.get("executor") == "ray":
        from lorascope.studies.on_ray import run_on_ray

        return lambda trials, logs, progress: run_on_ray(trials, jobs, logs, progress)
    from lorascope.studies.local import run_local, slots

    return lambda trials, logs, progress: run_local(trials, slots(jobs), logs, progress)


def _show(record: StudyRecord, console: Console) -> dict[str, Any]:
    """Means over seeds, then the verdicts."""
    from lorascope.studies.results import summary

    rows = summary(record.table).to_dict("records")
    console.table(
        ["task", "arm", "lr", "steps", "seeds", "parameters", "test loss", "sd over seeds"],
        [
            [row["task"], row["arm"], f"{row['lr']:g}", row["steps"], row["seeds"], int(row["trained_parameters"]),
             row["test_loss"], row["test_loss_sd"] if row["seeds"] > 1 else None]
            for row in rows
        ],
    )  # fmt: skip
    console.out("")
    for verdict in record.verdicts:
        console.out(f"{verdict.name}: {console.style(verdict.outcome, 'bold')}   {verdict.claim}")
        for part in verdict.parts:
            for c in part.comparisons:
                ends = f"[{short(c.ci_low)}, {short(c.ci_high)}]" if c.n > 2 else "no interval"
                side = {1: "as expected", -1: "the other way", 0: "undecided"}[c.sign]
                console.out(f"  {c.name:<44} {side:<13} {c.effect:+.3g} {ends} {c.unit}, {c.n} seeds, {c.test}")
        console.out(*(f"  {remark}" for remark in verdict.remarks))
    return {
        "folder": str(record.folder),
        "runs": len(record.table),
        "verdicts": [verdict.to_dict() for verdict in record.verdicts],
        "summary": rows,
    }
