"""Tasks and metrics from other packages, and the guide's fifth task in one file."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lorascope import cli
from lorascope.config.experiment import DataConfig
from lorascope.errors import ConfigError, UnknownName
from lorascope.evaluation import metrics
from lorascope.evaluation.metrics import METRICS, find_metric, with_metrics
from lorascope.evaluation.metrics.base import Tally, mean_tally
from lorascope.evaluation.predictions import evaluate_predictions
from lorascope.tasks import TASKS, extend, find_task, register
from lorascope.tasks.base import Task
from lorascope.tasks.split import load_evaluation, load_training

ROOT = Path(__file__).parents[2]
BOOLQ = ROOT / "examples" / "boolq.py"
METRIC = '''
"""Length of an answer in words."""
from lorascope.evaluation.metrics.base import mean_tally

def words(predictions, examples, task):
    return [mean_tally("words", [float(len(text.split())) for text in predictions], unit="words", settings={})]
'''

Install = Callable[..., None]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Nothing stays registered."""
    before = {id(table): dict(table) for table in (TASKS, METRICS)}
    yield
    for table in (TASKS, METRICS):
        table.clear()
        table.update(before[id(table)])


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package: its modules, and its entry points as {group: {name: object}}."""

    def put(name: str, modules: Mapping[str, str], points: Mapping[str, Mapping[str, str]]) -> None:
        site = tmp_path / "site"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in them.items()) for group, them in points.items()]
        (info / "entry_points.txt").write_text("".join(lines))
        for module, text in modules.items():
            (site / f"{module}.py").write_text(text)
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(str(site))

    return put


def boolq_files(folder: Path) -> Path:
    """Official files with rows of our own."""
    for name, start in (("train", 0), ("dev", 100)):
        rows = [
            {"question": f"is {i} even", "title": "Numbers", "answer": i % 2 == 0, "passage": f"{i} is a number."}
            for i in range(start, start + 20)
        ]
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


# the fifth task


def test_a_fifth_task_is_one_file_and_a_line(tmp_path: Path) -> None:
    task = register(runpy.run_path(str(BOOLQ))["TASK"])
    data = DataConfig(dataset="boolq", data_dir=str(boolq_files(tmp_path / "boolq")))
    assert find_task(data) is task
    training = load_training(task, data)
    assert (len(training.train), len(training.validation)) == (18, 2)
    assert training.notes[0] == "20 of the official 9,427 train rows"
    first = load_evaluation(task, data, 0, training=training).examples[0]
    assert first.prompt == (
        "### Instruction: Answer the question with yes or no.\n\n### Passage:\n100 is a number.\n\n"
        "### Question:\nis 100 even\n\n### Answer:\n"
    )
    assert first.target == "yes"
    answers = tmp_path / "p.jsonl"
    answers.write_text('{"prediction": "Yes."}\n' * 20)
    assert evaluate_predictions(answers, data).metrics["accuracy"].value == 50


def test_a_fifth_task_comes_from_another_package(tmp_path: Path, install: Install) -> None:
    install("reading", {"boolq_task": BOOLQ.read_text()}, {"lorascope.tasks": {"boolq": "boolq_task:TASK"}})
    assert "boolq" not in TASKS
    assert find_task(DataConfig(dataset="boolq")).title == "BoolQ: passage and question to yes or no"
    assert "boolq" in TASKS


# metrics


def test_a_metric_comes_from_another_package(tmp_path: Path, install: Install) -> None:
    install("counting", {"counting": METRIC}, {"lorascope.metrics": {"words": "counting:words"}})
    (tmp_path / "a.jsonl").write_text("".join(f'{{"prompt": "{i}", "target": "{i}"}}\n' for i in range(10)))
    (tmp_path / "p.jsonl").write_text('{"prediction": "one two three"}\n{"prediction": "one"}\n')
    found = evaluate_predictions(
        tmp_path / "p.jsonl", DataConfig(dataset=str(tmp_path / "a.jsonl")), metrics="exact_match,words"
    )
    assert {name: (score.value, score.unit) for name, score in found.metrics.items()} == {
        "exact_match": (0, "%"),
        "words": (2, "words"),
    }


def test_a_metric_is_registered_by_a_decorator() -> None:
    @metrics.register
    def shouting(predictions: list[str], examples: list[object], task: Task) -> list[Tally]:
        return [mean_tally("shouting", [100.0 * text.isupper() for text in predictions], unit="%", settings={})]

    assert find_metric("shouting") is shouting
    assert with_metrics(TASKS["samsum"], "shouting").metrics == ("shouting",)
    with pytest.raises(UnknownName, match=r"known: accuracy.*, shouting") as unknown:
        find_metric("shoutin")
    assert unknown.value.tries == ("did you mean: shouting",)


# names and broken packages


def test_a_name_that_is_taken_is_refused() -> None:
    task = replace(TASKS["samsum"], title="another")
    with pytest.raises(ConfigError, match="there is a task 'samsum' already") as taken:
        register(task)
    assert taken.value.code == "name-taken"
    assert register(TASKS["samsum"]) is TASKS["samsum"], "the same thing twice is no harm"

    def bleu(predictions: list[str], examples: list[object], task: Task) -> list[Tally]:
        return []

    with pytest.raises(ConfigError, match="there is a metric 'bleu' already"):
        metrics.register(bleu)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import not_installed_anywhere\n", "ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        ("TASK = 1\n", "it is no lorascope.tasks.base.Task but int"),
        ("from lorascope.tasks.samsum import TASK\n", "the task calls itself 'samsum'; both names must be the same"),
        ("raise RuntimeError('two\\nlines')\n", "RuntimeError: two"),
        ("raise SystemExit('no')\n", "SystemExit: no"),
        ("", "AttributeError: module 'broken_task' has no attribute 'TASK'"),
    ],
)
def test_a_broken_package_is_named_where_it_is_asked_for_and_harms_no_other(
    install: Install, text: str, reason: str
) -> None:
    install("worse", {"broken_task": text}, {"lorascope.tasks": {"mine": "broken_task:TASK"}})
    install("better", {"boolq_task": BOOLQ.read_text()}, {"lorascope.tasks": {"boolq": "boolq_task:TASK"}})
    assert find_task(DataConfig(dataset="samsum")) is TASKS["samsum"]
    assert find_task(DataConfig(dataset="boolq")).name == "boolq"
    with pytest.raises(ConfigError) as broken:
        find_task(DataConfig(dataset="mine"))
    assert broken.value.code == "broken-plugin"
    assert broken.value.what == f"task 'mine' comes with the package worse and cannot be used: {reason}"
    assert broken.value.tries == ("pip install --upgrade worse", "pip uninstall worse")
    assert [(b.name, b.package, b.reason) for b in extend().values()] == [("mine", "worse", reason)]


def test_a_package_cannot_take_the_place_of_a_task(install: Install) -> None:
    text = "from dataclasses import replace\nfrom lorascope.tasks.samsum import TASK\nTASK = replace(TASK, title='x')\n"
    install("thief", {"thief_task": text}, {"lorascope.tasks": {"samsum": "thief_task:TASK"}})
    assert find_task(DataConfig(dataset="samsum")).title != "x"
    assert extend()["samsum"].reason == "there is a task 'samsum' already"
    assert find_task(DataConfig(dataset="samsum")).title != "x"


def test_names_of_ours_need_no_look_at_other_packages(install: Install) -> None:
    install("loud", {"loud_task": "raise SystemExit('loaded')\n"}, {"lorascope.tasks": {"loud": "loud_task:TASK"}})
    assert find_task(DataConfig(dataset="e2e_nlg")) is TASKS["e2e_nlg"]


def test_ls_shows_tasks_of_other_packages_and_names_the_broken_ones(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("worse", {"broken_task": "TASK = 1\n"}, {"lorascope.tasks": {"mine": "broken_task:TASK"}})
    install("better", {"boolq_task": BOOLQ.read_text()}, {"lorascope.tasks": {"boolq": "boolq_task:TASK"}})
    assert cli.main(["ls", "tasks"]) == 0
    shown = capsys.readouterr()
    assert "boolq      BoolQ: passage and question to yes or no " in shown.out
    assert "warning: task 'mine' comes with the package worse and cannot be used" in shown.err
    assert "samsum" in shown.out
