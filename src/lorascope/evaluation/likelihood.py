"""Classification by likelihood: of a closed set of labels, the one that the model finds the most probable.

A label's probability is that of the label and its end of sequence after the very ids that the prompt has in training:
the probability of the whole answer, which no length has to be divided out of. Legend: B rows, K labels, T tokens, V
vocabulary, n examples.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

from lorascope.errors import ConfigError
from lorascope.evaluation.answer_loss import answer_losses
from lorascope.evaluation.batches import BATCH_TOKENS, by_tokens
from lorascope.evaluation.decode import pad_left
from lorascope.evaluation.generate import base_of, explained_out_of_memory, in_evaluation_mode, pad_id_of
from lorascope.evaluation.metrics.accuracy import judge_labels, label_of
from lorascope.evaluation.metrics.base import Array, Tally, mean_tally
from lorascope.tasks.base import Example
from lorascope.training.batching import IGNORED
from lorascope.training.encoding import Encoded, cut_prompt, encode, none_fits

NAME = "accuracy_likelihood"
RULE = "the label of the largest log-likelihood, a sum over its tokens and its end of sequence; of equals the first"
CHUNK = 1000
"""Examples whose prompts and answers are in memory at once."""


@dataclass(frozen=True, kw_only=True)
class LabelLosses:
    """How improbable every label is as the answer to every example."""

    nats: Array
    """(n, K): negative log-likelihood of label and end of sequence, given the prompt."""
    tokens: NDArray[np.int64]
    """(n, K): tokens that these are sums over."""
    prompts_cut: int
    """Prompts that lost their start, so that the longest label fits; all labels of an example see the same prompt."""


def label_losses(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    labels: Sequence[str],
    *,
    max_length: int,
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int, int], None] | None = None,
) -> LabelLosses:
    """Nats of every label as the answer to every example, encoded as in training; `max_length` bounds the whole row.

    A prompt goes through the model once, and the labels follow from its keys and values; a model that keeps none reads
    the prompt anew for each label. Softmax and sums are float32 whatever the model's dtype. The model is afterwards as
    before. `progress(done, n)` is called after each batch. Errors: ConfigError without labels, DataError where a label
    alone does not fit, TrainingError where memory does not suffice.
    """
    if not labels:
        raise ConfigError("no-labels", f"{NAME} needs a closed set of labels, and the task has none")
    losses = _after_one_reading if "past_key_values" in _arguments(model) else _read_again_and_again
    before, after = _margins(examples)
    spelt = [f"{before}{label}{after}" for label in labels]
    nats = np.zeros((len(examples), len(labels)))
    tokens = np.zeros(nats.shape, dtype=np.int64)
    pad_id, cut = pad_id_of(tokenizer), 0
    with in_evaluation_mode(model), torch.no_grad(), explained_out_of_memory(batch_tokens, (max_length,)):
        for start in range(0, len(examples), CHUNK):
            asked = _ask(examples[start : start + CHUNK], spelt, tokenizer, max_length)
            tokens[start : start + len(asked)] = [[len(answer) for answer in one.answers] for one in asked]
            cut += sum(one.cut for one in asked)
            done = start
            lengths = [len(one.prompt) + max(map(len, one.answers)) for one in asked]
            for picked in by_tokens(lengths, batch_tokens):
                nats[[start + i for i in picked]] = losses(model, [asked[i] for i in picked], pad_id)
                done += len(picked)
                if progress:
                    progress(done, len(examples))
    return LabelLosses(nats=nats, tokens=tokens, prompts_cut=cut)


def likelihood_tally(losses: LabelLosses, examples: Sequence[Example], labels: Sequence[str], **settings: Any) -> Tally:
    """Share of examples whose most probable label is right, in percent.

    The settings have the confusion matrix and the counts per label that those of `accuracy` have.
    """
    found = [label_of(labels[i], labels) for i in losses.nats.argmin(axis=1)]
    hits, facts = judge_labels(found, examples, labels)
    about = {
        "rule": RULE,
        "tokens": dict(zip(labels, losses.tokens[0].tolist(), strict=True)),
        "prompts_cut": losses.prompts_cut,
        **settings,
        **facts,
    }
    return mean_tally(NAME, [100.0 * hit for hit in hits], unit="%", settings=about)


@dataclass(frozen=True)
class _Asked:
    """One example: the prompt's ids, and every label's with its end of sequence."""

    prompt: list[int]
    answers: list[list[int]]
    cut: bool


def _ask(
    examples: Sequence[Example], labels: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[_Asked]:
    """The ids of training, the prompt cut as there, to the room that the longest label leaves."""
    rows = [encode([_answered(e, label) for e in examples], tokenizer, sys.maxsize)[0] for label in labels]
    asked = []
    for same in zip(*rows, strict=True):
        answers = [row.input_ids[row.prompt_tokens :] for row in same]
        room = max_length - max(map(len, answers))
        if room < 1:
            raise none_fits(max_length)
        prompt = same[0].input_ids[: same[0].prompt_tokens]
        asked.append(_Asked(cut_prompt(prompt, room, tokenizer), answers, len(prompt) > room))
    return asked


def _answered(example: Example, label: str) -> Example:
    """The example with a label as its answer."""
    turns = example.messages
    return replace(example, target=label, messages=(*turns[:-1], replace(turns[-1], content=label)) if turns else ())


def _margins(examples: Sequence[Example]) -> tuple[str, str]:
    """White space before and after the answers, as most of them have it: labels are learnt with it."""
    found = Counter(example.target.partition(example.target.strip())[::2] for example in examples)
    return found.most_common(1)[0][0]


def _after_one_reading(model: torch.nn.Module, asked: Sequence[_Asked], pad_id: int) -> Array:
    """(B, K) nats; every prompt is read once, padded at its start, so that all labels begin at one column."""
    device = next(model.parameters()).device
    takes = _arguments(model)
    ids, mask = (t.to(device) for t in pad_left([one.prompt for one in asked], pad_id))
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    read = model(
        input_ids=ids,
        attention_mask=mask,
        use_cache=True,
        **({"position_ids": places} if "position_ids" in takes else {}),
        **({"logits_to_keep": 1} if "logits_to_keep" in takes else {}),
    )
    nats = np.zeros((len(asked), len(asked[0].answers)))
    for k in range(nats.shape[1]):
        answers = _pad_right([one.answers[k] for one in asked], IGNORED).to(device)
        logits = read.logits[:, -1:]
        if answers.shape[1] > 1:  # what ends the longest answer predicts nothing
            given = answers[:, :-1]
            here = (given != IGNORED).long()
            at = places[:, -1:] + here.cumsum(dim=1)
            more = model(
                input_ids=given.masked_fill(given == IGNORED, pad_id),
                attention_mask=torch.cat([mask, here], dim=1),
                past_key_values=copy.deepcopy(read.past_key_values),  # it grows while it is used
                use_cache=True,
                **({"position_ids": at} if "position_ids" in takes else {}),
            )
            logits = torch.cat([logits, more.logits], dim=1)
        each = cross_entropy(
            logits.float().transpose(1, 2), answers.to(logits.device), ignore_index=IGNORED, reduction="none"
        )
        nats[:, k] = each.double().sum(dim=1).cpu().numpy()
    return nats


def _read_again_and_again(model: torch.nn.Module, asked: Sequence[_Asked], pad_id: int) -> Array:
    """(B, K) nats; prompt and label together, for each label apart."""
    nats = np.zeros((len(asked), len(asked[0].answers)))
    for k in range(nats.shape[1]):
        rows = [
            Encoded("", one.prompt + one.answers[k], ((len(one.prompt), len(one.prompt) + len(one.answers[k])),), 0)
            for one in asked
        ]
        nats[:, k], _ = answer_losses(model, rows, pad_id=pad_id, batch_tokens=sys.maxsize)
    return nats


def _pad_right(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """(B, T) int64, filled at the end to the longest row."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])


def _arguments(model: torch.nn.Module) -> set[str]:
    """What the Transformers model inside takes."""
    return set(inspect.signature(base_of(model).forward).parameters)
