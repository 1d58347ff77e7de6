"""Modules as plain data, without a model."""

from __future__ import annotations

from lorascope.models.target import TargetModule


def modules(shapes):
    """One linear module (or stacked experts) for every (out, in, experts), all in layer 0 of a decoder."""
    return [
        TargetModule(
            path=f"layers.0.mlp.m{i}", layer=0, stack="decoder", projection=f"m{i}", group="mlp", shape=(out, into),
            cost_per_rank=experts * (out + into), kind="experts" if experts > 1 else "linear",
        )
        for i, (out, into, experts) in enumerate(shapes)
    ]  # fmt: skip


def llama(*, hidden, mlp, kv, layers):
    """The modules of a Llama: q, k, v, o, gate, up, down in every layer."""
    shapes = {
        "q": (hidden, hidden), "k": (kv, hidden), "v": (kv, hidden), "o": (hidden, hidden),
        "gate": (mlp, hidden), "up": (mlp, hidden), "down": (hidden, mlp),
    }  # fmt: skip
    return [
        TargetModule(
            path=f"model.layers.{layer}.{'self_attn' if name in 'qkvo' else 'mlp'}.{name}_proj", layer=layer,
            stack="decoder", projection=name, group="attention" if name in "qkvo" else "mlp", shape=shape,
            cost_per_rank=sum(shape), kind="linear",
        )
        for layer in range(layers)
        for name, shape in shapes.items()
    ]  # fmt: skip
