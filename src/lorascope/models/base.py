"""The base model and its tokenizer, from a folder or from the hub; whatever is wrong with them is said in one error."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from lorascope.config.experiment import ModelConfig
from lorascope.errors import ModelError
from lorascope.models.checkpoint import Source, explained, find
from lorascope.models.modules import embeddings_are_tied

_CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


@dataclass(frozen=True)
class BaseModel:
    """A causal language model with its tokenizer, in eval mode."""

    model: PreTrainedModel
    tokenizer: Any
    model_id: str
    """Hub id or folder, as asked."""
    dtype: torch.dtype
    device: torch.device
    """Where inputs go; "meta" for an empty model."""
    revision: str | None
    """Commit on the hub; None for a folder."""
    tied: bool
    """Embedding and head are one matrix."""
    context_length: int | None
    """Most tokens in a sequence; None where the architecture sets no limit."""
    notes: tuple[str, ...]
    """What was decided on the way and belongs into the record."""


class _Checkpoint(NamedTuple):
    """Everything but the weights, checked."""

    source: Source
    settings: PreTrainedConfig
    tokenizer: Any
    notes: tuple[str, ...]


def load_base(config: ModelConfig, *, device: torch.device | None = None) -> BaseModel:
    """Load model and tokenizer onto `device` (the accelerator if there is one, else the CPU).

    dtype "auto" is float32 on the CPU and bfloat16 elsewhere. Errors: ModelError.
    """
    device = device or default_device()
    checkpoint = _open(config)
    with explained(config.model_id):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(checkpoint.source.folder),
            use_safetensors=True,
            device_map=config.device_map,
            output_loading_info=True,
            **_model_options(config, device),
        )
        model, report = loaded
        _refuse_gaps(report, config.model_id)
        if config.device_map is None:
            model = model.to(device)
    return _base_model(config, checkpoint, model, device)


def load_config_only(config: ModelConfig) -> BaseModel:
    """The same without the weights: a model on the meta device, for --plan and check. Its shapes and counts are true.

    Every check of `load_base` that needs no weights is made; `dtype` is what `load_base` would take on this machine.
    """
    checkpoint = _open(config)
    device = default_device()
    with explained(config.model_id), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(checkpoint.settings, **_model_options(config, device))
    return _base_model(config, checkpoint, model, device)


def default_device() -> torch.device:
    """This process's accelerator, or the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return torch.device("cpu")
    return torch.device(accelerator.type, int(os.environ.get("LOCAL_RANK", 0)))


def _open(config: ModelConfig) -> _Checkpoint:
    source = find(config.model_id, code=config.trust_remote_code)
    with explained(config.model_id):
        settings = AutoConfig.from_pretrained(str(source.folder), trust_remote_code=config.trust_remote_code)
    _refuse_unfit(settings, config.model_id)
    tokenizer, notes = _load_tokenizer(config, source, settings)
    return _Checkpoint(source, settings, tokenizer, (*source.notes, *notes))


def _model_options(config: ModelConfig, device: torch.device) -> dict[str, Any]:
    options = {"dtype": _dtype(config, device), "trust_remote_code": config.trust_remote_code}
    return options | ({"attn_implementation": config.attn_implementation} if config.attn_implementation else {})


def _base_model(config: ModelConfig, checkpoint: _Checkpoint, model: Any, device: torch.device) -> BaseModel:
    model.name_or_path = model.config._name_or_path = config.model_id  # what PEFT writes down as the adapter's base
    return BaseModel(
        model=model.eval(),
        tokenizer=checkpoint.tokenizer,
        model_id=config.model_id,
        dtype=_dtype(config, device),
        device=model.device,
        revision=checkpoint.source.revision,
        tied=embeddings_are_tied(model),
        context_length=context_length(checkpoint.settings),
        notes=checkpoint.notes,
    )


def _dtype(config: ModelConfig, device: torch.device) -> torch.dtype:
    if config.dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[config.dtype]


def _refuse_unfit(settings: PreTrainedConfig, model_id: str) -> None:
    """Only models that predict the next token from the tokens before it."""
    kind = settings.model_type
    if settings.is_encoder_decoder:
        raise ModelError(
            "encoder-decoder",
            f"{model_id} is an encoder-decoder ({kind}): it reads prompt and answer in two stacks of layers, and a run "
            "compares the layers of one",
            "--model, a causal language model such as Llama, Qwen, Gemma, GPT-2",
            "GradientNormCallback in a Seq2SeqTrainer of your own: it measures both stacks",
        )
    auto_map = getattr(settings, "auto_map", None) or {}
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and "AutoModelForCausalLM" not in auto_map:
        raise ModelError(
            "not-causal", f"{model_id} ({kind}) is no causal language model", "--model, a causal language model"
        )
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(settings, "is_decoder", False):
        raise ModelError(
            "not-causal",
            f"{model_id} ({kind}) reads in both directions; it cannot continue a text",
            "--model, a causal language model",
        )


def _load_tokenizer(config: ModelConfig, source: Source, settings: PreTrainedConfig) -> tuple[Any, list[str]]:
    """The tokenizer with a padding token that the embedding has a row for, and what had to be decided for that."""
    with explained(config.model_id, code="no-tokenizer", what="has no tokenizer that can be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(str(source.folder), trust_remote_code=config.trust_remote_code)
    tokenizer.name_or_path = config.model_id  # what messages call it: the name that was typed, not a folder
    rows = getattr(settings.get_text_config(), "vocab_size", len(tokenizer))
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "no-eos",
            f"the tokenizer of {config.model_id} has no end-of-sequence token, so no answer could learn to end",
            'set "eos_token" in its tokenizer_config.json',
        )
    notes = []
    if tokenizer.eos_token_id >= rows:
        raise ModelError(
            "no-eos",
            f"end-of-sequence is token {tokenizer.eos_token_id}, but {config.model_id} knows {rows} tokens",
            "the tokenizer of this very model",
        )
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= rows:
        why = "has no padding token" if tokenizer.pad_token_id is None else "has a padding token outside the embedding"
        tokenizer.pad_token = tokenizer.eos_token
        notes.append(
            f"the tokenizer {why}; {tokenizer.eos_token!r} pads (padding is masked by position, so its value is free)"
        )
    if len(tokenizer) > rows:
        notes.append(
            f"the tokenizer has {len(tokenizer)} tokens, the embedding {rows} rows: text with the last ones would fail"
        )
    return tokenizer, notes


def _refuse_gaps(report: dict[str, Any], model_id: str) -> None:
    """Weights that the checkpoint lacks would be random numbers."""
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            "missing-weights",
            f"{model_id} lacks {len(missing)} weights that a causal language model needs, such as {missing[0]}",
            "--model, a checkpoint saved from a causal language model",
        )


def context_length(settings: PreTrainedConfig) -> int | None:
    """Most tokens in a sequence; None where the architecture sets no limit."""
    text = settings.get_text_config()
    return next((getattr(text, name) for name in _CONTEXT_FIELDS if isinstance(getattr(text, name, None), int)), None)
