"""Rows of a study: one JSON line for each finished run, under the fingerprint of its plan, looked up before a run."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
LAB = Path(os.environ.get("LORASCOPE_LAB", ROOT.parent / "shared" / "lab"))

Run = dict[str, Any]
"""What identifies a run: its stage, task, arm, seed, ..."""


def fingerprint(plan: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]


def read_rows(plan: dict[str, Any], file: Path) -> list[dict[str, Any]]:
    """The rows so far; a last line that a kill cut off is dropped. SystemExit where they belong to another plan."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole, encoding="utf-8")
    rows = [json.loads(line) for line in whole.splitlines()]
    if any(row["plan"] != fingerprint(plan) for row in rows):
        raise SystemExit(f"{file} holds rows of another plan; a plan is not changed after its first run")
    return rows


def go_on(
    plan: dict[str, Any],
    file: Path,
    runs: Sequence[Run],
    measure: Callable[[Run], dict[str, Any]],
    *,
    deadline: float | None = None,
    limit: int | None = None,
    part: tuple[int, int] = (0, 1),
    root: Path = ROOT,
) -> int:
    """Measure the runs that have no row yet, in their order, each with its own line; returns how many are left.

    No run begins after `deadline` (time.monotonic()). `part` (i, n) takes every n-th run from the i-th on, for n jobs
    side by side; one job alone holds the lock of tools/alone.py while a run goes on.
    """
    done = [{key: row.get(key) for key in runs[0]} for row in read_rows(plan, file)] if runs else []
    left = [run for place, run in enumerate(runs) if place % part[1] == part[0] and run not in done]
    for number, run in enumerate(left[:limit]):
        if deadline is not None and time.monotonic() > deadline:
            return len(left) - number
        begun = time.perf_counter()
        if part[1] == 1:
            with FileLock(root / ".alone.lock"):
                found = measure(run)
        else:
            found = measure(run)
        row = {"plan": fingerprint(plan), **run, **found, "seconds": round(time.perf_counter() - begun, 1)}
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
        print(f"{number + 1} of {len(left)}  {' '.join(str(v) for v in run.values())}: {found}"[:150], flush=True)
    return max(0, len(left) - (limit if limit is not None else len(left)))
