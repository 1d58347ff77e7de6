"""Models from folders: a base model loaded once, and adapters put on it and taken off again, one after another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from lorascope.config.experiment import ModelConfig
from lorascope.errors import ConfigError, ModelError
from lorascope.models.adapters import load_adapter, take_off
from lorascope.models.base import load_base


@dataclass(frozen=True)
class LoadedModel:
    """A model that can be judged."""

    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    about: dict[str, Any]
    """Base, revision and adapter, for the record."""


def load_model(model: ModelConfig, adapter: Path | str | None) -> LoadedModel:
    """The base model, with the adapter in the folder `adapter` if there is one. Errors: ModelError."""
    return next(each_loaded(model, [adapter]))


def each_loaded(model: ModelConfig, adapters: Sequence[Path | str | None]) -> Iterator[LoadedModel]:
    """The base model with each adapter in turn (None: bare), loaded once.

    Taking the next one takes the adapter before it off: unmerged adapters leave the base's weights alone, so that each
    finds them as they were loaded. Errors: ModelError.
    """
    base = load_base(model)
    for place, adapter in enumerate(adapters):
        if place:
            take_off(base.model)
        about = {
            "base": base.model_id,
            "revision": base.revision,
            "adapter": None if adapter is None else str(adapter),
            "notes": list(base.notes),
        }
        loaded = base.model if adapter is None else load_adapter(base, adapter).model
        yield LoadedModel(loaded, base.tokenizer, about)


def base_of_adapter(adapter: Path | str | None) -> str:
    """The base model that an adapter names as its own. Errors: ModelError."""
    if adapter is None:
        raise ConfigError("no-model", "neither a base model nor an adapter is given", "base_model_id=...")
    path = Path(adapter) / "adapter_config.json"
    try:
        base = json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not isinstance(base, str) or not base:
        raise ModelError("no-base", f"{path} does not tell the base model", "base_model_id=...", "--model ID_OR_FOLDER")
    return base
