"""A worker hears its study, however slowly it starts, and ends with it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys, threading, time, types
sys.modules["lorascope.studies.work"] = types.ModuleType("work")  # nothing heavy here
run = threading.Thread.run
def late(thread):
    time.sleep(0.5)
    run(thread)
threading.Thread.run = late
from lorascope.studies import worker
worker._main()
"""


def test_a_worker_whose_listener_starts_late_still_hears_its_study():
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout.readline() == b'{"event": "ready"}\n'
        try:
            worker.wait(timeout=1.5)
        except subprocess.TimeoutExpired:
            worker.stdin.close()
            assert worker.wait(timeout=30) == 0
        else:
            raise AssertionError("the worker took something else for the end of its study")
