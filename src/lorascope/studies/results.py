"""What the runs of a study came to: one table, with nothing in it that a repetition of a run would change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lorascope.analysis.hypotheses import Values
from lorascope.analysis.profiles import norms
from lorascope.report.terminal import short
from lorascope.runs import rundir
from lorascope.studies.design import Trial
from lorascope.studies.measures import MEASURES

PARQUET, CSV, LATEX = rundir.STUDY_TABLE, rundir.STUDY_CSV, rundir.STUDY_LATEX
GROUPS = ("attention", "mlp")
PER_PARAMETERS = 1000
"""Trained parameters that a knock-out is counted for."""
_TABLE = ("test_loss", "validation_loss", "trained_parameters")


def collect(trials: Sequence[Trial]) -> pd.DataFrame:
    """A row for each trial whose run is whole: task, arm, seed, stage, lr, steps, folder, config_hash and MEASURES.

    A measure that a run does not have is NaN. Cells of one configuration repeat its numbers. Metrics of generated
    answers, where runs were evaluated, follow as metric_NAME.
    """
    rows = [{**_about(trial), **measures(trial.folder, trial.early)} for trial in trials]
    first = [*_about(trials[0]), *MEASURES] if trials else [*MEASURES]
    frame = pd.DataFrame(rows)
    more = sorted(set(frame.columns) - set(first))
    return frame.reindex(columns=[*first, *more])


def measures(folder: Path, early: int) -> dict[str, float]:
    """The measures of a finished run, by the names in MEASURES; the steps up to `early` count as early."""
    results = rundir.read_json(folder / rundir.RESULTS)
    held_out = rundir.read_json(folder / rundir.HELD_OUT)
    weights = rundir.read_json(folder / rundir.GRADIENT_SUMMARY)["weights"]
    table = pd.read_parquet(folder / rundir.GRADIENT_TABLE)
    out: dict[str, float] = {
        "test_loss": held_out["tuned"],
        "base_test_loss": held_out["base"],
        "validation_loss": results["best_validation_loss"],
        "trained_parameters": float(results["parameters"]["trained"]),
    }
    gradients = table[table["score"] == "grad_sq"]
    for window, rows in (("early", gradients[gradients["step"] <= early]), ("whole", gradients)):
        for group in GROUPS:
            mine = rows[rows["group"] == group]
            if len(mine):
                raw = norms(mine, by=["step"])["value"]
                out[f"{window}_raw_{group}"] = float(raw.mean())
                out[f"{window}_free_{group}"] = scale_free(mine)
    for group in GROUPS:
        if group in weights["groups"]:
            out[f"update_{group}"] = weights["groups"][group]["update_over_base"]
        if group in held_out["without"]:
            lost = held_out["without"][group] - held_out["tuned"]
            out[f"knockout_{group}"] = lost / held_out["parameters"][group] * PER_PARAMETERS
    evaluation = folder / rundir.evaluation_name(results["dataset"])
    if evaluation.is_file():
        scores = rundir.read_json(evaluation)["metrics"]
        out |= {f"metric_{name}": score["value"] for name, score in scores.items()}
    return out


def scale_free(table: pd.DataFrame) -> float:
    """Mean over steps of the root mean square gradient of the frozen weights, as the gradients of B estimate it.

    With A as PEFT draws it (variance 1 / (3 in)), E|g_B|^2 = s^2 r |G|^2 / (3 in) for the gradient G of the frozen
    weight, s = alpha / r. So sqrt(sum over modules of 3 in |g_B|^2 / (s^2 r) / sum of in x out): free of rank, alpha,
    width and number of modules; nats/token. It holds early, while A is near its start. `table`: facts grad_sq.
    """
    a, b = (table[table["matrix"] == matrix].set_index(["step", "module"]) for matrix in ("A", "B"))
    wide = b.join(a[["numel"]].rename(columns={"numel": "numel_a"}))
    inputs, outputs = wide["numel_a"] / wide["r"], wide["numel"] / wide["r"]
    squares = 3 * inputs * wide["value"] / (wide["scaling"] ** 2 * wide["r"])
    sums = pd.DataFrame({"squares": squares, "size": inputs * outputs}).groupby(level="step").sum()
    return float(np.sqrt(sums["squares"] / sums["size"]).mean())


def values(frame: pd.DataFrame) -> Values:
    """The results of the main runs as verdicts take them."""
    out: dict[tuple[str, str, str], dict[int, float]] = {}
    runs = frame[frame["stage"] == "main"] if len(frame) else frame
    for row in runs.to_dict("records"):
        for measure in MEASURES:
            if row[measure] == row[measure]:
                out.setdefault((row["task"], row["arm"], measure), {})[int(row["seed"])] = float(row[measure])
    return out


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of a few measures, a row for each task and arm in the study's order."""
    rows = []
    main = frame[frame["stage"] == "main"]
    for (task, arm), mine in main.groupby(["task", "arm"], sort=False):
        row: dict[str, Any] = {"task": task, "arm": arm, "lr": mine["lr"].iloc[0]}
        row |= {"steps": int(mine["steps"].iloc[0]), "seeds": len(mine)}
        for name in _TABLE:
            row[name] = mine[name].mean()
            if name != "trained_parameters":
                row[f"{name}_sd"] = mine[name].std(ddof=1)
        rows.append(row)
    return pd.DataFrame(rows)


def write(frame: pd.DataFrame, folder: Path) -> list[Path]:
    """The table as Parquet and CSV, the means over seeds as LaTeX; each whole or not at all."""
    part = folder / f"{PARQUET}.part"
    with rundir.writing(folder):
        frame.to_parquet(part, index=False)
        os.replace(part, folder / PARQUET)
    rundir.write_text(folder / CSV, frame.to_csv(index=False))
    rundir.write_text(folder / LATEX, latex(summary(frame)) if len(frame) else "")
    return [folder / name for name in (PARQUET, CSV, LATEX)]


def latex(table: pd.DataFrame) -> str:
    """The summary as a LaTeX tabular (booktabs): mean and, in brackets, standard deviation over seeds."""
    lines = [r"\begin{tabular}{llrrrrr}", r"\toprule",
             r"task & arm & steps & seeds & parameters & test loss & validation loss \\", r"\midrule"]  # fmt: skip
    for row in table.to_dict("records"):
        spread = {name: f" ({short(row[f'{name}_sd'])})" if row["seeds"] > 1 else "" for name in _TABLE[:2]}
        cells = [
            str(row["task"]).replace("_", r"\_"),
            str(row["arm"]).replace("_", r"\_"),
            str(row["steps"]),
            str(row["seeds"]),
            f"{row['trained_parameters']:,.0f}",
            *(f"{row[name]:.4f}{spread[name]}" for name in _TABLE[:2]),
        ]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _about(trial: Trial) -> dict[str, Any]:
    return {
        "task": trial.task,
        "arm": trial.arm,
        "seed": trial.seed,
        "stage": trial.stage,
        "lr": trial.config.training.lr,
        "steps": trial.config.training.max_steps,
        "folder": trial.folder.name,
        "config_hash": trial.config.hash,
    }
