"""Prompts, answers, references and groups of the four tasks, from files in the official formats."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import official
import pytest

from lorascope.config.experiment import DataConfig, DatasetType
from lorascope.errors import UnknownName, pick
from lorascope.evaluation.metrics import FROM_MODEL, METRICS
from lorascope.tasks import TASKS, e2e_nlg, multi_nli, samsum, wikisql
from lorascope.tasks.base import Example, Row, Task
from lorascope.tasks.sources import load_rows


def rows_of(task: Task, folder: Path, split: str) -> list[Row]:
    return load_rows(task, DataConfig(dataset=task.name, data_dir=str(folder / task.name)), split).rows


def training(task: Task, folder: Path) -> list[Example]:
    return task.to_examples(rows_of(task, folder, "train"))


def test_the_tasks_are_those_of_the_configuration_in_its_order() -> None:
    assert list(TASKS) == [name.value for name in DatasetType]


def test_a_mistyped_task_is_met_with_the_near_one() -> None:
    with pytest.raises(UnknownName, match=r"known: e2e_nlg, multi_nli, samsum, wikisql\n  try: did you mean: wikisql"):
        pick(TASKS, "wikisq", "task")


def test_the_room_imports_neither_torch_nor_transformers_nor_peft() -> None:
    code = (
        "import sys, lorascope.tasks.split; "
        "print(sorted({'torch', 'transformers', 'peft', 'pandas', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
class TestEveryTask:
    def test_it_names_known_metrics_and_a_split_that_it_has(self, task: Task) -> None:
        assert task.evaluation_split in task.files
        assert task.files.keys() == task.official_counts.keys()
        assert set(task.metrics) <= METRICS.keys() | FROM_MODEL
        assert task.max_new_tokens < task.max_length

    def test_prompt_ends_in_a_line_end_and_the_answer_is_one_bare_line(self, task: Task, official_files: Path) -> None:
        everything = [*training(task, official_files)]
        everything += task.to_evaluation(rows_of(task, official_files, task.evaluation_split))
        for example in everything:
            assert example.prompt.startswith("### Instruction: ")
            assert example.prompt.endswith(":\n")
            assert "\r" not in example.prompt
            for answer in (example.target, *example.references):
                assert answer == answer.strip() != ""
                assert task.stop not in answer
            assert example.references[0] == example.target

    def test_training_and_evaluation_ask_alike(self, task: Task, official_files: Path) -> None:
        rows = rows_of(task, official_files, task.evaluation_split)
        asked = {example.prompt for example in task.to_evaluation(rows)}
        assert asked == {example.prompt for example in task.to_examples(rows)}

    def test_rows_are_json_and_know_their_id(self, task: Task, official_files: Path) -> None:
        rows = rows_of(task, official_files, "train")
        assert json.loads(json.dumps(rows)) == rows
        assert [example.id for example in task.to_examples(rows[1:])] == [row["id"] for row in rows[1:]]


def test_e2e_prompt_and_answer(official_files: Path) -> None:
    example = training(e2e_nlg.TASK, official_files)[0]
    assert example.prompt + example.target == (
        "### Instruction: Generate a description from the meaning representation.\n\n"
        "### Meaning representation:\nname[Blue Spice], eatType[pub]\n\n"
        "### Description:\nBlue Spice is a pub."
    )


def test_e2e_reads_quotes_commas_line_ends_and_accents_inside_fields(official_files: Path) -> None:
    examples = training(e2e_nlg.TASK, official_files)
    assert [e.target for e in examples] == [
        "Blue Spice is a pub.",
        'A pub, called "Zizzi".',
        "There is a pub: Blue Spice.",
        "Dear café.",
    ]
    assert [e.id for e in examples] == ["0", "1", "2", "3"]
    assert examples[0].group == examples[2].group != examples[1].group
    assert rows_of(e2e_nlg.TASK, official_files, "train")[2]["ref"] == official.E2E["train"][2][1]


def test_e2e_asks_each_meaning_representation_once_in_order_with_all_references(official_files: Path) -> None:
    examples = e2e_nlg.TASK.to_evaluation(rows_of(e2e_nlg.TASK, official_files, "test"))
    assert [(e.id, e.group, e.references) for e in examples] == [
        ("0", "name[Giraffe], food[Indian]", ("Giraffe cooks Indian food.", "Indian food at Giraffe.")),
        ("1", "name[Wildwood], food[French]", ("Wildwood is French.",)),
    ]


def test_e2e_takes_the_hubs_column_names(tmp_path: Path) -> None:
    folder = tmp_path / "e2e_nlg"
    folder.mkdir()
    official.write_csv(folder / "trainset.csv", official.E2E["train"])
    usual = rows_of(e2e_nlg.TASK, tmp_path, "train")
    official.write_csv(folder / "trainset.csv", official.E2E["train"], ("meaning_representation", "human_reference"))
    assert rows_of(e2e_nlg.TASK, tmp_path, "train") == usual


def test_samsum_prompt_answer_and_groups(official_files: Path) -> None:
    examples = training(samsum.TASK, official_files)
    assert examples[0].prompt + examples[0].target == (
        "### Instruction: Summarize the dialogue.\n\n"
        "### Dialogue:\nAnn: cake?\nBob: yes!\n\n"
        "### Summary:\nAnn has cake."
    )
    assert [e.id for e in examples] == ["t1", "t2", "t3"]
    assert examples[1].target == "Cid is late."
    assert examples[0].group == examples[2].group != examples[1].group, "line ends and punctuation do not part copies"


def test_dialogues_without_a_letter_are_groups_of_their_own() -> None:
    rows = [{"id": str(i), "dialogue": text, "summary": "s"} for i, text in enumerate(("🙂", "?!", "🙂"))]
    groups = [e.group for e in samsum.to_examples(rows)]
    assert groups[0] == groups[2] != groups[1]


def test_wikisql_prompt_and_query_are_the_seeds_example(official_files: Path) -> None:
    example = training(wikisql.TASK, official_files)[0]
    assert example.prompt + example.target == (
        "### Instruction: Generate SQL from question and table.\n\n"
        "### Table:\nname, area, country\n\n"
        "### Question:\nWhat is the area of France?\n\n"
        "### SQL:\nSELECT area FROM table WHERE country = France"
    )


def test_wikisql_query_follows_the_official_text_with_single_spaces(official_files: Path) -> None:
    examples = training(wikisql.TASK, official_files)
    assert examples[1].target == "SELECT COUNT Player No. FROM table"
    assert examples[2].target == "SELECT MAX Player No. FROM table WHERE Year > 1995 AND Player No. < 8.5"
    assert "### Table:\nPlayer No., Year\n\n### Question:\nHow many players?\n" in examples[1].prompt


def test_wikisql_keeps_the_table_and_the_query_for_execution(official_files: Path) -> None:
    example = training(wikisql.TASK, official_files)[2]
    table = {key: value for key, value in official.TABLES[1].items() if key != "id"}
    assert example.meta == {**table, "table_id": "2-7", "sql": official.QUESTIONS[2]["sql"]}
    assert example.group == "2-7"


def test_multi_nli_prompt_answer_and_groups(official_files: Path) -> None:
    examples = training(multi_nli.TASK, official_files)
    assert examples[0].prompt + examples[0].target == (
        "### Instruction: Classify the pair as entailment, neutral or contradiction.\n\n"
        "### Premise:\nA dog runs.\n\n### Hypothesis:\nAn animal moves.\n\n### Label:\nentailment"
    )
    assert [e.target for e in examples] == ["entailment", "neutral", "contradiction"]
    assert [e.id for e in examples] == ["0", "1", "2"], "numbers count the rows with a label, as the hub's do"
    assert examples[0].group == examples[1].group != examples[2].group


def test_multi_nli_leaves_rows_without_a_gold_label_out_and_counts_them(official_files: Path) -> None:
    data = DataConfig(dataset="multi_nli", data_dir=str(official_files / "multi_nli"))
    loaded = load_rows(multi_nli.TASK, data, "validation_mismatched")
    note, count = loaded.notes
    assert (len(loaded.rows), loaded.left_out) == (3, 1)
    assert note.startswith("1 of 4 rows have no gold label and are left out; the first: ")
    assert note.endswith("multinli_1.0_dev_mismatched.jsonl:2")
    assert count == "3 of the official 9,832 validation_mismatched rows"


def test_multi_nli_takes_the_hubs_names_and_numbers(tmp_path: Path) -> None:
    (tmp_path / "multi_nli").mkdir()
    path = tmp_path / "multi_nli" / "multinli_1.0_train.jsonl"
    official.write_jsonl(path, official.NLI)
    usual = rows_of(multi_nli.TASK, tmp_path, "train")
    numbers = {"entailment": 0, "neutral": 1, "contradiction": 2, "-": -1}
    official.write_jsonl(
        path,
        [
            {"premise": r["sentence1"], "hypothesis": r["sentence2"], "label": numbers[r["gold_label"]]}
            for r in official.NLI
        ],
    )
    assert rows_of(multi_nli.TASK, tmp_path, "train") == usual


def test_multi_nli_reads_a_sample_under_a_longer_name_but_the_official_file_first(official_files: Path) -> None:
    folder = official_files / "multi_nli"
    data = DataConfig(dataset="multi_nli", data_dir=str(folder))
    official.write_jsonl(folder / "multinli_1.0_dev_matched_sample1.jsonl", official.NLI[:1])
    assert len(load_rows(multi_nli.TASK, data, "validation").rows) == 3
    (folder / "multinli_1.0_dev_matched.jsonl").unlink()
    loaded = load_rows(multi_nli.TASK, data, "validation")
    assert [f.name for f in loaded.files] == ["multinli_1.0_dev_matched_sample1.jsonl"]
    assert len(loaded.rows) == 1
