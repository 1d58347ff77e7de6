"""The documents are true: links, files, commands, flags, settings and names in them exist.

Nothing here runs a model: commands are split and resolved as the command line does it.
"""

from __future__ import annotations

import ast
import re
import shlex

import pytest
from pages import (
    GUIDE,
    PAGES,
    README,
    ROOT,
    blocks,
    commands,
    files_in,
    in_ticks,
    inline_commands,
    outside_blocks,
    slug,
)

import lorascope
from lorascope.cli import VERBS
from lorascope.cli_split import split
from lorascope.config.load import resolve

FOR_USERS = {"README.md": README, "GUIDE.md": GUIDE}

# What is named without being ours, or without being there yet.
FOREIGN_FLAGS = {
    "--multi_gpu", "--num_processes", "--cpu", "--use_fsdp", "--fsdp_version", "--index_url", "--repo_type",
}  # fmt: skip


# ---- links, files, form ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", outside_blocks(PAGES[page])):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", outside_blocks(file.read_text(encoding="utf-8")), re.M)
            assert anchor in map(slug, headings), target


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_ours_that_is_named_exists(page):
    for span in in_ticks(outside_blocks(PAGES[page])):
        name = span.partition("::")[0]
        if re.fullmatch(r"(src/lorascope|tests|docs|benchmarks|tools|\.ci)/[\w./-]*", name) and "ANYTHING" not in name:
            assert (ROOT / name).exists(), name


def test_pictures_are_small():
    named = set(re.findall(r"\((docs/images/[^)]+)\)", README + GUIDE))
    assert named == {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "images").iterdir()}
    assert all((ROOT / name).stat().st_size < 150_000 for name in named)


@pytest.mark.parametrize("page", ["README.md", "GUIDE.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_pages_are_ascii_and_their_lines_fit(page):
    assert PAGES[page].isascii()
    long = [line for line in outside_blocks(PAGES[page]).splitlines() if len(line) > 120]
    assert not [line for line in long if not line.startswith(("|", "!["))]


# ---- commands, flags, settings ---------------------------------------------------------------------------------------


def check_command(line, folder):
    """Split and resolve a command as the command line would, without starting it."""
    words = shlex.split(line)
    if words[0] == "accelerate":
        words = words[words.index("run_experiment.py") :]
    if words[:2] == ["python", "run_experiment.py"]:
        words = words[1:]
    if words[0] == "run_experiment.py":
        words = ["lorascope", "run", *words[1:]]
    assert words[0] == "lorascope", line
    verbs = {verb.name: verb for verb in VERBS}
    assert words[1] in verbs, line
    given = split(verbs[words[1]], words[2:], VERBS)
    if words[1] in ("run", "check", "evaluate"):
        named = [*given.get("config", ()), *(given.arguments if words[1] == "check" else ())]
        files = [folder / name for name in named if (folder / name).is_file()]
        assert all((folder / name).is_file() or name.startswith("results/") for name in named), line
        resolve(given.settings, preset=given.get("preset"), files=files)


@pytest.fixture
def folder(tmp_path):
    """A folder with the configuration files that the guide shows."""
    for name, text in files_in(GUIDE).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("line", [line for text in FOR_USERS.values() for line in commands(text)])
def test_every_command_would_start(line, folder):
    first = line.split()[0]
    if first == "make":
        assert line.split()[1] in make_targets()
    elif first in ("lorascope", "accelerate") or line.startswith("python run_experiment.py"):
        check_command(line, folder)
    else:
        assert line.startswith(("python3 -m venv .venv", ". .venv/bin/activate", "pip install -c constraints.txt ")), (
            line
        )


@pytest.mark.parametrize("line", [line for text in PAGES.values() for line in inline_commands(text)])
def test_every_command_in_running_text_can_be_typed(line):
    words = shlex.split(line)[1:]
    verbs = {verb.name: verb for verb in VERBS}
    verb = verbs[words[0]]
    if len(words) > 1 and "--help" not in words:
        split(verb, words[1:], VERBS)


def test_every_verb_is_shown_at_work():
    typed = {line.split()[1] for text in FOR_USERS.values() for line in [*commands(text), *inline_commands(text)]}
    assert {verb.name for verb in VERBS} <= typed


@pytest.mark.parametrize("page", [*FOR_USERS, "CONTRIBUTING.md", "docs/PITFALLS.md", "docs/METHODS.md"])
def test_every_flag_that_is_named_exists(page):
    ours = {spelling for verb in VERBS for option in verb.options() for spelling in option.spellings}
    flags = re.findall(r"(?<![\w-])(--[a-z][a-z_-]*)", " ".join(in_ticks(outside_blocks(PAGES[page]))))
    named = {"--" + flag[2:].replace("-", "_") for flag in flags}
    assert named <= ours | FOREIGN_FLAGS | {"--help"}


def make_targets():
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page):
    assert set(re.findall(r"`make ([a-z-]+)`", PAGES[page])) <= make_targets()


# ---- code in the pages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [block for text in FOR_USERS.values() for block in blocks(text, "python")])
def test_code_compiles_and_imports_public_names(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module == "lorascope":
            assert {alias.name for alias in node.names} <= set(lorascope.__all__)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Config"):
            cls = getattr(lorascope, node.func.id, None) if node.func.id in lorascope.__all__ else None
            assert cls is None or {keyword.arg for keyword in node.keywords} <= set(cls.__dataclass_fields__)


@pytest.mark.parametrize("name", lorascope.__all__)
def test_every_public_name_is_explained(name):
    assert re.search(rf"\b{name}\b", GUIDE + README)
