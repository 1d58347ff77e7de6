"""The home of the tests' runs: a toy model and toy files, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from children import Nursery, opened
from running import make_home


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """Holds base (a checkpoint) and data/{task} (official files); read-only."""
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture
def no_pictures(monkeypatch) -> None:
    """Leave the plots out: they take half of a small run's time."""
    monkeypatch.setattr("lorascope.runs.experiment.draw_run", lambda *args, **kwargs: {})


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Forks runs that can be stopped and killed."""
    with opened() as nursery:
        yield nursery
