"""stories260K, a Llama of 260,032 parameters in llama2.c's format, as a folder that Transformers reads."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

EPSILON, THETA = 1e-5, 10000.0
"""Of llama2.c; its files do not hold them."""


def folder_of(source: Path, target: Path) -> Path:
    """Write model and tokenizer of `source` (stories260K.bin, tok512.bin) into `target`; returns `target`."""
    tokenizer_of(source / "tok512.bin").save_pretrained(target)
    model_of(source / "stories260K.bin").save_pretrained(target)
    return target


def model_of(file: Path) -> Any:
    """The model in float32; ValueError for a file that has more or fewer numbers than its header says."""
    from transformers import LlamaConfig, LlamaForCausalLM

    data = file.read_bytes()
    width, hidden, layers, heads, kv_heads, vocab, length = struct.unpack_from("<7i", data)
    numbers = torch.from_numpy(np.frombuffer(data, dtype="<f4", offset=28).copy())
    kv = width // heads * kv_heads
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=length,
        rms_norm_eps=EPSILON, rope_parameters={"rope_type": "default", "rope_theta": THETA},
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    at = 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal at
        size = int(np.prod(shape))
        at += size
        return numbers[at - size : at].view(shape)

    state = {"model.embed_tokens.weight": take(vocab, width)}
    stacks = {  # all layers of one kind lie together
        "input_layernorm": take(layers, width),
        "self_attn.q_proj": halved(take(layers, width, width), heads),
        "self_attn.k_proj": halved(take(layers, kv, width), kv_heads),
        "self_attn.v_proj": take(layers, kv, width),
        "self_attn.o_proj": take(layers, width, width),
        "post_attention_layernorm": take(layers, width),
        "mlp.gate_proj": take(layers, hidden, width),
        "mlp.down_proj": take(layers, width, hidden),
        "mlp.up_proj": take(layers, hidden, width),
    }
    state |= {f"model.layers.{i}.{name}.weight": w[i] for name, w in stacks.items() for i in range(layers)}
    state["model.norm.weight"] = take(width)
    at += length * (width // heads)  # two tables of the rotary embedding, which Transformers computes
    if at != len(numbers):
        raise ValueError(f"{file} holds {len(numbers)} numbers, its header says {at}")
    model = LlamaForCausalLM(config)
    model.load_state_dict(state | {"lm_head.weight": state["model.embed_tokens.weight"]})
    return model.eval()


def halved(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of q or k, (layers, out, in): pairs that turn together lie side by side there, half a head apart here."""
    layers, out, width = rows.shape
    return rows.view(layers, heads, out // heads // 2, 2, width).transpose(2, 3).reshape(layers, out, width)


def tokenizer_of(file: Path) -> Any:
    """SentencePiece's BPE: of all neighbours the pair that makes the piece with the best score is merged first."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    data, at, vocab, scores = file.read_bytes(), 4, {}, {}
    while at < len(data):
        score, size = struct.unpack_from("<fi", data, at)
        piece = data[at + 8 : at + 8 + size].decode().replace(" ", "\u2581")
        number = len(vocab)
        piece = {0: "<unk>", 1: "<s>", 2: "</s>"}.get(number, piece)
        vocab[piece], scores[piece] = number, score
        at += 8 + size
    merges = sorted(
        ((score, left, right) for piece, score in scores.items() if vocab[piece] >= 259
         for left, right in ((piece[:i], piece[i:]) for i in range(1, len(piece))) if left in vocab and right in vocab),
        key=lambda merge: (-merge[0], vocab[merge[1]], vocab[merge[2]]),
    )  # fmt: skip
    backend = Tokenizer(
        models.BPE(
            vocab=vocab, merges=[merge[1:] for merge in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>"
    )
