"""Who may import whom (ARCHITECTURE.md), read off the source: at the top of a file and inside functions alike."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import lorascope

SOURCE = Path(lorascope.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
ROOT = SOURCE.parents[1]

TORCH = {"torch", "transformers", "peft", "accelerate", "trl", "safetensors"}
SHOWN = {"report.notebook", "report.profile_plots", "report.profile_view"}
"""What shows a value that is asked to show itself: imported inside the method, never when loaded."""
ALLOWED = {
    "errors": set(),
    "hub": set(),
    "registry": set(),
    "config": {"config", "report.notebook"},
    "tasks": {"config", "hub", "tasks", "registry"},
    "models": {"config", "hub", "models"},
    "measure": {"config", "models", "measure", "registry", "runs.rundir"},
    "training": {"config", "tasks", "models", "measure", "training", "evaluation"},
    "evaluation": {
        "config",
        "tasks",
        "models",
        "registry",
        "evaluation",
        "training.batching",
        "training.encoding",
        "training.rows",
    },
    "analysis": {"config", "analysis", "models.target", "runs.rundir", *SHOWN},
    "report": {"config", "analysis", "report", "runs.rundir"},
}
"""Room -> our rooms, or single modules of them, that it may import besides errors; runs, studies, cli may import all.

`runs.rundir` knows the names of a run's files and imports nothing of ours but errors.
"""

WITHOUT_TORCH = ("errors", "hub", "config", "tasks", "analysis", "report")
"""Rooms that must not load torch or what loads it."""


def module_name(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(path):
    return path.relative_to(SOURCE).with_suffix("").parts[0]


@cache
def imports(path, top_only=False):
    """Names of all modules that a file imports (`top_only`: when it is loaded), except for the type checker alone."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in tree.body if top_only else ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.add(node.module)
            found |= {name for a in node.names if is_ours(name := f"{node.module}.{a.name}")}
    return found


def is_ours(name):
    """Whether it is one of our modules: `from lorascope.runs import rundir` imports a module too."""
    return (SOURCE.parent / name.replace(".", "/")).with_suffix(".py").is_file()


def ours(path, top_only=False):
    """Our modules that a file imports; a package whose module is imported by name is left out."""
    mine = {name for name in imports(path, top_only) if name.split(".")[0] == "lorascope"}
    return {name for name in mine if not any(other.startswith(name + ".") for other in mine)}


@pytest.mark.parametrize("path", [f for f in FILES if room_of(f) in ALLOWED], ids=module_name)
def test_a_room_imports_only_the_rooms_it_may(path):
    allowed = {f"lorascope.{name}" for name in ALLOWED[room_of(path)]}
    wrong = {
        name
        for name in ours(path) - {"lorascope.errors"}
        if not any(name == room or name.startswith(room + ".") for room in allowed)
    }
    assert not wrong, f"{path} must not import {', '.join(sorted(wrong))}"


def test_every_room_has_a_rule():
    without = {room_of(f) for f in FILES} - set(ALLOWED) - {"__init__", "__main__", "runs", "studies"}
    assert without == {room for room in without if room == "cli" or room.startswith("cli_")}


@pytest.mark.parametrize("path", [f for f in FILES if room_of(f) in WITHOUT_TORCH], ids=module_name)
def test_rooms_that_read_and_draw_never_import_torch(path):
    assert not {name.split(".")[0] for name in imports(path)} & TORCH


def test_no_module_needs_itself_to_be_loaded():
    needs = {module_name(f): ours(f, top_only=True) for f in FILES}
    while leaves := {name for name, needed in needs.items() if not needed & set(needs)}:
        needs = {name: needed for name, needed in needs.items() if name not in leaves}
    assert not needs, f"a circle of imports runs through {', '.join(sorted(needs))}"


def test_errors_and_names_of_files_import_nothing_of_ours():
    assert not ours(SOURCE / "errors.py")
    assert ours(SOURCE / "runs" / "rundir.py") <= {"lorascope.errors"}


def test_scores_are_pure_torch():
    roots = {name.split(".")[0] for name in imports(SOURCE / "measure" / "scores.py")}
    assert roots <= {"__future__", "torch", "collections", "dataclasses", "math", "typing", "lorascope"}
    assert ours(SOURCE / "measure" / "scores.py") <= {"lorascope.errors", "lorascope.measure.records"}


def test_the_rules_see_imports_inside_functions_and_of_modules_by_name(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("def f():\n    import torch.nn\n    from lorascope.runs import rundir, experiment\n")
    assert imports(file) == {"torch.nn", "lorascope.runs", "lorascope.runs.rundir", "lorascope.runs.experiment"}
    assert ours(file) == {"lorascope.runs.rundir", "lorascope.runs.experiment"}


def test_imports_for_the_type_checker_do_not_count(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n")
    assert imports(file) == {"typing"}


WITHOUT_LOADING = {
    "lorascope": ("torch", "transformers", "peft", "pandas", "numpy", "matplotlib", "rich", "yaml", "tyro"),
    "lorascope.cli": ("torch", "transformers", "peft", "pandas", "numpy", "matplotlib", "rich", "yaml", "tyro"),
    "lorascope.config.load": ("torch", "transformers", "peft", "pandas", "numpy", "tyro"),
    "lorascope.tasks": ("torch", "transformers", "peft", "pandas", "matplotlib"),
    "lorascope.runs.rundir": ("torch", "transformers", "peft", "pandas", "numpy"),
    "lorascope.runs.plan": ("torch", "transformers", "peft", "pandas", "matplotlib"),
    "lorascope.studies.planning": ("torch", "transformers", "peft", "matplotlib", "rich", "ray"),
    "lorascope.studies.local": ("torch", "transformers", "peft", "matplotlib", "rich", "ray"),
    "lorascope.analysis.compare": ("torch", "transformers", "peft", "pandas", "matplotlib"),
    "lorascope.report.terminal": ("torch", "transformers", "peft", "pandas", "matplotlib", "rich"),
}


@pytest.mark.parametrize("name", WITHOUT_LOADING)
def test_importing_it_loads_nothing_heavy(name):
    code = f"import sys, {name}; print(*[m for m in {WITHOUT_LOADING[name]} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_the_public_names_are_sorted_and_there():
    assert lorascope.__all__ == sorted(set(lorascope.__all__))
    for name in lorascope.__all__:
        assert getattr(lorascope, name) is not None, name
    with pytest.raises(AttributeError, match="has no attribute 'probe_all'"):
        _ = lorascope.probe_all


@pytest.mark.parametrize("path", [f for f in FILES if "__all__" in f.read_text(encoding="utf-8")], ids=module_name)
def test_every_all_is_sorted_and_importable(path):
    module = importlib.import_module(module_name(path))
    assert list(module.__all__) == sorted(set(module.__all__))
    assert all(hasattr(module, name) for name in module.__all__)


SIZED = [*FILES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]


@pytest.mark.parametrize("path", SIZED, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
