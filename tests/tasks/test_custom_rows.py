"""Kinds of rows, the values in them, and what an error says to type; templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorascope.config.experiment import DataConfig
from lorascope.errors import ConfigError, DataError, LorascopeError
from lorascope.tasks import find_task
from lorascope.tasks.base import Example, Message, Task
from lorascope.tasks.split import load_training
from lorascope.tasks.template import parse

PAIRS = [{"prompt": f"What is {i}?", "target": f"It is {i}."} for i in range(12)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def task_of(path: Path, **settings: Any) -> Task:
    return find_task(DataConfig(dataset=str(path), **settings))


def examples(path: Path, **settings: Any) -> list[Example]:
    """All rows, in the file's order."""
    task = task_of(path, **settings)
    return task.to_examples(task.read(Path(), "all").rows)


def one(tmp_path: Path, row: dict[str, Any], **settings: Any) -> Example:
    """The example of a row that stands behind others of its kind."""
    other = {name: value if isinstance(value, (list, str)) else "x" for name, value in row.items()}
    others = [other | {name: f"{i}" for name in other if isinstance(other[name], str)} for i in range(2)]
    return examples(write(tmp_path / "one.jsonl", [*others, row]), **settings)[-1]


def refused(tmp_path: Path, *rows: dict[str, Any], **settings: Any) -> LorascopeError:
    with pytest.raises(LorascopeError) as caught:
        examples(write(tmp_path / "x.jsonl", list(rows)), **settings)
    return caught.value


# pairs


def test_a_pair_is_taken_as_it_is_but_for_a_line_end_behind_the_prompt(tmp_path: Path) -> None:
    rows = [
        {"prompt": " Q: {a} é ", "target": " 4\n5 "},
        {"prompt": "Why", "target": "So"},
        {"prompt": "a\n", "target": "b"},
    ]
    first, second, third = examples(write(tmp_path / "a.jsonl", rows))
    assert (first.prompt, first.target, first.references) == (" Q: {a} é ", " 4\n5 ", (" 4\n5 ",))
    assert (second.prompt, third.prompt) == ("Why\n", "a\n")
    assert [e.id for e in (first, second, third)] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (3.5, "3.5"), (3.0, "3.0"), (-0.25, "-0.25"), (True, "true"), (False, "false"), ("3", "3")],
)
def test_numbers_and_truth_values_become_text(tmp_path: Path, value: object, text: str) -> None:
    example = one(tmp_path, {"prompt": value, "target": value})
    assert (example.prompt, example.target) == (f"{text}\n", text)


def test_a_list_holds_several_right_answers_and_the_first_is_trained_on(tmp_path: Path) -> None:
    example = one(tmp_path, {"prompt": "legs of a spider", "target": [8, "eight", "8"]})
    assert (example.target, example.references) == ("8", ("8", "eight"))


def test_a_column_of_references_adds_right_answers(tmp_path: Path) -> None:
    row = {"prompt": "p", "target": "t", "references": ["u", "t", "v"]}
    assert one(tmp_path, row).references == ("t", "u", "v")


def test_columns_are_named_by_flags(tmp_path: Path) -> None:
    row = {"q": "Why?", "a": "So.", "prompt": "not this", "messages": "nor this"}
    example = one(tmp_path, row, prompt_column="q", target_column="a")
    assert (example.prompt, example.target) == ("Why?\n", "So.")


def test_rows_share_a_group_if_their_prompts_do_but_for_case_and_white_space(tmp_path: Path) -> None:
    rows = [{"prompt": p, "target": "t"} for p in ("A  b", "a\nB ", "a-b", "2+3", "2-3")]
    groups = [e.group for e in examples(write(tmp_path / "a.jsonl", rows))]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 4


def test_ids_are_the_files_own_where_they_are_distinct(tmp_path: Path) -> None:
    rows = [row | {"id": i * 10 if i else "first"} for i, row in enumerate(PAIRS)]
    assert [e.id for e in examples(write(tmp_path / "a.jsonl", rows))] == [
        "first",
        *(str(i * 10) for i in range(1, 12)),
    ]
    path = write(tmp_path / "b.jsonl", [row | {"id": 7} for row in PAIRS])
    assert [e.id for e in examples(path)] == [str(i) for i in range(12)]
    assert "two rows have the same id: the rows' numbers are taken instead" in task_of(path).read(Path(), "all").notes


def test_rows_without_anything_to_ask_or_to_answer_are_left_out_and_counted(tmp_path: Path) -> None:
    empty = [{"prompt": " ", "target": "a"}, {"prompt": "p", "target": "\n"}, {"prompt": "p", "target": []}]
    path = write(tmp_path / "a.jsonl", [*PAIRS, *empty])
    reading = task_of(path).read(Path(), "all")
    assert (len(reading.rows), reading.left_out) == (12, 3)
    assert f"3 of 15 rows have no prompt or target and are left out; the first: {path}:13" in reading.notes


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": None, "target": "a"}, "x.jsonl:3: 'prompt' is null"),
        ({"prompt": "a", "target": None}, "x.jsonl:3: 'target' is null"),
        ({"prompt": "a", "target": ["b", None]}, "x.jsonl:3: 'target' is null"),
        ({"prompt": ["a"], "target": "b"}, "x.jsonl:3: 'prompt' must be text or a number, got [\"a\"]"),
        ({"prompt": "a", "target": {"b": 1}}, "x.jsonl:3: 'target' must be text or a number, got {\"b\": 1}"),
        ({"prompt": "a\0", "target": "b"}, "x.jsonl:3: 'prompt' holds a NUL character"),
        ({"prompt": "a"}, "x.jsonl:3: no column 'target', which the first row has; there is: prompt"),
        ({"messages": []}, "x.jsonl:3: no column 'prompt', which the first row has; there is: messages"),
    ],
)
def test_a_value_that_is_no_text_is_named_with_its_line(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    assert says in refused(tmp_path, *PAIRS[:2], row).what


# what to type


@pytest.mark.parametrize(
    ("names", "tries"),
    [
        ("id question answer", "--prompt_column question --target_column answer"),
        ("instruction output", "--prompt_column instruction --target_column output"),
        ("input output", "--prompt_column input --target_column output"),
        ("text label", "--prompt_column text --target_column label"),
        ("source target", "--prompt_column source --target_column target"),
        ("summary id document", "--prompt_column document --target_column summary"),
        ("prompt completion", "--prompt_column prompt --target_column completion"),
        ("Question Answer", "--prompt_column Question --target_column Answer"),
        ("english french", "--prompt_column english --target_column french"),
        ("a b c", "--prompt_column a --target_column COLUMN"),
    ],
)
def test_usual_names_are_not_guessed_but_offered(tmp_path: Path, names: str, tries: str) -> None:
    error = refused(tmp_path, dict.fromkeys(names.split(), "x"))
    assert error.code == "no-column"
    assert error.what.endswith(f"there is: {', '.join(names.split())}")
    assert error.tries[0] == tries


def test_several_columns_to_ask_with_are_offered_as_a_template(tmp_path: Path) -> None:
    error = refused(tmp_path, {"instruction": "i", "input": "j", "output": "o"})
    assert error.tries[1] == '--prompt_template "{instruction}\\n{input}" --target_column output'


def test_turns_under_another_name_get_the_command_that_renames_them(tmp_path: Path) -> None:
    error = refused(tmp_path, {"conversations": [{"from": "human", "value": "hi"}]})
    assert error.code == "no-column"
    assert error.tries[0].startswith("jq -c '{messages: ")


def test_a_mistyped_column_meets_the_near_one(tmp_path: Path) -> None:
    error = refused(tmp_path, {"question": "q", "answer": "a"}, prompt_column="qestion", target_column="answer")
    assert "x.jsonl:1: no column 'qestion'; there is: question, answer" in error.what
    assert error.tries == ("--prompt_column question",)
    error = refused(tmp_path, {"question": "q", "answer": "a"}, prompt_column="question")
    assert error.tries == ("--target_column answer",)


def test_one_column_cannot_be_both(tmp_path: Path) -> None:
    assert "at once" in refused(tmp_path, {"a": "q"}, prompt_column="a", target_column="a").what


# chats


def chat(*turns: str) -> dict[str, Any]:
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return {"messages": [{"role": roles[t[0]], "content": t[2:]} for t in turns]}


def test_a_chat_ends_with_its_last_answer(tmp_path: Path) -> None:
    rows = [chat("u Hello", "a Hey"), chat("s Be kind", "u Hi", "a Hello", "u Why?", "a So.", "u Bye")]
    path = write(tmp_path / "chats.jsonl", [*rows, chat("u Third", "a 3")])
    example = examples(path)[1]
    assert example.messages == (
        Message("system", "Be kind"), Message("user", "Hi"), Message("assistant", "Hello"),
        Message("user", "Why?"), Message("assistant", "So."),
    )  # fmt: skip
    assert (example.target, example.references) == ("So.", ("So.",))
    assert example.prompt == "system: Be kind\nuser: Hi\nassistant: Hello\nuser: Why?\nassistant:\n"
    task = task_of(path)
    assert (task.group, task.title) == (
        "opening",
        "chats.jsonl: chats in column messages, with the loss on every turn of the assistant",
    )
    notes = task.read(Path(), "all").notes
    assert notes == ("1 chats go on after the assistant's last turn; what follows it is not used",)


def test_chats_that_open_alike_are_one_group(tmp_path: Path) -> None:
    rows = [
        chat("s S", "u Hi", "a A"),
        chat("s S", "u  hi", "a A", "u B", "a C"),
        chat("u Hi", "a A"),
        chat("u X", "a A"),
    ]
    groups = [e.group for e in examples(write(tmp_path / "a.jsonl", rows))]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (chat("u Hi"), "no turn of the assistant"),
        (chat("a Hi", "u Hi"), "begins with its answer"),
        ({"messages": []}, "no turn of the assistant"),
        ({"messages": "user: hi"}, "'messages' must be a list of"),
        ({"messages": [{"role": "user", "text": "hi"}]}, 'turn 1 must be {"role": ..., "content": ...}'),
        ({"messages": [{"role": "tool", "content": "hi"}]}, "turn 1 has the role 'tool'; it is one of system, user"),
        ({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, "the content of turn 1 must be text"),
        ({"messages": [{"role": "user", "content": None}]}, "the content of turn 1 must be text, got null"),
    ],
)
def test_a_chat_that_cannot_be_learnt_is_named_with_its_line(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    error = refused(tmp_path, chat("u 1", "a 2"), row)
    assert (error.code, "x.jsonl:2: " in error.what) == ("bad-row", True)
    assert says in error.what


# plain text


def test_plain_text_is_learnt_whole_and_has_no_metrics(tmp_path: Path) -> None:
    path = write(tmp_path / "texts.jsonl", [{"text": f" Once {i}\n", "source": "book"} for i in range(12)])
    example = examples(path)[3]
    assert (example.prompt, example.target, example.references) == ("", " Once 3\n", (" Once 3\n",))
    task = task_of(path)
    assert (task.metrics, task.stop, task.group) == ((), None, "text")
    assert task.metrics_note == "evaluated by the loss alone: plain text has no answers"


# templates


def test_a_template_is_filled_with_columns_and_nothing_else(tmp_path: Path) -> None:
    row = {"context": "{question} {{x}}", "question": "Why?", "answer": 1}
    template = r"{context}\nQ: {question} {{json}}\nA:"
    assert one(tmp_path, row, prompt_template=template, target_column="answer").prompt == (
        "{question} {{x}}\nQ: Why? {json}\nA:\n"
    )


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{q.__class__}", "{q.__class__} is more than the name of a column"),
        ("{q[0]}", "{q[0]} is more than"),
        ("{q!r}", "{q!r} is more than"),
        ("{q:>10}", "{q:>10} is more than"),
        ("{q:{a}}", "is more than"),
        ("{}", "{} names no column"),
        ("{0}", "{0} names no column"),
        ("{q", "expected '}' before end of string"),
        ("q}", "single '}' encountered"),
        ("no column", "it names no column, so that every prompt would be the same"),
        ("{{q}}", "it names no column"),
    ],
)
def test_a_template_names_columns_and_does_nothing_else(template: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(template)
    assert caught.value.code == "template"
    assert says in caught.value.what


def test_a_template_names_columns_that_there_are(tmp_path: Path) -> None:
    rows = {"question": "q", "answer": "a"}
    error = refused(tmp_path, rows, prompt_template="{qestion}", target_column="answer")
    assert "names the column 'qestion'" in error.what
    assert "has: question, answer" in error.what
    assert error.tries[0] == "did you mean: question"
    assert (
        "gives the answer away"
        in refused(tmp_path, rows, prompt_template="{question} {answer}", target_column="answer").what
    )


def test_a_template_and_a_prompt_column_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="prompt_template names its columns itself") as caught:
        DataConfig(dataset="a.jsonl", prompt_template="{a}", prompt_column="a")
    assert caught.value.code == "flags-exclude"


@given(st.lists(st.tuples(st.text(alphabet="ab\\n{}é\n", max_size=6), st.sampled_from("xyz")), min_size=1, max_size=4),
       st.text(max_size=8))  # fmt: skip
def test_whatever_stands_around_the_columns_stays(parts: list[tuple[str, str]], value: str) -> None:
    escaped = [text.replace("\\", "\\\\").replace("{", "{{").replace("}", "}}") for text, _ in parts]
    template = "".join(f"{text}{{{name}}}" for text, (_, name) in zip(escaped, parts, strict=True))
    filled = parse(template).fill(dict.fromkeys("xyz", value))
    assert filled == "".join(text + value for text, _ in parts)


# other files hold the same rows


@pytest.mark.parametrize(
    "name", ["a.json", "a.json.gz", "a.jsonl.gz", "a.csv", "a.csv.gz", "a.tsv", "a.tsv.gz", "a.parquet"]
)
def test_every_kind_of_file_gives_the_same_examples(tmp_path: Path, name: str) -> None:
    import gzip

    rows = [{"prompt": f'Say "{i}", é\nplease\t!', "target": f"{i}, ok"} for i in range(9)]
    wanted = examples(write(tmp_path / "b.jsonl", rows))
    path = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        if ".json" in name:
            text = json.dumps(rows) if ".jsonl" not in name else "".join(json.dumps(row) + "\n" for row in rows)
        else:
            mark = "," if ".csv" in name else "\t"
            quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row.values()] for row in rows]
            text = "".join(mark.join(row) + "\n" for row in [["prompt", "target"], *quoted])
        data = text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert examples(path) == wanted


def test_chats_and_lists_come_from_parquet_too(tmp_path: Path) -> None:
    rows = [chat(f"u {i}", f"a {i}") for i in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "chats.parquet")
    assert examples(tmp_path / "chats.parquet")[3].messages == (Message("user", "3"), Message("assistant", "3"))
    pq.write_table(
        pa.Table.from_pylist([{"prompt": str(i), "target": ["a", "b"]} for i in range(5)]), tmp_path / "p.parquet"
    )
    assert examples(tmp_path / "p.parquet")[0].references == ("a", "b")
    pq.write_table(
        pa.Table.from_pylist([{"prompt": "a", "target": "b"}, {"prompt": "c", "target": None}]), tmp_path / "n.parquet"
    )
    with pytest.raises(DataError, match=r"n\.parquet:row 2: 'target' is null"):
        examples(tmp_path / "n.parquet")


def test_a_csv_cannot_have_a_column_twice(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,target,prompt\na,b,c\n")
    with pytest.raises(DataError, match=r"a\.csv:1: two columns are called 'prompt'"):
        examples(tmp_path / "a.csv")


def test_the_rows_of_a_run_say_what_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", PAIRS)
    data = DataConfig(dataset=str(path))
    training = load_training(find_task(data), data)
    assert training.describe().startswith(
        "  data      mine: 9 rows to train on, 1 for validation; all 10 in mine.jsonl\n"
    )
    assert training.notes[0] == "mine.jsonl: column target answers prompt"
    assert training.provenance["source"] == "local"
