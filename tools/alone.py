"""Run a command while no other test, benchmark or study of this checkout runs: `python tools/alone.py COMMAND ...`."""

import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

lock = FileLock(Path(__file__).resolve().parents[1] / ".alone.lock")
try:
    lock.acquire(timeout=0)
except Timeout:
    print("another test, benchmark or study runs; waiting for it", file=sys.stderr, flush=True)
    lock.acquire()
with lock:
    try:
        sys.exit(subprocess.run(sys.argv[1:]).returncode)
    except KeyboardInterrupt:
        sys.exit(130)
