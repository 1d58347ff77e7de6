"""What a probe tells apart: the target modules, and within fused ones (qkv, gate_up) the rows of each role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lorascope.config.experiment import Target
from lorascope.errors import ModelError, NoTargets
from lorascope.models.modules import bare
from lorascope.models.selection import select
from lorascope.models.target import TargetModule

Rows = slice | Tensor


@dataclass(frozen=True)
class Part:
    """A module, or the rows of one role in a fused module."""

    module: TargetModule
    role: str
    """The module's projection; q, k, v or gate, up in a fused module."""
    rows: Rows
    """Which of the output's rows: all of them unless the module is fused."""
    shape: tuple[int, int, int]
    """(experts, out, in) of these rows: the input is the side of LoRA's random matrix, in embeddings the width."""

    @property
    def numel(self) -> int:
        """Numbers of the weight."""
        experts, out, width = self.shape
        return experts * out * width

    @property
    def variance(self) -> float:
        """Of a number in LoRA's random matrix, as PEFT draws it: uniform within 1 / sqrt(in), normal in embeddings."""
        return 1.0 if self.module.kind == "embedding" else 1 / (3 * self.shape[2])

    def of(self, tensor: Tensor) -> Tensor:
        """These rows of the whole weight, or of its gradient: (experts, out, in), a view where that is possible."""
        return tensor[:, self.rows]


@dataclass(frozen=True)
class Weight:
    """A frozen weight of the model and its parts."""

    parameter: nn.Parameter
    swapped: bool
    """It lies in memory as (in, out): Conv1D and some stacked experts."""
    parts: tuple[Part, ...]

    def oriented(self, tensor: Tensor) -> Tensor:
        """The weight or its gradient as (experts, out, in): a view."""
        stacked = tensor if tensor.ndim == 3 else tensor.unsqueeze(0)
        return stacked.mT if self.swapped else stacked


def computed(tensor: Tensor) -> Tensor:
    """A tensor in the format in which a probe computes: float32, or float64 where the model itself is that fine."""
    return tensor.to(computed_in(tensor.dtype))


def computed_in(dtype: torch.dtype) -> torch.dtype:
    """The format in which a probe computes with numbers of `dtype`."""
    return torch.promote_types(dtype, torch.float32)


def find_weights(model: nn.Module, targets: Sequence[TargetModule]) -> list[Weight]:
    """The weights behind `targets`, in their order, each with its parts.

    `model`: bare, or with adapters on it: the frozen weights below them are taken. ModelError for a weight that has no
    gradient of its own: quantised, not loaded, or shared by two targets.
    """
    root, config = bare(model), _text_config(model)
    weights: list[Weight] = []
    owner: dict[int, str] = {}
    for module in targets:
        parameter, swapped = _parameter(root, module)
        _refuse_unfit(parameter, module)
        if id(parameter) in owner:
            raise ModelError(
                "shared-weight",
                f"{owner[id(parameter)]} and {module.path} are one matrix; its gradient belongs to both",
                "--target both   (without embedding and head)",
            )
        owner[id(parameter)] = module.path
        weights.append(Weight(parameter, swapped, _parts(module, config)))
    return weights


def probed(
    modules: Sequence[TargetModule], target: Target = "both", *, tied: bool = False, model_id: str = "the model"
) -> list[TargetModule]:
    """The modules that a probe looks at: with `both` attention, MLP, and what is neither; with `all` the ends as well.

    What is neither (routers, state-space layers, projections of an embedding) is reported under its own name and is
    part of no comparison; the other targets leave it out. Errors: those of `select`; NoTargets where nothing is left.
    """
    if target == "both":
        chosen = [m for m in modules if m.group in ("attention", "mlp", "other") and m.kind != "embedding"]
    elif target == "all":
        select(modules, target, tied=tied, model_id=model_id)  # refuses what cannot be told apart
        chosen = list(modules)
    else:
        chosen = select(modules, target, tied=tied, model_id=model_id)
    if not chosen:
        raise NoTargets("no-targets", f"{model_id} has no linear layer that could be probed", "--model, another one")
    return chosen


def _text_config(model: nn.Module) -> Any:
    """The configuration of the model, or of the text model in it; None for a model that is not of Transformers."""
    root: Any = bare(model)
    return root.config.get_text_config() if hasattr(root, "config") else None


def _parameter(root: nn.Module, module: TargetModule) -> tuple[nn.Parameter, bool]:
    """The parameter of a target, and whether it lies as (in, out)."""
    owner = root
    names = module.path.split(".")
    for name in names[:-1] if module.kind == "experts" else names:
        owner = bare(getattr(owner, name))
    parameter: Any = getattr(owner, names[-1] if module.kind == "experts" else "weight")
    swapped = module.kind == "conv1d" or (module.kind == "experts" and bool(getattr(owner, "is_transposed", False)))
    return parameter, swapped


def _refuse_unfit(parameter: Any, module: TargetModule) -> None:
    if not isinstance(parameter, nn.Parameter) or not parameter.is_floating_point():
        raise ModelError(
            "quantised",
            f"{module.path} is quantised; a probe needs the gradient of the weight itself",
            "the model without quantisation, in bfloat16   (--dtype bfloat16)",
        )
    if parameter.device.type == "meta":
        raise ModelError(
            "not-loaded",
            f"the weight of {module.path} is not in memory (offloaded, or an empty model)",
            "--device_map auto on a machine with enough memory",
        )
    if hasattr(parameter, "full_tensor"):
        raise ModelError(
            "sharded",
            f"{module.path} is sharded over processes; a probe takes whole models, with other batches on each process",
            "accelerate launch without FSDP",
        )


def _parts(module: TargetModule, config: Any) -> tuple[Part, ...]:
    out, width = module.shape if module.kind != "embedding" else module.shape[::-1]
    roles = fused_rows(module, config) if config is not None else {}
    if not roles:
        return (Part(module, module.projection, slice(None), (module.num_experts, out, width)),)
    return tuple(
        Part(module, role, _compact(rows), (module.num_experts, len(rows), width)) for role, rows in roles.items()
    )


def fused_rows(module: TargetModule, config: Any) -> Mapping[str, Tensor]:
    """Role -> its rows in a fused module, for the families whose layout is known and tested; empty for any other.

    `config`: the Transformers configuration of the text model. A fused module of an unknown family keeps its own name.
    """
    family, out = config.model_type, torch.arange(module.shape[0])
    heads = getattr(config, "num_attention_heads", 0)
    if module.projection == "qkv":
        if family in ("gpt2", "mpt"):
            return dict(zip("qkv", out.chunk(3), strict=True))
        if family == "phi3":
            groups = config.num_key_value_heads
            return dict(zip("qkv", out.split([len(out) * n // (heads + 2 * groups) for n in (heads, groups, groups)]),
                            strict=True))  # fmt: skip
        if family == "falcon" and (config.new_decoder_architecture or config.multi_query):
            groups = config.num_kv_heads if config.new_decoder_architecture else 1
            by_head = out.view(groups, heads // groups + 2, -1)
            return {"q": by_head[:, :-2].flatten(), "k": by_head[:, -2].flatten(), "v": by_head[:, -1].flatten()}
        if family in ("gpt_neox", "bloom", "falcon"):
            return _strided(out.view(heads, 3, -1), "qkv")
        if family == "codegen":  # made for four accelerators: each one's q, v, k
            by_role = _strided(out.view(4, 3, -1), "qvk")
            return {role: by_role[role] for role in "qkv"}
    if module.projection == "gate_up":
        if family in ("phi3", "mixtral", "qwen3_moe", "deepseek_v3"):
            return dict(zip(("gate", "up"), out.chunk(2), strict=True))
        if family == "gpt_oss":
            return {"gate": out[::2], "up": out[1::2]}
    return {}


def _strided(blocks: Tensor, roles: Iterable[str]) -> dict[str, Tensor]:
    """blocks (n, roles, rows)."""
    return {role: blocks[:, i].flatten() for i, role in enumerate(roles)}


def _compact(rows: Tensor) -> Rows:
    """Rows that follow each other as a slice, so that taking them copies nothing."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows
