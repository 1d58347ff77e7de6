"""One run as a source of a page: everything that the page shows of it, as plain data, read from its folder."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lorascope.errors import RunError
from lorascope.report import page_words
from lorascope.report.page_facts import FRAMES, curve, map_of_run
from lorascope.report.page_privacy import scrub, scrub_samples
from lorascope.report.page_source import Source
from lorascope.runs import rundir

SAMPLES = 200
"""Most samples of a page."""
TEXT = 4000
"""Most characters of a sample's text; a longer one is cut, and says so."""


def run_source(
    folder: Path,
    *,
    results: Mapping[str, Any] | None = None,
    table: pd.DataFrame | None = None,
    samples: int = SAMPLES,
    frames: int = FRAMES,
) -> Source:
    """What a page shows of a run.

    `results` and `table` stand in for results_summary.json and gradient_analysis.parquet of a run that is not finished;
    `samples` is the most examples to show, 0 for none. Raises RunError for files that cannot be read.
    """
    state = "finished" if results is None else str(results["status"])
    found: Mapping[str, Any] = rundir.read_json(folder / rundir.RESULTS) if results is None else results
    if table is None:
        table = read_table(folder / rundir.GRADIENT_TABLE)
    config = rundir.read_json(folder / rundir.CONFIG)
    evaluation = _if_there(folder / rundir.evaluation_name(_task_name(found)))
    base = _if_there(folder / rundir.BASE_EVALUATION)
    adapter = _if_there(folder / rundir.FINAL_MODEL / "adapter_config.json")
    environment = _if_there(folder / rundir.ENVIRONMENT) or {}
    model_map = map_of_run(table, frames=frames)
    log = _warnings(folder / rundir.LOG)
    about = {
        "kind": "run",
        "state": state,
        "name": str(found["run"]),
        "dataset": str(found["dataset"]),
        "model": str(found["model"]),
        "line": page_words.line_of_run(found, config, state),
        "row": page_words.row_of_run(found),
        "verdict": page_words.verdict_of_run(found, config, group_means(table), evaluation, base),
        "sure": page_words.how_sure(found, evaluation),
        "notes": page_words.notes(found, table, log),
        "exports": page_words.exports(adapter, found, config),
        "budget": page_words.budget(found, config),
        "losses": {
            "training": curve(found["training_loss"], frames=frames),
            "validation": curve(found["validation_loss"], frames=frames),
            "best": found.get("best_step"),
        },
        "phases": [[phase["start_step"], phase["end_step"], phase["name"]] for phase in found.get("phases") or ()],
        "evaluation": _evaluation(evaluation, base),
        "facts": page_words.facts(found, environment),
    }
    shown = scrub(about)
    shown["samples"] = scrub_samples(_samples(folder, evaluation, samples))
    return Source(shown, model_map)


def read_table(path: Path) -> pd.DataFrame:
    """A table of a run or a study, or a RunError that names the file."""
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise RunError("no-file", f"{path} is not there", "lorascope ls runs") from None
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise RunError("damaged-run", f"{path} cannot be read: {error}", "lorascope ls runs") from None


def _task_name(results: Mapping[str, Any]) -> str:
    """The name in the file of the evaluation: of data of one's own its provenance knows it."""
    training = (results.get("data") or {}).get("training") or {}
    return str(training.get("task") or results["dataset"])


def _if_there(file: Path) -> Any:
    return rundir.read_json(file) if file.is_file() else None


def _warnings(file: Path) -> list[str]:
    """The lines of log.txt that are warnings or errors, each once, without its time."""
    if not file.is_file():
        return []
    text = file.read_text(encoding="utf-8", errors="replace")
    said = re.findall(r"^\S+ \S+ (?:WARNING|ERROR|CRITICAL) (.*)$", text, re.M)
    return list(dict.fromkeys(said))


def group_means(table: pd.DataFrame) -> dict[str, float]:
    """Root of the mean square of each group's gradient, per parameter, over all finite steps."""
    facts = table[table["score"] == "grad_sq"]
    facts = facts[facts["finite"]]
    sums = facts.groupby("group", observed=True)[["value", "numel"]].sum()
    return {str(group): math.sqrt(row["value"] / row["numel"]) for group, row in sums.iterrows() if row["numel"]}


def _evaluation(evaluation: Mapping[str, Any] | None, base: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    before = base["metrics"] if base else {}
    return {
        "split": evaluation["split"],
        "n": evaluation["n"],
        "metrics": [
            {"name": name, "value": score["value"], "low": score["ci_low"], "high": score["ci_high"],
             "unit": score["unit"], "higher": score["higher_is_better"], "base": before.get(name, {}).get("value")}
            for name, score in evaluation["metrics"].items()
        ],
    }  # fmt: skip


def _samples(folder: Path, evaluation: Mapping[str, Any] | None, most: int) -> dict[str, Any]:
    """Up to `most` samples: half the worst by the first metric, the rest evenly spread over the others."""
    file = folder / rundir.SAMPLES
    if not file.is_file() or most < 1:
        return {"rows": [], "of": 0, "metrics": []}
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise RunError("damaged-run", f"{file} cannot be read: {error}", "lorascope ls runs") from None
    directions = {name: score["higher_is_better"] for name, score in (evaluation or {"metrics": {}})["metrics"].items()}
    names = [name for name in directions if any(_number(row, name) is not None for row in rows)]
    kept = _choice(rows, names[0] if names else None, directions, most)
    return {
        "of": len(rows),
        "metrics": [{"name": name, "higher": directions[name]} for name in names],
        "rows": [
            {
                "id": str(rows[i].get("id", i)),
                "prompt": _cut(rows[i].get("prompt")),
                "references": [_cut(text) for text in rows[i].get("references") or ()],
                "prediction": _cut(rows[i].get("prediction")),
                "scores": {name: _number(rows[i], name) for name in names},
            }
            for i in kept
        ],
    }


def _choice(
    rows: Sequence[Mapping[str, Any]], metric: str | None, directions: Mapping[str, bool], most: int
) -> list[int]:
    if len(rows) <= most:
        return list(range(len(rows)))
    sign = -1 if metric is not None and not directions[metric] else 1

    def badness(i: int) -> tuple[bool, float]:
        value = _number(rows[i], metric) if metric else None
        return (value is None, sign * value if value is not None else 0.0)

    order = sorted(range(len(rows)), key=badness)
    worst, others = order[: most // 2], sorted(order[most // 2 :])
    count = most - len(worst)
    spread = [others[i * len(others) // count] for i in range(count)]
    return sorted([*worst, *spread])


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = (row.get("scores") or {}).get(name)
    return float(f"{value:.5g}") if isinstance(value, (int, float)) and math.isfinite(value) else None


def _cut(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= TEXT else f"{text[:TEXT]} [... {len(text) - TEXT:,} more characters]"
