"""The folder of a GradientNormCallback in a Trainer of one's own as a source of a page: measured, but no run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lorascope.report import page_words
from lorascope.report.page_facts import FRAMES, curve, map_of_run
from lorascope.report.page_privacy import scrub
from lorascope.report.page_run import group_means, read_table
from lorascope.report.page_source import Source
from lorascope.report.run_summary import GROUP_WORDS
from lorascope.report.terminal import short
from lorascope.runs import rundir
from lorascope.runs.unfinished import log_so_far, newest_state


def is_own_training(folder: Path) -> bool:
    """Whether a callback measured into the folder, and no run of lorascope is there."""
    measured = (folder / rundir.GRADIENT_TABLE).is_file() or (folder / rundir.GRADIENT_JOURNAL).is_file()
    return measured and rundir.state(folder) == "foreign"


def own_source(folder: Path, *, frames: int = FRAMES) -> Source:
    """What a page shows of it, while it trains too. RunError for files that cannot be read.

    Losses and the adapter are those of the newest checkpoint, where the Trainer saves into the folder's `checkpoints`.
    """
    done = (folder / rundir.GRADIENT_TABLE).is_file()
    table = read_table(folder / rundir.GRADIENT_TABLE) if done else log_so_far(folder).table()
    state = newest_state(folder / rundir.CHECKPOINTS)
    adapter = _adapter(folder)
    facts = table[table["score"] == "grad_sq"]
    steps = int(facts["step"].max())
    model = str((adapter or {}).get("base_model_name_or_path") or "a model of one's own")
    counts = facts.drop_duplicates(["module", "matrix"]).groupby("group", observed=True)["numel"].sum()
    trained = int(counts.sum())
    logged = {name: [[entry["step"], entry[name]] for entry in state.get("log_history", ()) if name in entry]
              for name in ("loss", "eval_loss")}  # fmt: skip
    about = {
        "kind": "run",
        "state": "finished" if done else "unfinished",
        "name": folder.resolve().name,
        "dataset": "rows of one's own",
        "model": model,
        "line": f"a Trainer of one's own on {model}; {steps:,} steps measured{'' if done else ' so far'}",
        "row": {"task": "rows of one's own", "r": _range(facts, "r"), "steps": steps},
        "verdict": [*page_words.verdict_of_run({"status": "finished"}, {}, group_means(table), None, None),
                    *_loss(logged["loss"])],
        "sure": page_words.how_sure({}, None),
        "notes": page_words.notes({}, table, ()),
        "exports": page_words.adapter_exports(adapter, folder.resolve().name, trained) if adapter else [],
        "budget": [
            ["adapters", f"r = {_range(facts, 'r')}, alpha / r = {_range(facts, 'scaling')}"],
            ["trained", f"{trained:,} parameters in {facts['module'].nunique():,} modules"],
            *([GROUP_WORDS[str(group)], f"{int(count):,}"] for group, count in counts.items() if count),
        ],
        "losses": {"training": curve(logged["loss"], frames=frames),
                   "validation": curve(logged["eval_loss"], frames=frames), "best": state.get("best_global_step")},
        "phases": [],
        "evaluation": None,
        "facts": [["measured by", "GradientNormCallback"], page_words.model_row(model, None)],
    }  # fmt: skip
    return Source({**scrub(about), "samples": {"rows": [], "of": 0, "metrics": []}}, map_of_run(table, frames=frames))


def _adapter(folder: Path) -> Mapping[str, Any] | None:
    """adapter_config.json of the newest checkpoint that has one."""
    found = (folder / rundir.CHECKPOINTS).glob("checkpoint-*/adapter_config.json")
    files = sorted(found, key=lambda file: int(file.parent.name.rpartition("-")[2]))
    return rundir.read_json(files[-1]) if files else None


def _range(facts: pd.DataFrame, column: str) -> str:
    low, high = facts[column].min(), facts[column].max()
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _loss(logged: list[list[float]]) -> list[str]:
    if not logged:
        return []
    return [f"Training loss {short(logged[0][1])} -> {short(logged[-1][1])}, as the Trainer logged it."]
