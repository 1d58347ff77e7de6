"""An adapter of several ranks as one that has the same rank and scaling everywhere, for programs that read no maps.

vLLM and others read the top-level `r` and `lora_alpha` of an adapter alone: `rank_pattern` and `alpha_pattern` are
dropped in silence, and every module whose rank differs is scaled wrongly. Here each A gets rows and each B columns of
zeros up to the largest rank, and what is left of a module's own scaling goes into its B: the update is the same. An
adapter that is not trained yet keeps its ranks, too, in a program that trains on from it: the gradient of a padded row
of A is s B^T G, of a padded column of B s G A^T, and both are 0 as long as the other one is.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import pad

from lorascope.config.allocation import Allocation
from lorascope.config.experiment import LoRAConfig
from lorascope.errors import ModelError
from lorascope.models.adapters import peft_config
from lorascope.models.allocated import allocated_modules
from lorascope.models.base import BaseModel
from lorascope.models.modules import find_modules

CONFIG = "adapter_config.json"
PREFIX = "base_model.model."
MATRICES = {
    ".lora_A.weight": "A",
    ".lora_B.weight": "B",
    ".lora_embedding_A": "A",
    ".lora_embedding_B": "B",
}
"""Endings of the names in an adapter's file."""


class Padded(NamedTuple):
    """What every module of the exported adapter has."""

    r: int
    lora_alpha: float
    modules: int
    """Modules with an adapter."""
    padded: int
    """Modules whose rank was smaller."""


def export_uniform(adapter: Path | str, folder: Path | str) -> Padded:
    """Write the LoRA adapter in `adapter` to `folder`, at its largest rank and its most common scaling.

    Its update of every weight is the same to rounding, and to the last digit where the ranks alone differ. It has the
    form of PEFT and can be loaded with it. Errors: ModelError where it is no plain LoRA on modules.
    """
    source, folder = Path(adapter), Path(folder)
    config, weights = _read(source)
    _refuse_other_kinds(source, config, weights)
    ranks = {path: _of(config, "r", path) for path in _paths(weights)}
    scalings = {path: _scaling(config, path, r) for path, r in ranks.items()}
    largest = max(ranks.values())
    common = Counter(scalings.values()).most_common(1)[0][0]
    for name, tensor in weights.items():
        path, matrix = _place(name)
        if tensor.shape[matrix == "B"] != ranks[path]:
            what = f"{name} in {source} has rank {tensor.shape[matrix == 'B']}, its configuration says {ranks[path]}"
            raise ModelError("adapter-mismatch", what, "the adapter as PEFT saved it")
        weights[name] = _pad(tensor, matrix, largest, scalings[path] / common)
    alpha = common * largest
    alpha = round(alpha) if math.isclose(alpha, round(alpha)) else alpha
    config |= {"r": largest, "lora_alpha": alpha, "rank_pattern": {}, "alpha_pattern": {}, "use_rslora": False}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / SAFETENSORS_WEIGHTS_NAME, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return Padded(largest, alpha, len(ranks), sum(r < largest for r in ranks.values()))


def start_uniform(base: BaseModel, lora: LoRAConfig, allocation: Allocation, folder: Path, *, seed: int) -> Padded:
    """Write an allocation as an untrained adapter at its largest rank, for programs that train on from an adapter.

    A is drawn as PEFT draws it, uniform within 1 / sqrt(in), and B is 0. `base` may be empty; of `lora` only the
    dropout is read. ModelError where scalings differ, which a B of zeros cannot hold, or a module is no linear one.
    """
    modules = find_modules(base.model)
    targets = allocated_modules(allocation, modules, model_id=base.model_id, tied=base.tied)
    scalings = {round(allocation.alphas[target.path] / allocation.ranks[target.path], 9) for target in targets}
    odd = sorted({target.kind for target in targets} - {"linear", "conv1d"})
    if odd or len(scalings) > 1:
        why = f"it has {' and '.join(odd)}" if odd else "its modules differ in alpha / rank"
        what = f"an untrained adapter of this allocation cannot be written at one rank: {why}"
        raise ModelError("not-uniform", what, "allocate without --padded, for programs that read rank_pattern")
    largest, alpha = allocation.top
    config = peft_config(base.model, lora, targets, allocation)  # with the largest rank and its alpha at the top
    config.rank_pattern, config.alpha_pattern = {}, {}
    config.base_model_name_or_path, config.target_modules = base.model_id, [target.path for target in targets]
    drawn = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    for target in targets:
        out, into = target.shape
        own = (2 * torch.rand(allocation.ranks[target.path], into, generator=drawn) - 1) / math.sqrt(into)
        weights[f"{PREFIX}{target.path}.lora_A.weight"] = _pad(own, "A", largest, 1.0)
        weights[f"{PREFIX}{target.path}.lora_B.weight"] = torch.zeros(out, largest)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / SAFETENSORS_WEIGHTS_NAME, metadata={"format": "pt"})
    config.save_pretrained(str(folder))
    padded = sum(allocation.ranks[target.path] < largest for target in targets)
    return Padded(largest, alpha, len(targets), padded)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return config, load_file(folder / SAFETENSORS_WEIGHTS_NAME)
    except (OSError, ValueError, SafetensorError) as error:
        what = f"{folder} holds no adapter that can be read: {error}"
        raise ModelError("no-adapter", what, "a folder that PEFT saved, such as final_model of a run") from error


def _refuse_other_kinds(folder: Path, config: dict[str, Any], weights: dict[str, Tensor]) -> None:
    odd = {
        f"of type {config.get('peft_type')}": config.get("peft_type") != "LORA",
        "DoRA": config.get("use_dora"),
        "on stacked experts": config.get("target_parameters"),
    }
    found = [what for what, there in odd.items() if there]
    found += [f"more than LoRA matrices ({name})" for name in weights if not name.endswith(tuple(MATRICES))][:1]
    if found or not weights:
        raise ModelError(
            "not-uniform",
            f"the adapter in {folder} is {' and '.join(found) or 'empty'}: it cannot be written at one rank",
            "the adapter as it is, in a program that reads PEFT's rank_pattern",
        )


def _place(name: str) -> tuple[str, str]:
    """("model.layers.0.mlp.up_proj", "A") of a name in the file."""
    ending = next(ending for ending in MATRICES if name.endswith(ending))
    return name.removesuffix(ending).removeprefix(PREFIX), MATRICES[ending]


def _paths(weights: dict[str, Tensor]) -> list[str]:
    return list(dict.fromkeys(_place(name)[0] for name in weights))


def _of(config: dict[str, Any], what: str, path: str) -> Any:
    """A module's own r or lora_alpha, by PEFT's rule."""
    pattern = config.get("rank_pattern" if what == "r" else "alpha_pattern") or {}
    return pattern.get(get_pattern_key(list(pattern), path), config[what])


def _scaling(config: dict[str, Any], path: str, r: int) -> float:
    alpha = _of(config, "lora_alpha", path)
    return float(alpha / math.sqrt(r) if config.get("use_rslora") else alpha / r)


def _pad(tensor: Tensor, matrix: str, r: int, factor: float) -> Tensor:
    """A (r_own, in) -> (r, in); B (out, r_own) -> (out, r), times a factor."""
    missing = r - tensor.shape[matrix == "B"]
    if matrix == "A":
        return pad(tensor, (0, 0, 0, missing))
    grown = pad(tensor, (0, missing))
    return grown if factor == 1 else (grown.to(torch.float64) * factor).to(tensor.dtype)
