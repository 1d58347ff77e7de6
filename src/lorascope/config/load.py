"""From presets, files and flags to one configuration, with the source of every value.

Later layers win: built-in values, the preset, the files from left to right, the flags. A file is YAML or JSON; its keys
are the names of the flags, flat (`r: 4`) or nested by section (`lora: {r: 4}`), so a run folder's config.json is one
too. Values are converted by the type of their setting (`settings.read`), never by what YAML takes them for; no YAML tag
is acted on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lorascope.config.experiment import ExperimentConfig
from lorascope.config.presets import PRESETS
from lorascope.config.settings import Setting, by_flag, by_path, read, sections, settings
from lorascope.errors import ConfigError, near, pick

Values = dict[str, tuple[Any, str]]
"""Path of a setting -> (value, where it was written)."""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A configuration and where its values come from."""

    config: ExperimentConfig
    sources: Mapping[str, str]
    """Path of a setting -> "--r", "run.yaml:12" or "preset e2e_mlp"; a setting that nobody set is not in it."""
    notes: tuple[str, ...] = ()
    """What the user should know about the layers."""

    def changed(self) -> list[tuple[str, Any, str]]:
        """(path, value, source) of every setting whose value is not the built-in one."""
        values = flat(self.config)
        return [
            (s.path, values[s.path], self.sources[s.path])
            for s in settings()
            if s.path in self.sources and values[s.path] != s.default
        ]


def resolve(
    flags: Mapping[str, str | bool] | None = None, *, preset: str | None = None, files: Sequence[Path | str] = ()
) -> Resolved:
    """Lay flags over files over the preset over the built-in values.

    `flags`: name of a flag without dashes -> its text, or a bool for `--eval` and `--no_eval`. A file may name a preset
    of its own (`preset: e2e_mlp`); one is used: `preset` if given, otherwise that of the last file that names one.
    Raises ConfigError with file and line, or the flag, for anything that is not a setting or not a value.
    """
    layers = [_read_file(Path(file)) for file in files]
    named = [name for name, _ in layers if name]
    start = preset or (named[-1] if named else None)
    base = _preset_values(start) if start else {}
    over: Values = {}
    for _, values in layers:
        over |= values
    notes: tuple[str, ...] = ()
    if preset and base and all(path in over for path in base):
        names = ", ".join(str(file) for file in files)
        notes = (f"preset {preset} changes nothing: {names} sets all its values (files go over presets)",)
    merged = base | over | _flag_values(flags or {})
    config = _build(merged)
    return Resolved(config=config, sources={path: source for path, (_, source) in merged.items()}, notes=notes)


def flat(config: ExperimentConfig) -> dict[str, Any]:
    """Path of every setting -> its value."""
    return {s.path: getattr(getattr(config, s.section) if s.section else config, s.name) for s in settings()}


def to_json(config: ExperimentConfig) -> str:
    """The text of a run folder's config.json."""
    return json.dumps(config.to_dict(), indent=2, allow_nan=False) + "\n"


def from_json(text: str, name: str = "config.json") -> ExperimentConfig:
    """The configuration that `to_json` wrote; ConfigError, with `name` and line, for any other text."""
    return _build(_read_text(text, name)[1])


def _build(values: Values) -> ExperimentConfig:
    """The configuration; a value that its section refuses is reported with the place where it was written."""
    try:
        given = {
            section: {s.name: values[s.path][0] for s in settings() if s.section == section and s.path in values}
            for section in (*sections(), "")
        }
        return ExperimentConfig(**{name: cls(**given[name]) for name, cls in sections().items()}, **given[""])
    except ConfigError as error:
        name = error.what.split(maxsplit=1)[0]  # every check starts its sentence with the setting
        setting = by_flag().get(name) or next((s for s in settings() if s.name == name), None)
        source = values[setting.path][1] if setting and setting.path in values else ""
        if not source or source.startswith("--"):
            raise
        raise ConfigError(error.code, f"{source}  {error.what}", *error.tries) from None


def _preset_values(name: str) -> Values:
    """The values in which a preset differs from the built-in ones."""
    values = flat(pick(PRESETS, name, "preset")())
    return {s.path: (values[s.path], f"preset {name}") for s in settings() if values[s.path] != s.default}


def _flag_values(flags: Mapping[str, str | bool]) -> Values:
    out: Values = {}
    for flag, value in flags.items():
        setting = pick(by_flag(), flag, "setting")
        if isinstance(value, bool):
            out[setting.path] = (value, f"--{flag}" if value else f"--no_{flag}")
            continue
        try:
            out[setting.path] = (read(setting, value), f"--{flag}")
        except ValueError as error:
            raise _wrong_value(f"--{flag}", value, setting, str(error)) from None
    return out


def _wrong_value(where: str, text: str, setting: Setting, rule: str) -> ConfigError:
    guess = near(text, setting.choices)
    example = guess or (setting.choices[0] if setting.choices else None if setting.kind is bool else setting.default)
    tries = [f"--{setting.flag} {example}"] if example is not None else []
    if setting.kind is bool:
        tries = [f"--{setting.flag}", f"--no_{setting.flag}"]
    if setting.kind is tuple:
        tries = []
    return ConfigError("config-value", f"{where} got {text!r}; it takes {rule}", *tries)


# ---- files ----------------------------------------------------------------------------------------------------------


def _read_file(path: Path) -> tuple[str | None, Values]:
    """(preset named in the file, its values)."""
    if path.is_dir() and (path / "config.json").is_file():
        raise ConfigError("config-file", f"{path} is a folder", f"--config {path / 'config.json'}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("config-file", f"{path} is not there", *_neighbours(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigError("config-file", f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError("config-file", f"{path} cannot be read: {error.strerror}") from None
    preset, values = _read_text(text, str(path))
    if not preset and not values:
        raise ConfigError("config-file", f"{path} sets nothing")
    return preset, values


def _neighbours(path: Path) -> list[str]:
    """The file beside it that was probably meant."""
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    guess = near(path.name, [p.name for p in beside if p.suffix in (".yaml", ".yml", ".json")])
    return [f"--config {path.parent / guess}"] if guess else []


def _read_text(text: str, name: str) -> tuple[str | None, Values]:
    try:
        # A tab cannot stand inside a JSON string, and between values YAML does not take it for the blank that it is.
        root = yaml.compose(text.replace("\t", " ") if text.lstrip()[:1] == "{" else text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError("config-file", f"{name}{line}  is not YAML or JSON: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError("config-file", f"{name}  is not YAML or JSON: {str(error).splitlines()[0]}") from None
    values: Values = {}
    preset = None
    for key, node in _items(root, name, "") if root else ():
        where = f"{name}:{_line(key)}"
        word = key.value.replace("-", "_")
        if isinstance(node, yaml.MappingNode) and word in sections():
            for inner, below in _items(node, name, f"{word}."):
                _put(values, _inner_setting(word, inner, name), below, inner, name)
        elif word == "preset":
            preset = None if _is_null(node) else _scalar(node, f"{where}  preset")
            if preset is not None:
                pick(PRESETS, preset, "preset")
        elif word in by_flag():
            _put(values, by_flag()[word], node, key, name)
        else:
            raise _unknown_key(where, word, [*by_flag(), *sections(), "preset"])
    return preset, values


def _items(node: yaml.Node, name: str, prefix: str) -> Iterable[tuple[yaml.ScalarNode, yaml.Node]]:
    """Keys and values of a mapping; every key a text, none twice."""
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError("config-file", f"{name}:{_line(node)}  must hold settings, one `name: value` a line")
    seen: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError("config-file", f"{name}:{_line(key)}  a setting's name must be a word")
        word = key.value.replace("-", "_")
        if word in seen:
            where = f"{name}:{_line(key)}"
            raise ConfigError("config-key", f'{where}  "{prefix}{word}" stands in line {seen[word]} already')
        seen[word] = _line(key)
        yield key, value


def _inner_setting(section: str, key: yaml.ScalarNode, name: str) -> Setting:
    """The setting that a key inside a section names, by its field or by its flag."""
    word = key.value.replace("-", "_")
    inside = [s for s in settings() if s.section == section]
    for s in inside:
        if word in (s.name, s.flag):
            return s
    where = f"{name}:{_line(key)}"
    elsewhere = by_flag().get(word)
    raise _unknown_key(where, f"{section}.{word}", by_path(), elsewhere.path if elsewhere else None)


def _unknown_key(where: str, word: str, known: Iterable[str], guess: str | None = None) -> ConfigError:
    guess = guess or near(word, known)
    return ConfigError(
        "config-key",
        f'{where}  "{word}" is not a setting',
        *([f"did you mean: {guess}"] if guess else []),
        "lorascope check --list   (all settings)",
    )


def _put(values: Values, setting: Setting, node: yaml.Node, key: yaml.Node, name: str) -> None:
    where = f"{name}:{_line(key)}"
    if setting.path in values:
        raise ConfigError("config-key", f'{where}  "{setting.path}" is set twice, first in {values[setting.path][1]}')
    if _is_null(node):
        if not setting.optional:
            raise _wrong_value(f"{where}  {setting.path}", "null", setting, setting.rule)
        values[setting.path] = (None, where)
        return
    if setting.kind is tuple and isinstance(node, yaml.SequenceNode):
        values[setting.path] = (_plain(node, name), where)
        return
    text = _scalar(node, f"{where}  {setting.path}")
    quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
    try:
        values[setting.path] = (read(setting, text, quoted=quoted), where)
    except ValueError as error:
        raise _wrong_value(f"{where}  {setting.path}", text, setting, str(error)) from None


def _scalar(node: yaml.Node, where: str) -> str:
    """The text of a plain value, as it is written."""
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError("config-value", f"{where} must be one value, not a list or a block")
    if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python"):
        raise ConfigError("config-value", f"{where} has the tag {node.tag}; tags are not acted on", "leave the tag out")
    text: str = node.value
    # JSON escapes an emoji as two halves, which YAML leaves apart.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _plain(node: yaml.Node, name: str) -> Any:
    """Lists, mappings, whole numbers, texts and null as Python has them; the setting checks what they must be."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, name) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {key.value.replace("-", "_"): _plain(value, name) for key, value in _items(node, name, "")}
    if _is_null(node):
        return None
    text = _scalar(node, f"{name}:{_line(node)}")
    return int(text) if isinstance(node, yaml.ScalarNode) and node.style is None and text.isdecimal() else text


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
