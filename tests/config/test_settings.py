"""Settings are read off the dataclasses, and texts become values by their type."""

from __future__ import annotations

import dataclasses

import pytest

from lorascope.config.experiment import ExperimentConfig
from lorascope.config.settings import by_flag, by_path, read, sections, settings, words


def test_every_field_is_a_setting_with_a_flag_of_its_own():
    leaves = [
        f"{section.name}.{leaf.name}"
        for section in dataclasses.fields(ExperimentConfig)
        if dataclasses.is_dataclass(getattr(ExperimentConfig(), section.name))
        for leaf in dataclasses.fields(getattr(ExperimentConfig(), section.name))
    ]
    assert [s.path for s in settings()] == [*leaves, "experiment_name", "output_dir"]
    assert len(by_flag()) == len(settings())


def test_every_section_and_setting_has_words():
    for name in (*sections(), *by_path()):
        assert len(words()[name]) > 10, name


def test_words_are_the_string_under_the_field_on_one_line():
    assert words()["training.batch_size"] == "Rows per device and micro-batch [the seed's]."
    assert "\n" not in words()["lora.target"]


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [
        ("lr", "2e-4", 0.0002),
        ("lr", " 2.0e-4 ", 0.0002),
        ("lr", "1", 1.0),
        ("r", "8", 8),
        ("num_samples", "1e3", 1000),
        ("seed", "007", 7),
        ("eval", "no", False),
        ("eval", "True", True),
        ("eval", "off", False),
        ("report_to", "no", "no"),
        ("report_to", "none", "none"),
        ("experiment_name", "no", "no"),
        ("experiment_name", "1e3", "1e3"),
        ("max_length", "none", None),
        ("temperature", "null", None),
        ("target", "both", "both"),
        ("model", " a b ", " a b "),
    ],
)
def test_a_text_is_read_by_the_type_of_its_setting(flag, text, value):
    got = read(by_flag()[flag], text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("flag", "text", "rule"),
    [
        ("r", "4.5", "a whole number"),
        ("r", "none", "a whole number"),
        ("r", "1e400", "a whole number"),
        ("r", "yes", "a whole number"),
        ("lr", "fast", "a number"),
        ("lr", "", "a number"),
        ("eval", "1", "yes or no"),
        ("target", "Both", "one of attention_only, attention_qv, mlp_only, both, all"),
        ("max_length", "long", "a whole number, or none"),
    ],
)
def test_a_text_that_is_no_value_says_what_would_be(flag, text, rule):
    with pytest.raises(ValueError, match="^" + rule + "$"):
        read(by_flag()[flag], text)
