"""What a module is for, told from names alone: pure functions, no torch.

The rule, in this order (the two identities before it, input and output embedding, need the model: `modules.py`):
the class name of the nearest ancestor that says so by its ending; a name on the path that says so; fc1, fc2 and the
like directly on the block; else "other". Endings, not parts: "moe" is a part of Qwen3MoeAttention. Leaf names alone
decide nothing: c_proj, dense and out_proj exist in attention and MLP alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from lorascope.models.target import Group


class Ancestor(NamedTuple):
    """A module above a leaf."""

    name: str
    """Its attribute in its parent, "self_attn"."""
    class_name: str
    """The name of its class, "LlamaAttention"."""


_MOE = re.compile(r"(MoE|Moe|MoEBlock|MoeBlock)$")
_CLASS_ENDINGS: tuple[tuple[re.Pattern[str], Group], ...] = (
    (re.compile(r"(Attention|Attn)$"), "attention"),
    (re.compile(r"(MLP|Mlp|FFN|FeedForward|DenseActDense|DenseGatedActDense|Experts?)$"), "mlp"),
    (_MOE, "mlp"),
    (re.compile(r"(Router|Gate|Gating|Mixer|SSM|DeltaNet|ShortConv|RecurrentBlock)$"), "other"),
)
_ROUTER_CLASS = re.compile(r"Router$")
_ROUTER_LEAVES = frozenset({"gate", "router", "shared_expert_gate"})
_PATH_NAMES: dict[str, Group] = {
    **dict.fromkeys(("self_attn", "self_attention", "attn", "attention", "encoder_attn", "cross_attn"), "attention"),
    **dict.fromkeys(("mlp", "ffn", "feed_forward", "experts"), "mlp"),
}
_BLOCK_LEAVES = frozenset({"fc1", "fc2", "fc_in", "fc_out", "wi", "wo"})
_CROSS_ATTENTION = frozenset({"encoder_attn", "EncDecAttention", "cross_attn", "crossattention"})

_ATTENTION_WORDS = {
    **dict.fromkeys(("q_proj", "q", "query"), "q"),
    **dict.fromkeys(("k_proj", "k", "key"), "k"),
    **dict.fromkeys(("v_proj", "v", "value"), "v"),
    **dict.fromkeys(("o_proj", "o", "out_proj", "dense", "c_proj"), "o"),
    **dict.fromkeys(("qkv_proj", "query_key_value", "Wqkv", "c_attn"), "qkv"),
}
_MLP_WORDS = {
    **dict.fromkeys(("gate_proj", "wi_0"), "gate"),
    **dict.fromkeys(("up_proj", "wi_1", "wi", "fc1", "fc_in", "c_fc", "dense_h_to_4h"), "up"),
    **dict.fromkeys(("down_proj", "wo", "fc2", "fc_out", "c_proj", "dense_4h_to_h"), "down"),
    "gate_up_proj": "gate_up",
}


def group_of(leaf: str, ancestors: Sequence[Ancestor], *, on_block: bool) -> Group:
    """The group of a weight that is neither input nor output embedding.

    `ancestors`: nearest first, up to the next ModuleList (without it); `on_block`: whether the nearest one is itself an
    entry of a ModuleList.
    """
    for ancestor in ancestors:
        for ending, group in _CLASS_ENDINGS:
            if ending.search(ancestor.class_name):
                return "other" if ending is _MOE and leaf in _ROUTER_LEAVES else group
    for ancestor in ancestors:
        if ancestor.name in _PATH_NAMES:
            return _PATH_NAMES[ancestor.name]
    return "mlp" if on_block and leaf in _BLOCK_LEAVES else "other"


def projection_of(leaf: str, group: Group, ancestors: Sequence[Ancestor]) -> str:
    """The role of a weight in Llama's words, or its own name where Llama has no such role."""
    if group == "attention":
        word = _ATTENTION_WORDS.get(leaf, leaf)
        return f"cross_{word}" if any(a.name in _CROSS_ATTENTION for a in ancestors) else word
    if group == "mlp":
        return _MLP_WORDS.get(leaf, leaf)
    return "router" if leaf in _ROUTER_LEAVES else leaf


def is_router_class(class_name: str) -> bool:
    """Whether a module of this class chooses experts with a weight of its own."""
    return bool(_ROUTER_CLASS.search(class_name))
