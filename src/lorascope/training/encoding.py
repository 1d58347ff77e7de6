"""From examples to token ids. Training and evaluation get the ids of a prompt from here, so that they are the same.

A prompt with its answer: ids(prompt) + ids(answer) + end-of-sequence, encoded apart and joined, so that training sees
exactly the prompt ids that generation will see. A chat: what the tokenizer's chat template makes of it. A plain text
(an example without prompt): its ids + end-of-sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from transformers import PreTrainedTokenizerBase

from lorascope.errors import DataError
from lorascope.tasks.base import Example
from lorascope.training.chats import chat_ids, chat_prompt_ids

VERSION = 1
"""Raised whenever the same example would get other ids, or other labels."""
CHUNK = 1000
"""Examples that a tokenizer gets at once."""

Spans = tuple[tuple[int, int], ...]
"""[start, end) of stretches of tokens, in order and apart."""


@dataclass(frozen=True)
class Encoded:
    """One example as token ids, and where in them the answers are."""

    id: str
    input_ids: list[int]
    answers: Spans
    """Every answer with what ends it: one for a prompt, one for each assistant turn of a chat. Of a plain text, all but
    the first token, which nothing predicts."""
    cut_tokens: int
    """Tokens that were cut to fit, at the start of a prompt or a chat, at the end of a plain text; 0 for most rows."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens before the last answer: what generation gets."""
        return self.answers[-1][0]

    def labelled(self, loss_on: str) -> Spans:
        """The tokens that carry the loss: the answers, or ("all") every token."""
        return ((0, len(self.input_ids)),) if loss_on == "all" else self.answers


def encode(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Encoded], list[str]]:
    """Encode examples; returns them and the ids of those that were left out because the answer alone does not fit.

    A prompt or a chat that is too long is cut at its start: the last answer, its end and the prompt's last line stay. A
    plain text is cut at its end. `progress(done)` is called now and then. Errors: DataError where no row fits, or a
    chat template refuses one; ModelError where chats meet a tokenizer without template.
    """
    rows: list[Encoded] = []
    left_out: list[str] = []
    for some, others in in_chunks(examples, tokenizer, max_length):
        rows += some
        left_out += others
        if progress:
            progress(len(rows) + len(left_out))
    if not rows:
        raise none_fits(max_length)
    return rows, left_out


def none_fits(max_length: int) -> DataError:
    """The error where every answer alone is too long."""
    return DataError(
        "too-long",
        f"no row fits: every answer alone is longer than max_length {max_length}",
        f"--max_length {2 * max_length}",
    )


def in_chunks(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Iterator[tuple[list[Encoded], list[str]]]:
    """Encoded rows and ids of rows left out, as of `encode`, CHUNK examples at a time."""
    for start in range(0, len(examples), CHUNK):
        chunk = examples[start : start + CHUNK]
        fitted = [fit for kind in _by_kind(chunk) for fit in _encode_alike(kind, tokenizer, max_length)]
        yield (
            [row for row in fitted if row is not None],
            [example.id for example, row in zip(chunk, fitted, strict=True) if row is None],
        )


def prompt_ids(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Ids that come before each example's (last) answer, in training and in generation alike, before they are cut."""
    rows: list[list[int]] = []
    for kind in _by_kind(examples):
        if kind[0].messages:
            rows += chat_prompt_ids(kind, tokenizer)
        else:
            rows += encode_prompts([example.prompt for example in kind], tokenizer)
    return rows


def encode_prompts(prompts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Ids of texts as the model sees them: with the tokenizer's beginning of sequence, without its end."""
    if not prompts:
        return []
    # verbose: a prompt is cut to fit only after this, so the warning that it is too long would be untrue
    rows: list[list[int]] = tokenizer(list(prompts), verbose=False)["input_ids"]
    # T5-like templates and add_eos_token=True close every text
    return [ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids for ids in rows]


def cut_prompt(ids: list[int], length: int, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The last `length` ids of a prompt; a beginning-of-sequence token stays in front."""
    if len(ids) <= length:
        return ids
    if length > 1 and ids[0] == tokenizer.bos_token_id is not None:
        return [ids[0], *ids[len(ids) - length + 1 :]]
    return ids[len(ids) - length :]


def pieces(row: Encoded, tokenizer: PreTrainedTokenizerBase, loss_on: str) -> list[tuple[str, bool]]:
    """A row as text, special tokens written out, in stretches: (text, whether it carries the loss)."""
    ends = [0]
    for start, end in row.labelled(loss_on):
        ends += [max(start, 1) if loss_on == "all" else start, end]  # nothing predicts the first token
    ends.append(len(row.input_ids))
    found = []
    for number, (start, end) in enumerate(pairwise(ends)):
        if start < end:
            found.append((_text_between(row.input_ids, start, end, tokenizer), number % 2 == 1))
    return found


def _text_between(ids: list[int], start: int, end: int, tokenizer: PreTrainedTokenizerBase) -> str:
    """What tokens add to the text before them: a tokenizer may drop the space in front of a text's first token."""
    before, whole = (str(tokenizer.decode(ids[:n], clean_up_tokenization_spaces=False)) for n in (start, end))
    if whole.startswith(before):
        return whole[len(before) :]
    return str(tokenizer.decode(ids[start:end], clean_up_tokenization_spaces=False))


def _by_kind(examples: Sequence[Example]) -> Iterator[list[Example]]:
    """Runs of examples of one kind; data of one source have one."""
    return (list(alike) for _, alike in groupby(examples, key=lambda e: (bool(e.messages), e.is_text)))


def _encode_alike(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[Encoded | None]:
    """Examples of one kind, encoded; None for each whose answer alone does not fit."""
    if examples[0].is_text:
        texts = encode_prompts([example.target for example in examples], tokenizer)
        return [
            _text(example.id, [*ids, tokenizer.eos_token_id], max_length)
            for example, ids in zip(examples, texts, strict=True)
        ]
    rows = chat_ids(examples, tokenizer) if examples[0].messages else _asked(examples, tokenizer)
    return [
        _fit(example.id, ids, answers, tokenizer, max_length)
        for example, (ids, answers) in zip(examples, rows, strict=True)
    ]


def _asked(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[list[int], Spans]]:
    """Ids of prompt, answer and end of sequence, and where the answer is."""
    prompts = prompt_ids(examples, tokenizer)
    targets = tokenizer([example.target for example in examples], add_special_tokens=False, verbose=False)["input_ids"]
    for prompt, target in zip(prompts, targets, strict=True):
        ids = [*prompt, *target, tokenizer.eos_token_id]
        yield ids, ((len(prompt), len(ids)),)


def _text(name: str, ids: list[int], max_length: int) -> Encoded | None:
    kept = ids[:max_length]
    return Encoded(name, kept, ((1, len(kept)),), len(ids) - len(kept)) if len(kept) > 1 else None


def _fit(
    name: str, ids: list[int], answers: Spans, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Encoded | None:
    """A row cut at its start to `max_length`; None where not one token of the prompt would stay."""
    asked, cut = answers[-1][0], max(0, len(ids) - max_length)
    if cut >= asked:
        return None
    if not cut:
        return Encoded(name, ids, answers, 0)
    kept = cut_prompt(ids[:asked], asked - cut, tokenizer) + ids[asked:]
    moved = ((max(start - cut, 1), end - cut) for start, end in answers)  # nothing predicts the first token
    return Encoded(name, kept, tuple((start, end) for start, end in moved if start < end), cut)
