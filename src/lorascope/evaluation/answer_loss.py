"""Held-out answer loss: the negative log-likelihood of right answers, for every example apart.

On a small model it decides where task metrics sit at the floor. Legend: B rows, T tokens, V vocabulary, M answer tokens
of a batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

from lorascope.evaluation.batches import BATCH_TOKENS, by_tokens
from lorascope.evaluation.generate import base_of, explained_out_of_memory, in_evaluation_mode, pad_id_of
from lorascope.evaluation.metrics.base import Array, Tally
from lorascope.tasks.base import Example
from lorascope.training.batching import IGNORED, collate
from lorascope.training.encoding import Encoded, encode
from lorascope.training.rows import lengths


def answer_losses(
    model: torch.nn.Module,
    rows: Sequence[Encoded],
    *,
    pad_id: int,
    batch_tokens: int = BATCH_TOKENS,
    loss_on: str = "answer",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Array, NDArray[np.int64]]:
    """Nats (n,) and tokens (n,) of every row's answers, what ends them included, in the rows' order.

    The loss of a corpus is nats.sum() / tokens.sum(). Rows of like length go together, at most `batch_tokens` tokens
    with padding at a time, padded on the right, which changes nothing under a causal mask; the loss itself is taken in
    float32 whatever the model's dtype. The model's mode and configuration are as before afterwards. `progress(done, n)`
    is called after each batch.
    """
    nats, tokens = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    length = lengths(rows)
    done = 0
    keeps = "logits_to_keep" in inspect.signature(base_of(model).forward).parameters
    with in_evaluation_mode(model), torch.no_grad(), explained_out_of_memory(batch_tokens, length):
        for picked in by_tokens(length, batch_tokens):
            batch = collate([rows[i] for i in picked], pad_id, loss_on)
            losses, row = _token_losses(model, batch, keeps)
            nats[picked] = np.bincount(row, weights=losses, minlength=len(picked))
            tokens[picked] = np.bincount(row, minlength=len(picked))
            done += len(picked)
            if progress:
                progress(done, len(rows))
    return nats, tokens


def loss_of_examples(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    max_length: int,
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Tally, set[int]]:
    """The answer loss of every example whose answer fits, and the ids that answers end with.

    `max_length` bounds prompt and answer together. The other examples count for nothing and are named.
    """
    rows, left_out = encode(examples, tokenizer, max_length)
    place = {example.id: i for i, example in enumerate(examples)}
    nats, tokens = np.zeros(len(examples)), np.zeros(len(examples), dtype=np.int64)
    scored = [place[row.id] for row in rows]
    nats[scored], tokens[scored] = answer_losses(
        model, rows, pad_id=pad_id_of(tokenizer), batch_tokens=batch_tokens, progress=progress
    )
    tally = answer_loss_tally(
        nats,
        tokens,
        rule=loss_rule(examples[0]),
        max_length=max_length,
        prompts_cut=sum(row.cut_tokens > 0 for row in rows),
        left_out=left_out,
    )
    return tally, {row.input_ids[-1] for row in rows}


def _token_losses(model: torch.nn.Module, batch: dict[str, Tensor], keeps: bool) -> tuple[Array, NDArray[np.int64]]:
    """Nats of each labelled token of a batch and the row it stands in, each (M,).

    `keeps`: the model can leave out the logits before the first answer, so that nothing of size (B, T, V) arises.
    """
    device = next(model.parameters()).device
    labels = batch["labels"]
    first = int((labels[:, 1:] != IGNORED).any(dim=0).int().argmax()) + 1  # column of the first label in any row
    labels = labels[:, first:]
    width = labels.shape[1] + 1  # the logits that predict column c stand at c - 1; the last column predicts nothing
    logits = model(
        input_ids=batch["input_ids"].to(device),
        attention_mask=batch["attention_mask"].to(device),
        use_cache=False,
        **({"logits_to_keep": width} if keeps else {}),
    ).logits
    labelled = labels != IGNORED
    picked = logits[:, -width:-1][labelled.to(logits.device)]
    losses = cross_entropy(picked.float(), labels[labelled].to(logits.device), reduction="none")
    return losses.double().cpu().numpy(), labelled.nonzero()[:, 0].numpy()


ANSWER = "the target (the first reference) with its end of sequence, after its prompt"
TURNS = "every assistant turn with its end of turn, after the turns before it"
TEXT = "every token of the text but the first, with its end of sequence"


def loss_rule(example: Example) -> str:
    """What the answer loss of such examples is taken on, for the record."""
    return TURNS if example.messages else TEXT if example.is_text else ANSWER


def answer_loss_tally(nats: Array, tokens: NDArray[np.int64], *, rule: str = ANSWER, **settings: Any) -> Tally:
    """The corpus loss in nats per answer token, as a ratio of sums; examples without tokens were not scored."""
    scored = tokens > 0
    return Tally(
        name="answer_loss",
        unit="nats per answer token",
        higher_is_better=False,
        statistics=np.stack([nats[scored], tokens[scored]], axis=1).astype(np.float64),
        finish=per_token,
        per_example=np.divide(nats, tokens, out=np.full(len(nats), np.nan), where=scored),
        settings={"rule": rule, "tokens": int(tokens.sum()), **settings},
    )


def per_token(sums: Array, n: int) -> Array:
    """Nats over tokens; sums: (..., 2)."""
    result: Array = sums[..., 0] / sums[..., 1]
    return result
