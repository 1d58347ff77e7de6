from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from lorascope.config.experiment import DataConfig, EvaluationConfig, ModelConfig
from lorascope.errors import ConfigError, ModelError
from lorascope.evaluation import loading
from lorascope.evaluation.evaluator import ModelEvaluator
from lorascope.evaluation.judge import evaluate_models
from lorascope.evaluation.loading import each_loaded
from toy import save_toy, toy_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")

ADAPTERS = {
    "attention": {"target_modules": ["q_proj", "v_proj"]},
    "map": {
        "target_modules": ["up_proj", "down_proj"],
        "rank_pattern": {"up_proj": 3},
        "alpha_pattern": {"up_proj": 9},
    },
    "embedding_and_head": {"target_modules": ["embed_tokens", "lm_head", "k_proj"]},
    "whole_head": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    save_toy(folder / "base")
    for seed, (name, settings) in enumerate(ADAPTERS.items()):
        torch.manual_seed(seed)
        model = get_peft_model(toy_model(), LoraConfig(init_lora_weights=False, task_type="CAUSAL_LM", **settings))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter += 0.05 * torch.randn_like(parameter)
        model.save_pretrained(folder / name, save_embedding_layers=False)
    (folder / "data").mkdir()
    rows = "".join(f'"name[R{i}], food[Thai]","R{i} has Thai food ."\n' for i in range(6))
    (folder / "data" / "testset_w_refs.csv").write_text("mr,ref\n" + rows)
    return folder


def asked(home: Path) -> tuple[ModelConfig, DataConfig, EvaluationConfig]:
    data = DataConfig(dataset="e2e_nlg", data_dir=str(home / "data"))
    return ModelConfig(model_id=str(home / "base")), data, EvaluationConfig(eval_samples=4, max_new_tokens=8)


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    seen, load = [], loading.load_base
    monkeypatch.setattr(loading, "load_base", lambda model: seen.append(model.model_id) or load(model))
    return seen


def test_several_adapters_with_one_load_have_the_numbers_of_separate_evaluations(home, loads):
    model, data, config = asked(home)
    adapters = [home / "attention", None, *(home / name for name in ADAPTERS), home / "attention"]
    together = list(evaluate_models(model, adapters, data, config))
    assert loads == [str(home / "base")]
    apart = [next(evaluate_models(model, [adapter], data, config)) for adapter in adapters]
    assert len(loads) == 1 + len(adapters)
    assert together == apart
    assert len({result.metrics["answer_loss"].value for result in together}) == 1 + len(ADAPTERS)


def own_weights(model) -> dict[str, torch.Tensor]:
    """The base's weights by the names that they have without an adapter."""
    found = {}
    for name, tensor in model.state_dict().items():
        if "lora_" not in name and "modules_to_save" not in name:
            bare = name.removeprefix("base_model.model.").replace(".base_layer", "").replace(".original_module", "")
            found[bare] = tensor
    return found


def test_the_base_is_bit_for_bit_as_before_under_each_adapter(home):
    before, kinds = toy_model().state_dict(), []
    for loaded in each_loaded(asked(home)[0], [*(home / name for name in ADAPTERS), None]):
        kinds.append(type(loaded.model))
        own = own_weights(loaded.model)
        assert own.keys() == before.keys()
        assert all(torch.equal(own[name], tensor) for name, tensor in before.items())
    assert kinds[-1] is type(toy_model())
    assert kinds[0] is not kinds[-1]


def test_an_adapter_of_another_model_stops_after_those_before_it(home, tmp_path):
    lora = LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(toy_model(layers=3), lora).save_pretrained(tmp_path)
    model, data, config = asked(home)
    results = evaluate_models(model, [home / "attention", tmp_path], data, config)
    assert next(results).n == 4
    with pytest.raises(ModelError, match="adapter-mismatch"):
        next(results)


def test_merged_for_the_time_of_it_gives_the_same_answers_and_is_recorded(home):
    model, data, config = asked(home)
    adapters = [home / "attention", home / "map"]
    plain = list(evaluate_models(model, adapters, data, config))
    merged = list(evaluate_models(model, adapters, data, config, merge=True))
    for one, other in zip(plain, merged, strict=True):
        assert [s["prediction"] for s in one.samples] == [s["prediction"] for s in other.samples]
        assert one.metrics["answer_loss"].value == pytest.approx(other.metrics["answer_loss"].value, rel=1e-5)
        assert "merged" not in one.settings["model"]
        record = other.settings["model"]["merged"]
        assert (record["rows"], record["tolerance"]) == (4, 1e-4)
        assert record["largest_difference"] < 1e-5


def test_the_bare_base_cannot_be_merged(home):
    model, data, config = asked(home)
    with pytest.raises(ConfigError, match="nothing-to-merge"):
        next(evaluate_models(model, [None], data, config, merge=True))


def test_the_studys_evaluator_merges_for_each_call(home):
    plain, merged = (ModelEvaluator(home / "map", str(home / "base"), merge=merge) for merge in (False, True))
    prompts = ["one\n", "two three\n", ""]
    assert merged.generate(prompts, max_new_tokens=9) == plain.generate(prompts, max_new_tokens=9)
    assert merged.generate([]) == []
    found = [e.evaluate("e2e_nlg", 2, data_dir=home / "data", max_new_tokens=4) for e in (plain, merged)]
    assert found[0].samples[1]["prediction"] == found[1].samples[1]["prediction"]
    assert "merged" in found[1].settings["model"]
