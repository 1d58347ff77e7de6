"""Adapters of some modules switched off for a while: what a model loses without them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager

from lorascope.models.adapters import ADAPTER, AdaptedModel, lora_layers
from lorascope.models.target import Group


@contextmanager
def knocked_out(adapted: AdaptedModel, paths: Collection[str]) -> Iterator[None]:
    """The adapters of these modules add nothing inside the block; afterwards they are as before.

    The scaling of their update is 0 meanwhile, so that no weight is touched.
    """
    layers = [layer for path, layer in lora_layers(adapted.model, ADAPTER) if path in paths]
    before = [layer.scaling[ADAPTER] for layer in layers]
    try:
        for layer in layers:
            layer.scaling[ADAPTER] = 0.0
        yield
    finally:
        for layer, scaling in zip(layers, before, strict=True):
            layer.scaling[ADAPTER] = scaling


def without(adapted: AdaptedModel, groups: Collection[Group]) -> AbstractContextManager[None]:
    """The same for the adapters of whole groups."""
    return knocked_out(adapted, {target.path for target in adapted.targets if target.group in groups})
