"""The official files in small, for the tests of this room."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `import official`

import official

from hub import fake_hub as fake_hub


@pytest.fixture
def official_files(tmp_path: Path) -> Path:
    """A folder with a folder of official files per task."""
    return official.write_all(tmp_path / "data")
