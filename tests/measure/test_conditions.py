"""What is refused before the first step, and what is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate.utils import DistributedType
from measuring import lora_toy, rows, trainer
from peft import AdaLoraConfig, IA3Config, get_peft_model
from torch import nn

from lorascope import GradientNormCallback
from lorascope.errors import ConfigError, ModelError
from lorascope.measure.conditions import accepts_loss_kwargs, check_setting, trained_adapter
from toy import toy_model


def setting(**args: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"max_grad_norm": 1.0, "deepspeed": None, "fsdp": None, **args})


def accelerator(kind: DistributedType, fsdp_version: int | None = None) -> Any:
    return SimpleNamespace(distributed_type=kind, fsdp_plugin=SimpleNamespace(fsdp_version=fsdp_version))


REFUSED = {
    "no-max-grad-norm": (setting(max_grad_norm=None), accelerator(DistributedType.NO)),
    "deepspeed": (setting(deepspeed="ds.json"), accelerator(DistributedType.NO)),
    "deepspeed by launcher": (setting(), accelerator(DistributedType.DEEPSPEED)),
    "fsdp-off": (setting(fsdp=True), accelerator(DistributedType.MULTI_CPU)),
    "fsdp-1": (setting(fsdp=True), accelerator(DistributedType.FSDP, 1)),
}


@pytest.mark.parametrize("code", REFUSED)
def test_settings_in_which_gradients_cannot_be_measured_are_refused(code: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[{code.split()[0]}\]"):
        check_setting(*REFUSED[code])


def test_settings_in_which_they_can_be_are_not() -> None:
    check_setting(setting(max_grad_norm=0), accelerator(DistributedType.NO))
    check_setting(setting(), accelerator(DistributedType.MULTI_GPU))
    check_setting(setting(fsdp=True), accelerator(DistributedType.FSDP, 2))


def test_a_model_without_loss_arguments_is_refused_under_accumulation_only(tmp_path: Path) -> None:
    model = lora_toy()
    assert accepts_loss_kwargs(model)
    model.get_base_model().accepts_loss_kwargs = False  # Trainer looks through PEFT for it, and so must we
    assert not accepts_loss_kwargs(model)
    with pytest.raises(ModelError, match="LlamaForCausalLM takes no loss arguments"):
        trainer(model, rows(8), tmp_path, [GradientNormCallback()], gradient_accumulation_steps=2).train()
    callback = GradientNormCallback()
    trainer(model, rows(2), tmp_path, [callback], max_steps=1).train()
    assert callback.log.steps == [1]
    no_kwargs = nn.Module()
    no_kwargs.forward = lambda input_ids, labels: None
    assert not accepts_loss_kwargs(no_kwargs)


def test_max_grad_norm_none_is_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-max-grad-norm"):
        trainer(lora_toy(), rows(8), tmp_path, [GradientNormCallback()], max_grad_norm=None).train()


def test_a_model_without_lora_or_with_another_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no-adapter"):
        trainer(toy_model(), rows(8), tmp_path, [GradientNormCallback()]).train()
    with pytest.raises(ModelError, match="IA3"):
        trained_adapter(
            get_peft_model(
                toy_model(),
                IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
            )
        )
    with pytest.raises(ModelError, match="ADALORA"):
        trained_adapter(get_peft_model(toy_model(), AdaLoraConfig(target_modules=["q_proj"], total_step=10)))


@pytest.mark.parametrize("wrong", [{"log_frequency": 0}, {"weight_every": -1}])
def test_impossible_cadences_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GradientNormCallback(**wrong)
