"""Which checkpoints of a run are whole."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

ZIPPED = ("optimizer.pt", "scheduler.pt", "rng_state*.pth")
"""Files that torch writes as zip archives: a torn one has no central directory. Each process has a random state."""


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of everything named like a checkpoint, oldest first."""
    found = [(re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in folder.glob("checkpoint-*")]
    return sorted((int(match[1]), path) for match, path in found if match and path.is_dir())


def is_whole(checkpoint: Path) -> bool:
    """Whether a run can go on from a checkpoint: adapter, optimizer, schedule, random state and trainer state load.

    `trainer_state.json` is written last, so its presence already excludes most torn saves; the other files are opened
    as well, since a full disk or a copied folder can leave any of them short.
    """
    try:
        if not (checkpoint / "trainer_state.json").read_text().rstrip().endswith("}"):
            return False
        with safe_open(checkpoint / "adapter_model.safetensors", "pt") as tensors:
            if not tensors.keys():
                return False
        for pattern in ZIPPED:
            files = list(checkpoint.glob(pattern))
            if not files or any(zipfile.ZipFile(file).testzip() is not None for file in files):
                return False
        return True
    except (OSError, SafetensorError, zipfile.BadZipFile):
        return False


def newest_whole(folder: Path) -> tuple[int, Path] | None:
    """(step, folder) of the newest checkpoint that is whole; None where there is none."""
    return next(((step, path) for step, path in reversed(checkpoints(folder)) if is_whole(path)), None)


def drop_after(folder: Path, step: int) -> None:
    """Remove the checkpoints behind `step`: torn ones, which a resumed run will write again."""
    for number, path in checkpoints(folder):
        if number > step:
            shutil.rmtree(path)
