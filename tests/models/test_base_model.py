"""Loading a base model, and every way in which a checkpoint can be unfit."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BertConfig, PreTrainedTokenizerFast, T5Config, ViTConfig

from lorascope.config.experiment import ModelConfig
from lorascope.errors import ModelError
from lorascope.models import base as base_module
from lorascope.models.base import load_base, load_config_only
from lorascope.models.modules import find_modules
from toy import save_toy, toy_model, toy_tokenizer

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_toy(tmp_path / "toy")


def _load(folder: Path, **fields: Any) -> Any:
    return load_base(ModelConfig(model_id=str(folder), **fields), device=CPU)


def _edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


# --- what comes back --------------------------------------------------------------------------------------------


def test_a_folder_gives_model_tokenizer_and_facts(folder: Path) -> None:
    base = _load(folder)
    assert (base.dtype, base.device, base.model.dtype) == (torch.float32, CPU, torch.float32)
    assert (base.revision, base.tied, base.context_length, base.notes) == (None, False, 512, ())
    assert base.model_id == str(folder)
    assert not base.model.training
    for name, weight in toy_model().state_dict().items():
        assert torch.equal(base.model.state_dict()[name], weight)
    assert base.tokenizer("a b")["input_ids"] == toy_tokenizer()("a b")["input_ids"]


def test_tied_embeddings_and_an_asked_dtype_are_recorded(tmp_path: Path) -> None:
    base = _load(save_toy(tmp_path, tied=True), dtype="bfloat16")
    assert base.tied
    assert base.dtype is torch.bfloat16 is base.model.dtype


@pytest.mark.parametrize(
    ("device", "asked", "dtype"),
    [
        ("cpu", "auto", torch.float32),
        ("cuda", "auto", torch.bfloat16),
        ("cuda", "float32", torch.float32),
        ("cpu", "float16", torch.float16),
    ],
)
def test_the_dtype_rule(device: str, asked: Any, dtype: torch.dtype) -> None:
    assert base_module._dtype(ModelConfig(dtype=asked), torch.device(device)) is dtype


@pytest.mark.parametrize(
    ("name", "length"), [("llama", 64), ("gpt2", 64), ("mpt", 64), ("opt", 64), ("bloom", None), ("mamba", None)]
)
def test_the_context_length_is_the_models(name: str, length: int | None) -> None:
    assert base_module.context_length(families.build(name, device="meta").config) == length


def test_without_a_padding_token_end_of_sequence_pads_and_a_note_says_so(folder: Path) -> None:
    toy_tokenizer(pad=False).save_pretrained(folder)
    base = _load(folder)
    assert base.tokenizer.pad_token_id == base.tokenizer.eos_token_id == 2
    assert "'</s>' pads" in base.notes[0]


def test_a_padding_token_without_a_row_in_the_embedding_is_replaced(folder: Path) -> None:
    tokenizer = toy_tokenizer(pad=False)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})  # becomes token 259; the embedding ends at 258
    tokenizer.save_pretrained(folder)
    base = _load(folder)
    assert base.tokenizer.pad_token_id == 2
    assert "outside the embedding" in base.notes[0]
    assert "260 tokens, the embedding 259 rows" in base.notes[1]


def test_an_empty_model_has_true_shapes_and_counts_at_once(folder: Path) -> None:
    started = time.perf_counter()
    empty = load_config_only(ModelConfig(model_id=str(folder)))
    modules = find_modules(empty.model)
    seconds = time.perf_counter() - started
    full = _load(folder)
    assert (empty.device.type, empty.context_length, empty.tied) == ("meta", 512, False)
    assert modules == find_modules(full.model)
    assert empty.model.num_parameters() == full.model.num_parameters()
    assert seconds < 2


def test_the_lab_model_loads(lab: Path) -> None:
    base = _load(lab / "base")
    assert base.model.num_parameters() == 4_721_856
    assert (base.tied, base.context_length, base.notes) == (False, 1024, ())


# --- what is refused --------------------------------------------------------------------------------------------


def _missing(folder: Path) -> None:
    shutil.rmtree(folder)


def _file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _bin_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _cut_off(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def _a_part_lost(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _unknown_type(folder: Path) -> None:
    _edit(folder / "config.json", lambda c: c.update(model_type="no_such_type"))


def _own_code(folder: Path) -> None:
    _edit(folder / "config.json", lambda c: c.update(model_type="x", auto_map={"AutoConfig": "code.Config"}))


def _more_layers(folder: Path) -> None:
    _edit(folder / "config.json", lambda c: c.update(num_hidden_layers=3))


def _no_head(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _other_width(folder: Path) -> None:
    _edit(folder / "config.json", lambda c: c.update(intermediate_size=32))


def _wrong_value(folder: Path) -> None:
    _edit(folder / "config.json", lambda c: c.update(hidden_size="wide"))


def _broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


def _no_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def _no_end(folder: Path) -> None:
    PreTrainedTokenizerFast(tokenizer_object=toy_tokenizer().backend_tokenizer).save_pretrained(folder)


def _end_outside(folder: Path) -> None:
    tokenizer = toy_tokenizer()
    tokenizer.add_special_tokens({"eos_token": "<end>"})
    tokenizer.save_pretrained(folder)


def _encoder_decoder(folder: Path) -> None:
    T5Config().save_pretrained(folder)


def _another_encoder_decoder(folder: Path) -> None:
    BartConfig().save_pretrained(folder)


def _both_directions(folder: Path) -> None:
    BertConfig().save_pretrained(folder)


def _pictures(folder: Path) -> None:
    ViTConfig().save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "code", "says", "tries"),
    [
        (_missing, "no-model", "there is no folder", "--model /path/to/folder"),
        (_file, "no-model", "is a file", "--model /path/to/folder"),
        (_no_config, "no-model", "no config.json", "--model /path/to/folder"),
        (_adapter, "no-model", "holds an adapter", "the base it was trained on"),
        (_no_weights, "no-safetensors", "no weights", "save_pretrained"),
        (_bin_only, "no-safetensors", "only pytorch_model.bin", "save_pretrained"),
        (_cut_off, "broken-weights", "damaged or cut off", "again"),
        (_a_part_lost, "broken-weights", "lacks model-00002-of-00002.safetensors", "again"),
        (_broken_config, "model-load", "not a valid JSON", "--model"),
        (_unknown_type, "model-load", "no_such_type", "--model"),
        (_own_code, "remote-code", "Python code of its own", "--trust_remote_code"),
        (_more_layers, "missing-weights", "lacks 9 weights", "--model"),
        (_no_head, "missing-weights", "lm_head.weight", "--model"),
        (_other_width, "model-load", "cannot be loaded", "--model"),
        (_wrong_value, "model-load", "hidden_size", "--model"),
        (_no_tokenizer, "no-tokenizer", "no tokenizer", "--model"),
        (_broken_tokenizer, "no-tokenizer", "no tokenizer", "--model"),
        (_no_end, "no-eos", "no end-of-sequence", "eos_token"),
        (_end_outside, "no-eos", "token 259", "tokenizer"),
        (_encoder_decoder, "encoder-decoder", "(t5): it reads prompt and answer in two stacks", "causal"),
        (_another_encoder_decoder, "encoder-decoder", "(bart)", "causal"),
        (_both_directions, "not-causal", "both directions", "causal"),
        (_pictures, "not-causal", "vit", "causal"),
    ],
)
def test_an_unfit_checkpoint_ends_in_one_error_that_says_what_to_do(
    spoil: Callable[[Path], None], code: str, says: str, tries: str, folder: Path
) -> None:
    spoil(folder)
    with pytest.raises(ModelError) as error:
        _load(folder)
    assert error.value.code == code
    assert says in error.value.what
    assert tries in error.value.tries[0]
    assert "\n" not in error.value.what


@pytest.mark.parametrize(
    ("spoil", "code"), [(_cut_off, "broken-weights"), (_no_end, "no-eos"), (_encoder_decoder, "encoder-decoder")]
)
def test_a_plan_finds_the_same_faults(spoil: Callable[[Path], None], code: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(ModelError) as error:
        load_config_only(ModelConfig(model_id=str(folder)))
    assert error.value.code == code


@pytest.mark.parametrize("kernel", ["flash_attention_2", "no_such_kernel"])
def test_an_attention_kernel_that_is_not_there(kernel: str, folder: Path) -> None:
    with pytest.raises(ModelError) as error:
        _load(folder, attn_implementation=kernel)
    assert error.value.tries == ("--attn_implementation sdpa",)


def test_an_attention_kernel_that_is_there(folder: Path) -> None:
    assert _load(folder, attn_implementation="eager").model.config._attn_implementation == "eager"
