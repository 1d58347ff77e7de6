"""Raw FSDP2 on two processes: phases switch sharded adapters, and what is measured is what one process measures."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sharded import PHASES, train

from lorascope.measure.records import ABSENT

HERE = Path(__file__).parent


@pytest.mark.slow
def test_phases_of_a_sharded_model_have_the_norms_of_one_process(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    common = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    size = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    both = [
        subprocess.Popen(
            [sys.executable, HERE / "sharded.py", tmp_path],
            env={**common, **size, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    said = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    alone = train(shard=False)
    for rank in (0, 1):
        shared = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        for step in range(6):
            one, two = (found["gradients"][step].numpy() for found in (alone, shared))
            assert ((one == ABSENT) == (two == ABSENT)).all()
            assert (one == ABSENT).sum() == {0: 28, 2: 28, 4: 44}[PHASES[step // 2].start_step]
            np.testing.assert_allclose(np.sqrt(one[one != ABSENT]), np.sqrt(two[one != ABSENT]), rtol=1e-4)
            np.testing.assert_allclose(alone["weights"][step], shared["weights"][step], rtol=1e-5)
