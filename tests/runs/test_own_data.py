"""Data of one's own from nothing to a table of results: the three home-made files of examples/."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from running import SMALL, lorascope, printed, read

from lorascope.evaluation.metrics import METRICS
from lorascope.measure.own_scores import SCORES
from lorascope.runs import rundir
from lorascope.tasks import TASKS
from toy import save_toy, toy_tokenizer

EXAMPLES = Path(__file__).parents[2] / "examples"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TICKETS = ["--dataset", EXAMPLES / "tickets.csv", "--prompt_column", "text", "--target_column", "label"]
QUESTIONS = [
    *("--dataset", EXAMPLES / "questions.jsonl"),
    *("--prompt_template", r"Question: {question}\nAnswer:", "--target_column", "answer"),
]
CHATS = ["--dataset", EXAMPLES / "support_chats.jsonl"]

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A toy that has a chat template."""
    folder = save_toy(tmp_path_factory.mktemp("model") / "toy")
    tokenizer = toy_tokenizer()
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    return folder


def run(model: Path, out: Path, *words: object):
    typed = lorascope("run", "--model", model, *SMALL, "--output_dir", out, *words)
    assert typed.code == 0, typed.err
    (folder,) = [path for path in out.iterdir() if path.is_dir()]
    return typed, folder


def samples(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / rundir.SAMPLES).read_text().splitlines()]


def test_tickets_are_classified(model, tmp_path):
    typed, folder = run(model, tmp_path, *TICKETS)
    assert folder.name == "tickets_both_r2_s42"
    evaluation = read(folder / "tickets_evaluation.json")
    assert set(evaluation["metrics"]) == {"accuracy", "accuracy_likelihood", "answer_loss"}
    assert evaluation["settings"]["metrics"]["accuracy"]["labels"] == ["billing", "delivery", "technical"]
    assert (evaluation["dataset"], evaluation["split"]) == ("tickets", "test")
    for said in (
        "note      tickets.csv: column label answers text\n",
        "tickets.csv has no test rows of its own: 5 of its 24 rows are held out as the test split",
        "evaluated by accuracy: 19 training rows have 3 different answers (--metrics takes others)",
    ):
        assert said in typed.err
    assert "\naccuracy " in typed.out
    data = read(folder / rundir.RESULTS)["data"]
    assert (data["training"]["rows"], data["evaluation"]["rows"]) == (19, 5)
    asked = {sample["prompt"] for sample in samples(folder)}
    assert all(prompt.endswith((".\n", "?\n")) for prompt in asked)


def test_questions_are_answered(model, tmp_path):
    typed, folder = run(model, tmp_path, *QUESTIONS, "--eval_samples", "0")
    assert "questions.jsonl: column answer answers question in a template" in typed.err
    assert set(read(folder / "questions_evaluation.json")["metrics"]) == {"exact_match", "answer_loss"}
    file = {row["id"]: row for row in map(json.loads, (EXAMPLES / "questions.jsonl").read_text().splitlines())}
    assert len(samples(folder)) == 3
    for sample in samples(folder):
        row = file[sample["id"]]
        assert sample["prompt"] == f"Question: {row['question']}\nAnswer:\n"
        assert sample["references"] == (row["answer"] if isinstance(row["answer"], list) else [row["answer"]])


def test_chats_are_learnt(model, tmp_path):
    typed, folder = run(model, tmp_path, *CHATS)
    assert "support_chats.jsonl: chats in column messages, with the loss on every turn of the assistant" in typed.err
    assert {"rouge1", "answer_loss"} < set(read(folder / "support_chats_evaluation.json")["metrics"])
    assert all(sample["prompt"].endswith("assistant:\n") for sample in samples(folder))


def test_metrics_can_be_chosen_for_a_run(model, tmp_path):
    typed, folder = run(model, tmp_path, *TICKETS, "--metrics", "exact_match,bleu")
    assert set(read(folder / "tickets_evaluation.json")["metrics"]) == {"exact_match", "bleu", "answer_loss"}
    assert "evaluated by" not in typed.err


def test_plain_text_is_judged_by_its_loss(model, tmp_path):
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": f"Story {i}: once upon a time."}) + "\n" for i in range(20)))
    typed, folder = run(model, tmp_path / "out", "--dataset", texts)
    assert set(read(folder / "texts_evaluation.json")["metrics"]) == {"answer_loss"}
    assert "evaluated by the loss alone: plain text has no answers" in typed.err
    refused = lorascope("run", "--model", model, "--dataset", texts, "--metrics", "bleu", "--output_dir", tmp_path)
    assert refused.error.startswith("error[no-metrics]: ")
    (tmp_path / "p.jsonl").write_text('{"prediction": "x"}\n' * 4)
    scored = lorascope("evaluate", "--predictions", tmp_path / "p.jsonl", "--dataset", texts)
    assert scored.error.startswith("error[no-metrics]: ")


def test_a_run_is_evaluated_again_and_its_base_beside_it(model, tmp_path):
    _, folder = run(model, tmp_path / "out", *QUESTIONS)
    again = lorascope("evaluate", folder, "--output", tmp_path / "again.json")
    assert again.code == 0, again.err
    first, second = read(folder / "questions_evaluation.json"), read(tmp_path / "again.json")
    assert first["metrics"] == second["metrics"]
    assert first["settings"]["data"]["sha256"] == second["settings"]["data"]["sha256"]
    command = again.out.splitlines()[-1].removeprefix("Next  ")
    assert "--prompt_template 'Question: {question}\\nAnswer:'" in command
    bare = printed(f"{command} --max_new_tokens 8 --json")
    assert bare.code == 0, bare.err
    assert json.loads(bare.out)["result"]["n"] == second["n"]


def test_predictions_for_a_file_are_scored(tmp_path):
    right = [json.loads(line) for line in (EXAMPLES / "questions.jsonl").read_text().splitlines()]
    answers = [row["answer"][-1] if isinstance(row["answer"], list) else row["answer"] for row in right]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps({"prediction": answer}) + "\n" for answer in [*answers[:-1], "autumn"]))
    scored = lorascope("evaluate", "--predictions", path, *QUESTIONS, "--split", "all", "--json")
    assert scored.code == 0, scored.err
    result = json.loads(scored.out)["result"]
    assert (result["n"], result["metrics"]["exact_match"]["value"]) == (16, 100 * 15 / 16)
    whole = lorascope("evaluate", "--predictions", path, *QUESTIONS)
    assert whole.error.startswith("error[predictions-count]: ")
    assert whole.tries[0] == "--split all"
    named = [{"id": row["id"], "prediction": "8"} for row in right[:3]]
    path.write_text("".join(json.dumps(row) + "\n" for row in named))
    typed = lorascope("evaluate", "--predictions", path, *QUESTIONS, "--split", "all", "--metrics", "exact_match,bleu")
    assert typed.code == 0, typed.err
    assert "3 of 16 all examples" in typed.out


def test_a_plan_says_what_kind_of_rows_there_are_and_reads_no_more_than_one(model, tmp_path):
    planned = lorascope("run", "--model", model, *CHATS, "--plan")
    assert "task        support_chats.jsonl: chats in column messages" in planned.out
    assert "200 examples of the test split" in planned.out
    assert "Nothing was started." in planned.out
    wrong = lorascope("run", "--model", model, *TICKETS, "--metrics", "acuracy", "--plan")
    assert wrong.error.startswith("error[unknown-metric]: no metric 'acuracy'")
    refused = lorascope("run", "--dataset", EXAMPLES / "tickets.csv", "--plan")
    assert refused.error.startswith("error[no-column]: ")
    assert refused.tries[0] == "--prompt_column text --target_column label"
    assert lorascope("run", "--plan", "--dataset", EXAMPLES / "tickets.csv", *refused.tries[0].split()).code == 0
    on_hub = lorascope("run", "--dataset", "some/thing", "--plan")
    assert "data set some/thing on the hub" in on_hub.out
    judged = lorascope("evaluate", "--model", model, *TICKETS, "--plan")
    assert "tickets.csv: column label answers text, split test" in judged.out


def test_check_builds_the_rows(model):
    checked = lorascope("check", "--model", model, *TICKETS)
    assert checked.code == 0, checked.err
    assert "17 training and 2 validation rows" in checked.out


def test_leaks_and_repeats_are_dropped_and_said(model, tmp_path):
    lines = (EXAMPLES / "tickets.csv").read_text().splitlines(keepends=True)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "test.csv").write_text("".join(lines[:1] + lines[-6:]))
    (tmp_path / "d" / "train.csv").write_text("".join([*lines, lines[1]]))
    words = ["--dataset", tmp_path / "d", *TICKETS[2:], "--no_eval"]
    typed, folder = run(model, tmp_path / "kept", *words)
    assert "1 of the 25 training rows repeat another's prompt and answer (--drop_duplicates drops them)" in typed.err
    typed, folder = run(model, tmp_path / "dropped", *words, "--drop_duplicates")
    assert "1 rows that repeat another's prompt and answer are dropped, and 6 whose prompt is in the test" in typed.err
    training = read(folder / rundir.RESULTS)["data"]["training"]
    assert training["dropped"] == {"duplicates": 1, "in_evaluation": 6}
    assert training["drawn"] == 18


def test_a_task_a_metric_and_a_score_of_another_package_run_together(model, tmp_path, monkeypatch):
    info = tmp_path / "site" / "addon-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: addon\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[lorascope.tasks]\nboolq = addon_task:TASK\n"
        "[lorascope.metrics]\nlength = addon_rest:length\n"
        "[lorascope.scores]\nimportance = addon_rest:importance\n"
    )
    shutil.copy(EXAMPLES / "boolq.py", tmp_path / "site" / "addon_task.py")
    (tmp_path / "site" / "addon_rest.py").write_text(
        "from lorascope.evaluation.metrics.base import mean_tally\n"
        "from lorascope.measure.own_scores import register\n"
        "def length(predictions, examples, task):\n"
        "    return [mean_tally('length', [float(len(p)) for p in predictions], unit='characters', settings={})]\n"
        "@register(unit='loss', source='Lee 2019')\n"
        "def importance(t):\n"
        "    return (t.A * t.grad_A).abs().sum() + (t.B * t.grad_B).abs().sum()\n"
    )
    for name in ("train", "dev"):
        rows = [
            {"question": f"is {i} even", "answer": i % 2 == 0, "passage": f"The number {i} of {name}."}
            for i in range(20)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    words = ["--dataset", "boolq", "--data_dir", tmp_path, "--metrics", "accuracy,length"]
    try:
        _, folder = run(model, tmp_path / "out", *words)
    finally:
        SCORES.clear()
        forget("boolq", "length", "addon_task", "addon_rest")
    assert {"accuracy", "length", "answer_loss"} == set(read(folder / "boolq_evaluation.json")["metrics"])
    table = pd.read_parquet(folder / rundir.GRADIENT_TABLE)
    values = table[table["score"] == "importance"].groupby("step")["value"].agg(["count", "min"])
    assert values["count"].tolist() == [14] * 4
    assert values["min"].iloc[0] == 0, "B is 0 at first, and with it every gradient of A"
    assert values["min"].iloc[-1] > 0


def forget(task: str, metric: str, *modules: str) -> None:
    TASKS.pop(task, None)
    METRICS.pop(metric, None)
    for module in modules:
        sys.modules.pop(module, None)
