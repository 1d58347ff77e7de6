"""What is learnt: the tasks and their data. A task is one file here and one line of TASKS."""

from __future__ import annotations

from lorascope.config.experiment import DataConfig
from lorascope.errors import pick
from lorascope.tasks import e2e_nlg, multi_nli, samsum, wikisql
from lorascope.tasks.base import Task

TASKS: dict[str, Task] = {task.name: task for task in (e2e_nlg.TASK, samsum.TASK, wikisql.TASK, multi_nli.TASK)}
"""The tasks by name."""


def find_task(data: DataConfig) -> Task:
    """The task that a configuration names."""
    return pick(TASKS, data.dataset, "task")
