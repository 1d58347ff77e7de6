"""Runs in processes of their own, forked by nursery.py: started, watched, ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lorascope.measure import journal
from lorascope.runs import rundir


@dataclass
class Run:
    """A run in one or several processes of its own."""

    pids: list[int]
    folder: Path
    """Its run folder."""
    said: Path
    """Where what it writes to the screen lies."""
    answers: TextIO

    def ended(self) -> list[int]:
        """Wait for all processes; their exit codes, negative for the signal that ended one."""
        return [int(code) for code in self.answers.readline().split()]

    def err(self, rank: int = 0) -> str:
        """What a process has written to stderr so far."""
        return (self.said / f"err{rank}.txt").read_text()

    def out(self, rank: int = 0) -> str:
        """What a process has written to stdout so far."""
        return (self.said / f"out{rank}.txt").read_text()

    def steps(self) -> int:
        """The steps that are measured so far."""
        return measured_steps(self.folder)

    def resume_command(self) -> str:
        """The command that its error offers."""
        return offered(self.err())

    def until(self, there: Callable[[], bool]) -> None:
        """Wait for something to be there."""
        until(there, self.err)


def measured_steps(folder: Path) -> int:
    """Rows in the journal of a run that goes on."""
    path = folder / rundir.GRADIENT_JOURNAL
    return len(journal.read(path)[1]) if path.exists() else 0


def until(there: Callable[[], bool], explain: Callable[[], str] = str) -> None:
    """Wait for something to be there."""
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end, explain()
        time.sleep(0.002)


def offered(err: str) -> str:
    """The command to resume in an error's text."""
    (line,) = (line for line in err.splitlines() if line.startswith("  try: lorascope run --resume"))
    return line.removeprefix("  try: ")


class Nursery:
    """Forks runs; one at a time, in any number of processes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == "ready\n"
        self.asks, self.answers = process.stdin, process.stdout

    def start(
        self, argv: Sequence[object], said: Path, folder: Path, *, meet: str = "nothing", processes: int = 1
    ) -> Run:
        """Start `lorascope ARGV`, whose run folder will be `folder`; what it says goes into the folder `said`."""
        words = [str(word) for word in argv]
        asked = {"argv": words, "folder": str(said), "meet": meet, "processes": processes, "port": port()}
        print(json.dumps(asked), file=self.asks, flush=True)
        return Run([int(pid) for pid in self.answers.readline().split()], folder, said, self.answers)


@contextmanager
def opened() -> Iterator[Nursery]:
    """A nursery; it ends with the block."""
    script = Path(__file__).with_name("nursery.py")
    with subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        yield Nursery(process)
        assert process.stdin
        process.stdin.close()


def port() -> int:
    """A free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
