"""A plan shows the first row of the data where it can be read at once, and says who shows it otherwise."""

from __future__ import annotations

import json

import pytest
from running import flags, lorascope

from lorascope.tasks import sources


def planned(*words: object) -> list[str]:
    typed = lorascope("run", *words, "--plan")
    assert typed.code == 0, typed.err
    return typed.out.splitlines()


def row_of(lines: list[str]) -> list[str]:
    """The lines of the first row."""
    start = next(i for i, line in enumerate(lines) if line.startswith("first row of the data"))
    return [line.removeprefix("  | ") for line in lines[start + 1 : lines.index("Nothing was started.")]]


@pytest.fixture
def own(tmp_path):
    def write(**row: object):
        path = tmp_path / "own.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for _ in range(3)))
        return path

    return write


def test_official_files(home, tmp_path):
    row = row_of(planned(*flags(home), "--output_dir", tmp_path))
    assert row[0].startswith("### Instruction")
    answer = row[row.index("### Description:") + 1 :]
    assert answer
    assert all(line.startswith("[[") and line.endswith("]]") for line in answer)
    assert not any("[[" in line for line in row[: -len(answer)])


def test_loss_on_all(home, tmp_path):
    row = row_of(planned(*flags(home), "--output_dir", tmp_path, "--loss_on", "all"))
    assert all(line.startswith("[[") and line.endswith("]]") for line in row if line != "  |")


def test_a_prompt_with_its_answer(home, own):
    data = own(prompt="Where?", target="Here.")
    assert row_of(planned("--model", home / "base", "--dataset", data)) == ["Where?", "[[Here.]]"]


def test_a_chat(home, own):
    turns = [("system", "Brief."), ("user", "Where?"), ("assistant", "Here."), ("user", "Why?"), ("assistant", "So.")]
    data = own(messages=[{"role": role, "content": content} for role, content in turns])
    assert row_of(planned("--model", home / "base", "--dataset", data)) == [
        "system: Brief.", "user: Where?", "assistant: [[Here.]]", "user: Why?", "assistant: [[So.]]",
    ]  # fmt: skip


def test_a_text_is_learnt_whole_and_nothing_is_generated(home, own):
    lines = planned("--model", home / "base", "--dataset", own(text="Once\nupon a time."))
    assert row_of(lines) == ["[[Once]]", "[[upon a time.]]"]
    assert any("by the loss alone" in line for line in lines)


@pytest.mark.parametrize("where", [["--dataset", "somebody/rows"], ["--dataset", "e2e_nlg"]])
def test_nothing_is_fetched_for_it(home, tmp_path, where):
    lines = planned("--model", home / "base", "--output_dir", tmp_path, *where)
    assert "  first row   lorascope check shows it" in lines


def test_large_files_are_left_to_check(home, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "QUICK", 100)
    assert "  first row   lorascope check shows it" in planned(*flags(home), "--output_dir", tmp_path)


def test_plans_of_many_runs_do_without(home, tmp_path):
    lines = planned("--batch", "--model", home / "base", "--data_dir", home / "data", "--output_dir", tmp_path)
    assert not any("first row" in line for line in lines)
