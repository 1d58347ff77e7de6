"""The 28 families of causal and encoder-decoder language models, each tiny (2 layers) and random.

`build(name)` gives a real model in tens of milliseconds, `build(name, device="meta")` an empty one, and `loss(model)` a
training loss on random tokens, for whatever needs all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as tf

VOCAB, HIDDEN, MLP, LAYERS, HEADS, KV_HEADS, CONTEXT = 64, 32, 48, 2, 4, 2, 64

_IDS = {"vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_BLOCK = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
_LLAMA = {
    **_IDS,
    **_BLOCK,
    "intermediate_size": MLP,
    "num_key_value_heads": KV_HEADS,
    "max_position_embeddings": CONTEXT,
}
_FUSED_HEADS = {**_IDS, **_BLOCK, "intermediate_size": MLP, "max_position_embeddings": CONTEXT}
_GPT = {**_IDS, "n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "n_positions": CONTEXT}
_SEQ2SEQ = {"d_model": HIDDEN, "is_encoder_decoder": True, "decoder_start_token_id": 0}
_EXPERTS = {"num_experts_per_tok": 2, "tie_word_embeddings": False}

_CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: tf.LlamaConfig(**_LLAMA),
    "mistral": lambda: tf.MistralConfig(**_LLAMA),
    "qwen2": lambda: tf.Qwen2Config(**_LLAMA),
    "qwen3": lambda: tf.Qwen3Config(**_LLAMA, head_dim=8),
    "gemma2": lambda: tf.Gemma2Config(**_LLAMA, head_dim=8),
    "gemma3": lambda: tf.Gemma3TextConfig(**_LLAMA, head_dim=8),
    "stablelm": lambda: tf.StableLmConfig(**_LLAMA),
    "olmo2": lambda: tf.Olmo2Config(**_LLAMA),
    "granite": lambda: tf.GraniteConfig(**_LLAMA),
    "cohere": lambda: tf.CohereConfig(**_LLAMA),
    "phi3": lambda: tf.Phi3Config(**_LLAMA),
    "phi": lambda: tf.PhiConfig(**_LLAMA),
    "codegen": lambda: tf.CodeGenConfig(**_GPT, n_ctx=CONTEXT, rotary_dim=4),
    "gpt2": lambda: tf.GPT2Config(**_GPT),
    "starcoder2": lambda: tf.Starcoder2Config(**_LLAMA),
    "gpt_neox": lambda: tf.GPTNeoXConfig(**_FUSED_HEADS),
    "falcon": lambda: tf.FalconConfig(**_IDS, **_BLOCK, max_position_embeddings=CONTEXT),
    "bloom": lambda: tf.BloomConfig(**_IDS, hidden_size=HIDDEN, n_layer=LAYERS, n_head=HEADS),
    "gptj": lambda: tf.GPTJConfig(**_GPT, rotary_dim=4),
    "mpt": lambda: tf.MptConfig(
        **_IDS, d_model=HIDDEN, n_layers=LAYERS, n_heads=HEADS, expansion_ratio=2, max_seq_len=CONTEXT
    ),
    "opt": lambda: tf.OPTConfig(**_IDS, **_BLOCK, ffn_dim=MLP, max_position_embeddings=CONTEXT, word_embed_proj_dim=16),
    "bart": lambda: tf.BartConfig(
        **_IDS,
        **_SEQ2SEQ,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=MLP,
        decoder_ffn_dim=MLP,
        max_position_embeddings=CONTEXT,
    ),
    "t5": lambda: tf.T5Config(**_IDS, **_SEQ2SEQ, d_kv=8, d_ff=MLP, num_layers=LAYERS, num_heads=HEADS),
    "deepseek_v3": lambda: tf.DeepseekV3Config(
        **{**_LLAMA, "num_key_value_heads": HEADS},
        **_EXPERTS,
        moe_intermediate_size=16,
        n_routed_experts=4,
        n_shared_experts=1,
        first_k_dense_replace=1,
        n_group=2,
        topk_group=1,
        kv_lora_rank=8,
        q_lora_rank=12,
        qk_rope_head_dim=4,
        qk_nope_head_dim=8,
        v_head_dim=8,
    ),
    "mixtral": lambda: tf.MixtralConfig(**_LLAMA, **_EXPERTS, num_local_experts=4),
    "qwen3_moe": lambda: tf.Qwen3MoeConfig(
        **_LLAMA, **_EXPERTS, head_dim=8, num_experts=4, moe_intermediate_size=16, mlp_only_layers=[0]
    ),
    "gpt_oss": lambda: tf.GptOssConfig(**_LLAMA, **_EXPERTS, head_dim=8, num_local_experts=4),
    "mamba": lambda: tf.MambaConfig(
        **_IDS, hidden_size=HIDDEN, num_hidden_layers=LAYERS, state_size=4, time_step_rank=4
    ),
}
FAMILIES = tuple(_CONFIGS)


def build(name: str, *, device: str = "cpu", seed: int = 0, **changes: Any) -> Any:
    """A model of the family `name` with random weights; `changes` overwrite fields of its configuration."""
    config = _CONFIGS[name]()
    for field, value in changes.items():
        setattr(config, field, value)
    auto = tf.AutoModelForSeq2SeqLM if config.is_encoder_decoder else tf.AutoModelForCausalLM
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        with torch.device(device):
            return auto.from_config(config).eval()
    finally:
        torch.random.set_rng_state(state)


def loss(model: torch.nn.Module, *, seed: int = 0, batch: int = 2, length: int = 8) -> torch.Tensor:
    """Mean cross-entropy on random tokens; in an encoder-decoder model the tokens are the answer as well."""
    ids = torch.randint(3, VOCAB, (batch, length), generator=torch.Generator().manual_seed(seed))
    return model(input_ids=ids, labels=ids, use_cache=False).loss
