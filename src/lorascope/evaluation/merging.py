"""Adapters merged into the base model for the time of an evaluation, for speed; guarded by a comparison of logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from lorascope.errors import ConfigError, ModelError
from lorascope.evaluation.generate import base_of, in_evaluation_mode
from lorascope.models.adapters import adapter_tensors
from lorascope.models.base import context_length
from lorascope.models.modules import embeddings_are_tied

CHECKED = 4
"""Rows on which logits are compared, as a rule."""
TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Largest difference of a logit that passes, as a share of the largest logit. In float32 merging rounds in the seventh
digit. In 16 bits every merged weight is rounded to the format of the base, which is as coarse as the model itself."""


@contextmanager
def merged(model: nn.Module, rows: Sequence[Sequence[int]]) -> Iterator[dict[str, Any]]:
    """Merge the active adapter into the base weights, which are bit for bit as before afterwards.

    Logits of `rows` (ids, CHECKED of them suffice) are compared with and without merging; gives what was found, for the
    record. Rows longer than the model's context lose their start. Errors: ConfigError where there is no adapter;
    ModelError for an adapter on an embedding or head that are one matrix, since merging into one of them would change
    the other, and where the logits differ by more than TOLERANCE.
    """
    if not isinstance(model, PeftModel):
        raise ConfigError("nothing-to-merge", "the base model alone has no adapter to merge", "leave --merge out")
    base = base_of(model)
    groups = {tensor.module.group for tensor in adapter_tensors(model, model.active_adapter)}
    if embeddings_are_tied(base) and groups & {"embed", "lm_head"}:
        raise ModelError(
            "tied-embeddings",
            "the adapter is on the embedding or the head, which are one matrix in this model: merged into one, it "
            "would change the other",
            "leave --merge out",
        )
    window = context_length(base.config)
    rows = [row[-window:] if window else row for row in rows]
    beside = _logits(model, rows)
    kept = [(parameter, parameter.data.to("cpu")) for parameter in _adapted(model)]  # a safe merge makes new tensors
    try:
        try:
            model.merge_adapter(safe_merge=True)
        except (ValueError, NotImplementedError) as error:
            raise ModelError("not-merged", f"PEFT cannot merge this adapter: {error}", "leave --merge out") from error
        yield _compared(beside, _logits(model, rows), next(base.parameters()).dtype)
    finally:
        for layer in model.modules():
            if isinstance(layer, BaseTunerLayer) and layer.merged:
                layer.unmerge()
        for parameter, data in kept:  # unmerging subtracts what was added, which leaves rounding errors
            parameter.data = data.to(parameter.device)


def _adapted(model: nn.Module) -> list[nn.Parameter]:
    """The base's own weights under adapters, each once."""
    layers = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
    found = [p for layer in layers for p in layer.get_base_layer().parameters(recurse=False)]
    return list({id(parameter): parameter for parameter in found}.values())


@torch.no_grad()
def _logits(model: nn.Module, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """(T, V) float32 of each row alone."""
    device = next(model.parameters()).device
    with in_evaluation_mode(model):
        return [model(input_ids=torch.tensor([row], device=device)).logits[0].float().cpu() for row in rows]


def _compared(beside: Sequence[Tensor], within: Sequence[Tensor], dtype: torch.dtype) -> dict[str, Any]:
    """The largest difference as a share of the largest logit, for the record. ModelError where it is too large."""
    largest = max(float(logits.abs().max()) for logits in beside)
    found = max(float((a - b).abs().max()) for a, b in zip(beside, within, strict=True)) / largest
    if not found <= TOLERANCE[dtype]:
        raise ModelError(
            "merge-differs",
            f"merged, the adapter gives other logits: they differ by {found:.1e} of the largest one, and "
            f"{TOLERANCE[dtype]:.0e} would be rounding in {str(dtype).removeprefix('torch.')}",
            "leave --merge out",
        )
    return {"rows": len(beside), "largest_difference": found, "tolerance": TOLERANCE[dtype]}
