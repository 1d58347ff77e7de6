"""From examples to token ids, and from token ids to batches.

Legend: B rows, T tokens. ids = ids(prompt) + ids(answer) + end-of-sequence; the two are encoded apart and joined, so
that training sees exactly the prompt ids that generation will see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerBase

from lorascope.errors import DataError
from lorascope.tasks.base import Example

IGNORED = -100
"""Label of a position that carries no loss, as in torch's cross entropy."""


@dataclass(frozen=True)
class Encoded:
    """One example as token ids: `prompt_tokens` of the prompt, then the answer, then end-of-sequence."""

    id: str
    input_ids: list[int]
    prompt_tokens: int
    cut_tokens: int
    """Prompt tokens that were cut at the prompt's start to fit; 0 for most rows."""

    def labels(self, loss_on: str) -> list[int]:
        """Ids where the loss is taken, IGNORED elsewhere; the first token is never predicted, so its label is moot."""
        if loss_on == "all":
            return list(self.input_ids)
        return [IGNORED] * self.prompt_tokens + self.input_ids[self.prompt_tokens :]


def encode_prompt(prompt: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of a prompt as the model sees it: with the tokenizer's beginning of sequence, without its end."""
    # verbose: a prompt is cut to fit only after this, so the warning that it is too long would be untrue
    ids: list[int] = tokenizer(prompt, verbose=False)["input_ids"]
    if ids and ids[-1] == tokenizer.eos_token_id:  # T5-like templates and add_eos_token=True close every text
        ids = ids[:-1]
    return ids


def encode(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[list[Encoded], list[str]]:
    """Encode examples; returns them and the ids of those that were left out because the answer alone does not fit.

    A prompt that is too long is cut at its start: the answer, its end-of-sequence and the prompt's last line stay.
    """
    eos = tokenizer.eos_token_id
    kept, left_out = [], []
    for example in examples:
        answer = [*tokenizer(example.target, add_special_tokens=False)["input_ids"], eos]
        prompt = encode_prompt(example.prompt, tokenizer)
        cut = max(0, len(prompt) + len(answer) - max_length)
        if cut >= len(prompt):
            left_out.append(example.id)
            continue
        if cut:
            prompt = cut_prompt(prompt, max_length - len(answer), tokenizer)
        kept.append(Encoded(example.id, prompt + answer, len(prompt), cut))
    if not kept:
        raise DataError(
            "too-long",
            f"no row fits: every answer alone is longer than max_length {max_length}",
            f"--max_length {2 * max_length}",
        )
    return kept, left_out


def cut_prompt(ids: list[int], length: int, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The last `length` ids of a prompt; a beginning-of-sequence token stays in front."""
    if len(ids) <= length:
        return ids
    if length > 1 and ids[0] == tokenizer.bos_token_id is not None:
        return [ids[0], *ids[len(ids) - length + 1 :]]
    return ids[len(ids) - length :]


def collate(rows: Sequence[Encoded], pad_id: int, loss_on: str) -> dict[str, Tensor]:
    """Pad on the right to the longest row: input_ids, attention_mask, labels, each (B, T) int64.

    The mask marks padding, not the pad id: where pad is the same token as end-of-sequence, the latter is still learnt.
    """
    longest = max(len(row.input_ids) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    labels = torch.full((len(rows), longest), IGNORED, dtype=torch.int64)
    for i, row in enumerate(rows):
        n = len(row.input_ids)
        ids[i, :n] = torch.tensor(row.input_ids)
        mask[i, :n] = 1
        labels[i, :n] = torch.tensor(row.labels(loss_on))
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def shuffled_batches(lengths: Sequence[int], batch_size: int, seed: int) -> list[list[int]]:
    """One epoch of row numbers in full batches of similar length, in random order; fewer than batch_size rows sit out.

    Rows are shuffled, sorted by length within windows of 50 batches, cut into batches, and the batches shuffled.
    Transformers' own grouping keeps each window sorted from long to short, which draws a saw-tooth of batch lengths
    into every gradient curve; shuffling the batches removes it at the same padding.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(lengths), generator=generator).tolist()
    del order[len(order) - len(order) % batch_size :]
    window = 50 * batch_size
    batches = []
    for start in range(0, len(order), window):
        rows = sorted(order[start : start + window], key=lambda i: lengths[i])
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def refuse_too_few(rows: int, batch_size: int) -> None:
    """Raise DataError where there are fewer rows than one batch takes."""
    if rows < batch_size:
        raise DataError(
            "too-few-rows",
            f"{rows} training rows do not fill one batch of {batch_size}",
            f"--batch_size {rows}",
            "--num_samples 0   (all rows)",
        )


class RunSampler(Sampler[int]):
    """The row numbers of a whole run, in order: epoch after epoch of `shuffled_batches`, exactly as many as it takes.

    One list for the run instead of one for an epoch: a run resumed at step N skips N steps of the same list.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, num_batches: int, seed: int) -> None:
        refuse_too_few(len(lengths), batch_size)
        per_epoch = len(lengths) // batch_size
        self.batches: list[list[int]] = []
        for epoch in range(-(-num_batches // per_epoch)):
            self.batches += shuffled_batches(lengths, batch_size, seed + epoch)
        del self.batches[num_batches:]

    def __iter__(self) -> Iterator[int]:
        for batch in self.batches:
            yield from batch

    def __len__(self) -> int:
        return sum(map(len, self.batches))
