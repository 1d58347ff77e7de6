"""Prompts to new tokens, batch by batch, with Transformers' `generate`; rows that have ended leave their batch.

`generate` goes on until the last row of a batch has ended, and computes padding for the others. Here it is called until
half of the rows have ended; the rest go on in a smaller batch, from the keys and values that they have. (Its continuous
batching, `generate_batch`, takes no stop text, and says of answers that it lost in a log alone.) Legend: B rows, T
tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

Processor = Callable[[Sequence[int], int], LogitsProcessor]
"""Makes what changes the scores of a batch: (numbers of the rows in it, tokens of a prompt with its padding)."""


def decode(
    model: torch.nn.Module,
    rows: Sequence[Sequence[int]],
    batches: Iterable[Sequence[int]],
    config: GenerationConfig,
    *,
    pad_id: int,
    final: Collection[int] = (),
    stop: StopText | None = None,
    processor: Processor | None = None,
) -> Iterator[tuple[Sequence[int], list[list[int]]]]:
    """For each batch of row numbers, these and the new ids of each row, with what ends it.

    That is an id of `final`, which are the ends of `config` too, the stop text, or the last of `max_new_tokens`.
    """
    device = next(model.parameters()).device
    shrinks = True
    for batch in batches:
        ids, mask = (tensor.to(device) for tensor in pad_left([rows[i] for i in batch], pad_id))
        prompt, running, cache = ids.shape[1], list(batch), None
        said: dict[int, list[int]] = {}
        while running:
            ending = _Ending(len(running), prompt, final, stop, enough=(len(running) + 1) // 2 if shrinks else None)
            output = cast(Any, model).generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=_until(config, ids.shape[1] - prompt),
                logits_processor=[processor(running, prompt)] if processor else None,
                stopping_criteria=StoppingCriteriaList([ending]),
                **({"past_key_values": cache} if cache is not None else {}),
            )
            ids = output.sequences
            full = ids.shape[1] - prompt >= config.max_new_tokens
            for i, width, new in zip(running, ending.widths, ids[:, prompt:].tolist(), strict=True):
                if full or width is not None:
                    said[i] = new if width is None else new[: width - prompt]
            left = [place for place, i in enumerate(running) if i not in said]
            if left:
                kept = torch.tensor(left)  # on the CPU: the layers of a large model lie on several devices
                mask = torch.cat([mask, mask.new_ones(len(running), ids.shape[1] - mask.shape[1])], dim=1)[kept]
                ids, cache = ids[kept], output.past_key_values
                shrinks = _lets_rows_go(cache)
                if shrinks:
                    cache.batch_select_indices(kept)
                else:  # this once they are read again; the batches to come run to their ends
                    cache = None
            running = [running[place] for place in left]
        yield batch, [said[i] for i in batch]


def _until(config: GenerationConfig, done: int) -> GenerationConfig:
    """What is left to do after so many new tokens."""
    left = copy.deepcopy(config)
    left.max_new_tokens = config.max_new_tokens - done
    left.return_dict_in_generate = True
    return left


def _lets_rows_go(cache: Any) -> bool:
    """Whether rows can be taken out of what a model remembers: keys and values by row, and no other state."""
    plain = {DynamicLayer, DynamicSlidingWindowLayer}
    return type(cache) is DynamicCache and plain.issuperset(type(layer) for layer in cache.layers)


def pad_left(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, each (B, T) int64, padded at the start to the longest row."""
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, longest - len(row) :] = torch.tensor(row, dtype=torch.int64)
        mask[i, longest - len(row) :] = 1
    return ids, mask


class StopText:
    """A text that ends an answer. It only saves time: the answer is cut in any case."""

    def __init__(self, text: str, tokenizer: PreTrainedTokenizerBase) -> None:
        self.text, self.tokenizer = text, tokenizer
        self._may: dict[int, bool] = {}

    def may_end_with(self, token: int) -> bool:
        """Whether the token may hold the text's last character. Most do not, and then nothing else is decoded."""
        if token not in self._may:
            alone = self.tokenizer.decode([token], clean_up_tokenization_spaces=False)
            # A part of a character is decoded as U+FFFD, and a space in front may be dropped.
            self._may[token] = self.text[-1] in alone or "\ufffd" in alone or self.text[-1] == " "
        return self._may[token]

    def is_in(self, answer: Sequence[int]) -> bool:
        """Whether the answer, so far these ids, has spelt it."""
        return self.text in decoded(answer, self.tokenizer)


def decoded(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """The text of an answer, without special tokens and without white space in front."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)).lstrip()


class _Ending(StoppingCriteria):
    """Notes the width at which each row ended; with `enough`, ends the call once so many rows have."""

    def __init__(
        self, rows: int, prompt: int, final: Collection[int], stop: StopText | None, enough: int | None
    ) -> None:
        self.widths: list[int | None] = [None] * rows
        self.prompt, self.final, self.stop, self.enough = prompt, frozenset(final), stop, enough

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """(B, T) ids so far -> (B,) bool."""
        for i, token in enumerate(input_ids[:, -1].tolist()):
            if self.widths[i] is None and (token in self.final or self._spells(input_ids[i], token)):
                self.widths[i] = input_ids.shape[1]
        ended = [width is not None for width in self.widths]
        stops = self.enough is not None and sum(ended) >= self.enough
        return torch.tensor([stops or flag for flag in ended], device=input_ids.device)

    def _spells(self, ids: Tensor, token: int) -> bool:
        return self.stop is not None and self.stop.may_end_with(token) and self.stop.is_in(ids[self.prompt :].tolist())
