"""The families of models are at home with the tests of models; what two processes probe, for all who look at it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "models"))  # `import families`


@pytest.fixture(scope="session")
def two_probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes that run probe_processes.py have left behind."""
    from toy import save_toy

    target = tmp_path_factory.mktemp("probes")
    save_toy(target / "model")
    rows = ({"prompt": f"{chr(97 + i % 20)}{i}", "target": chr(98 + i % 20)} for i in range(60))
    (target / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port]
    path = os.pathsep.join([str(HERE), str(HERE.parent), str(HERE.parent / "models")])
    done = subprocess.run(
        [*launch, str(HERE / "probe_processes.py"), str(target)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count("Saved") == 1
    return target
