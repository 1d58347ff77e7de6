"""Studies whose runs take no time: a worker that makes files, and a small grid."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from lorascope.analysis.hypotheses import Contrast, Hypothesis, Part, Term
from lorascope.studies.design import Study

WORKER = [sys.executable, "-S", str(Path(__file__).with_name("fake_worker.py"))]

EMPTY = pd.DataFrame({name: [] for name in ("step", "module", "group", "matrix", "score", "value")})
"""A run's gradients, which nobody looks at here."""


@pytest.fixture
def fake(monkeypatch):
    """Workers are fake ones; gradients are nobody's business then."""
    monkeypatch.setattr("lorascope.studies.local.command", lambda: WORKER)
    monkeypatch.setattr("lorascope.studies.results.pd.read_parquet", lambda *args: EMPTY)


@pytest.fixture
def grid():
    return make_grid()


def make_grid():
    """Two arms, one task, three seeds: MLP's loss is larger by 0.1 in every seed, but for rounding."""
    terms = (
        Term(task="e2e_nlg", arm="mlp", measure="test_loss"),
        Term(task="e2e_nlg", arm="attention", measure="test_loss", weight=-1.0),
    )
    contrast = Contrast(name="loss", terms=terms, log=False, expect=-1, smallest=0.01, unit="nats/token")
    return Study(
        name="grid",
        title="Which is it?",
        common={"model": "embedded", "data_source": "builtin", "max_steps": "10"},
        tasks={"e2e_nlg": {}},
        arms={"attention": {"target": "attention_only"}, "mlp": {"target": "mlp_only"}},
        seeds=(1, 2, 3),
        hypotheses=(
            Hypothesis(name="H", claim="c", parts=(Part(name="p", contrasts=(contrast,)),), estimand="e", window="w"),
        ),
    )
