"""Training in phases: adapters are switched on and off between two steps, and what is off does not move by a bit."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, get_args

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lorascope.config.phases import Phase, read_phases
from lorascope.errors import ConfigError, ModelError, TrainingError
from lorascope.measure.conditions import check_sharding, trained_adapter
from lorascope.models.adapters import AdapterTensor, adapter_tensors
from lorascope.models.modules import find_modules
from lorascope.training.phases import check_phases, depth, is_active, phase_at

logger = logging.getLogger(__name__)

OnThaw = Literal["keep", "zero_m", "reset"]

FIRST_MOMENTS = ("exp_avg", "momentum_buffer")
"""Where torch's Adam and AdamW, and its SGD, keep the running mean of the gradient."""


class DynamicLoRACallback(TrainerCallback):
    """Trains LoRA in phases; works in any Transformers Trainer and in TRL's.

    phase_configs: phases, or dictionaries with start_step, end_step, active_modules and layer_range (both ends
    included; may be left out). Together they must cover the training from 0 to max_steps. A phase is active while
    start_step <= updates done < end_step.
    on_thaw: what becomes of the optimizer's state of an adapter that is switched on again. keep leaves it as it was:
    nothing measurable is to be gained by the others. zero_m forgets the running mean of the gradient, so that the first
    steps are small; reset forgets everything, so that they are large.

    What is off gets no gradient, and every optimizer of torch leaves a tensor without a gradient alone: no step, no
    weight decay, no change of its state. (A gradient of zero would not do: momentum goes on.) All adapters must be in
    the optimizer from the first step, so they are switched off only when it is there, at the beginning of a step, and
    all are on again when the training is over. Which phase it is depends on `global_step` alone: a training that was
    killed goes on bit for bit.

    Errors: ConfigError for phases that do not fit the training or the model, and for settings in which torch cannot
    switch; TrainingError for adapters that the optimizer does not know.
    """

    def __init__(self, phase_configs: Collection[Phase | Mapping[str, Any]], on_thaw: OnThaw = "keep") -> None:
        self.phases = read_phases(phase_configs)
        if not self.phases:
            raise ConfigError("config-value", "phase_configs must give at least one phase")
        if on_thaw not in get_args(OnThaw):
            raise ConfigError("config-value", f"on_thaw must be one of {', '.join(get_args(OnThaw))}, got {on_thaw!r}")
        self.on_thaw = on_thaw
        self._tensors: list[AdapterTensor] = []
        self._trained_before: list[bool] = []
        """For each tensor, whether it required a gradient when the training began."""
        self._off: list[AdapterTensor] = []
        self._hooks: list[RemovableHandle] = []

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Switch on everything that some phase trains: a training that raised leaves its last phase behind."""
        if getattr(model, "peft_config", None):
            for tensor in adapter_tensors(model, trained_adapter(model)):
                if self._ever_trained(tensor):
                    tensor.parameter.requires_grad_(True)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Refuse what cannot be switched, and find the adapters."""
        self._tensors = adapter_tensors(model, trained_adapter(model))
        modules = [tensor.module for tensor in self._tensors]
        check_phases(self.phases, state.max_steps, num_layers=depth(find_modules(model)), modules=modules)
        _refuse_other_trained_parts(model, self._tensors)
        _check_setting(model, args, AcceleratorState())
        self._check_optimizer(optimizer)
        self._trained_before = [tensor.parameter.requires_grad for tensor in self._tensors]
        self._release_hooks()
        if _reentrant(model) is False:
            self._hooks = [embedding.register_forward_hook(_cut_graph) for embedding in _embeddings(model)]
        logger.info("phases: %s", ", ".join(map(str, self.phases)))

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Switch to what the phase trains."""
        now = phase_at(self.phases, state.global_step)
        # Asked of the step before, not remembered: a training resumed at a switch must thaw as well.
        before = phase_at(self.phases, state.global_step - 1) if state.global_step else now
        self._off = []
        for tensor in self._tensors:
            active = is_active(now, tensor.module)
            tensor.parameter.requires_grad_(active)
            if not active:
                tensor.parameter.grad = None
                self._off.append(tensor)
            elif not is_active(before, tensor.module):
                self._thaw(tensor.parameter, optimizer)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make sure that nothing gave a gradient to what is off: the optimizer would move it."""
        for tensor in self._off:
            if tensor.parameter.grad is not None:
                raise TrainingError(
                    "not-off",
                    f"{tensor.module.path} (matrix {tensor.matrix}) got a gradient in step {state.global_step + 1}, in "
                    f"which the phase {phase_at(self.phases, state.global_step)} does not train it",
                    "no torch_compile, and no other callback that sets requires_grad",
                )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave the model as it was found."""
        for tensor, trained in zip(self._tensors, self._trained_before, strict=True):
            tensor.parameter.requires_grad_(trained)
        self._off = []
        self._release_hooks()

    def _ever_trained(self, tensor: AdapterTensor) -> bool:
        return any(is_active(phase, tensor.module) for phase in self.phases)

    def _release_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _check_optimizer(self, optimizer: Any) -> None:
        known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        missing = [t for t in self._tensors if self._ever_trained(t) and id(t.parameter) not in known]
        if missing:
            raise TrainingError(
                "not-in-optimizer",
                f"the optimizer does not know {len(missing)} of the {len(self._tensors)} adapter tensors, the first is "
                f"{missing[0].module.path} (matrix {missing[0].matrix}): it was built while they were frozen, or for "
                "other parameters, and would never move them",
                "Trainer(..., callbacks=[DynamicLoRACallback(...)])   (it switches all adapters on in time)",
                "no optimizer of your own, or one over all adapters",
            )
        inner = getattr(optimizer, "optimizer", optimizer)  # Accelerate wraps it
        if self.on_thaw == "zero_m" and not isinstance(inner, (torch.optim.Adam, torch.optim.SGD)):
            raise ConfigError(
                "on-thaw",
                f"on_thaw='zero_m' knows where torch's Adam, AdamW and SGD keep their first moment, not where "
                f"{type(inner).__name__} does",
                "on_thaw='keep'",
            )

    def _thaw(self, parameter: nn.Parameter, optimizer: Any) -> None:
        """Deal with the state that the optimizer has kept of a parameter that trains again; it may have none yet."""
        if self.on_thaw == "reset":
            optimizer.state.pop(parameter, None)
        elif self.on_thaw == "zero_m":
            for name, value in optimizer.state.get(parameter, {}).items():
                if name in FIRST_MOMENTS and value is not None:
                    value.zero_()


def _refuse_other_trained_parts(model: nn.Module, tensors: Collection[AdapterTensor]) -> None:
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


def _check_setting(model: nn.Module, args: TrainingArguments, accelerator: AcceleratorState) -> None:
    """Raise ConfigError where torch, or what is around it, cannot switch modules off."""
    if args.deepspeed or accelerator.distributed_type == DistributedType.DEEPSPEED:
        raise ConfigError(
            "deepspeed",
            "DeepSpeed steps all parameters in one flat piece, so momentum and decay would move what is switched off",
            "train without deepspeed, with DDP or FSDP2 (accelerate launch)",
        )
    check_sharding(args, accelerator)
    if not accelerator.distributed_type.value.startswith("MULTI_"):
        return
    reentrant = _reentrant(model)
    if reentrant:
        raise ConfigError(
            "reentrant-ddp",
            "DDP cannot switch modules off under reentrant activation checkpointing: it marks parameters ready twice",
            "activation_checkpointing_kwargs={'use_reentrant': False}",
        )
    # What Trainer decides where nothing is said: yes, but for a plain Transformers model with checkpointing.
    finds_unused = args.ddp_find_unused_parameters
    if finds_unused is None:
        finds_unused = not isinstance(model, PreTrainedModel) or reentrant is None
    if not finds_unused or args.ddp_static_graph:
        raise ConfigError(
            "ddp-graph",
            "DDP waits for the gradients of modules that are switched off, unless it looks for unused parameters",
            "ddp_find_unused_parameters=True, ddp_static_graph=False",
        )


def _reentrant(model: nn.Module) -> bool | None:
    """Whether activation checkpointing is the reentrant one; None without checkpointing."""
    for module in model.modules():
        checkpoint = getattr(module, "_gradient_checkpointing_func", None)
        if checkpoint is not None and module.gradient_checkpointing:
            return getattr(checkpoint, "keywords", {}).get("use_reentrant") is not False  # torch's own default is True
    return None


def _embeddings(model: nn.Module) -> Iterator[nn.Module]:
    """The input embeddings of a model and of the models inside it, each once."""
    seen = set()
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            try:
                embedding = module.get_input_embeddings()
            except NotImplementedError:
                continue
            if isinstance(embedding, nn.Module) and id(embedding) not in seen:
                seen.add(id(embedding))
                yield embedding


def _cut_graph(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """End the backward pass at the first layer that is trained, where activation checkpointing would go on to here.

    Transformers, PEFT and TRL make the embedding's output require a gradient, each with a hook of its own, for the sake
    of reentrant checkpointing; the other kind does not need it, and it costs what switching off early layers saves.
    """
    return output if any(parameter.requires_grad for parameter in module.parameters()) else output.detach()
