"""Where a checkpoint's files are, and whether they are whole: a folder, the hub, or the hub's local cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from huggingface_hub import ModelInfo, constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError, safe_open

from lorascope import hub
from lorascope.errors import LorascopeError, ModelError
from lorascope.models import embedded

_FOLDER = "--model /path/to/folder"
_AWAY = ("--model embedded --data_source builtin   (the tiny Llama inside lorascope, generated data)", _FOLDER)


class Source(NamedTuple):
    """A folder with config.json, whole safetensors files and a tokenizer's files."""

    folder: Path
    revision: str | None
    """Commit on the hub; None for a user's own folder."""
    notes: tuple[str, ...] = ()


def find(model_id: str, *, code: bool) -> Source:
    """The folder of that name, or the hub's model in the local cache, downloaded if need be.

    Everything is loaded from a folder: given a hub's name, the libraries ask the hub once more for files that nobody
    needs, also when told not to, and wait for minutes if it is silent. `code`: download the checkpoint's Python too.
    Errors: ModelError, within `hub.TIMEOUT` if the hub cannot be reached.
    """
    folder = embedded.folder_of(model_id)
    if folder.exists():
        _check_folder(folder, str(folder))
        return Source(folder, revision=None)
    if model_id.startswith((".", "/", "~")) or "\\" in model_id or model_id.count("/") > 1:
        raise ModelError("no-model", f"there is no folder {model_id}", _FOLDER)
    if constants.HF_HUB_OFFLINE:
        return _cached(model_id, hub.OFF)
    answer = _ask_hub(model_id)
    if isinstance(answer, str):
        source = _cached(model_id, answer)
        return source._replace(notes=(f"{answer}; {model_id} is taken from the cache",))
    with explained(model_id, what="cannot be downloaded"):
        folder = Path(snapshot_download(model_id, allow_patterns=_needed(answer, code=code)))
    _check_folder(folder, model_id)
    return Source(folder, revision=folder.name)


def _needed(info: ModelInfo, *, code: bool) -> list[str]:
    """The files of a repository that a model needs: not its other formats, copies and pictures."""
    names = [file.rfilename for file in info.siblings or () if "/" not in file.rfilename]
    suffixes = (".json", ".model", ".txt", ".jinja", ".tiktoken", *((".py",) if code else ()))
    return [n for n in names if n.endswith(suffixes) or (n.startswith("model") and n.endswith(".safetensors"))]


def _cached(model_id: str, reason: str) -> Source:
    """What the cache holds of a model, if that is all of it."""
    try:
        config = try_to_load_from_cache(model_id, "config.json")
    except HFValidationError:
        config = None
    if not isinstance(config, str):
        raise ModelError("hub-unreachable", f"{reason}; {model_id} is neither in the cache nor a folder", *_AWAY)
    folder = Path(config).parent
    try:
        _check_folder(folder, model_id)
    except ModelError as error:
        raise ModelError("hub-unreachable", f"{reason}; in the cache, {error.what}", _FOLDER) from error
    return Source(folder, revision=folder.name)


def _check_folder(folder: Path, shown: str) -> None:
    """A folder must hold config.json and whole safetensors files."""
    if not folder.is_dir():
        raise ModelError("no-model", f"{shown} is a file; a checkpoint is a folder with config.json", _FOLDER)
    if (folder / "adapter_config.json").is_file():  # Transformers would load the base that it names instead
        tries = "--model, the base it was trained on"
        raise ModelError("no-model", f"{shown} holds an adapter, not a base model", tries)
    if not (folder / "config.json").is_file():
        raise ModelError("no-model", f"there is no config.json in {shown}", _FOLDER)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        others = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.gguf") for p in folder.glob(pattern))
        has = f"only {', '.join(others[:3])}" if others else "no weights"
        raise ModelError(
            "no-safetensors",
            f"{shown} has {has}; lorascope reads safetensors alone (other formats can run code)",
            "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER), then --model NEW_FOLDER",
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        with explained(shown):
            wanted = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if missing := sorted(wanted - {path.name for path in weights}):
            what = f"{shown} lacks {missing[0]} ({len(missing)} of {len(wanted)} parts)"
            raise ModelError("broken-weights", what, "copy or download it again, all parts")
    for path in weights:
        try:
            with safe_open(str(path), "pt"):
                pass
        except (SafetensorError, OSError) as error:
            what = f"{path.name} of {shown} is damaged or cut off ({error})"
            raise ModelError("broken-weights", what, "copy or download it again") from error


def _ask_hub(model_id: str) -> ModelInfo | str:
    """What the hub has under this name, or why it gave no answer. Errors: ModelError if it says no."""
    try:
        return hub.ask(lambda api: api.model_info(model_id, timeout=hub.TIMEOUT))
    except GatedRepoError:
        what = f"{model_id} is gated: {hub.host()} wants a login"
        raise ModelError("gated-model", what, "hf auth login", _FOLDER) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise ModelError(
            "no-model",
            f"{hub.host()} has no model {model_id!r} (or it is private), and there is no such folder here",
            _FOLDER,
        ) from None


@contextmanager
def explained(model_id: str, code: str = "model-load", what: str = "cannot be loaded") -> Iterator[None]:
    """Everything that the libraries raise for a checkpoint becomes one ModelError with the first line of their text."""
    try:
        yield
    except LorascopeError:
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        what = f"{model_id} does not fit into memory"
        raise ModelError("out-of-memory", what, "--dtype bfloat16", "--device_map auto") from error
    except Exception as error:  # tokenizers raises no narrower class, and a config's checks have classes of their own
        text = str(error)
        reason = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)[:300]
        if "trust_remote_code" in text:
            code, reason = "remote-code", "it brings Python code of its own, which can do anything"
            tries = "--trust_remote_code, if you trust it"
        elif "attn_implementation" in text or "FlashAttention" in text:
            tries = "--attn_implementation sdpa"
        else:
            tries = _FOLDER
        raise ModelError(code, f"{model_id} {what}: {reason}", tries) from error
