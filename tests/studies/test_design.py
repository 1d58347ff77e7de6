"""A study as data: the runs that it makes, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lorascope.errors import ConfigError, UnknownName
from lorascope.studies.builtin import STUDIES
from lorascope.studies.design import (
    TUNING_SEED,
    Choices,
    Study,
    jobs_of,
    main_trials,
    tuning_trials,
    with_settings,
)
from lorascope.studies.reading import find_study

HERE = Path("there")


def test_every_cell_runs_with_every_seed_and_seeds_are_paired(grid):
    trials = main_trials(grid, HERE, Choices())
    assert [(t.seed, t.arm) for t in trials] == [(s, a) for s in (1, 2, 3) for a in ("attention", "mlp")]
    for trial in trials:
        assert trial.config.training.seed == trial.seed
        assert trial.config.data.dataset == "e2e_nlg"
        assert trial.folder.parent == HERE / "runs"
        assert trial.folder.name.endswith(trial.config.hash[:8])
    (data,) = {trial.config.data for trial in trials}
    assert data.data_seed == 0  # the same rows for all


def test_the_same_configuration_is_one_run(grid):
    twice = replace(grid, arms={**grid.arms, "again": grid.arms["mlp"]})
    trials = main_trials(twice, HERE, Choices())
    assert (len(trials), len(list(jobs_of(trials)))) == (9, 6)


def test_arms_go_over_tasks_over_common_settings(grid):
    study = replace(grid, common={**grid.common, "r": "2"}, tasks={"samsum": {"r": "4", "lr": "1e-3"}},
                    arms={"a": {"r": "16"}, "b": {}})  # fmt: skip
    a, b = main_trials(replace(study, seeds=(1,)), HERE, Choices())
    assert (a.config.lora.r, b.config.lora.r, a.config.training.lr) == (16, 4, 1e-3)


def test_tuning_runs_have_a_seed_of_their_own_and_every_rate(grid):
    study = replace(grid, lrs=("1e-3", "1e-2"))
    trials = tuning_trials(study, HERE, {})
    assert {t.seed for t in trials} == {TUNING_SEED}
    assert [(t.arm, t.config.training.lr) for t in trials] == [
        ("attention", 1e-3), ("attention", 1e-2), ("mlp", 1e-3), ("mlp", 1e-2)
    ]  # fmt: skip
    chosen = Choices(lrs={("e2e_nlg", "attention"): "0.01", ("e2e_nlg", "mlp"): "0.001"})
    assert {(t.arm, t.config.training.lr) for t in main_trials(study, HERE, chosen)} == {
        ("attention", 0.01), ("mlp", 0.001)
    }  # fmt: skip


@pytest.mark.parametrize(("steps", "early"), [("40", 4), ("45", 5), ("100", 10)])
def test_runs_of_which_only_the_beginning_is_judged_end_with_the_early_window(grid, steps, early):
    study = replace(grid, common={**grid.common, "max_steps": steps}, early_only=("e2e_nlg",))
    (whole, *_), (ended, *_) = (
        main_trials(replace(study, early_only=()), HERE, Choices()),
        main_trials(study, HERE, Choices()),
    )
    assert (whole.early, ended.early) == (early, early)
    assert ended.config.training.max_steps == early
    assert ended.config.training.warm_up == whole.config.training.warm_up  # so the rate of each step is the same
    rest = replace(ended.config.training, max_steps=int(steps), warmup_steps=None, eval_every=None, save_every=None)
    assert rest == whole.config.training


def test_they_stay_whole_where_the_schedule_would_know_where_it_ends(grid):
    study = replace(grid, common={**grid.common, "max_steps": "40", "warmup_steps": "1"}, early_only=("e2e_nlg",))
    assert {t.config.training.max_steps for t in main_trials(study, HERE, Choices())} == {40}
    with pytest.raises(ConfigError, match="no task of it"):
        replace(grid, early_only=("samsum",))


def test_a_mixed_arm_takes_ranks_and_rate_of_its_pilot(grid):
    study = replace(grid, arms={**grid.arms, "mixed": {"allocation": "mixed:mlp"}}, lrs=("1e-3", "1e-2"))
    assert {t.arm for t in tuning_trials(study, HERE, {})} == {"attention", "mlp"}
    assert {t.arm for t in tuning_trials(replace(study, lrs=()), HERE, {})} == {"mlp"}
    chosen = Choices(
        lrs={("e2e_nlg", "attention"): "0.001", ("e2e_nlg", "mlp"): "0.01"},
        allocations={("e2e_nlg", "mixed"): "f.json"},
    )
    mixed = next(t for t in main_trials(study, HERE, chosen) if t.arm == "mixed")
    assert (mixed.config.lora.allocation, mixed.config.training.lr) == ("f.json", 0.01)
    with pytest.raises(ConfigError, match="no arm with ranks of its own"):
        replace(study, arms={**study.arms, "mixed": {"allocation": "mixed:mixed"}})


def test_settings_of_the_command_line_go_over_the_common_ones(grid):
    study = with_settings(replace(grid, lrs=("1e-3",)), {"max_steps": "20", "data_dir": "data"}, (7, 8))
    assert study.seeds == (7, 8)
    assert study.common["max_steps"] == "20"
    assert "data_source" not in study.common
    assert study.lrs == ("1e-3",)
    assert with_settings(replace(grid, lrs=("1e-3",)), {"lr": "1e-2"}, None).lrs == ()
    for flag in ("target", "seed", "dataset"):
        with pytest.raises(ConfigError, match=f"sets --{flag} itself"):
            with_settings(grid, {flag: "1"}, None)


def test_a_budget_goes_to_the_arms_that_have_one(grid):
    grid = replace(grid, arms={**grid.arms, "small": {"target": "mlp_only", "budget": "r=2"}})
    study = with_settings(grid, {"budget": "params=20k"}, None)
    assert study.arms == {**grid.arms, "small": {"target": "mlp_only", "budget": "params=20k"}}
    with pytest.raises(ConfigError, match="another number for every target") as caught:
        with_settings(grid, {"budget": "r=4"}, None)
    assert caught.value.tries == ("--budget like=attention_only+mlp_only:r=4",)
    with pytest.raises(ConfigError, match="no arm of study rank_comparison has a budget"):
        with_settings(STUDIES["rank_comparison"](), {"budget": "params=20k"}, None)
    common = replace(grid, common={**grid.common, "budget": "params=9k"}, arms={"mlp": {"target": "mlp_only"}})
    assert with_settings(common, {"budget": "r=4"}, None).common["budget"] == "r=4"


def test_the_controlled_pair_stays_generated_where_data_come_from_a_folder():
    study = with_settings(STUDIES["controlled_pair"](), {"data_dir": "data"}, None)
    assert {t.config.data.data_dir for t in main_trials(study, HERE, Choices())} == {None}
    assert {t.config.data.data_source for t in main_trials(study, HERE, Choices())} == {"builtin"}


@pytest.mark.parametrize("name", STUDIES)
def test_built_in_studies_are_whole(name):
    study = STUDIES[name]()
    assert study.name == name
    cells = set(study.cells)
    mixed = dict.fromkeys(study.cells, "a.json")
    trials = [*tuning_trials(study, HERE, {}), *main_trials(study, HERE, Choices(allocations=mixed))]
    assert {(t.task, t.arm) for t in trials} == cells
    assert {t.config.lora.lora_dropout for t in trials} == {0.0}
    assert len(study.seeds) == 5
    for hypothesis in study.hypotheses:
        for contrast in hypothesis.contrasts:
            assert {(term.task, term.arm) for term in contrast.terms} <= cells
            assert sum(term.weight for term in contrast.terms) == 0


def test_the_three_rules_for_alpha_meet_at_rank_8_and_rslora_keeps_alpha_over_root_r():
    trials = main_trials(STUDIES["rank_comparison"](), HERE, Choices())
    loras = {t.arm: t.config.lora for t in trials}
    assert {loras[f"{rule}_r8"].lora_alpha for rule in ("fixed_alpha", "fixed_scaling", "rslora")} == {16.0}
    assert {loras[f"fixed_scaling_r{r}"].lora_alpha / r for r in (4, 8, 16, 32)} == {2.0}
    roots = [loras[f"rslora_r{r}"].lora_alpha / r * r**0.5 for r in (4, 8, 16, 32)]
    assert roots == pytest.approx([roots[0]] * 4)  # alpha / sqrt(r) as the scaling


YAML = """
title: Which placement?
common: {model: embedded, data_source: builtin, max_steps: 1e1, eval: no}
tasks:
  e2e_nlg:
  samsum: {max_length: 256}
arms:
  attention: {target: attention_only}
  mlp: {target: mlp_only}
seeds: [1, 2, 3]
lrs: [1e-3, 1e-2]
left_out: [[samsum, mlp]]
contrasts:
  - {measure: test_loss, first: mlp, second: attention, expect: lower, smallest: 0.02, tasks: [e2e_nlg]}
"""


def test_a_yaml_file_is_a_study(tmp_path):
    file = tmp_path / "placement.yaml"
    file.write_text(YAML)
    study = find_study(str(file))
    assert (study.name, study.seeds, study.lrs) == ("placement", (1, 2, 3), ("1e-3", "1e-2"))
    trials = main_trials(study, HERE, Choices())
    assert len(trials) == 9
    assert {t.config.training.max_steps for t in trials} == {10}
    assert not any(t.config.evaluation.enabled for t in trials)
    (contrast,) = study.hypotheses[0].contrasts
    assert (contrast.expect, contrast.smallest, contrast.terms[1].weight) == (-1, 0.02, -1.0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("arms:", "arm:", "did you mean: arms"),
        ("target: mlp_only", "targt: mlp_only", '"targt" is not a setting'),
        ("measure: test_loss", "measure: test_los", "did you mean: test_loss"),
        ("first: mlp", "first: mlpp", "did you mean: mlp"),
        ("expect: lower", "expect: less", "higher or lower"),
        ("[1, 2, 3]", "[1, 1]", "seeds must differ"),
        ("[1, 2, 3]", "[one]", "no whole number"),
        ("tasks:\n", "tasks: [\n", "is not YAML"),
        ("smallest: 0.02", "smallest: little", "must be a number"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, old, new, said):
    file = tmp_path / "placement.yaml"
    file.write_text(YAML.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        find_study(str(file))
    assert said in str(caught.value)


def test_a_wrong_value_names_task_and_arm(grid):
    with pytest.raises(ConfigError, match="task e2e_nlg, arm mlp"):
        main_trials(replace(grid, arms={"mlp": {"target": "mlps"}}), HERE, Choices())


def test_a_python_file_is_code_that_sets_a_study(tmp_path):
    file = tmp_path / "own.py"
    file.write_text("from lorascope.studies.builtin import controlled_pair\nSTUDY = controlled_pair()\n")
    assert isinstance(find_study(str(file)), Study)
    file.write_text("STUDY = 1\n")
    with pytest.raises(ConfigError, match="sets no STUDY"):
        find_study(str(file))


def test_an_unknown_name_has_its_near_miss(tmp_path):
    with pytest.raises(UnknownName, match="did you mean: hypothesis_3"):
        find_study("hypotesis_3")
    with pytest.raises(ConfigError, match="is not there"):
        find_study(str(tmp_path / "no.yaml"))
