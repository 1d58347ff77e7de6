"""The folder of a study made by hand: two tasks, three arms, three seeds, known effects, all files of every run."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
from paged import big_table, results_of

from lorascope.analysis.hypotheses import judge_all
from lorascope.runs import rundir
from lorascope.studies import results
from lorascope.studies.builtin import lora_sensitivity
from lorascope.studies.measures import MEASURES

STEPS = 6
OF = {"attention": "q k v o", "mlp": "gate up down", "both": "q k v o gate up down"}
BUDGET = {"method": "even", "asked": 4096, "used": 4000, "trained": 4000, "gap": 96, "ranks": [4, 5]}


def study(text=""):
    """The study's own, of two tasks; `text` goes into every name that a user can choose."""
    made = lora_sensitivity()
    tasks = ("e2e_nlg", "samsum")
    first, second = made.hypotheses[:2]
    return replace(
        made,
        title=made.title + text,
        tasks={name: {} for name in tasks},
        left_out=(),
        seeds=(1, 2, 3),
        hypotheses=(first, replace(second, claim=second.claim + text)),
    )


def make_study(folder, *, text="", notes=()):
    """H1 is supported; H2 is undecided, since raw and scale-free gradients point to opposite sides."""
    made = study(text)
    rows = []
    for seed in made.seeds:
        for task, arm in made.cells:
            noise = 1 + 0.01 * seed * len(arm)
            row = dict.fromkeys(MEASURES, 1.0) | {
                "test_loss": 2.0 + 0.1 * len(arm) + 0.01 * seed, "early_raw_mlp": 2 * noise,
                "early_free_mlp": 0.5 * noise, "update_mlp": 3 * noise, "knockout_mlp": 2 * noise,
                "trained_parameters": 4000.0,
            }  # fmt: skip
            name = f"{task}_{arm}_{seed}"
            about = {"task": task, "arm": arm, "seed": seed, "stage": "main", "lr": 0.01, "folder": name}
            rows.append(about | {"config_hash": f"hash{seed}"} | row)
            _make_run(folder / rundir.STUDY_RUNS / name, task, arm, seed, [*notes, text] if text else [*notes])
    table = pd.DataFrame(rows)
    results.write(table, folder)
    rundir.write_json(folder / rundir.STUDY_PLAN, made.to_dict())
    verdicts = judge_all(made.hypotheses, results.values(table))
    rundir.write_json(folder / rundir.STUDY_VERDICTS, [verdict.to_dict() for verdict in verdicts])
    rundir.write_text(folder / rundir.STUDY_COMMAND, f"lorascope study lora_sensitivity --seeds 1 2 3{text}\n")
    return folder


def _make_run(folder, task, arm, seed, notes):
    folder.mkdir(parents=True)
    table = big_table(2, STEPS, projections=OF[arm], seed=seed, update=False)
    table.to_parquet(folder / rundir.GRADIENT_TABLE)
    losses = [[0, 4.0], [3, 2.0 + seed], [STEPS, 1.0 + seed]]
    record = results_of(
        steps=STEPS, dataset=task, seed=seed, notes=notes, budget=BUDGET, seconds={"total": 10.0},
        validation_loss=losses,
    )  # fmt: skip
    (folder / rundir.RESULTS).write_text(json.dumps(record))
    environment = {"python": "3.11", "platform": "Linux", "device": "cpu", "packages": {"torch": "2"}, "gpus": [],
                   "cpus": 2, "processes": 1, "git": "abc"}  # fmt: skip
    (folder / rundir.ENVIRONMENT).write_text(json.dumps(environment))


def raw_norms(folder, task, arm):
    """(seeds, steps) root of all squared gradients of the runs of a cell, straight from their tables."""
    found = []
    for seed in (1, 2, 3):
        table = pd.read_parquet(folder / rundir.STUDY_RUNS / f"{task}_{arm}_{seed}" / rundir.GRADIENT_TABLE)
        squares = table[table["score"] == "grad_sq"].groupby("step", observed=True)["value"].sum()
        found.append(np.sqrt(squares.to_numpy()))
    return np.array(found)
