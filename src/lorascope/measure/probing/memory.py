"""How much memory a probe takes, told before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from lorascope.config import scores as menu
from lorascope.measure.probing.gradients import Batch, weight_gradients
from lorascope.measure.probing.parts import Weight, computed_in
from lorascope.measure.probing.sums import Sums

if TYPE_CHECKING:
    from lorascope.measure.probing.collect import ProbeSettings


def memory(
    model: nn.Module, weights: Sequence[Weight], batches: Sequence[Sequence[Batch]], settings: ProbeSettings
) -> dict[str, int]:
    """Bytes by what they are for: the model, what is added up, one gradient (all of a batch's where it has several
    micro-batches), and activations, which are measured on one row of the largest micro-batch and multiplied. Their sum
    is the peak: the last gradients come when activations are still there.

    In bytes a weight in float32: 4 for the weight, 4 for the exact sum of all gradients, 4 more where a spectrum is
    asked for (the sum with alternating signs), 4 more for micro-batches; K sketches of at most 64 KiB for each part.
    """
    largest = max(weights, key=lambda weight: weight.parameter.numel()).parameter
    wide = computed_in(largest.dtype).itemsize
    copies = 1 if largest.element_size() == wide else 2  # as it is computed with: of the gradient, and of the weight
    found = {
        "weights": sum(p.numel() * p.element_size() for p in model.parameters()),
        "sum of gradients": wide * sum(w.parameter.numel() for w in weights) * (2 if settings.signed else 1),
        "sketches": wide * settings.blocks * sum(Sums.sketch_numbers(p) for w in weights for p in w.parts),
    }
    found["random matrices"] = wide * settings.r * sum(w.parts[0].shape[0] * w.parts[0].shape[2] for w in weights)
    if set(menu.SPECTRA) & set(settings.watched):
        found["moments"] = wide * sum(Sums.moment_numbers(weight, settings) for weight in weights)
    if set(menu.OF_TRIAL) & set(settings.scores):  # adapters, their gradients, Adam's two, four points of the path, ...
        found["trial"] = 4 * 11 * settings.r * sum(weight.parts[0].module.cost_per_rank for weight in weights)
    if len(batches[0]) > 1:
        found["gradients of a batch"] = sum(w.parameter.numel() * w.parameter.element_size() for w in weights)
    found["one gradient"] = largest.numel() * (largest.element_size() + wide * copies)
    widest = max((batch for some in batches for batch in some), key=lambda batch: batch["input_ids"].numel())
    if "fisher" in settings.scores:  # products of all pairs of tokens, two of them, their product, that in float64
        rows, length = widest["input_ids"].shape
        found["pairs of tokens"] = rows * length**2 * (3 * wide + 8)
    found["activations"] = activations(model, weights, widest, checkpointing=settings.checkpointing)
    return found


def activations(model: nn.Module, weights: Sequence[Weight], batch: Batch, *, checkpointing: bool) -> int:
    """Bytes that a micro-batch keeps for backward, from its first row alone, and twice the largest of them: for its
    gradient and the one that is made of that, as of a softmax.

    With checkpointing, one layer at a time is computed anew and keeps everything.
    """
    row = {name: value[:1] for name, value in batch.items()}
    # Logits are computed wherever any row has a label.
    row["labels"] = batch["labels"].amax(dim=0, keepdim=True)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        weight_gradients(model, weights, lambda weight, gradient: None, checkpointing=checkpointing) as run,
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        if checkpointing:
            _largest_layer(model).training = False  # which is what switches checkpointing off in it
        run([row])
    return (sum(kept.values()) + 2 * max(kept.values())) * len(batch["input_ids"])


def _largest_layer(model: nn.Module) -> nn.Module:
    """Of the layers that are checkpointed (the models around them bear the flag, too) the one with most parameters."""
    flagged = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    inner = [one for one in flagged if not any(other is not one and other in flagged for other in one.modules())]
    return max(inner, key=lambda layer: sum(p.numel() for p in layer.parameters()))


def size_text(count: float) -> str:
    """Bytes in words: 1.24 GB."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
