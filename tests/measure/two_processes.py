"""Started by test_distributed.py on two processes: trains under DDP, measures a model that FSDP2 has sharded."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from measuring import Snapshots, lora_toy, rows, to_batch, trainer
from torch.distributed.fsdp import fully_shard

from lorascope import GradientNormCallback
from lorascope.measure import meter
from lorascope.measure.callback import clip
from lorascope.models.adapters import adapter_tensors


def train(folder: Path) -> dict[str, object]:
    """Three steps under DDP, two micro-batches of two rows on each process."""
    callback, seen = GradientNormCallback(folder, weight_every=2), Snapshots()
    watched = trainer(
        lora_toy(), rows(24), folder / "checkpoints", [callback, seen],
        gradient_accumulation_steps=2, max_grad_norm=0.05, max_steps=3,
    )  # fmt: skip
    watched.train()
    return {"kind": watched.accelerator.distributed_type.value, "steps": callback.log.steps, "states": seen.states}


def shard() -> dict[str, object]:
    """One backward pass through a sharded model: what is measured, and the weights after clipping and an SGD step."""
    model = lora_toy(trained_b=True)
    for layer in model.get_base_model().model.layers:
        fully_shard(layer)
    fully_shard(model)
    tensors = adapter_tensors(model)
    weights, base = meter.weight_row(tensors), meter.base_row(tensors)
    model(**to_batch(rows(4))).loss.backward()  # the same rows on both processes: the mean gradient is that of one
    norms = meter.squared_norms([t.parameter.grad for t in tensors])
    factor = clip(list(model.parameters()), 0.05)
    after = meter.squared_norms([t.parameter.grad for t in tensors])
    return {"weights": weights, "base": base, "norms": norms, "factor": factor, "after": after}


if __name__ == "__main__":
    torch.set_num_threads(1)
    target = Path(sys.argv[1])
    found = train(target) | {"sharded": shard()}
    torch.save(found, target / f"rank{torch.distributed.get_rank()}.pt")
