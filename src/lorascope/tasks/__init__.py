"""What is learnt: the tasks and their data. A task is one file here and one line of TASKS, or data of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lorascope import registry
from lorascope.config.experiment import DataConfig
from lorascope.errors import ConfigError
from lorascope.tasks import e2e_nlg, multi_nli, samsum, wikisql
from lorascope.tasks.base import Example, Origin, Task

if TYPE_CHECKING:
    from lorascope.tasks.custom import Files, Glance

TASKS: dict[str, Task] = {task.name: task for task in (e2e_nlg.TASK, samsum.TASK, wikisql.TASK, multi_nli.TASK)}
"""The tasks by name."""

ENTRY_POINTS = "lorascope.tasks"
"""The entry points of this group in other packages are tasks, each under its task's name."""


def register(task: Task) -> Task:
    """Make a task known by its name, as the four are; returns it. ConfigError where the name is taken."""
    return registry.put(TASKS, task.name, task, "task")


def extend() -> dict[str, registry.Broken]:
    """Register the tasks of all installed packages; returns those that cannot be used."""
    return registry.extend(TASKS, "task", group=ENTRY_POINTS, accept=_accept)


def find_task(data: DataConfig) -> Task:
    """The task that `data.dataset` means: a task's name, its hub id, a file, a folder, or any data set on the hub.

    Data of one's own is read here, since its metrics and lengths are in its rows; a data set on the hub is fetched.
    """
    task = _registered(data)
    if task is not None:
        return task
    from lorascope.tasks.custom import own_task  # NumPy loads with it

    files, name, origin, notes = _place(data)
    return own_task(files, data, name=name, origin=origin, notes=notes)


def glance(data: DataConfig) -> Glance:
    """What can be said of the task at once: nothing is fetched, and of data of one's own the first record is read."""
    from lorascope.tasks import custom

    task = _registered(data)
    if task is not None:
        return custom.Glance(title=task.title, evaluation_split=task.evaluation_split)
    path = _locate(data)
    if path is None:
        title = f"data set {data.dataset} on the hub; lorascope check fetches it and says what its rows are"
        return custom.Glance(title=title, evaluation_split=None)
    return custom.glance(custom.files_of(path), data, name=path.name)


def first_example(data: DataConfig) -> Example | None:
    """The first training example, where it can be had at once: nothing is fetched, and no large file is read."""
    from lorascope.tasks import sources

    task = _registered(data)
    return glance(data).first if task is None else sources.first_example(task, data)


OWN_SETTINGS = ("prompt_column", "target_column", "prompt_template")


def _registered(data: DataConfig) -> Task | None:
    """The task of that name or hub id, or None."""
    task = registry.find(TASKS, data.dataset, "task", group=ENTRY_POINTS, accept=_accept) or _unlisted(data.dataset)
    if task is None:
        return None
    for name in OWN_SETTINGS:
        if getattr(data, name) is not None:
            raise ConfigError(
                "flags-exclude",
                f"{name} is for data of your own: {task.name} has its own prompt and answer",
                "--dataset FILE",
                "leave it out",
            )
    return task


def _unlisted(name: str) -> Task | None:
    """The task of a hub id, or one of the controlled pair, which is there to test hypotheses and not to be listed."""
    if name.startswith("builtin_"):
        from lorascope.tasks.builtin import controlled_pair as pair

        return {task.name: task for task in (pair.FAR_COPY, pair.LOCAL_MAP)}.get(name)
    known = [*TASKS.values(), e2e_nlg.CLEANED]
    return next((task for task in known if task.hub is not None and task.hub.repo == name), None)


def _accept(name: str, value: object) -> Task:
    if not isinstance(value, Task):
        raise ConfigError("broken-plugin", f"it is no lorascope.tasks.base.Task but {type(value).__name__}")
    if value.name != name:
        raise ConfigError("broken-plugin", f"the task calls itself {value.name!r}; both names must be the same")
    return value


def _place(data: DataConfig) -> tuple[Files, str, Origin, tuple[str, ...]]:
    """(files by split, what to call them, origin, notes) of data of one's own."""
    from lorascope.tasks import custom

    path = _locate(data)
    if path is not None:
        return custom.files_of(path), path.name, Origin(source="local"), ()
    from lorascope.tasks import hub

    found = hub.fetch(data.dataset, data.data_revision)
    return found.files, found.repo, Origin(source=f"hub:{found.repo}", revision=found.revision), found.notes


def _locate(data: DataConfig) -> Path | None:
    """The file or folder, None for the hub; refuses settings that would do nothing there."""
    from lorascope.tasks.custom import locate

    path = locate(data.dataset, TASKS)
    wrong = {
        "data_dir": data.data_dir is not None,
        f"data_source {data.data_source}": data.data_source in (("hub", "builtin") if path else ("local", "builtin")),
        "data_revision": path is not None and data.data_revision is not None,
    }
    for name, given in wrong.items():
        if given:
            place = f"{data.dataset} is a data set on the hub" if path is None else f"{path} says where the rows are"
            raise ConfigError("flags-exclude", f"{place}: --{name} means something else", "leave it out")
    return path
