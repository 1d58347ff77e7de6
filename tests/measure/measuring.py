"""A LoRA toy, uneven batches, and the gradient by brute force: what the measured norms are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainerCallback, TrainingArguments

from lorascope.measure.records import ABSENT, GradientNormLog
from lorascope.training.batching import collate
from lorascope.training.encoding import Encoded
from toy import toy_model

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def lora_toy(
    targets: Sequence[str] = LINEAR,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    trained_b: bool = False,
) -> PeftModel:
    """A toy with LoRA of rank 4, scaling 4; `trained_b`: B does not start at 0, so that A has a gradient at once."""
    with torch.random.fork_rng():
        torch.manual_seed(seed + 1)
        model = get_peft_model(
            toy_model(seed=seed, dtype=dtype),
            LoraConfig(r=4, lora_alpha=16, target_modules=list(targets), lora_dropout=0.0),
            autocast_adapter_dtype=False,
        )
        if trained_b:
            for name, parameter in model.named_parameters():
                if "lora_B" in name or "lora_embedding_A" in name:
                    nn.init.normal_(parameter, std=0.1)
    return model


def rows(count: int, *, seed: int = 0) -> list[Encoded]:
    """Random rows of very uneven length, between 5 and 60 tokens, a third of them prompt."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(5, 61, (count,), generator=generator).tolist()
    return [
        Encoded(str(i), torch.randint(3, 259, (n,), generator=generator).tolist(), ((n // 3, n),), cut_tokens=0)
        for i, n in enumerate(lengths)
    ]


def to_batch(some: Sequence[Encoded]) -> dict[str, Tensor]:
    """What every training here sees: right-padded, the loss on the answers."""
    return collate(some, pad_id=0, loss_on="answer")


def micro_batches(data: Sequence[Encoded], size: int, accumulation: int) -> Iterator[list[dict[str, Tensor]]]:
    """The micro-batches of every step of one epoch, in order."""
    batches = [to_batch(data[i : i + size]) for i in range(0, len(data), size)]
    for i in range(0, len(batches), accumulation):
        yield batches[i : i + accumulation]


def arguments(folder: Path, **other: Any) -> dict[str, Any]:
    """Arguments of a quiet, deterministic CPU training that takes rows in their order."""
    return {
        "output_dir": str(folder), "use_cpu": True, "max_steps": 4, "per_device_train_batch_size": 2,
        "learning_rate": 1e-2, "lr_scheduler_type": "constant", "train_sampling_strategy": "sequential",
        "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "logging_strategy": "no",
        "remove_unused_columns": False, "max_grad_norm": 1.0, **other,
    }  # fmt: skip


def trainer(
    model: nn.Module, data: Sequence[Encoded], folder: Path, callbacks: Sequence[TrainerCallback] = (), *,
    cls: type[Trainer] = Trainer, options: dict[str, Any] | None = None, **other: Any,
) -> Trainer:  # fmt: skip
    """A plain Trainer (or `cls`) over the rows."""
    return cls(
        model=model, args=TrainingArguments(**arguments(folder, **other)), train_dataset=data,
        data_collator=to_batch, callbacks=list(callbacks), **(options or {}),
    )  # fmt: skip


class Snapshots(TrainerCallback):
    """Keeps the model as it is at the beginning of every step, in a copy that no trainer has touched."""

    def __init__(self, **like: Any) -> None:
        self.like = like
        self.states: list[dict[str, Tensor]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.states.append({name: value.clone() for name, value in model.state_dict().items()})

    @property
    def models(self) -> Iterator[nn.Module]:
        """One model after the other; the same object with other weights."""
        model = lora_toy(**self.like)
        for state in self.states:
            model.load_state_dict(state)
            yield model


def brute_force(model: nn.Module, batches: Sequence[dict[str, Tensor]], *, autocast: bool = False) -> dict[str, float]:
    """Squared norm of the gradient of every trained tensor: its name -> float64 sum.

    Loss of the whole effective batch: the cross entropies of all tokens of all micro-batches, divided by their number.
    Gradients of the micro-batches are taken by torch.autograd.grad and added up in float64.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    tokens = sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)
    sums = [torch.zeros_like(p, dtype=torch.float64) for _, p in named]
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
        loss = (
            cross_entropy(logits[:, :-1].float().flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum")
            / tokens
        )
        for total, grad in zip(sums, torch.autograd.grad(loss, [p for _, p in named]), strict=True):
            total += grad.double()
    return {plain_name(name): float(total.square().sum()) for (name, _), total in zip(named, sums, strict=True)}


def plain_name(name: str) -> str:
    """PEFT's parameter name -> "module path:A"."""
    name = (
        name.removeprefix("module.").removeprefix("base_model.model.").removesuffix(".weight").removesuffix(".default")
    )
    path, _, matrix = name.replace(".lora_embedding_", ".lora_").rpartition(".lora_")
    return f"{path}:{matrix}"


def measured(log: GradientNormLog, step: int) -> dict[str, float]:
    """Squared norms of one step of a log, under the names of `brute_force`; absent tensors are left out."""
    row = dict(log.gradients.rows())[step]
    facts = zip(log.gradients.columns, row, strict=True)
    return {f"{c.module}:{c.matrix}": float(v) for c, v in facts if c.score == "grad_sq" and v != ABSENT}


def worst(found: dict[str, float], expected: dict[str, float]) -> float:
    """Largest relative error of a norm. A gradient that must be exactly 0 counts as infinitely wrong if it is not."""
    assert found.keys() == expected.keys()
    errors = []
    for name, square in expected.items():
        if square == 0:
            errors.append(0.0 if found[name] == 0 else float("inf"))
        else:
            errors.append(abs((found[name] / square) ** 0.5 - 1))
    return max(errors)
