"""A study as one page, from its folder alone: verdicts with intervals first, what would decide them, the evidence."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lorascope.analysis import paired
from lorascope.analysis.profiles import NORMALISATIONS, Normalise, norms
from lorascope.errors import RunError
from lorascope.report.page import render, write_page
from lorascope.report.page_facts import curve
from lorascope.report.page_privacy import scrub
from lorascope.report.page_run import read_table
from lorascope.report.page_words import data_rows, environment_rows, model_row
from lorascope.runs import rundir

FRAMES = 120
"""Most points of a curve: a study has one for every run."""
IN_HEAD = 2
"""Contrasts of a hypothesis that the head of the page names with their intervals."""
FEW = 2
"""Most hypotheses whose claims stand in the head, too."""
LOSSES = ("test_loss", "validation_loss")
SIDES = {1: "as expected", -1: "the other way", 0: "undecided"}
SCALES: dict[Normalise, str] = {
    "raw": "gradient norm, L2 (nats per token)",
    "rms": "gradient per trained parameter, RMS (nats per token)",
}
"""Normalisation -> axis of the curves."""

Row = Mapping[str, Any]
Point = tuple[int, float | None]
"""A step and a value; None was not finite."""


def is_study(folder: Path) -> bool:
    """Whether a folder is that of a study, judged or not."""
    return (folder / rundir.STUDY_PLAN).is_file() and (folder / rundir.STUDY_RUNS).is_dir()


def write_study_page(folder: Path) -> Path:
    """Write report.html into the folder of a study."""
    return write_page(folder / rundir.REPORT, study_page(folder))


def study_page(folder: Path) -> str:
    """The page of a study. RunError where it is not judged yet or a file cannot be read."""
    if not (folder / rundir.STUDY_VERDICTS).is_file():
        raise RunError("no-run", f"{folder} holds a study that is not finished", "the same `lorascope study` again")
    plan = rundir.read_json(folder / rundir.STUDY_PLAN)
    verdicts = rundir.read_json(folder / rundir.STUDY_VERDICTS)
    table = read_table(folder / rundir.STUDY_TABLE)
    main = table[table["stage"] == "main"]
    records = {str(name): rundir.read_json(_run(folder, name) / rundir.RESULTS) for name in main["folder"].unique()}
    gradients = _gradients(folder, main)
    content = scrub(
        {
            "name": str(plan["name"]),
            "title": str(plan["title"]),
            "verdicts": [_verdict(found, _laid_down(plan, found["name"])) for found in verdicts],
            "arms": _arms(main, records),
            "budget": _budget(plan, main, records),
            "groups": _groups(main, gradients),
            "curves": _curves(main, gradients),
            "losses": _losses(main, records),
            "scales": {name: NORMALISATIONS[name] for name in SCALES},
            "runs": _runs(table),
            "notes": _notes(plan, main, records),
            "exports": _exports(folder, verdicts),
            "facts": _facts(folder, plan, main, records),
        }
    )
    models = sorted({str(record["model"]) for record in records.values()})
    count = len(table["folder"].unique())
    head = {
        "title": content["name"],
        "about": scrub(f"{plan['title']} {count:,} runs on {', '.join(models)}"),
        "verdict": scrub(head_of(verdicts)),
        "sure": _sure(plan),
    }
    return render({**head, "live": "", "study": content, "sources": []})


def head_of(verdicts: Sequence[Row]) -> list[str]:
    """Sentences, the answer first: the outcomes, then each hypothesis; of many, without the claims that stand below."""
    if not verdicts:
        return ["No hypothesis was laid down: the runs stand side by side, and nothing is decided."]
    outcomes = dict.fromkeys(str(found["outcome"]) for found in verdicts)
    each = {outcome: [str(found["name"]) for found in verdicts if found["outcome"] == outcome] for outcome in outcomes}
    said = " ".join(f"{outcome.capitalize()}: {'; '.join(names)}." for outcome, names in each.items())
    return [said, *(_sentence(found, few=len(verdicts) <= FEW) for found in verdicts)]


def _sentence(found: Row, *, few: bool) -> str:
    comparisons = _comparisons(found)
    shown = comparisons[: IN_HEAD if few else 1]
    said = "; ".join(f"{c['name']} {_effect(c)} ({SIDES[c['sign']]})" for c in shown)
    more = f"; {len(comparisons) - len(shown)} more below" if len(comparisons) > len(shown) else ""
    claim = str(found["claim"]).rstrip(".")
    return f"{found['name']}, {found['outcome']}: {f'{claim}. ' if few else ''}{said}{more}."


def _effect(c: Row) -> str:
    if c["effect"] is None:
        return "not measured"
    if c["ci_low"] is None or c["ci_high"] is None:
        return f"{c['effect']:+.3g}, no interval"
    return f"{c['effect']:+.3g} [{c['ci_low']:+.3g}, {c['ci_high']:+.3g}]"


def _comparisons(found: Row) -> list[Row]:
    return [c for part in found["parts"] for c in part["comparisons"]]


def _laid_down(plan: Row, name: str) -> Row:
    return next(laid for laid in plan["hypotheses"] if laid["name"] == name)


def _verdict(found: Row, laid: Row) -> dict[str, Any]:
    keys = ("name", "effect", "ci_low", "ci_high", "n", "test", "p", "adjusted", "expect", "sign", "smallest", "unit",
            "would_decide")  # fmt: skip
    return {
        "name": found["name"],
        "outcome": found["outcome"],
        "claim": found["claim"],
        "contrasts": [{key: c[key] for key in keys} | {"side": SIDES[c["sign"]]} for c in _comparisons(found)],
        "remarks": list(found["remarks"]),
        "laid": [
            ["estimand", laid["estimand"]],
            ["window", laid["window"]],
            ["unit of replication", laid["unit_of_replication"]],
            ["test", laid["test"]],
            ["correction", laid["correction"]],
        ],
    }


def _arms(main: pd.DataFrame, records: Mapping[str, Row]) -> list[dict[str, Any]]:
    """Mean over seeds of the losses of every cell, with the interval of each mean; not those of differences."""
    out = []
    for (task, arm), mine in main.groupby(["task", "arm"], sort=False):
        steps = records[str(mine["folder"].iloc[0])]["steps"]
        row: dict[str, Any] = {"task": str(task), "arm": str(arm), "lr": float(mine["lr"].iloc[0]), "steps": steps,
                               "seeds": len(mine)}  # fmt: skip
        for name in LOSSES:
            values = mine[name].dropna().to_numpy(dtype=float)
            low, high = paired.interval(values)
            row[name] = [float(values.mean()) if len(values) else None, low, high]
        out.append(row)
    return out


def _budget(plan: Row, main: pd.DataFrame, records: Mapping[str, Row]) -> list[list[Any]]:
    """Arm, its settings, then parameters asked for, used and trained, as its first run has them."""
    out = []
    for arm, mine in main.groupby("arm", sort=False):
        record = records[str(mine["folder"].iloc[0])]
        budget = record.get("budget") or {}
        settings = " ".join(f"--{flag} {value}" for flag, value in plan["arms"][str(arm)].items())
        trained = record["parameters"]["trained"]
        out.append([str(arm), settings or "as all runs", budget.get("asked"), budget.get("used"), trained])
    return out


def _gradients(folder: Path, main: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Folder of a run -> its squared gradients."""
    out = {}
    for name in map(str, main["folder"].unique()):
        facts = read_table(_run(folder, name) / rundir.GRADIENT_TABLE)
        out[name] = facts[facts["score"] == "grad_sq"]
    return out


def _groups(main: pd.DataFrame, gradients: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Arm -> the group of which all its adapters are, "" for more than one."""
    out = {}
    for arm, mine in main.groupby("arm", sort=False):
        groups = gradients[mine["folder"].iloc[0]]["group"].astype(str).unique()
        out[str(arm)] = str(groups[0]) if len(groups) == 1 else ""
    return out


def _curves(main: pd.DataFrame, gradients: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """For every task and scale the gradient norm of each arm's adapters: the mean over seeds, and each seed."""
    out = []
    for task, runs in main.groupby("task", sort=False):
        for scale, axis in SCALES.items():
            lines = []
            for arm, mine in runs.groupby("arm", sort=False):
                views = [norms(gradients[name], by=["step"], normalise=scale) for name in mine["folder"]]
                each = [[(int(step), _finite(value)) for step, value in zip(view["step"], view["value"], strict=True)]
                        for view in views]  # fmt: skip
                lines.append(_line(str(arm), [int(seed) for seed in mine["seed"]], each))
            out.append({"task": str(task), "scale": scale, "unit": axis, "lines": lines})
    return out


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _losses(main: pd.DataFrame, records: Mapping[str, Row]) -> list[dict[str, Any]]:
    """The same of the validation loss."""
    out = []
    for task, runs in main.groupby("task", sort=False):
        lines = []
        for arm, mine in runs.groupby("arm", sort=False):
            each = [[(int(step), loss) for step, loss in records[name]["validation_loss"]] for name in mine["folder"]]
            lines.append(_line(str(arm), [int(seed) for seed in mine["seed"]], each))
        out.append({"task": str(task), "lines": lines})
    return out


def _line(arm: str, seeds: Sequence[int], each: Sequence[Sequence[Point]]) -> dict[str, Any]:
    """The mean over seeds at the steps that all of them have, and the seeds; at most FRAMES points, by block means."""
    steps = sorted(set.intersection(*({step for step, _ in points} for points in each)))
    known = [dict(points) for points in each]
    means: list[Point] = []
    for step in steps:
        values = [found[step] for found in known]
        there = [value for value in values if value is not None]
        means.append((step, math.fsum(there) / len(there) if len(there) == len(values) else None))
    return {
        "arm": arm,
        "mean": curve(means, frames=FRAMES),
        "seeds": [[seed, curve(points, frames=FRAMES)] for seed, points in zip(seeds, each, strict=True)],
    }


def _runs(table: pd.DataFrame) -> list[list[Any]]:
    """A row for each run: what it is, what it came to, its folder, the hash of its configuration."""
    return [
        [row["task"], row["arm"], str(row["seed"]), row["stage"], row["lr"], *(row[name] for name in LOSSES),
         row["trained_parameters"], row["folder"], row["config_hash"]]
        for row in table.to_dict("records")
    ]  # fmt: skip


def _notes(plan: Row, main: pd.DataFrame, records: Mapping[str, Row]) -> list[str]:
    """What must be known before a verdict is believed: of the plan, of the runs, each said once."""
    said = []
    tried = sorted(map(float, plan["lrs"]))
    if len(tried) > 1:
        ends = main[main["lr"].isin([tried[0], tried[-1]])]
        cells = list(dict.fromkeys(f"{row['task']} {row['arm']}" for row in ends.to_dict("records")))
        if cells:
            said.append(f"the best learning rate is the smallest or largest that was tried: {', '.join(cells)}")
    if ended := plan.get("early_only"):
        said.append(f"runs of {', '.join(ended)} end with the early window: their losses are of a few steps")
    for arm, mine in main.groupby("arm", sort=False):
        counts = sorted({int(count) for count in mine["trained_parameters"]})
        if len(counts) > 1:
            said.append(f"arm {arm} trains {' or '.join(f'{count:,}' for count in counts)} parameters")
    times: dict[str, int] = {}
    for record in records.values():
        for note in dict.fromkeys(record.get("notes") or ()):
            times[note] = times.get(note, 0) + 1
    return said + [f"{note} ({count} of {len(records)} runs)" for note, count in times.items()]


def _exports(folder: Path, verdicts: Sequence[Row]) -> list[dict[str, str]]:
    """What can be copied: the command, the verdicts, the table over seeds for a paper."""
    texts = {"verdicts": json.dumps(list(verdicts), indent=2)}
    for label, name in (("command", rundir.STUDY_COMMAND), ("LaTeX", rundir.STUDY_LATEX), ("CSV", rundir.STUDY_CSV)):
        if (folder / name).is_file():
            texts[label] = (folder / name).read_text(encoding="utf-8").rstrip("\n")
    order = [label for label in ("command", "verdicts", "LaTeX", "CSV") if label in texts]
    return [{"label": label, "text": texts[label]} for label in order]


def _facts(folder: Path, plan: Row, main: pd.DataFrame, records: Mapping[str, Row]) -> list[list[str]]:
    """Where the numbers come from; model, versions and device as the first run has them."""
    first = str(main["folder"].iloc[0])
    file = _run(folder, first) / rundir.ENVIRONMENT
    environment = rundir.read_json(file) if file.is_file() else {}
    record = records[first]
    rows = [["lorascope", str(record.get("lorascope") or "")], ["plan, SHA-256", _digest(plan)]]
    rows.append(model_row(record["model"], record.get("model_revision")))
    for task, mine in main.groupby("task", sort=False):
        for which, data in (records[str(mine["folder"].iloc[0])].get("data") or {}).items():
            rows += data_rows(f"{task} {which}", data)
    seconds = sum((found.get("seconds") or {}).get("total", 0.0) for found in records.values())
    if seconds:
        rows.append(["seconds of all main runs", f"{seconds:,.0f}"])
    return rows + environment_rows(environment)


def _digest(plan: Row) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _sure(plan: Row) -> list[str]:
    """What the numbers can bear: the first sentence is short, the others explain it."""
    n = len(plan["seeds"])
    return [
        f"{n} seed{'s' * (n > 1)}, paired",
        "The seed is the unit of replication: every contrast is a difference of runs of one seed, and its interval is "
        "95 % over seeds, of this contrast alone. Verdicts use p corrected by Holm over all contrasts of a hypothesis.",
        f"Hypotheses, tests and smallest effects of interest were laid down before the first run. Test with {n} seeds: "
        f"{paired.test_of(n)}.",
        "They are about this model, these rows and these settings; other models need runs of their own.",
    ]


def _run(folder: Path, name: object) -> Path:
    return folder / rundir.STUDY_RUNS / str(name)
