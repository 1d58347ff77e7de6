import json
import random

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lorascope.config.experiment import ModelConfig
from lorascope.models import embedded
from lorascope.models.base import load_base
from lorascope.models.modules import find_modules
from lorascope.tasks import TASKS
from lorascope.tasks.builtin import generator, words

FILES = (
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
QUICK = ("e2e_nlg", "samsum", "wikisql", "multi_nli")


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(embedded.FOLDER)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(embedded.FOLDER, dtype=torch.float32).eval()


def test_the_folder_is_whole_and_small():
    assert sorted(path.name for path in embedded.FOLDER.iterdir() if path.is_file()) == sorted(FILES)
    assert sum((embedded.FOLDER / name).stat().st_size for name in FILES) <= 8_000_000


def test_it_has_every_kind_of_module_that_tinyllama_has():
    base = load_base(ModelConfig(model_id="embedded"))
    config = base.model.config
    assert config.model_type == "llama"
    assert config.hidden_act == "silu"
    assert config.num_key_value_heads < config.num_attention_heads
    assert not base.tied
    assert base.tokenizer.name_or_path == "embedded"  # messages name what was typed
    assert base.dtype is torch.float32
    assert {module.projection for module in find_modules(base.model)} == {
        "embed", "q", "k", "v", "o", "gate", "up", "down", "head"
    }  # fmt: skip


def test_weights_are_stored_in_bfloat16():
    assert json.loads((embedded.FOLDER / "config.json").read_text())["dtype"] == "bfloat16"


def test_special_tokens(tokenizer):
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "</s>", "<pad>")
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert tokenizer.unk_token is None
    assert tokenizer("a")["input_ids"][0] == 1


def test_any_text_comes_back_and_digits_stand_alone(tokenizer):
    for text in ("name[The Quiet Fox], near[Caf\u00e9]", " two  spaces\n\ttab", "\u00a320-25", "\U0001f600"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert len(tokenizer("2026", add_special_tokens=False)["input_ids"]) == 4


@pytest.mark.parametrize("name", QUICK)
def test_prompt_and_answer_are_encoded_apart_as_together(name: str, tokenizer):
    task = TASKS[name]
    for example in task.to_examples(generator(name)(task.evaluation_split))[:50]:
        apart = (
            tokenizer(example.prompt)["input_ids"] + tokenizer(example.target, add_special_tokens=False)["input_ids"]
        )
        assert tokenizer(example.prompt + example.target)["input_ids"] == apart


@pytest.mark.parametrize("name", QUICK)
def test_every_generated_row_fits(name: str, tokenizer):
    task = TASKS[name]
    for example in task.to_examples(generator(name)(task.evaluation_split)):
        assert len(tokenizer(example.prompt + example.target)["input_ids"]) < 400


def test_it_copies_lists_of_words(model, tokenizer):
    """Of the tokens of a copied list, after a right beginning, the share that it would write; and of another list."""
    rng = random.Random(0)
    pool = (*words.TEAMS, *words.SPORTS, *words.DRINKS, *(person.name for person in words.PEOPLE))

    def share(*, of_another: bool) -> float:
        right = count = 0
        for _ in range(20):
            several = rng.sample(pool, 8)
            first, *others = rng.sample(pool, 8) if of_another else several
            head = tokenizer(f"List:\n{', '.join(several)}\nCopy:\n{first}", return_tensors="pt").input_ids
            tail = tokenizer(", " + ", ".join(others), add_special_tokens=False, return_tensors="pt").input_ids
            with torch.no_grad():
                logits = model(torch.cat((head, tail), 1)).logits[0, head.shape[1] - 1 : -1]
            right += int((logits.argmax(-1) == tail[0]).sum())
            count += tail.shape[1]
        return right / count

    assert share(of_another=False) > 0.9
    assert share(of_another=True) < 0.7  # the commas


def test_it_knows_its_own_kind_of_text_from_shuffled_words(model, tokenizer):
    text = "Anna lives in Milton. Ben is a nurse, and he has a red car.\nIs it true that Anna's home is in Milton? Yes."
    said = text.split(" ")
    shuffled = " ".join(said[i] for i in torch.randperm(len(said), generator=torch.Generator().manual_seed(0)))

    def loss(what: str) -> float:
        ids = tokenizer(what, return_tensors="pt").input_ids
        with torch.no_grad():
            return model(input_ids=ids, labels=ids).loss.item()

    assert loss(text) < 0.5 * loss(shuffled)


def test_its_weights_are_finite(model):
    assert all(weight.isfinite().all() for weight in model.parameters())
