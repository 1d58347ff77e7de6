"""From a word at the command line to a study: a built-in name, a YAML file, or a Python file, which is code."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from lorascope.analysis.hypotheses import Contrast, Hypothesis, Part, Term
from lorascope.errors import ConfigError, near, pick
from lorascope.studies.builtin import STUDIES
from lorascope.studies.design import SEEDS, Study, check_flags
from lorascope.studies.measures import check_measure

_KEYS = ("name", "title", "common", "tasks", "arms", "seeds", "lrs", "left_out", "early_only", "contrasts")
_CONTRAST = ("measure", "first", "second", "expect", "smallest", "tasks")


def find_study(word: str) -> Study:
    """The study that a word names. Errors: UnknownName, ConfigError."""
    path = Path(word)
    if path.suffix in (".yaml", ".yml", ".py"):
        if not path.is_file():
            raise ConfigError("study-file", f"{path} is not there", "lorascope study lora_sensitivity --plan")
        return _from_python(path) if path.suffix == ".py" else _from_yaml(path)
    return pick(STUDIES, word, "study")()


def _from_python(path: Path) -> Study:
    """`STUDY` of a Python file; running it is running code."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise ConfigError("study-file", f"{path} sets no STUDY of lorascope.studies.design.Study")
    return study


def _from_yaml(path: Path) -> Study:
    """A study from YAML. Values stay text: they are read by the type of their setting."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError("study-file", f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    root = _mapping(found, str(path))
    for key in root:
        if key not in _KEYS:
            guess = near(key, _KEYS)
            raise ConfigError(
                "study-file", f'{path}: "{key}" is not a part of a study; it has {", ".join(_KEYS)}',
                *([f"did you mean: {guess}"] if guess else []),
            )  # fmt: skip
    tables = {key: _tables(root.get(key), f"{path}: {key}") for key in ("tasks", "arms")}
    common = _mapping(root.get("common") or {}, f"{path}: common")
    check_flags(f"{path}: common", common)
    name = root.get("name") or path.stem
    title = root.get("title") or ""
    return Study(
        name=str(name),
        title=str(title),
        common=common,
        tasks=tables["tasks"],
        arms=tables["arms"],
        seeds=tuple(_whole(text, f"{path}: seeds") for text in root["seeds"]) if "seeds" in root else SEEDS,
        lrs=tuple(str(lr) for lr in root.get("lrs") or ()),
        left_out=tuple((str(task), str(arm)) for task, arm in root.get("left_out") or ()),
        early_only=tuple(str(task) for task in root.get("early_only") or ()),
        hypotheses=_hypotheses(root.get("contrasts") or [], tables["tasks"], tables["arms"], str(path)),
    )


def _mapping(found: Any, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ConfigError("study-file", f"{where} must hold `name: value` lines")
    return found


def _tables(found: Any, where: str) -> dict[str, dict[str, Any]]:
    """Name -> settings; a name without any may stand alone."""
    tables = {name: _mapping(settings or {}, f"{where}.{name}") for name, settings in _mapping(found, where).items()}
    for name, settings in tables.items():
        check_flags(f"{where}.{name}", settings)
    return tables


def _whole(text: Any, where: str) -> int:
    if not str(text).isdecimal():
        raise ConfigError("study-file", f"{where}: {text!r} is no whole number")
    return int(text)


def _hypotheses(
    rows: list[Any], tasks: Mapping[str, Any], arms: Mapping[str, Any], path: str
) -> tuple[Hypothesis, ...]:
    """A hypothesis for each row of `contrasts`, a part for each task."""
    out = []
    for number, found in enumerate(rows, 1):
        where = f"{path}: contrast {number}"
        row = _mapping(found, where)
        missing = {"measure", "first", "second", "expect"} - set(row)
        if missing or set(row) - set(_CONTRAST):
            raise ConfigError("study-file", f"{where} takes {', '.join(_CONTRAST)}; the first four must be there")
        measure = check_measure(str(row["measure"]))
        for side in ("first", "second"):
            pick(arms, str(row[side]), "arm")
        if row["expect"] not in ("higher", "lower"):
            raise ConfigError("study-file", f"{where}: expect must be higher or lower, got {row['expect']!r}")
        expect: Literal[1, -1] = 1 if row["expect"] == "higher" else -1
        of = [pick({name: name for name in tasks}, str(name), "task") for name in row.get("tasks") or tasks]
        out.append(
            Hypothesis(
                name=f"{row['first']} against {row['second']}",
                claim=f"{measure} is {row['expect']} with {row['first']} than with {row['second']}",
                parts=tuple(Part(name=task, contrasts=(_contrast(task, measure, row, expect, where),)) for task in of),
                estimand=f"mean over seeds of the difference of {measure}",
                window="as the measure says",
            )
        )
    return tuple(out)


def _contrast(task: str, measure: str, row: Mapping[str, Any], expect: Literal[1, -1], where: str) -> Contrast:
    try:
        smallest = float(row.get("smallest", 0.0))
    except ValueError:
        raise ConfigError("study-file", f"{where}: smallest must be a number, got {row['smallest']!r}") from None
    return Contrast(
        name=f"{task}: {measure}",
        terms=(
            Term(task=task, arm=str(row["first"]), measure=measure),
            Term(task=task, arm=str(row["second"]), measure=measure, weight=-1.0),
        ),
        log=False,
        expect=expect,
        smallest=smallest,
        unit="nats/token" if "loss" in measure else "difference",
    )
