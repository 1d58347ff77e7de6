"""Rows of like length for the tasks of a study that ask for them, written before its first run and kept from then on.

A difference between tasks may be one of length; between these it is not. torch loads with the tokenizer, but only here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lorascope.runs import rundir
from lorascope.studies.design import Choices, Settings, Study, main_trials

ROWS = "rows"
"""Folder of the files, in the study's; `rows/rows.json` names them."""
SEED = 0
"""Of the choice among rows of one length."""


def rows_there(folder: Path) -> dict[str, Settings]:
    """Task -> settings that name its file, as an earlier start of the study has laid down; empty before the first."""
    file = folder / ROWS / f"{ROWS}.json"
    return dict(rundir.read_json(file)) if file.is_file() else {}


def lay_down_rows(study: Study, folder: Path) -> Mapping[str, Settings]:
    """The same, with the files made where they are not there yet: {"id", "prompt", "target"} on each line.

    From every bin of prompt and answer tokens each task has as many rows as the one with the fewest. What the tokens
    are says the tokenizer of the study's model; whole rows only, none is cut. Errors: DataError `no-like-lengths`.
    """
    if not study.like_lengths or (found := rows_there(folder)):
        return found if study.like_lengths else {}
    from lorascope.models.base import load_config_only
    from lorascope.runs.length_matching import match_lengths
    from lorascope.tasks import find_task
    from lorascope.tasks.split import load_training

    # Before there are files a task of like lengths is the task whose rows it takes.
    first = {trial.task: trial.config for trial in reversed(main_trials(study, folder, Choices()))}
    configs = {task: first[task] for task in study.like_lengths}
    tasks = {task: find_task(config.data) for task, config in configs.items()}
    longest = min(config.data.max_length or tasks[task].max_length for task, config in configs.items())
    everything = [
        load_training(tasks[task], replace(config.data, num_samples=0)).train for task, config in configs.items()
    ]
    any_config = next(iter(configs.values()))
    tokenizer = load_config_only(any_config.model).tokenizer
    chosen = match_lengths(
        everything, tokenizer, max_length=longest, loss_on=any_config.data.loss_on, seed=SEED
    )  # fmt: skip
    (folder / ROWS).mkdir(exist_ok=True)
    out: dict[str, Settings] = {}
    for task, examples in zip(configs, chosen, strict=True):
        lines = [json.dumps({"id": e.id, "prompt": e.prompt, "target": e.target}, ensure_ascii=False) for e in examples]
        text = "".join(f"{line}\n" for line in lines)
        # The digest is in the name, so that other rows are another configuration.
        file = folder / ROWS / f"{task}_{hashlib.sha256(text.encode()).hexdigest()[:8]}.jsonl"
        rundir.write_text(file, text)
        out[task] = {"dataset": str(file), "max_length": str(longest)}
    rundir.write_json(folder / ROWS / f"{ROWS}.json", out)
    return out
