"""What every test stands on: no network, one thread, the lab where it is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent))  # `import toy` from any test folder

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAB = Path(os.environ.get("LORASCOPE_LAB", ROOT.parent / "shared" / "lab"))


@pytest.fixture(scope="session")
def lab() -> Path:
    """The folder with real data and a real small model; users do not have it."""
    if not (LAB / "base" / "model.safetensors").is_file():
        pytest.skip(f"no lab at {LAB}")
    return LAB
