"""A LoRA toy of four layers, a plain Trainer, and a callback that keeps what every step found and left."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments

from lorascope.training.batching import collate
from lorascope.training.encoding import Encoded
from toy import toy_model

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LAYERS = 4


def lora_toy(targets: Sequence[str] = LINEAR, *, layers: int = LAYERS, dropout: float = 0.0, **lora: Any) -> PeftModel:
    """A toy with LoRA, the same every time; B has values, so that A has a gradient at once."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = LoraConfig(r=2, lora_alpha=4, target_modules=list(targets), lora_dropout=dropout, **lora)
        model = get_peft_model(toy_model(layers=layers), config)
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "lora_embedding_A" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    return model


def rows(count: int = 8) -> list[Encoded]:
    """Random rows of 8 to 20 tokens, a third of them prompt."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(8, 21, (count,), generator=generator).tolist()
    return [
        Encoded(str(i), torch.randint(3, 259, (n,), generator=generator).tolist(), ((n // 3, n),), cut_tokens=0)
        for i, n in enumerate(lengths)
    ]


def trainer(
    model: Any,
    folder: Path,
    callbacks: Sequence[TrainerCallback] = (),
    options: dict[str, Any] | None = None,
    **other: Any,
) -> Trainer:
    """A plain Trainer of six steps."""
    arguments = {
        "output_dir": str(folder), "use_cpu": True, "max_steps": 6, "per_device_train_batch_size": 2,
        "learning_rate": 1e-2, "lr_scheduler_type": "constant", "weight_decay": 0.1, "save_strategy": "no",
        "report_to": "none", "disable_tqdm": True, "logging_strategy": "no", "remove_unused_columns": False, **other,
    }  # fmt: skip
    return Trainer(
        model=model, args=TrainingArguments(**arguments), train_dataset=rows(),
        data_collator=lambda some: collate(some, pad_id=0, loss_on="answer"), callbacks=list(callbacks),
        **(options or {}),
    )  # fmt: skip


def adapters(model: Any) -> dict[str, Tensor]:
    """Every LoRA matrix by its name."""
    return {name: parameter for name, parameter in model.named_parameters() if "lora_" in name}


class Watch(TrainerCallback):
    """Stands behind the phases; keeps, for every step, the weights before and after, gradients and optimizer state."""

    def __init__(self) -> None:
        self.before: list[dict[str, Tensor]] = []
        self.after: list[dict[str, Tensor]] = []
        self.with_gradient: list[set[str]] = []
        self.gradients: list[dict[str, Tensor]] = []
        self.in_optimizer: list[set[str]] = []
        self.states: list[dict[str, dict[str, Any]]] = []
        """Optimizer state after the phases have switched, before the step."""
        self.left: list[dict[str, dict[str, Any]]] = []
        """Optimizer state that the step left behind."""

    def on_step_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **kw: Any
    ) -> None:
        self.before.append({name: p.detach().clone() for name, p in adapters(model).items()})
        known = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.in_optimizer.append({name for name, p in adapters(model).items() if id(p) in known})
        self.states.append(self._state(model, optimizer))

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kw: Any) -> None:
        found = {name: p.grad.clone() for name, p in adapters(model).items() if p.grad is not None}
        self.gradients.append(found)
        self.with_gradient.append(set(found))

    def on_step_end(
        self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **kw: Any
    ) -> None:
        self.after.append({name: p.detach().clone() for name, p in adapters(model).items()})
        self.left.append(self._state(model, optimizer))

    @staticmethod
    def _state(model: Any, optimizer: Any) -> dict[str, dict[str, Any]]:
        known = optimizer.state
        return {name: copy.deepcopy(dict(known[p])) for name, p in adapters(model).items() if p in known}

    def moved(self, step: int) -> set[str]:
        """Names of the matrices that the step changed, in any bit."""
        return {name for name, value in self.after[step].items() if not torch.equal(value, self.before[step][name])}


def named(model: Any, groups: str, layers: Sequence[int] = range(LAYERS)) -> set[str]:
    """Names of the matrices of some groups in some layers, told by the names of Llama's modules."""
    words = {"attention": "self_attn", "mlp": "mlp", "both": "self_attn|mlp"}[groups]
    return {n for n in adapters(model) if re.search(rf"layers\.({'|'.join(map(str, layers))})\.({words})\.", n)}
