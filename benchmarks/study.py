"""What a study costs beside its runs: `python benchmarks/study.py [--runs 6] [--steps 20] [--repeats 3]`.

The same runs of the embedded model three ways, round by round, each time into a new folder:
  bare      one process that makes them one after another, losses on test rows included: the least there can be
  1 job     the same runs by `lorascope study`'s executor, one worker
  2 jobs    two workers, each with its share of the cores
Seconds are of the whole, imports included, since a worker imports once, as the bare process does. Overhead is 1 job
over bare, speed-up 1 job over 2 jobs; medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lorascope.config.load import to_json
from lorascope.report.terminal import Console
from lorascope.studies.builtin import controlled_pair
from lorascope.studies.design import Choices, Trial, main_trials, with_settings
from lorascope.studies.local import run_local, slots
from lorascope.studies.view import Progress

BARE = """
import json, sys
from lorascope.config.load import from_json
from lorascope.report.terminal import Console
from lorascope.studies.work import work
with open(sys.argv[1], "w") as log:
    for text in json.load(sys.stdin):
        work(from_json(text), console=Console(stdout=log, stderr=log))
"""


def trials_of(runs: int, steps: int, folder: Path) -> list[Trial]:
    seeds = tuple(range(1, -(-runs // 4) + 1))
    study = with_settings(controlled_pair(), {"max_steps": str(steps)}, seeds)
    return main_trials(study, folder, Choices())[:runs]


def bare(trials: list[Trial], folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", BARE, str(folder / "log.txt")], input=json.dumps([to_json(t.config) for t in trials]),
        capture_output=True, text=True, check=True, env={**os.environ, **slots(1)[0]},
    )  # fmt: skip


def studied(trials: list[Trial], folder: Path, jobs: int) -> None:
    failures = run_local(trials, slots(jobs), folder / "logs", Progress(Console(quiet=True), len(trials), 0, "runs"))
    assert not failures, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "study.json")
    options = parser.parse_args()
    arms = {
        "bare": bare,
        "1 job": lambda trials, folder: studied(trials, folder, 1),
        "2 jobs": lambda trials, folder: studied(trials, folder, 2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(options.repeats):
        for name, make in arms.items():
            with tempfile.TemporaryDirectory() as folder:
                trials = trials_of(options.runs, options.steps, Path(folder))
                begun = time.perf_counter()
                make(trials, Path(folder))
                seconds[name].append(time.perf_counter() - begun)
            print(f"{name:<7} {seconds[name][-1]:7.1f} s for {options.runs} runs of {options.steps} steps", flush=True)
    median = {name: statistics.median(found) for name, found in seconds.items()}
    overhead, gain = median["1 job"] / median["bare"] - 1, median["1 job"] / median["2 jobs"]
    print(f"overhead of a study {overhead:+.1%}; 2 jobs against 1: {gain:.2f} times as fast")
    row = {"runs": options.runs, "steps": options.steps, "seconds": seconds, "overhead": overhead, "speed_up": gain}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(row | {"cores": len(os.sched_getaffinity(0))}, indent=1) + "\n")


if __name__ == "__main__":
    main()
