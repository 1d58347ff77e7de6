"""The command line as a process of its own, in a pipe and on a terminal; and the files that freeze its surface."""

from __future__ import annotations

import os
import pty
import resource
import subprocess
import sys
import time
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"


def started(*argv, **options):
    """A real process: `python -m lorascope.cli ARGV`."""
    environment = {**os.environ, **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "lorascope.cli", *argv],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        **options,
    )


def on_a_terminal(*argv, env=None, cwd=None):
    """What a process writes with stdout and stderr on one terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", **(env or {})}
    process = subprocess.Popen(
        [sys.executable, "-m", "lorascope.cli", *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=cwd,
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the terminal is closed when the process ends
            break
        if not part:
            break
        text += part
    os.close(ours)
    process.wait(timeout=60)
    return text.decode().replace("\r\n", "\n")


def fastest(call, limit, tries=10):
    """The shortest of several times, in seconds: other processes make ours slower, none makes it faster."""
    seconds = []
    while len(seconds) < tries and (not seconds or min(seconds) >= limit):
        seconds.append(call())
    return min(seconds)


def seconds_of(action):
    """A function that does `action`, a process, and returns how long it took.

    While other processes want the processors, the clock on the wall measures them: then its own processor time counts.
    """

    def call():
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        action()
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = os.getloadavg()[0] > 1
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime if busy else wall

    return call


def golden(name, text):
    """Compare with a file in tests/golden; LORASCOPE_GOLDEN=write writes it instead."""
    path = GOLDEN / name
    if os.environ.get("LORASCOPE_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: LORASCOPE_GOLDEN=write pytest tests/cli writes it anew"
