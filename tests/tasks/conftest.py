"""The official files in small, for the tests of this room."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `import official`

import official
import official_hub

import hub
from hub import fake_hub as fake_hub


@pytest.fixture
def official_files(tmp_path: Path) -> Path:
    """A folder with a folder of official files per task."""
    return official.write_all(tmp_path / "data")


@pytest.fixture
def full_hub(fake_hub: hub.FakeHub) -> hub.FakeHub:
    """The fake hub with the data sets of the four tasks, and the cleaned E2E."""
    official_hub.fill(fake_hub)
    return fake_hub
