"""LoRA on a base model: choose the modules, put PEFT's adapters on exactly these, find the adapters' tensors again."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer, ParamWrapper
from peft.utils import AuxiliaryTrainingWrapper, get_peft_model_state_dict, load_peft_weights
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorascope.config.allocation import Allocation
from lorascope.config.experiment import LoRAConfig
from lorascope.errors import ModelError
from lorascope.models.base import BaseModel
from lorascope.models.modules import TargetModule, bare, find_modules
from lorascope.models.selection import CoverageRow, coverage, select

__all__ = [
    "ADAPTER",
    "AdaptedModel",
    "AdapterTensor",
    "CoverageRow",
    "adapter_tensors",
    "coverage",
    "load_adapter",
    "parameter_counts",
    "peft_config",
    "select",
    "take_off",
    "wrap",
]

ADAPTER = "default"
"""PEFT's own name for an adapter."""


class AdapterTensor(NamedTuple):
    """One LoRA matrix of one module. With the shapes (out, in) of `module`, the update is scaling * B @ A."""

    module: TargetModule
    matrix: Literal["A", "B"]
    parameter: nn.Parameter
    """A: (r, in), B: (out, r). Of E experts: A is (E * r, in), expert by expert; B is (out, r * E), rank by rank."""
    scaling: float
    """What PEFT multiplies B @ A with: alpha / r."""
    r: int
    """Rank; of every expert where there are several."""
    base_weight: Tensor
    """The frozen weight as it lies in memory: (out, in), (in, out) in Conv1D and embeddings, 3-D in experts."""


@dataclass(frozen=True)
class AdaptedModel:
    """A base model with LoRA on it. `base.model` is the same network: PEFT works in place."""

    model: PeftModel
    tokenizer: Any
    targets: tuple[TargetModule, ...]
    """The modules with an adapter."""
    modules: tuple[TargetModule, ...]
    """Every module that could have one."""
    base: BaseModel

    @property
    def adapter_dtype(self) -> torch.dtype:
        """Number format of the adapters: PEFT takes float32 on bfloat16 and float16 bases."""
        return adapter_tensors(self.model)[0].parameter.dtype


def wrap(
    base: BaseModel,
    lora: LoRAConfig,
    targets: Sequence[TargetModule],
    *,
    seed: int,
    allocation: Allocation | None = None,
) -> AdaptedModel:
    """Put LoRA on exactly `targets`, read it back from the model, and check every rank and alpha.

    Ranks and alphas are those of `lora`, or of the allocation, whose modules with a rank are then the `targets`
    (`models/allocated.py`). The initialisation depends on `seed` and the targets alone and leaves the random state as
    it was. The configuration that `save_pretrained` writes works in plain PEFT. Errors: ModelError where PEFT cannot do
    what is asked.
    """
    if any(isinstance(module, LoraLayer) for module in base.model.modules()):
        raise ModelError("already-adapted", f"{base.model_id} carries an adapter already", "load the base model again")
    modules = find_modules(base.model)
    wanted = {t.path: (lora.r, lora.lora_alpha) for t in targets}
    if allocation:
        wanted = {t.path: (allocation.ranks[t.path], allocation.alphas[t.path]) for t in targets}
    config = peft_config(base.model, lora, targets, allocation)
    names = (sorted(config.target_modules or ()), sorted(config.target_parameters or ()))
    with _seeded(seed), _peft_warnings():
        model = get_peft_model(base.model, config)
    _check(model, wanted, sum(wanted[t.path][0] * t.cost_per_rank for t in targets))
    # PEFT turns the lists into sets and condenses long ones; saved files stay the same from run to run with lists.
    config.target_modules, config.target_parameters = names
    _save_adapters_alone(model)
    return AdaptedModel(
        model=model.eval(), tokenizer=base.tokenizer, targets=tuple(targets), modules=tuple(modules), base=base
    )


def adapter_tensors(model: nn.Module, adapter: str = ADAPTER) -> list[AdapterTensor]:
    """Every A and B of an adapter, in the order of `find_modules`, A before B.

    `model`: any model with PEFT's LoRA in it, whoever made it, also inside DDP. This walks the whole model: build the
    list once. Errors: ModelError if there is no such adapter, or if it is on a module that we cannot measure.
    """
    by_path = {module.path: module for module in find_modules(model)}
    found: dict[str, list[AdapterTensor]] = {}
    for path, layer in lora_layers(model, adapter):
        if path not in by_path:
            kind = type(layer.get_base_layer()).__name__
            raise ModelError(
                "adapter-place", f"the adapter {adapter!r} is on {path} ({kind}), which cannot be measured"
            )
        if adapter in layer.lora_embedding_A:
            a, b = layer.lora_embedding_A[adapter], layer.lora_embedding_B[adapter]
        else:  # LoRA keeps linear layers, AdaLoRA bare parameters
            a, b = (getattr(held[adapter], "weight", held[adapter]) for held in (layer.lora_A, layer.lora_B))
        weight: Any = layer.get_param() if isinstance(layer, ParamWrapper) else layer.get_base_layer().weight
        rest = (layer.scaling[adapter], layer.r[adapter], weight)
        found[path] = [AdapterTensor(by_path[path], "A", a, *rest), AdapterTensor(by_path[path], "B", b, *rest)]
    if not found:
        raise ModelError("no-adapter", f"the model has no LoRA adapter named {adapter!r}")
    return [tensor for path in by_path if path in found for tensor in found[path]]


def parameter_counts(model: nn.Module) -> dict[str, Any]:
    """{"total", "trained", "by_group"}: numbers in the model, in what is trained, and in the adapters of each group.

    What a training phase has switched off for now counts as trained. Shared parameters count once; groups without an
    adapter are absent.
    """
    by_group: dict[str, int] = defaultdict(int)
    adapters = adapter_tensors(model)
    for tensor in adapters:
        by_group[tensor.module.group] += tensor.parameter.numel()
    trained = {id(tensor.parameter) for tensor in adapters}
    parameters = list(model.parameters())
    return {
        "total": sum(p.numel() for p in parameters),
        "trained": sum(p.numel() for p in parameters if p.requires_grad or id(p) in trained),
        "by_group": dict(by_group),
    }


def load_adapter(base: BaseModel, folder: str | Path) -> AdaptedModel:
    """The base model with the adapter in `folder`, frozen, as plain PEFT loads it.

    Errors: ModelError; the base has no adapter then.
    """
    folder = Path(folder)
    if not (folder / "adapter_config.json").is_file():
        raise ModelError(
            "no-adapter", f"there is no adapter_config.json in {folder}", "the folder final_model of a run"
        )
    modules = find_modules(base.model)
    try:
        with _peft_warnings():
            model = PeftModel.from_pretrained(base.model, str(folder), torch_device=str(base.device))
        _refuse_leftovers(model, folder)
    except (RuntimeError, ValueError, KeyError, OSError, SafetensorError, UserWarning) as error:
        take_off(base.model)
        reason = str(error).strip().splitlines()[-1].strip()[:300]
        raise ModelError(
            "adapter-mismatch",
            f"the adapter in {folder} cannot be put on {base.model_id}: {reason}",
            "--model, the base it was trained on",
        ) from error
    _save_adapters_alone(model)
    adapted = {tensor.module.path for tensor in adapter_tensors(model)}
    targets = tuple(module for module in modules if module.path in adapted)
    return AdaptedModel(
        model=model.eval(), tokenizer=base.tokenizer, targets=targets, modules=tuple(modules), base=base
    )


def peft_config(
    model: PreTrainedModel, lora: LoRAConfig, targets: Sequence[TargetModule], allocation: Allocation | None = None
) -> LoraConfig:
    """PEFT's configuration that matches exactly `targets`, modules by name, experts by their parameters.

    With an allocation, r and lora_alpha are those of the largest rank, for readers that know no rank maps, and both
    maps have one anchored, escaped key for every module: PEFT sorts keys on saving and takes the first that matches.
    """
    by_name: dict[str, TargetModule] = {}
    modules: list[str] = []
    parameters: list[str] = []
    for target in targets:
        name = target.path
        if target.kind == "router" or (target.kind != "experts" and _peft_renames(model, name.rpartition(".")[2])):
            name = f"{name}.weight"
        (parameters if target.kind == "experts" or name != target.path else modules).append(name)
        by_name[name] = target
    if parameters and lora.lora_dropout:
        raise ModelError(
            "expert-dropout",
            f"PEFT adapts {parameters[0]} as a parameter, without an input that could drop out; "
            f"lora_dropout is {lora.lora_dropout}",
            "--lora_dropout 0",
        )
    r, alpha = allocation.top if allocation else (lora.r, lora.lora_alpha)
    patterns: dict[str, Any] = {}
    if allocation:
        keys = {f"^{re.escape(name)}": target.path for name, target in by_name.items()}
        patterns["rank_pattern"] = {key: allocation.ranks[path] for key, path in keys.items()}
        patterns["alpha_pattern"] = {key: _whole(allocation.alphas[path]) for key, path in keys.items()}
    return LoraConfig(
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        r=r,
        lora_alpha=_whole(alpha),
        lora_dropout=lora.lora_dropout,
        target_modules=_names(modules, (name for name, _ in model.named_modules()), least=1),
        target_parameters=_names(
            parameters, (name for name, _ in model.named_parameters(remove_duplicate=False)), least=2
        ),
        fan_in_fan_out=any(target.kind == "conv1d" for target in targets),
        **patterns,
    )


def _whole(alpha: float) -> Any:
    """32.0 as 32, which is how PEFT's own files have it."""
    return int(alpha) if alpha == int(alpha) else alpha


def _peft_renames(model: nn.Module, leaf: str) -> bool:
    """Whether PEFT takes this module name for the name that the model's experts had in Transformers 4.

    In the families of Mixtral and Qwen2-MoE it turns gate_proj, up_proj, down_proj, w1, ... into the stacked experts,
    also where a dense MLP layer or a shared expert bears the name; those are reached through their parameter instead.
    """
    trial = LoraConfig(target_modules=[leaf])
    try:
        convert_peft_config_for_transformers(trial, model, None)
    except ValueError:  # gate_proj without up_proj
        return True
    return leaf not in (trial.target_modules or ())


def _names(paths: Collection[str], everything: Iterable[str], *, least: int) -> list[str]:
    """For each path its shortest ending, of at least `least` parts, without a layer number, that fits no other module.

    PEFT matches whole parts from the end, as in ["q_proj", "mlp.c_proj"]. Where no ending will do: the full path.
    """
    chosen = set(paths)
    holders: dict[str, set[str]] = defaultdict(set)
    for name in everything:
        for ending in _endings(name):
            holders[ending].add(name)
    names = set()
    for path in chosen:
        unnumbered = (e for e in _endings(path)[least - 1 :] if not any(map(str.isdigit, e.split("."))))
        names.add(next((e for e in unnumbered if holders[e] <= chosen), path))
    return sorted(names)


def _endings(path: str) -> list[str]:
    """ "a.b.c" -> ["c", "b.c", "a.b.c"]."""
    parts = path.split(".")
    return [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]


def lora_layers(model: nn.Module, adapter: str) -> Iterator[tuple[str, LoraLayer]]:
    """(path of the target in the bare model, PEFT's layer) for every module with this adapter."""
    for name, layer in bare(model).named_modules():
        if isinstance(layer, LoraLayer) and adapter in layer.r:
            path = ".".join(part for part in name.split(".") if part != "base_layer")  # PEFT nests a module's experts
            if isinstance(layer, ParamWrapper) and layer.parameter_name != "weight":
                path = f"{path}.{layer.parameter_name}"
            yield path, layer


def _save_adapters_alone(model: PeftModel) -> None:
    """Let `save_pretrained`, whoever calls it, write no embeddings and ask the hub nothing.

    By itself PEFT copies whole embeddings beside adapters on them, and at every checkpoint asks the hub whether the
    vocabulary has grown, waiting for as long as there is no network.
    """
    vars(model)["save_pretrained"] = partial(model.save_pretrained, save_embedding_layers=False)


def _check(model: PeftModel, wanted: Mapping[str, tuple[int, float]], parameters: int) -> None:
    """Read back what PEFT made of the configuration: modules, ranks, alphas, and the number of trained parameters."""
    got = {path: (layer.r[ADAPTER], layer.lora_alpha[ADAPTER]) for path, layer in lora_layers(model, ADAPTER)}
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if got == wanted and trained == parameters:
        return
    differing = sorted(path for path in got.keys() | wanted.keys() if got.get(path) != wanted.get(path))
    raise ModelError(
        "adapter-readback",
        f"PEFT made {len(got)} adapters with {trained:,} parameters, wanted were {len(wanted)} with {parameters:,}; "
        f"(rank, alpha) differ at {', '.join(f'{p}: {got.get(p)} for {wanted.get(p)}' for p in differing[:3])}",
        "another --target (and tell the developers: this is not your mistake)",
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator, on which PEFT draws whatever the device, and put it back afterwards."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


@contextmanager
def _peft_warnings() -> Iterator[None]:
    """Silence what PEFT warns of without a reason for the user, and raise where it only warns of a loss."""
    with warnings.catch_warnings():
        # Where Conv1D and Linear meet, PEFT sets this flag right for each layer and warns at every change.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        # PEFT looks for keys of rank maps among modules alone, not among parameters; `_check` reads all ranks back.
        warnings.filterwarnings("ignore", message="The following (rank|alpha)_pattern keys did not match")
        # PEFT asks Transformers under a name that is about to go.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        warnings.filterwarnings("error", message="Found missing adapter keys")
        yield


def _refuse_leftovers(model: PeftModel, folder: Path) -> None:
    """PEFT ignores saved matrices of layers that the model does not have; ValueError instead."""
    saved = set(load_peft_weights(str(folder), device="cpu"))
    loaded = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    left_over = sorted(name for name in saved - loaded if ".lora_" in name)
    if left_over and saved >= loaded:  # names of an older Transformers differ on both sides and are translated
        raise ValueError(f"{len(left_over)} of its matrices belong to modules that are not there: {left_over[0]}, ...")


def take_off(model: nn.Module) -> None:
    """Take adapters off a base model, which is then what it was before: also after an injection that went wrong."""
    for name, layer in list(model.named_modules()):
        inside = {"base_layer", "original_module"}.intersection(name.split("."))
        if isinstance(layer, LoraLayer | AuxiliaryTrainingWrapper) and not inside:
            parent, _, child = name.rpartition(".")
            own = layer.get_base_layer() if isinstance(layer, LoraLayer) else layer.original_module
            setattr(model.get_submodule(parent), child, own)
    if hasattr(model, "peft_config"):
        del model.peft_config
