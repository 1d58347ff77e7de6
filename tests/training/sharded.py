"""Started by test_sharded.py on two processes: phases of a model that FSDP2 has sharded, step by step."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from phased import lora_toy, rows
from torch.distributed.fsdp import fully_shard

from lorascope import DynamicLoRACallback
from lorascope.measure import meter
from lorascope.measure.callback import clip
from lorascope.models.adapters import adapter_tensors
from lorascope.training.batching import collate
from lorascope.training.phases import Phase

BOTH = frozenset({"attention", "mlp"})
PHASES = (Phase(0, 2, BOTH, (0, 1)), Phase(2, 4, BOTH, (2, 3)), Phase(4, 6, frozenset({"mlp"}), layers=(0, 3)))


def train(*, shard: bool) -> dict[str, list[torch.Tensor]]:
    """Six clipped AdamW steps on the same rows: squared gradient norm and squared weight norm of every matrix."""
    Accelerator(cpu=True)
    model = lora_toy()
    if shard:
        for layer in model.get_base_model().model.layers:
            fully_shard(layer)
        fully_shard(model)
    switching = DynamicLoRACallback(PHASES)
    settings = SimpleNamespace(deepspeed=None, fsdp=None, ddp_find_unused_parameters=None, ddp_static_graph=None)
    state = SimpleNamespace(global_step=0, max_steps=6, is_world_process_zero=True)
    switching.on_init_end(settings, state, None, model=model)
    tensors = adapter_tensors(model)
    optimizer = torch.optim.AdamW([t.parameter for t in tensors], lr=1e-2, weight_decay=0.1)
    switching.on_train_begin(settings, state, None, model=model, optimizer=optimizer)
    found: dict[str, list[torch.Tensor]] = {"gradients": [], "weights": []}
    for step in range(6):
        state.global_step = step
        switching.on_step_begin(settings, state, None, optimizer=optimizer)
        model(**collate(rows(4), 0, "answer")).loss.backward()
        found["gradients"].append(meter.squared_norms([t.parameter.grad for t in tensors]))
        clip(list(model.parameters()), 0.5)
        switching.on_pre_optimizer_step(settings, state, None, optimizer=optimizer)
        optimizer.step()
        optimizer.zero_grad()
        found["weights"].append(meter.squared_norms([t.parameter.detach() for t in tensors]))
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    measured = train(shard=True)
    torch.save(measured, f"{sys.argv[1]}/rank{torch.distributed.get_rank()}.pt")
    torch.distributed.destroy_process_group()
