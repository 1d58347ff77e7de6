"""Tokenizers with their real quirks and chat templates as families of models write them, built here in milliseconds."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast


@cache
def llama_backend(file: Path) -> Tokenizer:
    """The 32k Llama tokenizer from llama2.c's tokenizer.bin, as TinyLlama's tokenizer.json has it."""
    data, at, vocab, scores = file.read_bytes(), 4, {}, {}
    while at < len(data):
        score, size = struct.unpack_from("<fi", data, at)
        piece = data[at + 8 : at + 8 + size].decode().replace(" ", "\u2581").strip("\n")
        number = len(vocab)
        piece = {0: "<unk>", 1: "<s>", 2: "</s>"}.get(number, piece)
        piece = f"<0x{number - 3:02X}>" if 3 <= number < 259 else piece
        vocab[piece], scores[piece] = number, score
        at += 8 + size
    merges = sorted(
        ((left, right, score) for piece, score in scores.items() for left, right in halves(piece)
         if left in vocab and right in vocab),
        key=lambda merge: (-merge[2], vocab[merge[0]], vocab[merge[1]]),
    )  # fmt: skip
    backend = Tokenizer(
        models.BPE(vocab=vocab, merges=[merge[:2] for merge in merges], unk_token="<unk>", fuse_unk=True,
                   byte_fallback=True)
    )  # fmt: skip
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return backend


def halves(piece: str) -> list[tuple[str, str]]:
    return [(piece[:i], piece[i:]) for i in range(1, len(piece))]


def llama_tokenizer(file: Path, **settings: Any) -> PreTrainedTokenizerFast:
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=llama_backend(file), **names | settings)


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "<|begin_of_text|>{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "{% for m in turns %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + (system if loop.first else '') + m['content'].strip() }}"
    "{{ ' [/INST]' }}{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
"""Its prompt ends in "[/INST]" and its answer begins with a space; without add_generation_prompt."""
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
"""TinyLlama-Chat's: the end of turn is the end of sequence."""
QWEN3 = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m['role'] == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{% set c = m['content'] %}{% set thought = '' %}"
    "{% if m['role'] == 'assistant' and '</think>' in c %}"
    "{% set thought = c.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set c = c.split('</think>')[-1].lstrip('\n') %}{% endif %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' and loop.index0 > ns.last %}<think>\n{{ thought }}\n</think>\n\n{% endif %}"
    "{{ c }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Reasoning stays in the last answer alone, which has a place for it even where there is none."""
MISTRAL = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}{{ bos_token }}"
    "{% set last = (turns | selectattr('role', 'equalto', 'user') | list)[-1] %}"
    "{% for m in turns %}{% if m['role'] == 'user' %}[INST] {{ system if m == last }}{{ m['content'] }}[/INST]"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
"""The system turn stands in the last user turn: the prompt of an earlier answer is no beginning of the whole chat."""
PLAIN = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""No special token at all."""

TEMPLATES = {
    "chatml": CHATML, "llama3": LLAMA3, "llama2": LLAMA2, "gemma": GEMMA, "zephyr": ZEPHYR, "qwen3": QWEN3,
    "mistral": MISTRAL, "plain": PLAIN,
}  # fmt: skip
MARKS = [
    "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<start_of_turn>", "<end_of_turn>", "<think>", "</think>",
]  # fmt: skip
ENDS = {
    "chatml": "<|im_end|>", "llama3": "<|eot_id|>", "llama2": "</s>", "gemma": "<end_of_turn>", "zephyr": "</s>",
    "qwen3": "<|im_end|>", "mistral": "</s>", "plain": None,
}  # fmt: skip
"""What ends an assistant's turn."""


@cache
def merging_backend(bos: bool, trim: bool) -> Tokenizer:
    """Byte-level BPE whose merges cross words and lines. `trim`: offsets without white space, as GPT-2's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [
        ("\u010a", "\u010a"),
        ("\u0120", "a"),
        ("\u0120", "\u0120"),
        ("a", "b"),
        ("\u0120a", "b"),
        ("\u00c3", "\u00a9"),
    ]
    tokens = ["<pad>", "<s>", "</s>", *alphabet, *(left + right for left, right in pairs)]
    backend = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=pairs))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    byte_level = processors.ByteLevel(trim_offsets=trim)
    front = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    backend.post_processor = processors.Sequence([byte_level, front]) if bos else byte_level
    return backend


@cache
def metaspace_backend(bos: bool) -> Tokenizer:
    """Like sentencepiece: a space is a letter of the word behind it, and one is put in front of a text."""
    space, letters = "\u2581", "abcdefgh[]/INST:<>\n"
    pieces = [f"<0x{i:02X}>" for i in range(256)]
    pairs = [(space, "a"), (space, "b"), (space, space), ("a", "b"), (space + "a", "b")]
    tokens = ["<unk>", "<s>", "</s>", *pieces, space, *letters, *(left + right for left, right in pairs)]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    model = models.BPE(vocab=vocab, merges=pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=space, prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace(space, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    if bos:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return backend


BACKENDS = {"bytes": merging_backend, "bytes, trimmed offsets": merging_backend, "metaspace": metaspace_backend}


@cache
def chat_tokenizer(
    kind: str = "bytes",
    template: str | None = "chatml",
    *,
    bos: bool = True,
    pad_is_eos: bool = False,
    side: str = "right",
) -> PreTrainedTokenizerFast:
    """A tokenizer of a kind in BACKENDS with a template of TEMPLATES, whose marks are special tokens."""
    backend = metaspace_backend(bos) if kind == "metaspace" else merging_backend(bos, trim="trimmed" in kind)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>" if pad_is_eos else "<pad>",
        padding_side=side, truncation_side=side, model_max_length=16, additional_special_tokens=MARKS,
    )  # fmt: skip
    tokenizer.chat_template = TEMPLATES[template] if template else None
    return tokenizer
