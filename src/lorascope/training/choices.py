"""Settings whose values Transformers knows: tried out before a run writes anything, not when they are first used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import SchedulerType, Trainer, get_scheduler
from transformers.integrations.integration_utils import get_reporting_integration_callbacks
from transformers.training_args import OptimizerNames

from lorascope.config.experiment import ExperimentConfig, TrainingConfig
from lorascope.errors import ConfigError, near
from lorascope.models.adapters import AdaptedModel, adapter_tensors
from lorascope.training.choosing import check_budget
from lorascope.training.phases import check_phases, depth, plan_phases, sensitivity_of
from lorascope.training.run import training_arguments
from lorascope.training.switchable import check_state


def check_choices(config: ExperimentConfig, adapted: AdaptedModel) -> None:
    """Raise ConfigError for a schedule, an optimizer or a tracker that does not exist or cannot be used here.

    And for phases that do not fit the adapters or the optimizer.
    """
    training = config.training
    _try("lr_scheduler", training.lr_scheduler, [name.value for name in SchedulerType], lambda: _schedule(training))
    _try("optim", training.optim, [name.value for name in OptimizerNames], lambda: _optimizer(config, adapted))
    _try("report_to", training.report_to, [], lambda: _tracker(training))
    if config.dynamic_lora.enabled:
        _phases(config, adapted)


def _try(flag: str, value: str, known: list[str], trial: Callable[[], object]) -> None:
    try:
        trial()
    except (ValueError, TypeError, ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if value in known or not known else "Transformers knows no such name"
        guess = near(value, known) if value not in known else None
        default = getattr(TrainingConfig(), flag)
        raise ConfigError(
            "config-value", f"{flag} {value!r} cannot be used: {reason[:300]}", f"--{flag} {guess or default}"
        ) from error


def _schedule(training: TrainingConfig) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=training.lr)
    get_scheduler(
        training.lr_scheduler,
        optimizer=optimizer,
        num_warmup_steps=training.warm_up,
        num_training_steps=training.max_steps,
    )


def _optimizer(config: ExperimentConfig, adapted: AdaptedModel) -> type[torch.optim.Optimizer]:
    OptimizerNames(config.training.optim)
    arguments = training_arguments(config, adapted, Path(), resumed=False)
    kind: type[torch.optim.Optimizer] = Trainer.get_optimizer_cls_and_kwargs(arguments, adapted.base.model)[0]
    return kind


def _phases(config: ExperimentConfig, adapted: AdaptedModel) -> None:
    dynamic = config.dynamic_lora
    phases = plan_phases(config, depth(adapted.modules))
    check_phases(phases, config.training.max_steps, num_layers=depth(adapted.modules), modules=adapted.targets)
    check_state(_optimizer(config, adapted), on_thaw=dynamic.on_thaw, warmup=dynamic.phase_warmup or 0)
    choosing = sensitivity_of(config)
    if choosing is not None:
        parameters = dict.fromkeys((target.path for target in adapted.targets), 0)
        for tensor in adapter_tensors(adapted.model):
            parameters[tensor.module.path] += tensor.parameter.numel()
        check_budget(choosing, parameters)


def _tracker(training: TrainingConfig) -> None:
    for callback in get_reporting_integration_callbacks(training.report_to):
        callback()
