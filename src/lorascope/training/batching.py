"""From encoded rows to batches. Legend: B rows, T tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler

from lorascope.errors import DataError
from lorascope.training.encoding import Encoded

IGNORED = -100
"""Label of a position that carries no loss, as in torch's cross entropy."""


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
        for start, end in row.labelled(loss_on):
            labels[i, start:end] = ids[i, start:end]
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
