"""A process that imports everything once and then forks the processes of runs, for tests that stop and kill them.

Reads lines of JSON {"argv", "folder", "meet", "processes", "port"}, answers each with the processes' numbers, and with
their exit codes when all have ended. What process N writes is in folder/outN.txt and folder/errN.txt. `meet` names what
the run meets on its way: a function below, with its arguments behind it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import torch

import lorascope.runs.experiment as experiment
from lorascope import DynamicLoRACallback, GradientNormCallback, cli
from lorascope.training.trainer import ExperimentTrainer

evaluate, step = experiment.evaluate_examples, ExperimentTrainer.training_step


def nothing() -> None:
    """Nothing."""


def death_in_evaluation() -> None:
    """The process is killed when the evaluation has begun."""
    experiment.evaluate_examples = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)


def death(moment: str, updates: str) -> None:
    """The process is killed in a hook of the phases or of the measurement, when so many updates are done."""
    owner = GradientNormCallback if moment in ("on_step_end", "on_save") else DynamicLoRACallback
    hook = getattr(owner, moment)

    def dying(self, args, state, control, **kwargs):
        hook(self, args, state, control, **kwargs)
        if state.global_step == int(updates):
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, moment, dying)


def keepsake(folder: str) -> None:
    """Each process keeps its adapters as they are after every step."""
    end = GradientNormCallback.on_step_end

    def keep(self, args, state, control, model=None, **kwargs):
        end(self, args, state, control, model=model, **kwargs)
        adapters = {name: p.detach().clone() for name, p in model.named_parameters() if "lora_" in name}
        torch.save(adapters, f"{folder}/{state.global_step}-{os.environ.get('RANK', '0')}.pt")

    GradientNormCallback.on_step_end = keep


def long_evaluation() -> None:
    """The evaluation takes half a minute longer."""

    def slow(*args, **kwargs):
        time.sleep(30)
        return evaluate(*args, **kwargs)

    experiment.evaluate_examples = slow


def slow_steps() -> None:
    """Every micro-batch takes a twentieth of a second longer: a toy's run would be over before a signal reaches it."""

    def slow(self, *args, **kwargs):
        time.sleep(0.05)
        return step(self, *args, **kwargs)

    ExperimentTrainer.training_step = slow


def long_step() -> None:
    """The third step takes half a minute longer."""

    def slow(self, *args, **kwargs):
        if self.state.global_step == 2:
            time.sleep(30)
        return step(self, *args, **kwargs)

    ExperimentTrainer.training_step = slow


def no_memory_in_the_second_process() -> None:
    """The second of two processes has no memory for its third step, while the first goes on."""

    def fail(self, *args, **kwargs):
        if os.environ["RANK"] == "1" and self.state.global_step == 2:
            raise MemoryError
        return step(self, *args, **kwargs)

    ExperimentTrainer.training_step = fail


def run(asked: dict, rank: int) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{asked['folder']}/{name}{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if asked["processes"] > 1:  # what a launcher sets
        size = str(asked["processes"])
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(asked["port"])}
    name, *arguments = asked["meet"].split()
    globals()[name](*arguments)
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
        asked = json.loads(line)
        children = []
        for rank in range(asked["processes"]):
            children.append(os.fork())
            if not children[-1]:
                run(asked, rank)
        print(*children, flush=True)
        print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children), flush=True)
