"""The folder of a study made by hand: two tasks, three arms, three seeds, known effects, all files of every run."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from paged import big_table, results_of

from lorascope.analysis.hypotheses import Contrast, Hypothesis, Part, Term, judge_all
from lorascope.runs import rundir
from lorascope.studies import results
from lorascope.studies.design import Study
from lorascope.studies.measures import MEASURES

STEPS = 6
OF = {"attention": "q k v o", "mlp": "gate up down", "both": "q k v o gate up down"}
BUDGET = {"method": "even", "asked": 4096, "used": 4000, "trained": 4000, "gap": 96, "ranks": [4, 5]}


def study(text=""):
    """A small study of its own; `text` goes into every name that a user can choose."""
    tasks = ("e2e_nlg", "samsum")
    shared = {"budget": "like=attention_only:r=8"}
    parts = [part for task in tasks for part in _within(task)]
    return Study(
        name="lora_sensitivity",
        title=f"Do attention and MLP matter differently?{text}",
        common={"model": "embedded", "data_source": "builtin", "max_steps": str(STEPS)},
        tasks={name: {} for name in tasks},
        arms={"attention": {"target": "attention_only", **shared}, "mlp": {"target": "mlp_only", **shared},
              "both": {"target": "both", **shared}},
        seeds=(1, 2, 3),
        hypotheses=(
            Hypothesis(name="H1", claim="MLP modules hold most of what is learnt", parts=tuple(parts), estimand="e",
                       window="w"),
            Hypothesis(name="H2", claim=f"early gradients are larger in MLP for E2E NLG{text}", estimand="e",
                       window="w", parts=(_between("e2e_nlg", 1), _between("samsum", -1)), note="n = 1"),
        ),
    )  # fmt: skip


def _within(task):
    """MLP against attention in the runs of both."""
    for name, measure, log in (("relative update", "update", True), ("knock-out", "knockout", False)):
        terms = tuple(Term(task=task, arm="both", measure=f"{measure}_{group}", weight=w)
                      for group, w in (("mlp", 1.0), ("attention", -1.0)))  # fmt: skip
        contrast = Contrast(name=f"{task}: {name}", terms=terms, log=log, expect=1, smallest=0.1 if log else 0.01,
                            unit="log ratio" if log else "nats/token")  # fmt: skip
        yield Part(name=contrast.name, contrasts=(contrast,))


def _between(task, expect):
    """MLP's runs against attention's, looked at in two ways."""
    contrasts = tuple(
        Contrast(name=f"{task}: {scale}", log=True, expect=expect, smallest=0.1, unit="log ratio", terms=tuple(
            Term(task=task, arm=arm, measure=f"early_{scale}_{arm}", weight=w)
            for arm, w in (("mlp", 1.0), ("attention", -1.0))))
        for scale in ("raw", "free")
    )  # fmt: skip
    return Part(name=task, contrasts=contrasts)


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
            rows.append(about | {"steps": STEPS, "config_hash": f"hash{seed}"} | row)
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
