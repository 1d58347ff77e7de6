"""A tiny random Llama and a byte-level tokenizer, built in milliseconds and the same every time."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HIDDEN, MLP, LAYERS, HEADS, KV_HEADS = 32, 64, 2, 4, 2


@cache
def _backend(bos: bool) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if bos:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return backend


def toy_tokenizer(*, bos: bool = True, pad: bool = True) -> PreTrainedTokenizerFast:
    """One token per byte; ids 0 <pad>, 1 <s>, 2 </s>."""
    names = {"bos_token": "<s>", "eos_token": "</s>", **({"pad_token": "<pad>"} if pad else {})}
    return PreTrainedTokenizerFast(tokenizer_object=_backend(bos), model_max_length=512, **names)


def toy_model(
    *, layers: int = LAYERS, seed: int = 0, dtype: torch.dtype = torch.float32, tied: bool = False
) -> LlamaForCausalLM:
    """A random Llama: hidden 32, MLP 64, 4 heads, 2 key/value heads, 259 tokens, 512 positions."""
    config = LlamaConfig(
        vocab_size=259, hidden_size=HIDDEN, intermediate_size=MLP, num_hidden_layers=layers, num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS, max_position_embeddings=512, tie_word_embeddings=tied,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.1,
    )  # fmt: skip
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        return LlamaForCausalLM(config).to(dtype).eval()
    finally:
        torch.random.set_rng_state(state)


def save_toy(folder: Path, **kwargs: Any) -> Path:
    """The toy as a checkpoint folder that `from_pretrained` loads."""
    toy_model(**kwargs).save_pretrained(folder)
    toy_tokenizer().save_pretrained(folder)
    return folder
