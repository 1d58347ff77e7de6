"""Where gradients cannot be measured rightly: refused before the first step, with the reason."""

from __future__ import annotations

import inspect
from typing import Any

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import nn
from transformers import TrainingArguments
from transformers.trainer_utils import unwrap_peft_model

from lorascope.errors import ConfigError, ModelError


def check_setting(args: TrainingArguments, accelerator: AcceleratorState) -> None:
    """Raise ConfigError where the training's setting hides the gradients, or their clipping, from a callback."""
    if args.max_grad_norm is None:
        raise ConfigError(
            "no-max-grad-norm",
            "max_grad_norm is None, at which Trainer fails in its first step",
            "max_grad_norm=0  (off)",
        )
    if args.deepspeed or accelerator.distributed_type == DistributedType.DEEPSPEED:
        raise ConfigError(
            "deepspeed",
            "DeepSpeed keeps and clips the gradients itself, so they cannot be measured before clipping",
            "train without deepspeed, with DDP or FSDP2 (accelerate launch)",
        )
    check_sharding(args, accelerator)


def check_sharding(args: TrainingArguments, accelerator: AcceleratorState) -> None:
    """Raise ConfigError where FSDP is asked for and does not run, or runs without parameters of their own."""
    sharded = accelerator.distributed_type == DistributedType.FSDP
    if args.fsdp and not sharded:
        raise ConfigError(
            "fsdp-off",
            f"fsdp is asked for, but this training runs as {accelerator.distributed_type.value}, without saying so",
            "accelerate launch --use_fsdp --fsdp_version 2 SCRIPT",
            "no fsdp in TrainingArguments",
        )
    if sharded and accelerator.fsdp_plugin.fsdp_version != 2:
        raise ConfigError(
            "fsdp-1",
            "FSDP version 1 flattens parameters into one, so the gradient of one matrix cannot be told from the rest",
            "accelerate launch --use_fsdp --fsdp_version 2 SCRIPT",
        )


def check_loss(model: nn.Module, accumulation: int) -> None:
    """Raise ModelError where the accumulated gradient is not the gradient of the whole batch.

    A model whose forward takes no loss arguments cannot divide by the tokens of all micro-batches. Trainer then
    averages the means of the micro-batches, so that a token weighs the more the fewer there are in its micro-batch.
    T5 and BART take loss arguments and ignore them: Trainer counts on the division, and adds the means up.
    """
    bare = unwrap_peft_model(model)
    why = None
    if not accepts_loss_kwargs(model):
        why = (
            f"takes no loss arguments, so its gradient over {accumulation} micro-batches is not that of the whole batch"
        )
    elif getattr(getattr(bare, "config", None), "is_encoder_decoder", False):
        why = (
            f"is an encoder-decoder; they ignore the loss arguments, as T5 and BART do, so that the gradient over "
            f"{accumulation} micro-batches is {accumulation} times too large"
        )
    if accumulation > 1 and why:
        raise ModelError(
            "accumulation",
            f"{type(bare).__name__} {why}",
            "gradient_accumulation_steps=1   (--grad_accum 1 --batch_size ROWS)",
        )


def accepts_loss_kwargs(model: nn.Module) -> bool:
    """What `Trainer.__init__` decides under this name, looking through PEFT."""
    bare = unwrap_peft_model(model)
    if hasattr(bare, "accepts_loss_kwargs"):
        return bool(bare.accepts_loss_kwargs)
    return any(p.kind == inspect.Parameter.VAR_KEYWORD for p in inspect.signature(bare.forward).parameters.values())


def trained_adapter(model: Any) -> str:
    """Name of the LoRA adapter that is trained. Raises ModelError for none, several at a time, or another kind."""
    configs = getattr(model, "peft_config", None)
    if not configs:
        raise ModelError(
            "no-adapter",
            f"{type(model).__name__} has no LoRA adapter",
            "get_peft_model(model, LoraConfig(...))",
        )
    active = model.active_adapters
    names = active() if callable(active) else active  # PeftModel has a property, Transformers' own adapters a method
    if len(names) != 1:
        raise ModelError(
            "adapters",
            f"one adapter can be trained at a time, active are {', '.join(names)}",
            "model.set_adapter(NAME)",
        )
    kind = getattr(configs[names[0]].peft_type, "value", configs[names[0]].peft_type)
    if kind != "LORA":
        raise ModelError("adapter-kind", f"the adapter {names[0]!r} is {kind}; only LoRA has the matrices A and B")
    return str(names[0])
