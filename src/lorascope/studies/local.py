"""Runs in parallel on this machine: warm worker processes, one run at a time in each.

A run that fails is tried once more, from nothing; a worker that dies takes its run with it, and both are replaced.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorascope.config.load import to_json
from lorascope.errors import Interrupted
from lorascope.studies.design import Trial
from lorascope.studies.view import Progress, Seen
from lorascope.studies.worker import command

ATTEMPTS = 2
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class Failure:
    """A run that failed twice."""

    trial: Trial
    error: str
    log: Path


@dataclass
class Tasks:
    """What is still to do; who runs it does not matter here."""

    left: deque[tuple[Trial, int]]
    """Trials and the attempts they had."""
    failures: list[Failure] = field(default_factory=list)
    finished: int = 0

    def failed(self, trial: Trial, attempts: int, error: str, log: Path) -> None:
        """Once more at the end of the queue, or given up."""
        if attempts + 1 < ATTEMPTS:
            self.left.append((trial, attempts + 1))
        else:
            self.failures.append(Failure(trial, error, log))


def log_of(trial: Trial, logs: Path) -> Path:
    """Where a run's words go."""
    return logs / f"{trial.folder.name}.txt"


def slots(jobs: int | None) -> list[dict[str, str]]:
    """The environment of each worker: its GPU where there are any, else its share of the processor cores.

    By default a worker for each GPU, or one for two cores; on several workers of one GPU they share it.
    """
    cores, gpus = len(os.sched_getaffinity(0)), _gpus()
    count = jobs or len(gpus) or max(1, cores // 2)
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // count)))
    out = []
    for place in range(count):
        own = {"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else {}
        out.append(own | {name: os.environ.get(name, threads) for name in THREADS})
    return out


def _gpus() -> list[str]:
    """The GPUs that a run may use; no torch needed to know."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name and name != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
    return [str(number) for number in range(count)]


def run_local(
    trials: Sequence[Trial], environments: Sequence[Mapping[str, str]], logs: Path, progress: Progress
) -> list[Failure]:
    """Make the runs of the trials, in their order, with a worker for each environment; returns those that failed.

    Raises Interrupted after SIGINT or SIGTERM, when every run has stopped and is saved; a second one stops at once.
    """
    tasks = Tasks(deque((trial, 0) for trial in trials))
    logs.mkdir(parents=True, exist_ok=True)
    pool = _Pool(environments[: max(1, len(trials))], logs, tasks, progress)
    with _stoppable():
        try:
            while tasks.left or pool.busy:
                pool.hand_out()
                pool.listen()
        except KeyboardInterrupt:
            pool.stop()
            raise Interrupted(
                "interrupted", f"stopped; {tasks.finished} runs were finished", "the same command again"
            ) from None
        finally:
            pool.close()
    return tasks.failures


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM means what Ctrl-C means."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    slot: int
    trial: Trial | None = None
    attempts: int = 0
    buffer: bytes = b""


class _Pool:
    """The workers: what each does now, and what it says. Holds processes, so it is a class with state."""

    def __init__(self, environments: Sequence[Mapping[str, str]], logs: Path, tasks: Tasks, progress: Progress) -> None:
        self.environments, self.logs, self.tasks, self.progress = environments, logs, tasks, progress
        self.workers: list[_Worker] = []
        self.selector = selectors.DefaultSelector()

    @property
    def busy(self) -> bool:
        return any(worker.trial for worker in self.workers)

    def hand_out(self) -> None:
        """Give every idle worker a run; workers are started as they are needed."""
        while self.tasks.left:
            idle = next((worker for worker in self.workers if worker.trial is None), None)
            if idle is None:
                free = set(range(len(self.environments))) - {worker.slot for worker in self.workers}
                if not free:
                    return
                idle = self._start(min(free))
            trial, attempts = self.tasks.left.popleft()
            idle.trial, idle.attempts = trial, attempts
            request = {
                "config": to_json(trial.config), "log": str(log_of(trial, self.logs)), "fresh": attempts > 0
            }  # fmt: skip
            assert idle.process.stdin
            with suppress(BrokenPipeError):  # a dead worker is met where its words end
                idle.process.stdin.write(json.dumps(request).encode() + b"\n")
                idle.process.stdin.flush()
            self.progress.show(Seen(idle.slot, trial, 0, 1, "starts"))

    def listen(self) -> None:
        """Wait for words of any worker and act on them."""
        for key, _ in self.selector.select(timeout=1.0):
            worker: _Worker = key.data
            words = os.read(key.fd, 65536)
            if not words:
                self._dead(worker)
                continue
            *lines, worker.buffer = (worker.buffer + words).split(b"\n")
            for line in lines:
                self._heard(worker, json.loads(line))
        self.progress.tick()

    def stop(self) -> None:
        """Let every run stop after its step; a second signal ends all at once."""
        with suppress(KeyboardInterrupt):
            for worker in self.workers:
                if worker.trial:
                    with suppress(ProcessLookupError):
                        worker.process.send_signal(signal.SIGINT)
            self.progress.note("stopping every run after its step (again: now)")
            for worker in self.workers:
                if worker.trial:
                    self._drain(worker)

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.process.kill()
            worker.process.communicate()
        self.selector.close()

    def _drain(self, worker: _Worker) -> None:
        """Wait until a worker has said its last word, so that it never blocks on saying it."""
        assert worker.process.stdout
        while os.read(worker.process.stdout.fileno(), 65536):
            pass

    def _start(self, slot: int) -> _Worker:
        environment = {**os.environ, **self.environments[slot]}
        with (self.logs / f"worker-{slot}.txt").open("ab") as errors:
            process = subprocess.Popen(
                command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment,
                process_group=0,  # Ctrl-C reaches the study, which passes it on once
            )  # fmt: skip
        worker = _Worker(process, slot)
        assert process.stdout
        self.selector.register(process.stdout, selectors.EVENT_READ, worker)
        self.workers.append(worker)
        return worker

    def _heard(self, worker: _Worker, said: Mapping[str, Any]) -> None:
        trial = worker.trial
        if trial is None or said["event"] == "ready":
            return
        if said["event"] == "step":
            self.progress.show(Seen(worker.slot, trial, said["done"], said["total"], said["text"]))
            return
        worker.trial = None
        if said["event"] == "finished":
            self.tasks.finished += 1
            self.progress.finished(trial)
        else:
            self._failed(trial, worker.attempts, said.get("error", "stopped by a signal of somebody else"))

    def _dead(self, worker: _Worker) -> None:
        self.selector.unregister(worker.process.stdout)  # type: ignore[arg-type]  # it is a pipe
        self.workers.remove(worker)
        code = worker.process.wait()
        for pipe in (worker.process.stdin, worker.process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
        if worker.trial:
            self._failed(worker.trial, worker.attempts, f"its process died ({_death(code)})")

    def _failed(self, trial: Trial, attempts: int, error: str) -> None:
        log = log_of(trial, self.logs)
        self.tasks.failed(trial, attempts, error, log)
        self.progress.failed(trial, error, again=attempts + 1 < ATTEMPTS)


def _death(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
