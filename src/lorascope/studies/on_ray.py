"""Runs of a study on a Ray cluster: one run, one task; a node that disappears takes its runs, which are tried again.

Every node needs the same lorascope, and the study's folder, model and data at the same paths (shared storage). Ray
gives each run its processor cores, and a GPU of its own where the cluster has any.
"""

from __future__ import annotations

import importlib.util
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lorascope.config.load import to_json
from lorascope.errors import ConfigError, Interrupted
from lorascope.studies.design import Trial
from lorascope.studies.local import ATTEMPTS, THREADS, Failure, Tasks, log_of
from lorascope.studies.view import Progress, Seen

CORES = 1
"""Processor cores that a run on the cluster asks for, unless OMP_NUM_THREADS says how many."""


def run_on_ray(trials: Sequence[Trial], jobs: int | None, logs: Path, progress: Progress) -> list[Failure]:
    """Make the runs of the trials on the cluster that RAY_ADDRESS names, or on a new one on this machine.

    At most `jobs` at a time; None: as many as the cluster has room for. A run that fails, or whose worker or node dies,
    is handed out once more, wherever there is room; what it had saved is gone on from. Errors: ConfigError without Ray;
    Interrupted, when runs have been told to stop.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("no-ray", "--executor ray needs Ray, which is not installed", 'pip install "lorascope[ray]"')
    import ray

    own = not ray.is_initialized()
    if own:
        ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
    logs.mkdir(parents=True, exist_ok=True)
    try:
        return _follow(ray, trials, jobs, logs, progress)
    finally:
        if own:
            ray.shutdown()


def _follow(ray: Any, trials: Sequence[Trial], jobs: int | None, logs: Path, progress: Progress) -> list[Failure]:
    cores = int(os.environ.get("OMP_NUM_THREADS", CORES))
    gpus = 1 if ray.cluster_resources().get("GPU", 0) else 0
    remote = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=0)(_task)
    most = jobs or len(trials)
    tasks = Tasks(deque((trial, 0) for trial in trials))
    going: dict[Any, tuple[Trial, int, int]] = {}
    try:
        while tasks.left or going:
            while tasks.left and len(going) < most:
                trial, attempts = tasks.left.popleft()
                slot = min(set(range(most)) - {place for _, _, place in going.values()})
                request = remote.remote(to_json(trial.config), str(log_of(trial, logs)), cores, os.getcwd())
                going[request] = (trial, attempts, slot)
                progress.show(Seen(slot, trial, 0, 1, "on the cluster"))
            ready, _ = ray.wait(list(going), timeout=1.0)
            progress.tick()
            for request in ready:
                trial, attempts, _ = going.pop(request)
                wrong = _outcome(ray, request)
                if wrong is None:
                    tasks.finished += 1
                    progress.finished(trial)
                else:
                    tasks.failed(trial, attempts, wrong, log_of(trial, logs))
                    progress.failed(trial, wrong, again=attempts + 1 < ATTEMPTS)
    except KeyboardInterrupt:
        for request in going:
            ray.cancel(request)
        raise Interrupted(
            "interrupted", f"stopped; {tasks.finished} runs were finished", "the same command again"
        ) from None
    return tasks.failures


def _outcome(ray: Any, request: Any) -> str | None:
    """What went wrong with a task, in a line; None where nothing did."""
    try:
        wrong: str | None = ray.get(request)
    except ray.exceptions.RayError as error:  # the worker or its node died, or the task was cancelled
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[0] if lines else ''}"
    return wrong


def _task(config: str, log: str, threads: int, folder: str) -> str | None:
    """On a worker of the cluster, in the folder that the study was started in: one run; what went wrong, in a line."""
    os.chdir(folder)
    for name in THREADS:
        os.environ[name] = str(threads)
    from lorascope.studies.worker import make

    Path(log).parent.mkdir(parents=True, exist_ok=True)
    return make(config, Path(log), lambda *words, **more: None, fresh=False)
