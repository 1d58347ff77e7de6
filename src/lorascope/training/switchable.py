"""Where adapters cannot be switched on and off rightly: refused before the first step, with the reason."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel, TrainingArguments

from lorascope.config.phases import Inactive, OnThaw
from lorascope.errors import ConfigError, ModelError, TrainingError
from lorascope.measure.conditions import check_sharding
from lorascope.models.adapters import AdapterTensor


def check_optimizer(optimizer: Any, wanted: Iterable[AdapterTensor], *, on_thaw: OnThaw, warmup: int) -> None:
    """Raise TrainingError for adapters that the optimizer does not know, ConfigError for one that cannot be asked."""
    wanted = list(wanted)
    known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    missing = [tensor for tensor in wanted if id(tensor.parameter) not in known]
    if missing:
        raise TrainingError(
            "not-in-optimizer",
            f"the optimizer does not know {len(missing)} of the {len(wanted)} adapter tensors, the first is "
            f"{missing[0].module.path} (matrix {missing[0].matrix}): it was built while they were frozen, or for "
            "other parameters, and would never move them",
            "Trainer(..., callbacks=[DynamicLoRACallback(...)])   (it switches all adapters on in time)",
            "no optimizer of your own, or one over all adapters",
        )
    check_state(type(getattr(optimizer, "optimizer", optimizer)), on_thaw=on_thaw, warmup=warmup)  # Accelerate wraps it


def check_state(kind: type[torch.optim.Optimizer], *, on_thaw: OnThaw, warmup: int) -> None:
    """Raise ConfigError where the state of this kind of optimizer is not known well enough for what is asked of it."""
    if issubclass(kind, (torch.optim.Adam, torch.optim.SGD)):
        return
    name = kind.__name__
    if on_thaw == "zero_m":
        raise ConfigError(
            "on-thaw",
            f"on_thaw='zero_m' knows where torch's Adam, AdamW and SGD keep their first moment, not where {name} does",
            "on_thaw='keep'",
        )
    if warmup:
        raise ConfigError(
            "on-thaw",
            f"a learning rate of their own for switched-on adapters is known to work with torch's Adam, AdamW and SGD, "
            f"not with {name}",
            "no warmup   (--phase_warmup none)",
        )


def refuse_other_trained_parts(model: nn.Module, tensors: Collection[AdapterTensor]) -> None:
    """DoRA's magnitudes and trained biases belong to modules that a phase switches off; A and B are not all of them."""
    switched = {id(tensor.parameter) for tensor in tensors}
    modules = dict(model.named_modules())
    for path in [path for path, module in modules.items() if isinstance(module, LoraLayer)]:
        for name, parameter in modules[path].named_parameters():
            if parameter.requires_grad and id(parameter) not in switched:
                raise ModelError(
                    "other-trained",
                    f"{path}.{name} is trained beside A and B; phases switch nothing but these",
                    "LoraConfig(use_dora=False, bias='none', lora_bias=False)",
                )


def check_switching(
    model: nn.Module, args: TrainingArguments, accelerator: AcceleratorState, inactive: Inactive = "freeze"
) -> None:
    """Raise ConfigError where torch, or what is around it, cannot switch modules off."""
    if args.deepspeed or accelerator.distributed_type == DistributedType.DEEPSPEED:
        raise ConfigError(
            "deepspeed",
            "DeepSpeed steps all parameters in one flat piece, so momentum and decay would move what is switched off",
            "train without deepspeed, with DDP or FSDP2 (accelerate launch)",
        )
    check_sharding(args, accelerator)
    if inactive == "measure" or not accelerator.distributed_type.value.startswith("MULTI_"):
        return  # every gradient is computed, so torch sees the same graph in every step
    checkpointing = reentrant(model)
    if checkpointing:
        raise ConfigError(
            "reentrant-ddp",
            "DDP cannot switch modules off under reentrant activation checkpointing: it marks parameters ready twice",
            "activation_checkpointing_kwargs={'use_reentrant': False}",
            "inactive='measure'",
        )
    # What Trainer decides where nothing is said: yes, but for a plain Transformers model with checkpointing.
    finds_unused = args.ddp_find_unused_parameters
    if finds_unused is None:
        finds_unused = not isinstance(model, PreTrainedModel) or checkpointing is None
    if not finds_unused or args.ddp_static_graph:
        raise ConfigError(
            "ddp-graph",
            "DDP waits for the gradients of modules that are switched off, unless it looks for unused parameters",
            "ddp_find_unused_parameters=True, ddp_static_graph=False",
            "inactive='measure'",
        )


def reentrant(model: nn.Module) -> bool | None:
    """Whether activation checkpointing is the reentrant one; None without checkpointing."""
    for module in model.modules():
        checkpoint = getattr(module, "_gradient_checkpointing_func", None)
        if checkpoint is not None and module.gradient_checkpointing:
            return getattr(checkpoint, "keywords", {}).get("use_reentrant") is not False  # torch's own default is True
    return None
