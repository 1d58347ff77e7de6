"""What the guide repeats from the code is what the code says: prompts, tasks, targets, phases, error codes."""

from __future__ import annotations

import ast
import re

import pytest
from pages import GUIDE, README, ROOT, SOURCE, blocks, in_ticks, rows

from lorascope.config.experiment import TARGET_MODULES
from lorascope.config.phases import STRATEGIES
from lorascope.config.presets import PRESETS
from lorascope.tasks import TASKS, e2e_nlg, multi_nli, samsum, wikisql


def test_the_guide_shows_the_prompts_that_are_used():
    header = ["name", "area", "country"]
    shown = "\n".join(blocks(GUIDE, ""))
    query = wikisql.sql_text({"sel": 1, "agg": 0, "conds": [[2, 0, "France"]]}, header)
    assert wikisql.prompt("What is the area of France?", header) + query in shown
    for prompt in (
        e2e_nlg.prompt("name[Blue Spice], eatType[coffee shop]"),
        samsum.prompt("Hannah: Hi!\nAmanda: Hello"),
        multi_nli.prompt("A dog runs.", "An animal moves."),
    ):
        assert prompt in shown


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_the_guide_knows_each_task(task):
    tables = {}
    for cells in rows(GUIDE, "## 4. Data"):
        tables.setdefault(cells[0].strip("`"), []).append(cells)
    (files, lengths) = tables[task.name]
    for names in task.files.values():
        assert all(f"`{name}`" in files[1] or "tables" in name for name in names)
    assert files[2] == ", ".join(f"{count:,}" for count in task.official_counts.values())
    assert lengths[1:] == [str(task.max_length), str(task.max_new_tokens)]


def test_the_guide_shows_the_fifth_task_as_it_is_tested():
    assert (ROOT / "examples" / "boolq.py").read_text(encoding="utf-8").strip() in "\n".join(blocks(GUIDE, "python"))


def test_the_guide_knows_the_targets_and_what_they_cost_in_tinyllama():
    layers, hidden, kv, mlp, vocabulary = 22, 2048, 256, 5632, 32_000
    cost = {
        "q_proj": layers * 2 * hidden, "k_proj": layers * (hidden + kv), "v_proj": layers * (hidden + kv),
        "o_proj": layers * 2 * hidden, "gate_proj": layers * (hidden + mlp), "up_proj": layers * (hidden + mlp),
        "down_proj": layers * (hidden + mlp), "embed_tokens": vocabulary + hidden, "lm_head": vocabulary + hidden,
    }  # fmt: skip
    table = {cells[0].strip("`"): cells[2] for cells in rows(GUIDE, "## 5. Models and targets")[1:]}
    for target, names in TARGET_MODULES.items():
        assert table[target] == f"{sum(cost[name] for name in names):,}"


def test_the_guide_knows_strategies_and_presets():
    assert {cells[0].strip("`") for cells in rows(GUIDE, "## 12. Phases")[1:]} == set(STRATEGIES)
    named = set(re.findall(r"\b(?:e2e|samsum|wikisql|mnli)_(?:attention|mlp|both|dynamic)\b", GUIDE + README))
    assert named <= set(PRESETS)


def codes_in_source():
    """The codes of all errors that are raised, where they are written as text."""
    found = set()
    kinds = ("Error", "NoTargets", "UnknownName", "Interrupted", "GateNotMet", "_Bug")
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name.endswith(kinds) and name != "AssertionError" and isinstance(node.args[0].value, str):
                    found.add(node.args[0].value)
    return {code for code in found if re.fullmatch(r"[a-z0-9-]+", code)}


def test_every_error_code_has_a_row_and_every_row_a_code():
    listed = [code for cells in rows(GUIDE, "## 15. Errors") for code in in_ticks(cells[0])]
    assert len(listed) == len(set(listed))
    # A bug has a sentence of its own; some codes are put together where they are raised.
    composed = {
        "unknown-preset",
        "unknown-task",
        "unknown-list",
        "unknown-metric",
        "no-tokenizer",
        "remote-code",
        "model-load",
        "nan-model",
    }
    source = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    for code in composed:
        assert f'"{code.removeprefix("unknown-")}"' in source
    assert set(listed) == (codes_in_source() | composed) - {"bug"}
