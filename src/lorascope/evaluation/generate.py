"""Text from a model: prompts to answers, in batches of like length, greedy unless a temperature is given.

Left padding keeps the answers of a batch aligned at its right edge; with the attention mask, and positions counted from
it, float32 output equals that of one prompt at a time. The tokenizer is not touched: padding is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from lorascope.errors import ConfigError, DataError, TrainingError
from lorascope.evaluation.batches import BATCH_TOKENS, by_tokens
from lorascope.evaluation.constrained import Constraint
from lorascope.evaluation.decode import StopText, decode, decoded
from lorascope.models.base import context_length
from lorascope.training.encoding import cut_prompt, encode_prompts


def generate(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], **options: Any
) -> list[str]:
    """Answers to prompts that are texts; `options` and everything else as in `generate_from_ids`."""
    return generate_from_ids(model, tokenizer, encode_prompts(prompts, tokenizer), **options)


def generate_from_ids(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[list[int]],
    *,
    max_new_tokens: int,
    batch_tokens: int = BATCH_TOKENS,
    batch_size: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    stop: str | None = "\n",
    ends: Collection[int] = (),
    seed: int = 0,
    max_prompt_tokens: int | None = None,
    constraint: Constraint | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Answers to prompts that are ids, in the prompts' order, without white space at their ends.

    An answer ends at end-of-sequence or at another id of `ends` (a chat's end of turn), before the first `stop` text
    (None: no such text), or after `max_new_tokens`; white space in front of it does not count, so that a base model
    that starts with an empty line is not cut there. `temperature` None decodes greedily; a number samples from the
    whole distribution, or from its top_p nucleus, with `seed` (batching then matters). Prompts longer than
    `max_prompt_tokens` lose their start; without it, one that does not fit the model's context is a ConfigError.
    Prompts of like length are answered together, as many as make up `batch_tokens` tokens with padding and room for the
    answers, and at most `batch_size`. With a `constraint`, whose example i row i answers, greedy decoding chooses among
    the tokens that it allows. The checkpoint's own generation settings, its end-of-sequence ids apart, are left out.
    `progress(done, n)` is called after each batch. TrainingError where memory does not suffice.
    """
    _require_positive(max_new_tokens=max_new_tokens, batch_tokens=batch_tokens, batch_size=batch_size)
    if not all(rows):
        raise DataError("empty-prompt", f"prompt {rows.index([])} is empty, and the tokenizer puts no token in front")
    if max_prompt_tokens is not None:
        rows = [cut_prompt(ids, max_prompt_tokens, tokenizer) for ids in rows]
    _check_context(model, rows, max_new_tokens)
    config = decoding(model, tokenizer, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, ends=ends)
    final = end_ids(model, tokenizer, ends)
    lengths = [len(ids) + max_new_tokens for ids in rows]
    answers = [""] * len(rows)
    done = 0
    with (
        in_evaluation_mode(model),
        torch.no_grad(),
        _plain(model, config),
        _seeded(seed if config.do_sample else None, model),
        explained_out_of_memory(batch_tokens, lengths),
    ):
        batches = by_tokens(lengths, batch_tokens, most=batch_size)
        for picked, said in decode(
            model,
            rows,
            batches,
            config,
            pad_id=pad_id_of(tokenizer),
            final=final,
            stop=StopText(stop, tokenizer) if stop else None,
            processor=constraint.processor if constraint else None,
        ):
            for i, new in zip(picked, said, strict=True):
                answers[i] = answer_text(new, final, tokenizer, stop)
            done += len(picked)
            if progress:
                progress(done, len(rows))
    return answers


def decoding(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_new_tokens: int,
    temperature: float | None = None,
    top_p: float | None = None,
    ends: Collection[int] = (),
) -> GenerationConfig:
    """The settings of one call: greedy, or sampling with nothing but temperature and nucleus."""
    sampling: dict[str, Any] = {"do_sample": False}
    if temperature is not None:
        if not temperature > 0:
            raise ConfigError("config-value", f"temperature must be positive, or none for greedy, got {temperature}")
        sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p or 1.0, "top_k": 0}
    elif top_p is not None:
        raise ConfigError("config-value", "top_p needs a temperature", f"--temperature 1 --top_p {top_p}")
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        num_beams=1,
        use_cache=True,  # a Trainer writes False into the model's configuration
        pad_token_id=pad_id_of(tokenizer),
        eos_token_id=end_ids(model, tokenizer, ends) or None,
        **sampling,
    )


def end_ids(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, ends: Collection[int] = ()) -> list[int]:
    """Ids that end an answer: `ends`, the tokenizer's, which training teaches, and the checkpoint's."""
    own = base_of(model).generation_config.eos_token_id
    ids = [*ends, tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    return sorted({i for i in ids if i is not None})


def pad_id_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """An id to pad with; the attention mask marks padding, so any id does where the tokenizer names none."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0


def answer_text(ids: list[int], ends: Sequence[int], tokenizer: PreTrainedTokenizerBase, stop: str | None) -> str:
    """An answer as it is scored: before what ends it and before the stop text, without white space at its ends."""
    text = decoded(ids[: next((i for i, token in enumerate(ids) if token in ends), len(ids))], tokenizer)
    return (text.split(stop, 1)[0] if stop else text).rstrip()


def _require_positive(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < 1:
            raise ConfigError("config-value", f"{name} must be a positive whole number, got {value}")


def _check_context(model: torch.nn.Module, rows: Sequence[Sequence[int]], max_new_tokens: int) -> None:
    window, longest = context_length(base_of(model).config), max((len(row) for row in rows), default=0)
    if window is not None and longest + max_new_tokens > window:
        raise ConfigError(
            "too-long",
            f"a prompt of {longest} tokens and {max_new_tokens} new ones exceed the model's context of {window}",
            f"--max_length {max(1, window - max_new_tokens)}  (cuts prompts at their start)",
            "a smaller --max_new_tokens",
        )


def base_of(model: torch.nn.Module) -> Any:
    """The Transformers model inside a PEFT model, or the model itself."""
    inner = getattr(model, "get_base_model", None)
    return inner() if callable(inner) else model


@contextmanager
def in_evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Dropout off; every module's mode is restored, so that a model in training goes on as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _plain(model: torch.nn.Module, config: GenerationConfig) -> Iterator[None]:
    """Put the checkpoint's generation settings aside: `generate` fills whatever a call leaves open from them."""
    owner = base_of(model)
    kept = owner.generation_config
    owner.generation_config = config
    try:
        yield
    finally:
        owner.generation_config = kept


@contextmanager
def _seeded(seed: int | None, model: torch.nn.Module) -> Iterator[None]:
    """Sampling draws from torch's global generator: seed it, and give it back as it was (None: leave it alone)."""
    if seed is None:
        yield
        return
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def explained_out_of_memory(batch_tokens: int, lengths: Sequence[int]) -> Iterator[None]:
    """Turn a lack of memory into an error that names the way out; `lengths` are the tokens of the rows."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # On the CPU it is a plain RuntimeError of the allocator.
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "DefaultCPUAllocator" not in str(error):
            raise
        alone = batch_tokens < 2 * max(lengths, default=1)  # the longest row was no longer beside another one
        raise TrainingError(
            "out-of-memory",
            f"the evaluation did not fit into memory with {batch_tokens:,} tokens at a time",
            "a smaller --max_length or --max_new_tokens" if alone else f"--eval_batch_tokens {batch_tokens // 4}",
        ) from error
