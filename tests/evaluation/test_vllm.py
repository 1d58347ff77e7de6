"""vLLM is not here: a stand-in says what it was asked, in the words of vLLM 0.29."""

import json
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from lorascope.config.experiment import DataConfig, EvaluationConfig, ModelConfig
from lorascope.errors import ConfigError, ModelError
from lorascope.evaluation.judge import evaluate_models
from lorascope.evaluation.vllm import evaluate_with_vllm
from toy import save_toy, toy_model, toy_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vllm")
    save_toy(folder / "base")
    (folder / "base" / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 9]}))
    for name, ranks in (("even", {}), ("map", {"q_proj": 2, "up_proj": 9})):
        torch.manual_seed(len(name))
        lora = LoraConfig(
            target_modules=["q_proj", "up_proj", "down_proj"], r=4, rank_pattern=ranks, init_lora_weights=False
        )
        get_peft_model(toy_model(), lora).save_pretrained(folder / name)
    (folder / "data").mkdir()
    rows = "".join(f'"name[R{i}], food[Thai]","R{i} has Thai food ."\n' for i in range(5))
    (folder / "data" / "testset_w_refs.csv").write_text("mr,ref\n" + rows)
    return folder


@pytest.fixture
def vllm(monkeypatch, home):
    """A stand-in that answers with Transformers, one prompt at a time, through the adapter as it was written."""
    calls = SimpleNamespace(llm=[], generate=[], configs={}, fails=None)

    class LLM:
        def __init__(self, **options):
            if calls.fails:
                raise ValueError(calls.fails)
            calls.llm.append(options)

        def generate(self, prompts, sampling_params, *, use_tqdm, lora_request=None):
            calls.generate.append((prompts, sampling_params, lora_request))
            model = toy_model()
            if lora_request:
                path = Path(lora_request.lora_path)
                calls.configs[lora_request.lora_name] = json.loads((path / "adapter_config.json").read_text())
                model = PeftModel.from_pretrained(model, path)
            model.generation_config.eos_token_id = sampling_params.stop_token_ids
            return [
                SimpleNamespace(outputs=[SimpleNamespace(token_ids=tuple(self._say(model, p, sampling_params)))])
                for p in prompts
            ]

        def _say(self, model, prompt, parameters):
            ids = torch.tensor([prompt["prompt_token_ids"]])
            said = model.eval().generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=parameters.max_tokens,
            )
            return said[0, ids.shape[1] :].tolist()

    def module(name, **names):
        made = types.ModuleType(name)
        made.__dict__.update(names)
        monkeypatch.setitem(sys.modules, name, made)

    class SamplingParams(SimpleNamespace):
        pass

    class LoRARequest(SimpleNamespace):
        def __init__(self, lora_name, lora_int_id, lora_path=""):
            super().__init__(lora_name=lora_name, lora_int_id=lora_int_id, lora_path=lora_path)

    module("vllm", LLM=LLM, SamplingParams=SamplingParams, __version__="0.29.0")
    module("vllm.lora")
    module("vllm.lora.request", LoRARequest=LoRARequest)
    return calls


def asked(home: Path, **changes):
    data = DataConfig(dataset="e2e_nlg", data_dir=str(home / "data"))
    config = EvaluationConfig(**({"eval_samples": 3, "max_new_tokens": 8} | changes))
    return ModelConfig(model_id=str(home / "base"), dtype="float32"), data, config


def test_the_answers_are_those_of_transformers(vllm, home):
    model, data, config = asked(home)
    adapters = [None, home / "even", home / "map"]
    theirs = list(evaluate_with_vllm(model, adapters, data, config))
    ours = list(evaluate_models(model, adapters, data, config))
    for mine, his in zip(ours, theirs, strict=True):
        assert [s["prediction"] for s in his.samples] == [s["prediction"] for s in mine.samples]
        assert {k: v for k, v in mine.metrics.items() if k != "answer_loss"} == his.metrics
    assert len({tuple(s["prediction"] for s in his.samples) for his in theirs}) == 3


def test_the_engine_is_made_once_with_room_for_the_largest_rank(vllm, home):
    model, data, config = asked(home)
    list(evaluate_with_vllm(model, [home / "even", home / "map"], data, config))
    assert vllm.llm == [
        {
            "model": str(home / "base"), "dtype": "float32", "trust_remote_code": False, "seed": 0,
            "enable_lora": True, "max_lora_rank": 16,
        }
    ]  # fmt: skip
    requests = [request for _, _, request in vllm.generate]
    assert [(r.lora_name, r.lora_int_id) for r in requests] == [("adapter-1", 1), ("adapter-2", 2)]
    assert not any(Path(r.lora_path).exists() for r in requests)  # they were temporary
    for name, r in (("adapter-1", 4), ("adapter-2", 9)):
        assert (vllm.configs[name]["r"], vllm.configs[name]["rank_pattern"]) == (r, {})


def test_a_bare_base_needs_no_adapters(vllm, home):
    model, data, config = asked(home)
    list(evaluate_with_vllm(model, [None], data, config))
    assert set(vllm.llm[0]) == {"model", "dtype", "trust_remote_code", "seed"}
    assert vllm.generate[0][2] is None


def test_prompts_are_ids_and_sampling_is_as_asked(vllm, home):
    model, data, config = asked(home)
    list(evaluate_with_vllm(model, [None], data, config))
    prompts, greedy, _ = vllm.generate[0]
    tokenizer = toy_tokenizer()
    assert [tokenizer.decode(p["prompt_token_ids"]).startswith("<s>### Instruction") for p in prompts] == [True] * 3
    assert vars(greedy) == {
        "temperature": 0.0, "max_tokens": 8, "stop_token_ids": [2, 9], "seed": 0, "detokenize": False
    }  # fmt: skip
    model, data, config = asked(home, temperature=0.7, top_p=0.9)
    list(evaluate_with_vllm(model, [None], data, config))
    assert (vllm.generate[1][1].temperature, vllm.generate[1][1].top_p) == (0.7, 0.9)


def test_what_was_done_is_recorded(vllm, home):
    model, data, config = asked(home)
    (result,) = evaluate_with_vllm(model, [home / "map"], data, config)
    settings = json.loads(json.dumps(result.to_dict(), allow_nan=False))["settings"]
    assert settings["model"] == {
        "base": str(home / "base"), "revision": None, "adapter": str(home / "map"), "uniform_rank": 9, "notes": [],
        "dtype": "float32", "engine": "vllm 0.29.0",
    }  # fmt: skip
    assert settings["decoding"]["method"] == "greedy"
    assert settings["left_out"] == {"answer_loss": "vLLM generates and nothing else here"}
    assert "answer_loss" not in result.metrics


def test_without_the_package_the_extra_is_named(monkeypatch, home):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match=r"no-vllm(.|\n)*pip install 'lorascope\[vllm\]'"):
        next(evaluate_with_vllm(asked(home)[0], [None], *asked(home)[1:]))


def test_what_vllm_refuses_is_one_error(vllm, home):
    vllm.fails = "no GPU was found"
    model, data, config = asked(home)
    with pytest.raises(ModelError, match=r"\[vllm\].*cannot be run by vLLM: no GPU was found"):
        next(evaluate_with_vllm(model, [None], data, config))


def test_nothing_but_likelihood_is_refused(vllm, home):
    data = DataConfig(dataset="multi_nli", data_source="builtin")
    with pytest.raises(ConfigError, match="nothing is generated"):
        next(evaluate_with_vllm(asked(home)[0], [None], data, EvaluationConfig(metrics="accuracy_likelihood")))


def test_a_rank_that_vllm_does_not_take_is_refused(vllm, home, tmp_path):
    lora = LoraConfig(target_modules=["q_proj"], r=600, init_lora_weights=False)
    get_peft_model(toy_model(), lora).save_pretrained(tmp_path)
    model, data, config = asked(home)
    with pytest.raises(ModelError, match="up to rank 512, this one has 600"):
        next(evaluate_with_vllm(model, [tmp_path], data, config))
