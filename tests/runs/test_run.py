"""A whole run of each task on the toy: what its folder holds, and that the numbers in it are true."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel
from running import TASKS, Typed, flags, golden, lorascope, read
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import lorascope as package
from lorascope import DatasetType
from lorascope.config.experiment import TARGET_MODULES
from lorascope.runs import rundir

STEPS = 4
TEXT = {"bleu", "rouge1", "rouge2", "rougeL", "rougeLsum", "meteor_exact_stem", "answer_loss"}
METRICS = {
    "e2e_nlg": TEXT | {"bleu_e2e", "nist_e2e", "rouge_l_coco", "cider"},
    "samsum": TEXT,
    "wikisql": {"logical_form", "logical_form_ordered", "unparsed", "execution", "exact_match", "answer_loss"},
    "multi_nli": {"accuracy", "accuracy_likelihood", "answer_loss"},
}


@dataclass
class Run:
    task: str
    home: Path
    folder: Path
    typed: Typed

    def json(self, name: str):
        return read(self.folder / name)

    @property
    def results(self):
        return self.json(rundir.RESULTS)

    @property
    def gradients(self):
        return self.json(rundir.GRADIENT_SUMMARY)


@pytest.fixture(scope="module", params=TASKS)
def done(request, home, tmp_path_factory) -> Run:
    """A finished run, pictures and evaluation included."""
    out = tmp_path_factory.mktemp("results")
    typed = lorascope(*flags(home, request.param), "--output_dir", out)
    assert typed.code == 0, typed.err
    return Run(request.param, home, out / f"{request.param}_both_r2_s42", typed)


def test_there_is_a_run_for_every_task():
    assert set(TASKS) == {task.value for task in DatasetType}


def test_the_folder_holds_the_seeds_files_and_ours(done):
    names = set()
    for path in done.folder.rglob("*"):
        name = str(path.relative_to(done.folder)) + ("/" if path.is_dir() else "")
        names.add(re.sub(r"checkpoint-\d+", "checkpoint-N", name).replace(done.task, "{dataset}"))
    golden("run_folder.txt", "".join(f"{name}\n" for name in sorted(names)))
    assert {path.name for path in done.folder.parent.iterdir()} == {done.folder.name, f".{done.folder.name}.lock"}


def test_columns_and_keys_are_frozen(done):
    if done.task != "e2e_nlg":
        assert set(done.json(f"{done.task}_evaluation.json")["metrics"]) == METRICS[done.task]
        return
    lines = []
    for name in (rundir.GROUP_NORMS, rundir.LAYER_NORMS):
        lines.append(f"{name}: {(done.folder / name).read_text().splitlines()[0]}")
    table = pq.read_schema(done.folder / rundir.GRADIENT_TABLE)
    lines.append(f"{rundir.GRADIENT_TABLE}: {','.join(f'{field.name} {field.type}' for field in table)}")
    for name in (rundir.RESULTS, rundir.GRADIENT_SUMMARY, rundir.ENVIRONMENT, f"{done.task}_evaluation.json"):
        lines += shape(done.json(name), name)
    first = json.loads((done.folder / rundir.SAMPLES).read_text().splitlines()[0])
    golden("columns.txt", "".join(f"{line}\n" for line in [*lines, *shape(first, rundir.SAMPLES)]))


OF_THE_RUN = ("by_group", "groups", "projections", "layers", "packages", "metrics", "scores")
"""Objects whose keys depend on the model and the task."""


def shape(value: object, path: str) -> list[str]:
    """A line for every object in JSON: where it is, and its keys."""
    if not isinstance(value, dict):
        return []
    if path.endswith(OF_THE_RUN):
        inner = [line for item in value.values() for line in shape(item, f"{path}.*")]
        return list(dict.fromkeys(inner)) or [f"{path}: *"]
    inner = [line for key, item in value.items() for line in shape(item, f"{path} {key}")]
    return [f"{path}: {', '.join(value)}", *inner]


def test_the_final_model_loads_in_plain_peft_and_is_the_best_checkpoint(done):
    validation = dict(done.results["validation_loss"])
    assert list(validation) == list(range(STEPS + 1))
    best = min(range(1, STEPS + 1), key=validation.get)
    assert (done.results["best_step"], done.results["best_validation_loss"]) == (best, validation[best])
    tokenizer = AutoTokenizer.from_pretrained(done.folder / "final_model")
    ids = tokenizer("name[Blue Spice]", return_tensors="pt")["input_ids"]
    logits = []
    for adapter in (done.folder / "final_model", done.folder / "checkpoints" / f"checkpoint-{best}", None):
        model = AutoModelForCausalLM.from_pretrained(done.home / "base")
        if adapter:
            model = PeftModel.from_pretrained(model, adapter)
        logits.append(model.eval()(ids).logits)
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2])


def test_every_step_has_a_row_and_what_is_not_adapted_is_empty(done):
    groups = pd.read_csv(done.folder / rundir.GROUP_NORMS)
    layers = pd.read_csv(done.folder / rundir.LAYER_NORMS)
    assert groups["step"].tolist() == layers["step"].tolist() == [1, 2, 3, 4]
    assert groups[["embed", "lm_head"]].isna().all(axis=None)
    np.testing.assert_allclose(groups["attention"] ** 2 + groups["mlp"] ** 2, groups["total"] ** 2)
    for group in ("attention", "mlp"):
        both = sum(layers[f"layer_{layer}_{group}"] ** 2 for layer in (0, 1))
        np.testing.assert_allclose(both, groups[group] ** 2)
    assert (done.folder / rundir.GROUP_NORMS).read_text().splitlines()[1].startswith("1,,0.")  # empty, not 0


def test_the_summary_tells_the_two_matrices_apart(done):
    groups = done.gradients["groups"]
    assert list(groups) == ["attention", "mlp"]
    csv = pd.read_csv(done.folder / rundir.GROUP_NORMS)
    for group, entry in groups.items():
        assert entry["norm"]["mean"] == pytest.approx(csv[group].mean())
        assert entry["norm"]["peak_step"] == csv["step"][csv[group].idxmax()]
        a, b = entry["matrices"]["A"], entry["matrices"]["B"]
        assert a["parameters"] + b["parameters"] == entry["parameters"]
        assert a["norm"]["min"] == 0.0  # B is 0 at the first step, and with it every gradient of A
        assert b["norm"]["min"] > 0
        assert entry["per_scaling"]["mean"] == pytest.approx(entry["norm"]["mean"] / 2)  # alpha 4 over rank 2
    assert done.gradients["weights"]["step"] == STEPS


def test_every_printed_count_is_the_trained_count(done):
    saved = load_file(done.folder / "final_model" / "adapter_model.safetensors")
    trained = sum(tensor.numel() for tensor in saved.values())
    parameters = done.results["parameters"]
    assert parameters["trained"] == sum(parameters["by_group"].values()) == trained == 2048
    assert f"14 modules adapted, {trained:,} trained parameters, 5.50% of {parameters['total']:,}" in done.typed.out
    rows = re.findall(r"^(?:attention|MLP) +[a-z]+ +2 of 2 .* ([\d,]+)$", done.typed.out, re.M)
    assert len(rows) == 7
    assert sum(int(row.replace(",", "")) for row in rows) == trained
    for name, group in (("attention", "attention"), ("MLP", "mlp")):
        assert re.search(rf"^{name} +{parameters['by_group'][group]:,} ", done.typed.out, re.M)


def test_the_results_hold_losses_steps_tokens_seconds_and_memory(done):
    results = done.results
    assert results["status"] == "finished"
    assert results["steps"] == STEPS
    assert [step for step, _ in results["training_loss"]] == [1, 2, 3, 4]
    assert all(0 < loss < 10 for _, loss in results["training_loss"] + results["validation_loss"])
    tokens = results["tokens"]
    assert 0 < tokens["with_loss"] < tokens["real"] <= tokens["computed"]
    assert tokens["padding_share"] == pytest.approx(1 - tokens["real"] / tokens["computed"], abs=1e-4)
    assert 0 < results["seconds"]["training"] <= results["seconds"]["total"]
    assert results["peak_memory_bytes"] > 100 * 2**20
    assert results["dtype"] == results["adapter_dtype"] == "float32"
    rows = results["rows"]
    data = results["data"]["training"]
    assert (rows["train"], rows["validation"]) == (data["train"], data["validation"])
    assert rows["passes"] == pytest.approx(STEPS * 4 / rows["train"], abs=0.01)
    assert any("num_samples asks for 2,000 rows" in note for note in results["notes"])


def test_the_loss_of_each_step_is_the_measured_one(done):
    table = pd.read_parquet(done.folder / rundir.GRADIENT_TABLE)
    measured = table[table["score"] == "loss"]
    assert measured[["step", "value"]].values.tolist() == done.results["training_loss"]
    assert table[table["score"] == "tokens"]["value"].sum() == done.results["tokens"]["with_loss"]


def test_the_evaluation_has_an_interval_for_every_metric_and_a_row_for_every_sample(done):
    evaluation = done.json(f"{done.task}_evaluation.json")
    assert list(evaluation) == ["dataset", "split", "n", "metrics", "settings"]
    assert (evaluation["dataset"], evaluation["n"]) == (done.task, 4)
    assert evaluation["split"] == ("validation" if done.task == "multi_nli" else "test")
    for score in evaluation["metrics"].values():
        assert list(score) == ["value", "ci_low", "ci_high", "unit", "higher_is_better"]
        assert score["ci_low"] <= score["value"] <= score["ci_high"]
    rows = [json.loads(line) for line in (done.folder / rundir.SAMPLES).read_text().splitlines()]
    assert len({row["id"] for row in rows}) == 4
    for row in rows:
        assert list(row) == ["id", "prompt", "references", "prediction", "scores"]
        assert set(row["scores"]) <= METRICS[done.task]
        assert row["prompt"].endswith("\n")
        assert row["references"]


def test_the_environment_tells_versions_and_no_names(done):
    text = (done.folder / rundir.ENVIRONMENT).read_text()
    facts = json.loads(text)
    assert facts["packages"]["torch"] == torch.__version__
    assert facts["device"] == "cpu"
    assert facts["processes"] == 1
    assert facts["seconds"] == done.results["seconds"]
    private = [str(done.home), str(done.folder), str(Path.home()), os.getcwd(), platform.node()]
    assert [name for name in private if len(name) > 3 and name in text] == []
    assert "/" not in re.sub(r'"git": .*', "", text)


def test_what_libraries_log_is_in_the_log_and_counted(done):
    text = (done.folder / rundir.LOG).read_text()
    assert "lorascope clips in Trainer's stead" in text
    assert text.count(" WARNING ") == done.results["warnings"]
    assert "WARNING" not in done.typed.err


def test_a_finished_run_is_loaded_as_a_record(done):
    record = package.load(done.folder)
    assert record.config.data.dataset == done.task
    assert record.config.hash == done.results["config_hash"]
    assert record.results == done.results
    assert record.gradients == done.gradients
    assert record.evaluation == done.json(f"{done.task}_evaluation.json")
    modules = set(record.measurements["module"]) - {""}
    assert {path.rpartition(".")[2] for path in modules} == set(TARGET_MODULES["both"])


def test_the_screen_ends_with_a_table_and_what_to_type_next(done):
    out = done.typed.out
    assert re.search(r"^validation loss 5\.\d+ -> 5\.\d+ nats per answer token \(best: step \d of 4\)$", out, re.M)
    assert "no verdict on attention against MLP" in out
    assert "4 examples of the " in out
    assert f"Saved {done.folder}" in out
    commands = [line[6:] for line in out[out.index("Next") :].splitlines()]
    assert commands == [
        f"lorascope evaluate {done.folder} --eval_samples 0",
        f"lorascope ls runs --output_dir {done.folder.parent}",
    ]
    if done.task == "multi_nli":
        assert [lorascope(command.removeprefix("lorascope ")).code for command in commands] == [0, 0]
    assert done.typed.err.startswith(f"lorascope {package.__version__}  run {done.task}_both_r2_s42")
    assert "\x1b" not in out + done.typed.err
