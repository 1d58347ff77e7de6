"""An adapter with a rank map as one that has the same rank and scaling everywhere, for programs that read no maps.

vLLM and others read the top-level `r` and `lora_alpha` of an adapter alone: `rank_pattern` and `alpha_pattern` are
dropped in silence, and every module whose rank differs is scaled wrongly. Here each A gets rows and each B columns of
zeros up to the largest rank, and what is left of a module's own scaling goes into its B: the update is the same.
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

from lorascope.errors import ModelError

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
