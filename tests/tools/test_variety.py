from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from lorascope.config.experiment import DataConfig
from lorascope.tasks import TASKS

FILE = Path(__file__).resolve().parents[2] / "tools" / "variety.py"


@pytest.fixture(scope="module")
def variety():
    spec = importlib.util.spec_from_file_location("variety", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pairs_by_hand(variety):
    assert variety.words("It's 5, OK") == ["it", "'", "s", "5", ",", "ok"]
    assert variety.distinct_pairs([["a", "b", "a", "b"], ["a", "b"]]) == 2 / 4


def test_alike_texts_have_a_self_bleu_of_100_and_foreign_ones_of_nearly_0(variety):
    assert variety.self_bleu(["one two three four"] * 3) == pytest.approx(100)
    assert variety.self_bleu(["one two three four", "five six seven eight", "nine ten eleven twelve"]) < 10


def test_a_line_by_hand(variety):
    line = variety.figures(["a b c d", "a b c d", "a b c e"])
    assert line[:5] == ["3", "66.7", "4.0", "5", "44.4"]
    assert float(line[5]) > 80


def test_every_line_of_the_table_has_texts(variety):
    assert set(variety.COLUMNS) <= set(TASKS)
    for name, columns in variety.COLUMNS.items():
        for column in columns.values():
            found = variety.texts(TASKS[name], DataConfig(dataset=name, data_source="builtin"), column)
            assert all(found), name


def test_without_the_real_data_it_says_so(variety, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(variety, "LAB", tmp_path / "none")
    monkeypatch.setattr(variety, "TEXTS", 50)
    monkeypatch.setattr(variety, "COMPARED", 5)
    variety.main()
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("The real data are not here")
    assert len(out) == 2 + 2 + 8
    assert not any("| real |" in line for line in out)
