"""Adapters of some modules switched off for a while: what a model loses without them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from lorascope.models.adapters import ADAPTER, AdaptedModel, lora_layers
from lorascope.models.target import Group


@contextmanager
def without(adapted: AdaptedModel, groups: Collection[Group]) -> Iterator[None]:
    """The adapters of these groups add nothing inside the block; afterwards they are as before.

    The scaling of their update is 0 meanwhile, so that no weight is touched.
    """
    paths = {target.path for target in adapted.targets if target.group in groups}
    layers = [layer for path, layer in lora_layers(adapted.model, ADAPTER) if path in paths]
    before = [layer.scaling[ADAPTER] for layer in layers]
    try:
        for layer in layers:
            layer.scaling[ADAPTER] = 0.0
        yield
    finally:
        for layer, scaling in zip(layers, before, strict=True):
            layer.scaling[ADAPTER] = scaling
