"""Flags over files over a preset over built-in values, each value with its source; errors with file and line."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorascope.config.experiment import (
    DataConfig,
    DynamicLoRAConfig,
    EvaluationConfig,
    ExperimentConfig,
    LoRAConfig,
    TrainingConfig,
)
from lorascope.config.load import flat, from_json, resolve, to_json
from lorascope.config.settings import settings as all_settings
from lorascope.errors import ConfigError, LorascopeError


@pytest.fixture
def write(tmp_path):
    def make(text, name="run.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def error_of(*files, **flags):
    with pytest.raises(LorascopeError) as caught:
        resolve(flags, files=files)
    return caught.value


def test_nothing_given_is_the_built_in_configuration():
    resolved = resolve()
    assert resolved.config == ExperimentConfig()
    assert resolved.sources == {}
    assert resolved.changed() == []


def test_flags_win_over_files_and_files_over_the_preset(write):
    first = write("r: 16\nlr: 1e-3\n", "a.yaml")
    second = write("lora: {r: 32}\n", "b.yaml")
    assert resolve(preset="e2e_mlp").config.lora == LoRAConfig(target="mlp_only")
    assert resolve(preset="e2e_mlp", files=[first]).config.lora == LoRAConfig(target="mlp_only", r=16)
    assert resolve(preset="e2e_mlp", files=[first, second]).config.lora.r == 32
    assert resolve(preset="e2e_mlp", files=[second, first]).config.lora.r == 16
    resolved = resolve({"r": "4"}, preset="e2e_mlp", files=[first, second])
    assert resolved.config.lora == LoRAConfig(target="mlp_only", r=4)
    assert resolved.config.training.lr == 1e-3


def test_every_value_knows_its_source(write):
    path = write("# my run\nlora:\n  target: both\n\nlr: 1e-3\n")
    resolved = resolve({"r": "4", "eval": False, "layer_norm": True}, preset="samsum_attention", files=[path])
    assert resolved.sources == {
        "data.dataset": "preset samsum_attention",
        "lora.target": f"{path}:3",
        "training.lr": f"{path}:5",
        "lora.r": "--r",
        "evaluation.enabled": "--no_eval",
        "gradient_analysis.layer_norm": "--layer_norm",
    }
    assert resolved.changed() == [
        ("lora.target", "both", f"{path}:3"),
        ("lora.r", 4, "--r"),
        ("training.lr", 1e-3, f"{path}:5"),
        ("data.dataset", "samsum", "preset samsum_attention"),
        ("evaluation.enabled", False, "--no_eval"),
    ]


def test_a_file_may_name_its_preset_and_the_flag_goes_before_it(write):
    path = write("preset: mnli_both\nr: 2\n")
    assert resolve(files=[path]).config.run_name == "multi_nli_both_r2_s42"
    assert resolve(files=[path], preset="e2e_mlp").config.run_name == "e2e_nlg_mlp_only_r2_s42"
    assert "no preset 'mnli_bot'" in error_of(write("preset: mnli_bot\n")).what


def test_a_preset_that_a_file_hides_completely_is_said(write):
    path = write(to_json(ExperimentConfig()), "config.json")
    resolved = resolve(preset="e2e_mlp", files=[path])
    assert resolved.config == ExperimentConfig()
    assert len(resolved.notes) == 1
    assert "preset e2e_mlp changes nothing" in resolved.notes[0]
    assert resolve(preset="e2e_mlp", files=[write("r: 2", "b.yaml")]).notes == ()


@pytest.mark.parametrize("text", ["2e-4", '"2e-4"', "2.0e-4", "0.0002", "0.00020", "'0.0002'"])
def test_every_spelling_of_a_number_gives_the_same_hash(write, text):
    assert resolve(files=[write(f"lr: {text}\nr: 9")]).config.hash == resolve({"lr": "2e-4", "r": "9"}).config.hash


def test_a_whole_number_for_a_float_gives_the_same_hash():
    assert resolve({"lora_alpha": "32"}).config.hash == ExperimentConfig().hash
    assert resolve({"lora_alpha": "32.0"}).config.hash == ExperimentConfig().hash
    assert ExperimentConfig(training=TrainingConfig(max_grad_norm=1)).hash == ExperimentConfig().hash


@pytest.mark.parametrize("text", ["no", "No", "false", "off", '"no"'])
def test_no_is_false_for_a_boolean_and_text_for_a_text(write, text):
    assert resolve(files=[write(f"eval: {text}")]).config.evaluation.enabled is False
    assert resolve(files=[write(f"experiment_name: {text}")]).config.experiment_name == text.strip('"')


def test_null_is_none_only_where_none_is_allowed(write):
    assert resolve(files=[write("max_length: null\ntemperature: ~\ndevice_map:\n")]).config == ExperimentConfig()
    error = error_of(write("lr: 1e-3\nr: null\n"))
    assert error.what.endswith("run.yaml:2  lora.r got 'null'; it takes a whole number")


def test_none_unsets_and_in_quotes_is_a_folder(write):
    assert resolve(files=[write("data_dir: none")]).config.data.data_dir is None
    assert resolve(files=[write('data_dir: "none"')]).config.data.data_dir == "none"
    assert resolve({"data_dir": "none"}).config.data.data_dir is None


def test_nested_keys_may_be_fields_or_flags_and_hyphens_are_underscores(write):
    by_field = write(
        "model: {model_id: m}\nevaluation: {enabled: no}\ngradient-analysis: {log-frequency: 3}\n", "a.yaml"
    )
    by_flag = write("model: {model: m}\nevaluation: {eval: no}\nlog_frequency: 3\n", "b.yaml")
    flat_file = write("model: m\neval: no\nlog-frequency: 3\n", "c.yaml")
    first, *others = (resolve(files=[f]).config for f in (by_field, by_flag, flat_file))
    assert first.model.model_id == "m"
    assert others == [first, first]


def test_dynamic_lora_is_a_flag_and_a_section(write):
    assert resolve(files=[write("dynamic_lora: yes")]).config.dynamic_lora.enabled
    nested = write("dynamic_lora:\n  enabled: yes\n  phase_strategy: both->mlp->attn\n")
    assert resolve(files=[nested]).config.dynamic_lora == DynamicLoRAConfig(
        enabled=True, phase_strategy="both-mlp-attn"
    )


@pytest.mark.parametrize("strategy", ["both->mlp->attn", "both-mlp-attn"])
def test_arrows_and_dashes_spell_one_strategy(strategy):
    config = resolve({"dynamic_lora": True, "phase_strategy": strategy}).config
    assert config.run_name == "e2e_nlg_attention_only_r8_both-mlp-attn_s42"


@pytest.mark.parametrize(
    ("text", "what", "tries"),
    [
        ("lora:\n  targets: both", 'run.yaml:2  "lora.targets" is not a setting', "did you mean: lora.target"),
        ("r: 4\nmax_step: 5", 'run.yaml:2  "max_step" is not a setting', "did you mean: max_steps"),
        ("training: {r: 4}", 'run.yaml:1  "training.r" is not a setting', "did you mean: lora.r"),
        ("trainin: {lr: 4}", 'run.yaml:1  "trainin" is not a setting', "did you mean: training"),
        ("r: 4\nr: 5", 'run.yaml:2  "r" stands in line 1 already', ""),
        ("lora:\n  r: 4\n  r: 5", 'run.yaml:3  "lora.r" stands in line 2 already', ""),
        ("max-steps: 4\nmax_steps: 5", 'run.yaml:2  "max_steps" stands in line 1 already', ""),
        ("r: 4\nlora: {r: 4}", 'run.yaml:2  "lora.r" is set twice, first in ', ""),
        ("lr: 1e-3\neval: maybe", "run.yaml:2  evaluation.enabled got 'maybe'; it takes yes or no", "--eval"),
        (
            "target: atention_only",
            "run.yaml:1  lora.target got 'atention_only'; it takes one of ",
            "--target attention_only",
        ),
        ("r: [1, 2]", "run.yaml:1  lora.r must be one value, not a list or a block", ""),
        ("r: 0", "run.yaml:1  r must be a positive whole number, got 0", "--r VALUE"),
        ("evaluation:\n  top_p: 3\n  temperature: 1", "run.yaml:2  top_p must be above 0", "--top_p"),
        ("max_grad_norm: .nan", "run.yaml:1  training.max_grad_norm got '.nan'; it takes a number", ""),
        ("lr: nan", "run.yaml:1  lr must be positive, got nan", ""),
        ("experiment_name: ../../x", "run.yaml:1  experiment_name must be a plain folder name", "--output_dir FOLDER"),
        ("model: {model_id: ' '}", "run.yaml:1  model must be a hub id or a folder", ""),
        ("lr: !fast 3", "run.yaml:1  training.lr has the tag !fast", ""),
        ("r: !!python/object/apply:os.getpid []", "run.yaml:1  lora.r must be one value", ""),
        ("model: !!python/name:os.system x", "run.yaml:1  model.model_id has the tag", ""),
        ("a: [", "run.yaml:1  is not YAML or JSON: ", ""),
        ("r: 4\n\tlr: 3", "run.yaml:2  is not YAML or JSON: ", ""),
        ("- r", "run.yaml:1  must hold settings", ""),
        ("just words", "run.yaml:1  must hold settings", ""),
        ("? [r]\n: 4", "run.yaml:1  a setting's name must be a word", ""),
        ("r: 4\n---\nr: 5", "run.yaml:2  is not YAML or JSON: ", ""),
        ("r: *x", "run.yaml:1  is not YAML or JSON: ", ""),
        ("", "run.yaml sets nothing", ""),
        ("# r: 4\n", "run.yaml sets nothing", ""),
        ("[" * 5000, "run.yaml  is not YAML or JSON: ", ""),
        (b"r: 4\nmodel: \xff", "run.yaml is not UTF-8 text (byte 12)", ""),
        ("overwrite: yes", 'run.yaml:1  "overwrite" is not a setting', ""),
        ('{"r": 4,\n "lora": {"rr": 2}}', 'run.yaml:2  "lora.rr" is not a setting', "did you mean: lora.r"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_line(write, text, what, tries):
    error = error_of(write(text))
    assert isinstance(error, ConfigError)
    assert what in error.what
    assert any(t.startswith(tries) for t in error.tries) or not tries


def test_a_mistake_in_a_flag_is_named_with_the_flag():
    assert error_of(lr="fast").what == "--lr got 'fast'; it takes a number"
    assert error_of(target="mpl_only").tries == ("--target mlp_only",)
    assert error_of(r="-1").what == "r must be a positive whole number, got -1"


def test_a_missing_file_names_the_one_beside_it(write):
    path = write("r: 4", "exp_mlp.yaml")
    error = error_of(path.with_name("exp_mpl.yaml"))
    assert error.what.endswith("exp_mpl.yaml is not there")
    assert error.tries == (f"--config {path}",)


def test_a_run_folder_instead_of_its_file_is_explained(write, tmp_path):
    write(to_json(ExperimentConfig()), "config.json")
    assert error_of(tmp_path).tries == (f"--config {tmp_path / 'config.json'}",)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(write):
    assert resolve(files=[write(b"\xef\xbb\xbfr: 4\r\nlr: 1e-3\r\n")]).config.lora.r == 4


def test_the_files_of_a_run_may_be_json_with_tabs(write):
    text = json.dumps(ExperimentConfig(output_dir="a\tb").to_dict(), indent="\t")
    assert resolve(files=[write(text, "c.json")]).config.output_dir == "a\tb"


# Every check in the dataclasses must begin its sentence with the setting's name: that is how a line is found for it.
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", ""), ("r", 0), ("lora_alpha", 0), ("lora_dropout", 1), ("batch_size", 0), ("grad_accum", 0),
        ("max_steps", 0), ("lr", 0), ("warmup_steps", -1), ("weight_decay", -1), ("max_grad_norm", -1),
        ("eval_every", 0), ("save_every", 7), ("num_samples", -1), ("validation_split", 1), ("max_length", 0),
        ("log_frequency", 0),
        ("weight_every", -1), ("eval_samples", -1), ("temperature", 0), ("top_p", 2), ("max_new_tokens", 0),
        ("eval_batch_tokens", 0), ("phase1_end", 0), ("phase2_end", 0), ("experiment_name", "a/b"),
    ],
)  # fmt: skip
def test_a_refused_value_is_named_with_its_line(write, key, value):
    error = error_of(write(f"# a comment\n{key}: {json.dumps(value)}\n"))
    assert f"run.yaml:2  {key} must be " in error.what


def test_a_results_config_reproduces_its_run(write):
    config = replace(
        resolve({"r": "4", "lr": "1e-5", "eval": False}, preset="wikisql_both").config, output_dir="elsewhere"
    )
    again = resolve(files=[write(to_json(config), "config.json")]).config
    assert again == config
    assert again.hash == config.hash


def test_from_json_names_the_file_and_the_line_of_what_it_does_not_know():
    text = to_json(ExperimentConfig()).replace('"r": 8', '"rank": 8')
    with pytest.raises(ConfigError, match=r'config\.json:\d+  "lora\.rank" is not a setting'):
        from_json(text)


numbers = st.floats(min_value=1e-30, max_value=1e30)
texts = st.text(st.characters(exclude_categories=["Cc"]), max_size=20)
configs = st.builds(
    ExperimentConfig,
    lora=st.builds(
        LoRAConfig,
        r=st.integers(1, 10**9),
        lora_alpha=numbers,
        lora_dropout=st.floats(0, 1, exclude_max=True),
        target=st.sampled_from(["attention_only", "mlp_only", "both", "all", "attention_qv"]),
    ),
    training=st.builds(TrainingConfig, lr=numbers, seed=st.integers(0, 2**32 - 1), weight_decay=st.floats(0, 1e3)),
    data=st.builds(
        DataConfig, dataset=texts.filter(lambda t: re.search(r"\w", t)), data_dir=st.none() | st.just("none") | texts
    ),
    evaluation=st.builds(EvaluationConfig, enabled=st.booleans(), temperature=st.none() | numbers),
    output_dir=texts,
)


@settings(max_examples=100, deadline=None)
@given(config=configs)
def test_any_configuration_survives_its_json(config):
    again = from_json(to_json(config))
    assert again == config
    assert again.hash == config.hash


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configs.filter(lambda c: c.data.data_dir != "none"))
def test_any_configuration_survives_yaml_written_by_others(write, config):
    text = yaml.safe_dump(config.to_dict(), allow_unicode=True)
    assert resolve(files=[write(text)]).config == config


def test_every_setting_can_be_set_flat_by_its_flag(write):
    config = ExperimentConfig()
    values = {s.flag: flat(config)[s.path] for s in all_settings()}
    resolved = resolve(files=[write(yaml.safe_dump(values))])
    assert resolved.config == config
    assert set(resolved.sources) == {s.path for s in all_settings()}
