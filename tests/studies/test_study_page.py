"""The page of a study says what the verdicts say; its pictures hold both groups and what they train."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from lorascope.analysis.hypotheses import judge_all
from lorascope.report.study_plots import grad_norm
from lorascope.runs import rundir
from lorascope.studies import page, results
from lorascope.studies.builtin import lora_sensitivity
from lorascope.studies.measures import MEASURES


@pytest.fixture
def study():
    return replace(lora_sensitivity(), seeds=(1, 2, 3))


@pytest.fixture
def table(study, tmp_path):
    """MLP's early gradient twice attention's in every task, raw; half of it, scale-free; runs of 20 steps."""
    rows = []
    for task, arm in study.cells:
        for seed in study.seeds:
            noise = 1 + 0.01 * seed * len(arm)
            row = dict.fromkeys(MEASURES, 1.0) | {
                "early_raw_mlp": 2 * noise, "early_free_mlp": 0.5 * noise, "update_mlp": 3 * noise,
                "knockout_mlp": 2 * noise, "trained_parameters": 1234.0,
            }  # fmt: skip
            name = f"{task}_{arm}_{seed}"
            about = {"task": task, "arm": arm, "seed": seed, "stage": "main", "lr": 0.01, "steps": 20, "folder": name}
            rows.append(about | {"config_hash": "x"} | row)
            run = tmp_path / "runs" / name
            run.mkdir(parents=True)
            facts = {"step": range(1, 21), "score": "grad_sq", "value": 4.0, "numel": 8, "scaling": 2.0, "finite": True}
            pd.DataFrame(facts).to_parquet(run / rundir.GRADIENT_TABLE)
    return pd.DataFrame(rows)


def test_the_page_has_verdicts_runs_pictures_and_expected_against_found(study, table, tmp_path):
    verdicts = judge_all(study.hypotheses, results.values(table))
    files = page.write_page(study, table, verdicts, tmp_path, "lorascope study lora_sensitivity")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "**H1: supported.**" in text
    assert "**H2: undecided.**" in text
    assert "its measures point to opposite sides" in text
    assert "| e2e_nlg | mlp | 0.01 | 20 | 3 | 1,234 | 1.0000 (0) |" in text
    assert "| e2e_nlg | MLP-only higher early, or about as high as attention-only | +0.7" in text
    assert "smallest effect of interest: 0.1 log ratio" in text
    assert "**H1: 지지됨.** MLP" in text
    assert "**H2: 미결정.**" in text
    assert "e2e_nlg: MLP higher: 원래 norm과 척도를 없앤 norm이 서로 반대 방향" in text
    assert "| H2 | e2e_nlg: MLP higher | +0.7" in text
    assert text.count("| opposite signs |") == 6  # every task looks at gradients in two ways
    assert {file.name for file in files} == {"page.md", "grad_norm_e2e_nlg.png", "grad_norm_samsum.png"}
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|"), line


def test_the_picture_has_both_groups_their_means_and_what_they_train():
    rows = [
        {"group": group, "seed": seed, "step": step, "value": level + seed}
        for group, level in (("attention", 1.0), ("mlp", 3.0)) for seed in (1, 2) for step in range(1, 11)
    ]  # fmt: skip
    figure = grad_norm(pd.DataFrame(rows), {"attention": 1000, "mlp": 1024}, task="samsum", title="t", early=1)
    (ax,) = figure.axes
    lines = {line.get_gid(): line for line in ax.get_lines() if line.get_gid()}
    assert list(lines["attention"].get_ydata()) == [2.5] * 10
    assert list(lines["mlp"].get_ydata()) == [4.5] * 10
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        "attention only: mean 2.5000, 1,000 trained parameters", "MLP only: mean 4.5000, 1,024 trained parameters"
    ]  # fmt: skip
