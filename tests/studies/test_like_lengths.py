"""Rows of like length: as many of each length in every task, prompts as the tasks make them, laid down once."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lorascope.errors import ConfigError
from lorascope.models.base import load_config_only
from lorascope.studies.builtin import STUDIES
from lorascope.studies.design import LIKE, Choices, main_trials
from lorascope.studies.like_lengths import lay_down_rows, rows_there
from lorascope.tasks import find_task
from lorascope.tasks.split import load_training
from lorascope.training.encoding import encode
from lorascope.training.rows import loss_tokens

ALIKE = ("e2e_nlg_alike", "samsum_alike")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The study of the embedded model, the folder, and what was laid down in it."""
    study, folder = replace(STUDIES["lora_sensitivity"](), seeds=(1,)), tmp_path_factory.mktemp("study")
    return study, folder, lay_down_rows(study, folder)


def configs(study, folder, rows):
    return {t.task: t.config for t in main_trials(study, folder, Choices(rows=rows)) if t.task in ALIKE}


def test_both_tasks_have_as_many_rows_of_every_length(made):
    study, folder, rows = made
    found = []
    for config in configs(study, folder, rows).values():
        examples = find_task(config.data).to_examples(find_task(config.data).read(Path(), "all").rows)
        encoded, left_out = encode(examples, load_config_only(config.model).tokenizer, config.data.max_length)
        assert not left_out
        assert not any(row.cut_tokens for row in encoded)
        half_octaves = [
            (math.floor(2 * math.log2(row.prompt_tokens)), math.floor(2 * math.log2(answer)))
            for row, answer in zip(encoded, loss_tokens(encoded, "answer"), strict=True)
        ]
        found.append(Counter(half_octaves))
    assert found[0] == found[1]
    assert found[0].total() > 200


def test_the_rows_are_the_tasks_own(made):
    study, folder, rows = made
    for task, config in configs(study, folder, rows).items():
        own = replace(config.data, dataset=study.like_lengths[task], data_source="builtin", num_samples=0)
        there = {(e.prompt, e.target) for e in load_training(find_task(own), own).train}
        training = load_training(find_task(config.data), config.data)
        assert training.train
        assert {(e.prompt, e.target) for e in training.train} <= there


def test_they_are_laid_down_once(made):
    study, folder, rows = made
    before = {file: file.stat().st_mtime_ns for file in (folder / "rows").iterdir()}
    assert len(before) == 3
    assert lay_down_rows(study, folder) == rows == rows_there(folder)
    assert before == {file: file.stat().st_mtime_ns for file in (folder / "rows").iterdir()}


def test_a_run_of_them_reads_its_file_and_no_other_source(made):
    study, folder, rows = made
    for task, config in configs(study, folder, rows).items():
        assert config.data.dataset == rows[task]["dataset"]
        assert (config.data.data_source, config.data.data_dir) == ("auto", None)
        assert set(json.loads(Path(config.data.dataset).read_text().splitlines()[0])) == {"id", "prompt", "target"}


def test_a_study_without_such_tasks_lays_nothing_down(grid, tmp_path):
    assert lay_down_rows(grid, tmp_path) == {}
    assert not list(tmp_path.iterdir())


def test_one_task_alone_is_like_nothing(grid):
    with pytest.raises(ConfigError, match="two tasks or more"):
        replace(grid, tasks={"a": {"dataset": f"{LIKE}e2e_nlg"}})
