"""The run folder: the names of everything in it, its states, its lock. No other file knows them."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from lorascope.errors import RunError

CONFIG = "config.json"
FINAL_MODEL = "final_model"
ALLOCATION = "allocation.json"
"""Ranks and alphas of a run with --budget or --allocation."""
CHECKPOINTS = "checkpoints"
GROUP_NORMS = "gradient_analysis.group_norms.csv"
LAYER_NORMS = "gradient_analysis.layer_norms.csv"
GRADIENT_SUMMARY = "gradient_analysis.summary.json"
GRADIENT_TABLE = "gradient_analysis.parquet"
GRADIENT_JOURNAL = f"{CHECKPOINTS}/gradients.journal"
WEIGHT_JOURNAL = f"{CHECKPOINTS}/weights.journal"
"""Measured rows as they come, so that a killed run loses none."""
DECISIONS = f"{CHECKPOINTS}/phases.jsonl"
"""What a run with the strategy sensitivity chose, as it chose."""
PLOTS = ("gradient_norms", "layer_heatmap", "layer_comparison", "gradient_evolution", "training_loss")
SURFACE = "gradient_surface"
"""The picture in three dimensions, with `lorascope report --surface`."""
REPORT = "report.html"
RESULTS = "results_summary.json"
"""Written last: a folder that has it is finished."""
SAMPLES = "samples.jsonl"
ENVIRONMENT = "environment.json"
LOG = "log.txt"

BASE_EVALUATION = "base_evaluation.json"
"""The scores of the base model without adapters, with --eval_base."""

HELD_OUT = "held_out.json"
"""Of a run of a study: losses on test rows, with and without the adapters of each group."""

PROOF = "proof.jsonl"
"""Every training of `lorascope recommend --prove`, a line each."""
RECOMMENDATION = "recommendation.json"
SHUFFLED = "shuffled_answers"
"""In a profile's folder: the profile of the same prompts with each other's answers, where it was asked for."""

ADAPTERS = "adapters.json"
"""How a finished run's adapters change their weights, with `lorascope probe RUN`."""

PROFILE = "profile.json"
"""Of a probe's folder; written last."""
PROFILE_TABLE = "profile.parquet"
PROFILE_SPECTRA = "spectra.parquet"
PROFILE_PLOTS = ("sensitivity_map", "sensitivity_groups")

STUDY_PLAN = "plan.json"
"""Of a study's folder; written before its first run."""
STUDY_VERDICTS = "verdicts.json"
"""Written when all runs are there."""
STUDY_TABLE, STUDY_CSV, STUDY_LATEX = "results.parquet", "results.csv", "results.tex"
STUDY_RUNS = "runs"
"""Folder of its run folders."""
STUDY_COMMAND = "command.txt"
"""What was typed."""

State = Literal["absent", "finished", "unfinished", "foreign"]


def evaluation_name(dataset: str) -> str:
    """File of the evaluation of a task."""
    return f"{dataset}_evaluation.json"


def knock_out_name(by: str) -> str:
    """File of what the held-out loss is without the adapters of each unit: a kind or a module."""
    return f"knock_out_{by}.json"


def state(folder: Path) -> State:
    """What a folder holds: nothing, a finished run, an unfinished one, or something that is no run."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return "absent"
    if not _is_run(folder):
        return "foreign"
    return "finished" if (folder / RESULTS).is_file() else "unfinished"


def _is_run(folder: Path) -> bool:
    """Whether config.json is a run's (checkpoints have one, too); one that cannot be read is, beside a run's files."""
    if not (folder / CONFIG).is_file():
        return False
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError:
        return any((folder / name).is_file() for name in (RESULTS, GROUP_NORMS, GRADIENT_JOURNAL))
    return isinstance(found, dict) and {"lora", "gradient_analysis"} <= found.keys()


def resume_command(folder: Path, *more: str) -> str:
    """What to type to go on with the run in a folder."""
    return shlex.join(["lorascope", "run", "--resume", str(folder), *more])


def remove(folder: Path) -> None:
    """Remove a folder: at once under its name, so that a kill halfway leaves no half of a run there."""
    aside = folder.with_name(f".{folder.name}.removed")
    if aside.exists():
        shutil.rmtree(aside)
    os.replace(folder, aside)
    shutil.rmtree(aside)


@contextmanager
def locked(folder: Path, *, only: bool = True, other: str = "--experiment_name OTHER") -> Iterator[None]:
    """Hold the run folder for this process; the lock file lies beside it, so that the folder itself can be replaced.

    With `only` False nothing is locked: the other processes of a distributed run follow the one that holds the lock.
    `other` is the flag that names another folder.
    """
    if not only:
        yield
        return
    with writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError("run-locked", f"another process is writing {folder}", "wait for it", other) from None
    try:
        yield
    finally:
        lock.release()  # the file stays: removing it would let two processes lock two files of the same name


def wait(folder: Path) -> None:
    """Wait until the process that holds the run folder lets go of it, for as long as that takes."""
    with _lock(folder):
        pass


def _lock(folder: Path) -> FileLock:
    """The same one however the folder is named."""
    folder = folder.resolve()
    return FileLock(folder.parent / f".{folder.name}.lock")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what the operating system says while writing into a RunError; whatever was saved before stays as it is."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if _is_full(error):
            what = f"no space left while writing to {folder}; what was saved before is whole"
            raise RunError("disk-full", what, "free some space, then the same command again") from error
        if isinstance(error, OSError) and error.errno in (
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOTDIR,
            errno.EEXIST,
        ):
            raise RunError(
                "not-writable", f"cannot write to {error.filename or folder}: {error.strerror}", "--output_dir FOLDER"
            ) from error
        raise


def _is_full(error: Exception) -> bool:
    """A full disk speaks as an OSError, as safetensors' own error, or as torch's zip writer, which hides the reason."""
    text = str(error)
    return (
        (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT))
        or "No space left on device" in text
        or "PytorchStreamWriter failed writing" in text
    )


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: into a neighbour first, then in place by a rename."""
    with writing(path.parent):
        part = path.with_name(path.name + ".part")
        try:
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all; a number that is not finite becomes null."""
    write_text(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write JSON lines, whole or not at all."""
    write_text(path, "".join(json.dumps(_finite(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """Read JSON, or a RunError that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError("no-file", f"{path} is not there", "lorascope ls runs") from None
    except (OSError, ValueError) as error:
        raise RunError("damaged-run", f"{path} cannot be read: {error}", "lorascope ls runs") from None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and value - value != 0.0:  # nan and both infinities
        return None
    return value
