import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

import lorascope
from lorascope.config.experiment import DataConfig, EvaluationConfig, ModelConfig
from lorascope.errors import ConfigError, DataError, ModelError, RunError
from lorascope.evaluation.answer_loss import answer_losses
from lorascope.evaluation.evaluator import ModelEvaluator, evaluate_multi_nli, evaluate_samsum, evaluate_wikisql, save
from lorascope.evaluation.generate import generate
from lorascope.evaluation.judge import evaluate_examples, evaluate_models
from lorascope.evaluation.metrics.bleu import bleu
from lorascope.tasks import TASKS
from lorascope.tasks.base import Example
from lorascope.tasks.split import EvaluationData, load_evaluation
from lorascope.training.encoding import encode
from toy import save_toy, toy_model, toy_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft reads the old name

TASK = replace(TASKS["e2e_nlg"], max_new_tokens=6, max_length=128)


def held_out(n: int = 6) -> EvaluationData:
    examples = [
        Example(
            id=f"m{i}", prompt=f"name[{'x' * i}]\n", target=f"a b {i} c d", references=(f"a b {i} c d", "e f"), group=""
        )
        for i in range(n)
    ]
    return EvaluationData(
        examples=examples, split="test", total=2 * n, chosen="for the test", notes=("a note",), provenance={"rows": 9}
    )


def small() -> EvaluationConfig:
    return EvaluationConfig(eval_batch_tokens=100)


@pytest.fixture
def restaurants(tmp_path: Path) -> Path:
    folder = tmp_path / "e2e"
    folder.mkdir()
    rows = "".join(f'"name[R{i}], food[Thai]","R{i} has Thai food ."\n' for i in range(5))
    (folder / "testset_w_refs.csv").write_text("mr,ref\n" + rows)
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> tuple[Path, Path]:
    """A base and an adapter that changes what it says."""
    folder = tmp_path_factory.mktemp("models")
    base = save_toy(folder / "base")
    torch.manual_seed(3)
    lora = LoraConfig(target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    model = toy_model()
    model.config._name_or_path = model.name_or_path = str(base)
    get_peft_model(model, lora).save_pretrained(folder / "adapter")
    return base, folder / "adapter"


def test_scores_are_those_of_the_parts():
    model, tokenizer, data = toy_model(), toy_tokenizer(), held_out()
    result = evaluate_examples(model, tokenizer, TASK, data, small())
    said = generate(model, tokenizer, [e.prompt for e in data.examples], max_new_tokens=6)
    rows, _ = encode(data.examples, tokenizer, 128)
    nats, tokens = answer_losses(model, rows, pad_id=0)
    assert [s["prediction"] for s in result.samples] == said
    assert result.metrics["bleu"].value == bleu(said, data.examples, TASK)[0].value
    assert result.metrics["answer_loss"].value == pytest.approx(nats.sum() / tokens.sum(), rel=1e-6)
    assert result.samples[2]["scores"]["answer_loss"] == pytest.approx(nats[2] / tokens[2], rel=1e-5)


def test_what_was_evaluated_and_how_is_recorded():
    result = evaluate_examples(toy_model(), toy_tokenizer(), TASK, held_out(), small(), about={"base": "toy"})
    shape = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (shape["dataset"], shape["split"], shape["n"]) == ("e2e_nlg", "test", 6)
    settings = shape["settings"]
    assert settings["task_version"] == TASK.version == result.version
    assert settings["examples"] == {"evaluated": 6, "in_split": 12, "chosen": "for the test"}
    assert settings["data"] == {"rows": 9, "notes": ["a note"]}
    assert settings["model"] == {"base": "toy", "dtype": "float32"}
    assert settings["decoding"] == {
        "method": "greedy",
        "max_new_tokens": 6,
        "stop": "\n",
        "batch_tokens": 100,
        "max_prompt_tokens": 128,
        "prompts_cut": 0,
    }
    assert set(settings["metrics"]) == set(shape["metrics"]) == set(result.metrics)
    assert settings["lorascope"] == lorascope.__version__
    for name, score in shape["metrics"].items():  # what every metric has
        assert settings["metrics"][name]["version"] == 1
        assert len(settings["metrics"][name]) > 1
        assert score["unit"]
        assert isinstance(score["higher_is_better"], bool)
        assert score["ci_low"] <= score["value"] <= score["ci_high"]
        assert all(isinstance(sample["scores"][name], float) for sample in result.samples)
    loss = shape["metrics"]["answer_loss"]
    assert (loss["unit"], loss["higher_is_better"]) == ("nats per answer token", False)
    assert loss["ci_low"] < loss["value"] < loss["ci_high"]
    assert settings["metrics"]["answer_loss"]["tokens"] == 6 * 10  # "a b 0 c d" and end-of-sequence, a byte a token
    sample = result.samples[1]
    assert set(sample) == {"id", "prompt", "references", "prediction", "scores"}
    assert set(sample["scores"]) == set(result.metrics)


def test_sampling_is_recorded():
    config = EvaluationConfig(temperature=0.7, top_p=0.9, max_new_tokens=3)
    decoding = evaluate_examples(toy_model(), toy_tokenizer(), TASK, held_out(2), config).settings["decoding"]
    assert decoding["method"] == "sampling"
    assert (decoding["temperature"], decoding["top_p"], decoding["seed"], decoding["max_new_tokens"]) == (
        0.7,
        0.9,
        0,
        3,
    )


def test_the_same_call_gives_the_same_record_in_batches_of_any_size():
    model, tokenizer = toy_model(), toy_tokenizer()
    first = evaluate_examples(model, tokenizer, TASK, held_out(), small())
    again = evaluate_examples(model, tokenizer, TASK, held_out(), small())
    other = evaluate_examples(model, tokenizer, TASK, held_out(), EvaluationConfig(eval_batch_tokens=1))
    assert first == again
    assert [s["prediction"] for s in first.samples] == [s["prediction"] for s in other.samples]
    assert first.metrics["answer_loss"].value == pytest.approx(other.metrics["answer_loss"].value, rel=1e-6)


def test_a_model_in_training_goes_on_as_it_was():
    lora = LoraConfig(target_modules=["q_proj"], lora_dropout=0.3, task_type="CAUSAL_LM")
    model, tokenizer = get_peft_model(toy_model(), lora).train(), toy_tokenizer()
    model.config.use_cache = False
    modes, side = [m.training for m in model.modules()], tokenizer.padding_side
    state, kept = torch.random.get_rng_state(), model.generation_config
    result = evaluate_examples(model, tokenizer, TASK, held_out(), EvaluationConfig(temperature=1.0))
    assert [m.training for m in model.modules()] == modes
    assert model.config.use_cache is False
    assert model.generation_config is kept
    assert tokenizer.padding_side == side
    assert torch.equal(torch.random.get_rng_state(), state)
    bare = evaluate_examples(toy_model(), tokenizer, TASK, held_out())
    assert result.metrics["answer_loss"].value == pytest.approx(bare.metrics["answer_loss"].value)


def test_long_prompts_are_cut_and_counted():
    data = held_out(3)
    long = replace(data.examples[1], prompt="y" * 200 + "\n")
    data = replace(data, examples=[data.examples[0], long, data.examples[2]])
    result = evaluate_examples(toy_model(), toy_tokenizer(), TASK, data, small())
    assert result.settings["decoding"]["prompts_cut"] == 1
    assert result.settings["metrics"]["answer_loss"]["prompts_cut"] == 1


def test_an_answer_that_does_not_fit_is_left_out_of_the_loss_and_named():
    data = held_out(3)
    data = replace(data, examples=[data.examples[0], replace(data.examples[1], target="z" * 150), data.examples[2]])
    model, tokenizer = toy_model(), toy_tokenizer()
    result = evaluate_examples(model, tokenizer, TASK, data, small())
    assert result.settings["metrics"]["answer_loss"]["left_out"] == ["m1"]
    assert result.samples[1]["scores"]["answer_loss"] is None
    nats, tokens = answer_losses(model, encode([data.examples[0], data.examples[2]], tokenizer, 128)[0], pad_id=0)
    assert result.metrics["answer_loss"].value == pytest.approx(nats.sum() / tokens.sum(), rel=1e-6)


def test_max_length_never_exceeds_the_context():
    result = evaluate_examples(toy_model(), toy_tokenizer(), replace(TASK, max_length=4000), held_out(2), small())
    assert result.settings["decoding"]["max_prompt_tokens"] == 512 - 6
    assert result.settings["metrics"]["answer_loss"]["max_length"] == 512


def test_too_many_new_tokens_are_refused():
    with pytest.raises(ConfigError, match="leaves no room"):
        evaluate_examples(toy_model(), toy_tokenizer(), TASK, held_out(), EvaluationConfig(max_new_tokens=512))


def test_no_examples_are_refused():
    with pytest.raises(DataError, match="empty"):
        evaluate_examples(toy_model(), toy_tokenizer(), TASK, replace(held_out(), examples=[]))


def test_progress_goes_to_the_end_twice():
    seen: list[tuple[str, int, int]] = []

    class Screen:
        @contextmanager
        def progress(self, total: int, label: str) -> Iterator[object]:
            class Bar:
                def update(self, done: int, **numbers: float) -> None:
                    seen.append((label, done, total))

            yield Bar()

    evaluate_examples(toy_model(), toy_tokenizer(), TASK, held_out(), small(), console=Screen())
    assert seen == [("loss", 4, 6), ("loss", 6, 6), ("answers", 5, 6), ("answers", 6, 6)]


def test_evaluate_models_loads_base_and_adapter(checkpoints, restaurants):
    base, adapter = checkpoints
    data = DataConfig(dataset="e2e_nlg", data_dir=str(restaurants))
    config = EvaluationConfig(eval_samples=3, max_new_tokens=5)
    bare, tuned = evaluate_models(ModelConfig(model_id=str(base)), [None, adapter], data, config)
    assert (bare.n, bare.total) == (tuned.n, tuned.total) == (3, 5)
    assert bare.settings["model"]["adapter"] is None
    assert tuned.settings["model"]["adapter"] == str(adapter)
    assert bare.metrics["answer_loss"].value != tuned.metrics["answer_loss"].value
    examples = load_evaluation(TASKS["e2e_nlg"], data, 3)
    here = evaluate_examples(toy_model(), toy_tokenizer(), TASKS["e2e_nlg"], examples, config)
    assert here.metrics == bare.metrics


def test_the_studys_evaluator_takes_its_arguments(checkpoints):
    base, adapter = checkpoints
    evaluator = ModelEvaluator(model_path=str(adapter), base_model_id=str(base))
    asked = ["one\n", "two\n", "three\n"]
    greedy = evaluator.generate(asked, max_new_tokens=8, batch_size=2)
    assert greedy == evaluator.generate(asked, max_new_tokens=8, temperature=0.7, do_sample=False)
    sampled = evaluator.generate(asked, max_new_tokens=8, temperature=0.7, top_p=0.9, batch_size=8)
    assert sampled == evaluator.generate(asked, max_new_tokens=8, temperature=0.7, top_p=0.9, do_sample=True)
    assert sampled != greedy
    assert evaluator.generate(asked, max_new_tokens=8, do_sample=True) == evaluator.generate(
        asked, max_new_tokens=8, temperature=1.0
    )


def test_the_base_of_an_adapter_is_found(checkpoints):
    base, adapter = checkpoints
    assert ModelEvaluator(adapter).about["base"] == str(base)
    assert ModelEvaluator(None, str(base)).about["adapter"] is None
    with pytest.raises(ModelError, match="does not tell the base model"):
        ModelEvaluator(base)
    with pytest.raises(ConfigError, match="neither a base model nor an adapter"):
        ModelEvaluator(None)


def test_evaluate_dataset_writes_its_json(checkpoints, restaurants, tmp_path):
    base, adapter = checkpoints
    out = tmp_path / "new" / "scores.json"
    result = lorascope.evaluate_e2e_nlg(
        str(adapter), str(base), num_samples=2, output_path=str(out), data_dir=restaurants, max_new_tokens=4
    )
    assert json.loads(out.read_text()) == result.to_dict()
    assert [p.name for p in out.parent.iterdir()] == ["scores.json"]


def test_each_dataset_has_its_metrics(checkpoints, tmp_path):
    base, _ = checkpoints
    (tmp_path / "test.json").write_text(json.dumps([{"id": "1", "summary": "A b.", "dialogue": "A: b\nC: d"}]))
    (tmp_path / "multinli_1.0_dev_matched.jsonl").write_text(
        json.dumps({"gold_label": "neutral", "sentence1": "a", "sentence2": "b", "pairID": "1"}) + "\n"
    )
    question = {"phase": 1, "table_id": "1-1", "question": "who?", "sql": {"sel": 0, "conds": [[1, 0, "x"]], "agg": 0}}
    table = {"id": "1-1", "header": ["name", "place"], "types": ["text", "text"], "rows": [["a", "x"]]}
    (tmp_path / "test.jsonl").write_text(json.dumps(question) + "\n")
    (tmp_path / "test.tables.jsonl").write_text(json.dumps(table) + "\n")
    options = {"num_samples": 0, "data_dir": tmp_path, "max_new_tokens": 2}
    for judge, names in (
        (evaluate_samsum, {"bleu", "rouge1", "rouge2", "rougeL", "rougeLsum"}),
        (evaluate_wikisql, {"logical_form", "logical_form_ordered", "unparsed", "execution", "exact_match"}),
        (evaluate_multi_nli, {"accuracy", "accuracy_likelihood"}),
    ):
        metrics = judge(None, str(base), **options).metrics
        assert {n for n in metrics if not n.startswith("meteor")} == names | {"answer_loss"}
        assert np.isnan(metrics["answer_loss"].ci_low)  # one example tells no spread


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    result = evaluate_examples(toy_model(), toy_tokenizer(), TASK, held_out(2), small())
    (tmp_path / "taken").mkdir()
    with pytest.raises(RunError, match="not-writable"):
        save(result, tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
