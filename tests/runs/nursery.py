"""Started once by test_interrupted_runs.py: imports everything, then forks a process for every run.

Reads lines of JSON {"argv", "out", "err", "meet"} and answers each with the process's number, then its exit status.
`meet` names what the run meets on its way: a function below.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import lorascope.runs.experiment as experiment
from lorascope import cli
from lorascope.training.trainer import ExperimentTrainer

evaluate, step = experiment.evaluate_examples, ExperimentTrainer.training_step


def nothing() -> None:
    """Nothing."""


def death_in_evaluation() -> None:
    """The process is killed when the evaluation has begun."""
    experiment.evaluate_examples = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)


def long_evaluation() -> None:
    """The evaluation takes half a minute longer."""

    def slow(*args, **kwargs):
        time.sleep(30)
        return evaluate(*args, **kwargs)

    experiment.evaluate_examples = slow


def long_step() -> None:
    """The third step takes half a minute longer."""

    def slow(self, *args, **kwargs):
        if self.state.global_step == 2:
            time.sleep(30)
        return step(self, *args, **kwargs)

    ExperimentTrainer.training_step = slow


def run(asked: dict) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    globals()[asked["meet"]]()
    code = 1
    try:
        code = cli.main(asked["argv"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    experiment.draw_run = lambda *args, **kwargs: {}  # pictures take half of a small run's time
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
