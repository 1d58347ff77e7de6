"""Training in phases: adapters are switched on and off between two steps, and what is off does not move by a bit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, get_args

from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lorascope.config.experiment import ExperimentConfig
from lorascope.config.phases import Inactive, OnThaw, Phase, SensitivityPhases, read_phases
from lorascope.errors import ConfigError, LorascopeError, TrainingError
from lorascope.measure import decisions
from lorascope.measure.callback import GradientNormCallback, callback_handler
from lorascope.measure.conditions import trained_adapter
from lorascope.models.adapters import AdapterTensor, adapter_tensors
from lorascope.models.modules import find_modules
from lorascope.models.target import TargetModule
from lorascope.training import rewarming
from lorascope.training.choosing import check_budget, choose
from lorascope.training.phases import (
    check_phases,
    depth,
    is_active,
    open_phases,
    phase_at,
    plan_phases,
    sensitivity_of,
)
from lorascope.training.switchable import (
    check_optimizer,
    check_switching,
    reentrant,
    refuse_other_trained_parts,
)

logger = logging.getLogger(__name__)

FIRST_MOMENTS = ("exp_avg", "momentum_buffer")
"""Where torch's Adam and AdamW, and its SGD, keep the running mean of the gradient."""


class DynamicLoRACallback(TrainerCallback):
    """Trains LoRA in phases; works in any Transformers Trainer and in TRL's.

    phase_configs: phases, or dictionaries with start_step, end_step, active_modules and layer_range (both ends
    included; may be left out). Together they must cover the training from 0 to max_steps. A phase is active while
    start_step <= updates done < end_step. Or SensitivityPhases: the phases are chosen while the training goes on, from
    what a GradientNormCallback in the same Trainer measures.
    on_thaw: what becomes of the optimizer's state of an adapter that is switched on again. keep leaves it as it was:
    nothing measurable is to be gained by the others. zero_m forgets the running mean of the gradient, so that the first
    steps are small; reset forgets everything, so that they would be large: it needs `warmup`.
    inactive: what is off gets no gradient and saves its time (freeze), or one that is measured and then dropped, before
    the norm that clips is taken (measure); that needs a GradientNormCallback in the same Trainer.
    warmup: steps in which the learning rate of an adapter that was switched on rises to its value; 0 is none.

    What is off comes to the optimizer without a gradient, and every optimizer of torch leaves such a tensor alone: no
    step, no weight decay, no change of its state. (A gradient of zero would not do: momentum goes on.) All adapters
    must be in the optimizer from the first step, so they are switched off only when it is there, at the beginning of a
    step, and all are on again when the training is over. Which phase it is depends on `global_step` alone, and a choice
    on the log up to its step: a training that was killed goes on bit for bit.

    `callback.phases` are the phases, those that were chosen among them.

    Errors: ConfigError for phases that do not fit the training or the model, and for settings in which torch cannot
    switch; TrainingError for adapters that the optimizer does not know, and for a choice without a log.
    """

    def __init__(
        self,
        phase_configs: Collection[Phase | Mapping[str, Any]] | SensitivityPhases,
        on_thaw: OnThaw = "keep",
        *,
        inactive: Inactive = "freeze",
        warmup: int = 0,
    ) -> None:
        self.choosing = phase_configs if isinstance(phase_configs, SensitivityPhases) else None
        self.phases = () if isinstance(phase_configs, SensitivityPhases) else read_phases(phase_configs)
        if not self.phases and self.choosing is None:
            raise ConfigError("config-value", "phase_configs must give at least one phase")
        for name, value, known in (("on_thaw", on_thaw, get_args(OnThaw)), ("inactive", inactive, get_args(Inactive))):
            if value not in known:
                raise ConfigError("config-value", f"{name} must be one of {', '.join(known)}, got {value!r}")
        if warmup < 0:
            raise ConfigError("config-value", f"warmup must be at least 0, got {warmup!r}")
        if on_thaw == "reset" and not warmup:
            what = "on_thaw must be keep or zero_m without warmup: after a reset the first steps are far too large"
            raise ConfigError("config-value", what, "on_thaw='reset', warmup=10", "on_thaw='zero_m'")
        self.on_thaw = on_thaw
        self.inactive = inactive
        self.warmup = warmup
        self._measuring: GradientNormCallback | None = None
        self._tensors: list[AdapterTensor] = []
        self._trained_before: list[bool] = []
        """For each tensor, whether it required a gradient when the training began."""
        self._off: list[AdapterTensor] = []
        self._decided: dict[int, Phase] = {}
        """Start -> what was chosen there before the training was interrupted; of the main process alone."""
        self._join: Callable[[], None] | None = None
        self._hooks: list[RemovableHandle] = []

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Switch on everything that some phase trains: a training that raised leaves its last phase behind."""
        if getattr(model, "peft_config", None):
            for tensor in adapter_tensors(model, trained_adapter(model)):
                if self._ever_on(tensor):
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
        self._measuring = self._find_measuring()
        if self.choosing is not None:
            self._open(state)
        modules = [tensor.module for tensor in self._tensors]
        check_phases(self.phases, state.max_steps, num_layers=depth(find_modules(model)), modules=modules)
        refuse_other_trained_parts(model, self._tensors)
        check_switching(model, args, AcceleratorState(), self.inactive)
        trained = [tensor for tensor in self._tensors if self._ever_trained(tensor)]
        check_optimizer(optimizer, trained, on_thaw=self.on_thaw, warmup=self.warmup)
        self._trained_before = [tensor.parameter.requires_grad for tensor in self._tensors]
        self._join = None
        self._release_hooks()
        if reentrant(model) is False and self.inactive == "freeze":
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
        self._decide(state.global_step, state)
        now = phase_at(self.phases, state.global_step)
        # Asked of the step before, not remembered: a training resumed at a switch must thaw as well.
        before = phase_at(self.phases, state.global_step - 1) if state.global_step else now
        self._off = []
        for tensor in self._tensors:
            active = is_active(now, tensor.module)
            tensor.parameter.requires_grad_(active or self.inactive == "measure")
            if not active:
                tensor.parameter.grad = None
                self._off.append(tensor)
            elif not is_active(before, tensor.module):
                self._thaw(tensor.parameter, optimizer)
        if self.inactive == "measure" and self._measuring is not None:
            self._measuring.leave_out(tensor.parameter for tensor in self._off)

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Make sure that nothing gave a gradient to what is off: the optimizer would move it. Slow down what rises."""
        for tensor in self._off:
            if tensor.parameter.grad is not None:
                raise TrainingError(
                    "not-off",
                    f"{tensor.module.path} (matrix {tensor.matrix}) got a gradient in step {state.global_step + 1}, in "
                    f"which the phase {phase_at(self.phases, state.global_step)} does not train it",
                    "no torch_compile, and no other callback that sets requires_grad",
                )
        if self.warmup:
            factors = self._factors(state.global_step)
            slow = {t.parameter: factors[t.module] for t in self._tensors if factors[t.module] < 1}
            self._join = rewarming.split(getattr(optimizer, "optimizer", optimizer), slow)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put the optimizer's groups together again, before the schedule and a checkpoint see them."""
        if self._join is not None:
            self._join()
            self._join = None

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave the model as it was found."""
        self._decide(state.global_step - 1, state)
        for tensor, trained in zip(self._tensors, self._trained_before, strict=True):
            tensor.parameter.requires_grad_(trained)
        self._off = []
        self._release_hooks()

    def _ever_trained(self, tensor: AdapterTensor) -> bool:
        return self.choosing is not None or any(is_active(phase, tensor.module) for phase in self.phases)

    def _ever_on(self, tensor: AdapterTensor) -> bool:
        return self.inactive == "measure" or self._ever_trained(tensor)

    def _find_measuring(self) -> GradientNormCallback | None:
        """The GradientNormCallback of the same Trainer. Raises ConfigError where one is needed and there is none."""
        handler = callback_handler()
        callbacks = handler.callbacks if handler is not None else []
        found = next((callback for callback in callbacks if isinstance(callback, GradientNormCallback)), None)
        needs = "phases by sensitivity are chosen" if self.choosing is not None else "what is off is measured"
        if found is None and (self.choosing is not None or self.inactive == "measure"):
            raise ConfigError(
                "no-measuring",
                f"{needs} by the gradients that a GradientNormCallback reads before it clips them, and this Trainer "
                "has none",
                "callbacks=[GradientNormCallback(FOLDER), DynamicLoRACallback(...)]",
            )
        return found

    def _release_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _thaw(self, parameter: nn.Parameter, optimizer: Any) -> None:
        """Deal with the state that the optimizer has kept of a parameter that trains again; it may have none yet."""
        if self.on_thaw == "reset":
            optimizer.state.pop(parameter, None)
        elif self.on_thaw == "zero_m":
            for name, value in optimizer.state.get(parameter, {}).items():
                if name in FIRST_MOMENTS and value is not None:
                    value.zero_()

    def _factors(self, step: int) -> dict[TargetModule, float]:
        """Module -> what its learning rate is multiplied with."""
        modules = dict.fromkeys(tensor.module for tensor in self._tensors)
        return {module: rewarming.factor(self.phases, step, module, self.warmup) for module in modules}

    # ---- phases that are chosen while the training goes on ----------------------------------------------------------

    def _open(self, state: TrainerState) -> None:
        """The windows of this training, none chosen yet; on the main process also what was chosen before."""
        assert self.choosing is not None
        assert self._measuring is not None
        every, seldom = self.choosing.every, self._measuring.log_frequency
        if every >= state.max_steps:
            what = f"a choice every {every:,} updates never switches within max_steps {state.max_steps:,}"
            raise ConfigError("phases", what, f"every={max(1, state.max_steps // 2)}")
        if seldom > every:
            what = f"log_frequency {seldom} measures no step between some choices, which are {every} updates apart"
            raise ConfigError("phases", what, f"log_frequency={every}")
        check_budget(self.choosing, {module.path: count for module, count in self._parameters().items()})
        self.phases = open_phases(state.max_steps, every, {tensor.module.group for tensor in self._tensors})
        self._decided = {}
        if state.is_world_process_zero and self._measuring.folder is not None:
            for entry in decisions.start(self._measuring.folder, after=state.global_step):
                phase = read_phases([{key: value for key, value in entry.items() if key not in _REASONS}])[0]
                self._decided[phase.start_step] = phase

    def _decide(self, step: int, state: TrainerState) -> None:
        """Choose the phases that have begun when `step` updates are done, one after the other."""
        if not any(phase.is_open and phase.start_step <= step for phase in self.phases):
            return
        self.phases = tuple(
            self._chosen(phase, state) if phase.is_open and phase.start_step <= step else phase for phase in self.phases
        )

    def _chosen(self, phase: Phase, state: TrainerState) -> Phase:
        """What trains in an open phase. The main process alone has the log: it chooses, and tells the others."""
        found: list[Phase | LorascopeError | None] = [None]
        if state.is_world_process_zero:
            try:
                found = [self._decided.get(phase.start_step) or self._choose(phase)]
            except LorascopeError as error:  # told as well: the others would wait for ever
                found = [error]
        broadcast_object_list(found)
        if isinstance(found[0], LorascopeError):
            raise found[0]
        assert found[0] is not None
        return found[0]

    def _choose(self, phase: Phase) -> Phase:
        assert self.choosing is not None
        assert self._measuring is not None
        choice = choose(self.choosing, phase, self._measuring.log.gradients, self._parameters())
        if self._measuring.folder is not None:
            decisions.add(self._measuring.folder, choice.to_dict())
        logger.info("chosen by sensitivity: %s", choice.phase)
        return choice.phase

    def _parameters(self) -> dict[TargetModule, int]:
        """Module -> parameters of its adapter."""
        counts: dict[TargetModule, int] = {}
        for tensor in self._tensors:
            counts[tensor.module] = counts.get(tensor.module, 0) + tensor.parameter.numel()
        return counts


def phased(config: ExperimentConfig, modules: Sequence[TargetModule]) -> list[DynamicLoRACallback]:
    """The callback of a run; none where it has no phases. `modules`: all of the model, which tell its depth."""
    dynamic = config.dynamic_lora
    if not dynamic.enabled:
        return []
    phases = sensitivity_of(config) or plan_phases(config, depth(modules))
    return [DynamicLoRACallback(phases, dynamic.on_thaw, inactive=dynamic.inactive, warmup=dynamic.phase_warmup or 0)]


def phases_of(trainer: Trainer) -> tuple[Phase, ...]:
    """The phases of a training, those that it has chosen among them; () where it has none."""
    callbacks = trainer.callback_handler.callbacks
    return next((callback.phases for callback in callbacks if isinstance(callback, DynamicLoRACallback)), ())


_REASONS = ("explored", "sensitivity")
"""What an entry of the decisions holds beside the phase."""


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
