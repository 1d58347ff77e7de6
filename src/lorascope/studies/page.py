"""A study's page: page.md with its verdicts and tables, and for each task the picture of the study, grad_norm_TASK.png.

Markdown, so that it can stand in docs/ as it is. Its last section is a summary in Korean, the language of the study
that all this began with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lorascope.analysis.hypotheses import Comparison, Contrast, Verdict
from lorascope.analysis.profiles import norms
from lorascope.report.study_plots import grad_norm
from lorascope.report.terminal import short
from lorascope.runs import rundir
from lorascope.studies.design import RUNS, WINDOW, Study
from lorascope.studies.measures import MEASURES
from lorascope.studies.results import summary

PAGE = "page.md"
GROUPS = ("attention", "mlp")
SIDES = {1: "as expected", -1: "the other way", 0: "undecided"}
EXPECTED = {
    "e2e_nlg": "MLP-only higher early, or about as high as attention-only",
    "samsum": "attention-only clearly higher than MLP-only",
}
"""The study's section 7, Expected Results."""
KOREAN = Path(__file__).with_name("words_ko.json")


def write_page(
    study: Study, table: pd.DataFrame, verdicts: Sequence[Verdict], folder: Path, command: str
) -> list[Path]:
    """Write the page and its pictures; returns their files. `command` is what makes it."""
    main = table[table["stage"] == "main"]
    pictures = {task: file for task in study.tasks if (file := _picture(study, main, task, folder))}
    lines = [
        f"# {study.name}",
        "",
        study.title,
        "",
        f"Made by `{command}`; the plan is in plan.json, every run in runs/.",
    ]
    lines += ["", "## Verdicts", ""]
    for verdict in verdicts:
        lines += _verdict(verdict)
    lines += ["## Runs", "", *_summary(table), ""]
    if pictures:
        lines += ["## Gradient norms", ""]
        lines += [f"![gradient norms of both groups on {task}]({file.name})\n" for task, file in pictures.items()]
        lines += [*_expected(verdicts, pictures), "", *_scales(verdicts), ""]
    lines += ["## Hypotheses as laid down", ""]
    for hypothesis in study.hypotheses:
        plan = hypothesis.to_dict()
        lines += [f"**{hypothesis.name}**: {hypothesis.claim}.", "", f"- estimand: {hypothesis.estimand}",
                  f"- window: {hypothesis.window}", f"- unit: {plan['unit_of_replication']}; test: {plan['test']}; "
                  f"correction: {plan['correction']}",
                  f"- smallest effect of interest: {_smallest(hypothesis.contrasts)}", ""]  # fmt: skip
    lines += _korean(study, main, verdicts)
    rundir.write_text(folder / PAGE, "\n".join(lines).rstrip() + "\n")
    return [folder / PAGE, *pictures.values()]


def _smallest(contrasts: Sequence[Contrast]) -> str:
    return ", ".join(dict.fromkeys(f"{c.smallest:g} {c.unit}" for c in contrasts))


def _verdict(verdict: Verdict) -> list[str]:
    lines = [f"**{verdict.name}: {verdict.outcome}.** {verdict.claim[0].upper()}{verdict.claim[1:]}.", ""]
    lines += ["| contrast | effect [95 %] | seeds, test | p, p (Holm) | |", "|---" * 5 + "|"]
    for part in verdict.parts:
        for c in part.comparisons:
            p = f"{c.p:.3g}, {c.adjusted:.3g}" if c.p == c.p else "-"
            sides = f"{p} | {SIDES[c.sign]}"
            lines.append(f"| {c.name} | {effect(c)} {c.unit} | {c.n}, {c.test} | {sides} |")
    return [*lines, "", *(f"- {remark}" for remark in verdict.remarks), ""]


def effect(c: Comparison) -> str:
    """An effect with its interval."""
    ends = f" [{c.ci_low:+.3g}, {c.ci_high:+.3g}]" if math.isfinite(c.ci_low) else ""
    return f"{c.effect:+.3g}{ends}"


def _summary(table: pd.DataFrame) -> list[str]:
    lines = [
        "| task | arm | lr | steps | seeds | trained parameters | test loss (sd) | validation loss (sd) |",
        "|---" * 8 + "|",
    ]
    for row in summary(table).to_dict("records"):
        each = [
            f"{row[name]:.4f}" + (f" ({short(row[f'{name}_sd'])})" if row["seeds"] > 1 else "")
            for name in ("test_loss", "validation_loss")
        ]
        counts = f"{row['steps']} | {row['seeds']} | {row['trained_parameters']:,.0f}"
        lines.append(f"| {row['task']} | {row['arm']} | {row['lr']:g} | {counts} | {each[0]} | {each[1]} |")
    return [*lines, "", f"Losses: {MEASURES['test_loss']}; sd over seeds."]


def _picture(study: Study, main: pd.DataFrame, task: str, folder: Path) -> Path | None:
    """grad_norm_TASK.png, where the study trains both groups apart, and to the end."""
    if task in study.early_only:
        return None
    runs = main[(main["task"] == task) & main["arm"].isin(GROUPS)]
    if set(runs["arm"]) != set(GROUPS):
        return None
    parts = []
    for run in runs.to_dict("records"):
        facts = pd.read_parquet(folder / RUNS / run["folder"] / rundir.GRADIENT_TABLE)
        view = norms(facts[facts["score"] == "grad_sq"], by=["step"])[["step", "value"]]
        parts.append(view.assign(group=run["arm"], seed=run["seed"]))
    table = pd.concat(parts, ignore_index=True)
    trained = {str(arm): int(mine["trained_parameters"].iloc[0]) for arm, mine in runs.groupby("arm")}
    steps = int(table["step"].max())
    title = f"{study.name}: Group A (attention) and Group B (MLP), {study.common.get('model', '')}"
    figure = grad_norm(table, trained, task=task, title=title, early=math.ceil(WINDOW * steps))
    file = folder / f"grad_norm_{task}.png"
    with rundir.writing(folder):
        figure.savefig(file)
    return file


def _expected(verdicts: Sequence[Verdict], pictures: object) -> list[str]:
    """The study's section 7 beside what came out."""
    found = {c.name: c for verdict in verdicts for part in verdict.parts for c in part.comparisons}
    rows = []
    for task, words in EXPECTED.items():
        ways = [found.get(f"{task}: {scale}") for scale in ("raw", "free")]
        if all(ways):
            cells = [f"{effect(c)}, {SIDES[c.sign]}" for c in ways if c]
            rows.append(f"| {task} | {words} | {cells[0]} | {cells[1]} |")
    if not rows:
        return []
    head = "| task | expected | found: raw norm, log of MLP / attention | found: per frozen weight, scale-free |"
    return ["### Expected against found", "", head, "|---|---|---|---|", *rows]


def _scales(verdicts: Sequence[Verdict]) -> list[str]:
    """Every part that is looked at in two ways, and whether these agree."""
    rows = []
    for verdict in verdicts:
        for part in verdict.parts:
            if len(part.comparisons) == 2:
                raw, free = part.comparisons
                agree = "opposite signs" if part.disagree else "the same sign"
                rows.append(f"| {verdict.name} | {part.name} | {effect(raw)} | {effect(free)} | {agree} |")
    if not rows:
        return []
    head = "| hypothesis | part | raw norm, log of a ratio | per frozen weight, scale-free | the two |"
    return ["### Raw norm against scale-free", "", head, "|---|---|---|---|---|", *rows]


def _korean(study: Study, main: pd.DataFrame, verdicts: Sequence[Verdict]) -> list[str]:
    words = json.loads(KOREAN.read_text(encoding="utf-8"))
    lines = [f"## {words['title']}", "", words["runs"].format(runs=len(main), seeds=len(study.seeds)), ""]
    for verdict in verdicts:
        claim = words["claims"].get(verdict.name, verdict.claim)
        lines.append(f"- **{verdict.name}: {words[verdict.outcome]}.** {claim}")
        for part in verdict.parts:
            for c in part.comparisons:
                found = words[SIDES[c.sign]]
                if not c.sign and c.would_decide:
                    found += f", {words['decide'].format(n=max(c.would_decide, c.n + 1))}"
                lines.append(f"  - {c.name}: {effect(c)} ({found})")
            if part.opposed:
                lines.append(f"  - {words['disagree'].format(part=part.name)}")
    return [*lines, "", words["note"]]
