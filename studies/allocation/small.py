"""The study of allocations in small, a few minutes without network: `python studies/allocation/small.py`.

The model inside lorascope, generated rows, few steps and three seeds; everything else is study.py and plan.json: the
same stages, arms, choices and tables. It shows how the study goes and is no evidence about allocations.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import rows as records  # noqa: E402  (the modules beside the studies, which are no package)
import study  # noqa: E402

STAGES = ("screen", "lrs", "confirm")
STEPS = 12


def small(plan: dict[str, Any], *, steps: int = STEPS) -> dict[str, Any]:
    """The plan with other sizes, on the model inside lorascope and generated rows."""
    tasks = plan["screen"]["tasks"]
    sizes = {"seeds": plan["confirm"]["seeds"][:3], "steps": steps, "second_budget": []}
    return {
        **plan,
        "model": "embedded",
        "common": {
            **plan["common"],
            "model": {"model_id": "embedded"},
            "data": {"num_samples": 200, "validation_split": 0.2, "data_source": "builtin", "data_dir": None},
        },
        "held_out": {"validation": 32, "test": 48},
        "probe": {**plan["probe"], "batches": 12},
        "tasks": tasks,
        # What attention alone and MLP alone can both use up.
        "budgets": {"main": "like=attention_only+mlp_only:r=4"},
        "screen": {**plan["screen"], "lrs": [0.01], "seeds": [1], "steps": steps},
        "confirm": {**plan["confirm"], **sizes},
        "test": "as in plan.json, by Student's t: three seeds are too few to flip signs",
    }


def repeat(plan: dict[str, Any], folder: Path) -> list[str]:
    """Go through a small plan in an empty folder; returns the tables and contrasts."""
    file, lab = folder / "rows.jsonl", Path()  # nothing of the lab is read: the plan names model and rows
    made = study.make_ranks(plan, lab, folder / "allocations.json")
    study.go_through(plan, file, STAGES, lambda rows, run: study.measure(plan, lab, made, rows, run, file))
    return study.table(plan, records.read_rows(plan, file))


def main() -> None:
    plan = small(json.loads(study.PLAN.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        lines = repeat(plan, Path(folder))
    print("", *lines, "", f"A repetition in small, no evidence: a tiny model, generated rows, {STEPS} steps.", sep="\n")


if __name__ == "__main__":
    main()
