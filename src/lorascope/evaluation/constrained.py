"""Constrained decoding: of the tokens that keep an answer within its task's grammar, always the most probable one.

A grammar is about letters and a model says tokens, so every token is looked at as the bytes that it writes. Legend: B
rows, T tokens, V vocabulary.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from lorascope.errors import ConfigError
from lorascope.evaluation.metrics import no_grammar
from lorascope.tasks.base import Example, Grammar, Task

CONSTRAINED = "_constrained"
"""Behind the names of scores of such answers."""
BLANK = "\u2581"
"""A space in SentencePiece's pieces."""
BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""A piece that is one byte."""
AT_ONCE = 64
"""The most probable tokens, which are looked at one by one before all are searched."""
PROBE = 'SELECT MAX a-b FROM table WHERE no. > "3"'
"""A text that its tokens must spell, or the tokenizer is not understood."""


class Constraint:
    """What the answers to some examples are held to."""

    def __init__(
        self,
        grammars: Sequence[Grammar],
        tokenizer: PreTrainedTokenizerBase,
        *,
        stop: str | None = None,
        ends: Collection[int],
    ) -> None:
        """`grammars`: one for each example. An answer ends with an id of `ends`, or in front of `stop`. ConfigError."""
        self.grammars = grammars
        self.pieces = token_bytes(tokenizer)
        self._sorted = sorted((piece, i) for i, piece in enumerate(self.pieces) if piece)
        self.stop = stop.encode() if stop else b""
        self.ends = sorted(ends)
        self.stuck: set[int] = set()
        """Examples whose answer was ended, since no token could go on: the tokenizer cannot write what is asked for."""

    def allows(self, example: int, answer: Sequence[int], token: int) -> bool:
        """Whether the answer to an example, so far these ids, may go on with this token."""
        grammar, said = self.grammars[example], self._said(answer)
        if token in self.ends:
            return grammar.accepts(_trimmed(said))
        piece = self.pieces[token] if token < len(self.pieces) else None
        return bool(piece) and self._fits(grammar, said + (piece or b""))

    def allowed(self, example: int, answer: Sequence[int]) -> Iterator[int]:
        """All tokens that `allows` allows: pieces in the order of their bytes, left out together from the first byte on
        that does not fit."""
        grammar, said = self.grammars[example], self._said(answer)
        if grammar.accepts(_trimmed(said)):
            yield from self.ends
        todo = [(0, len(self._sorted), 0)]  # [start, end) of pieces that begin alike, in so many bytes
        while todo:
            start, end, depth = todo.pop()
            while start < end and len(self._sorted[start][0]) == depth:
                yield self._sorted[start][1]
                start += 1
            while start < end:
                piece = self._sorted[start][0]
                after = bisect_right(self._sorted, piece[depth], start, end, key=lambda pair: pair[0][depth])
                if self._fits(grammar, said + piece[: depth + 1]):
                    todo.append((start, after, depth + 1))
                start = after

    def choose(self, example: int, answer: Sequence[int], scores: Tensor) -> int:
        """The token of the largest score, of those that are allowed; scores: (V,)."""
        for token in scores.topk(min(AT_ONCE, len(scores))).indices.tolist():
            if self.allows(example, answer, token):
                return int(token)
        tokens = [token for token in self.allowed(example, answer) if token < len(scores)]
        if tokens:
            return tokens[int(scores[tokens].argmax())]
        self.stuck.add(example)
        return self.ends[0]

    def has_ended(self, answer: Sequence[int]) -> bool:
        """Whether nothing that follows these ids counts."""
        said = _trimmed(self._said(answer))
        return any(token in self.ends for token in answer) or (bool(self.stop) and self.stop in said)

    def named(self, examples: Sequence[Example]) -> list[str]:
        """Ids of the examples that are `stuck`."""
        return [examples[i].id for i in sorted(self.stuck)]

    def processor(self, examples: Sequence[int], prompt_tokens: int) -> LogitsProcessor:
        """For Transformers' `generate`: the rows of its batch answer these examples, after so many tokens."""
        return _Processor(self, examples, prompt_tokens)

    def _fits(self, grammar: Grammar, said: bytes) -> bool:
        """Whether an answer can begin so, or ends here in front of the stop text or its beginning."""
        text = _trimmed(said)
        if self.stop and self.stop in text:
            return grammar.accepts(text.split(self.stop)[0])
        return grammar.begins(text) or any(
            text.endswith(self.stop[:n]) and grammar.accepts(text[:-n]) for n in range(1, len(self.stop))
        )

    def _said(self, answer: Sequence[int]) -> bytes:
        return b"".join(self.pieces[token] or b"" for token in answer if token < len(self.pieces))


class _Processor(LogitsProcessor):
    """Leaves one token to choose from."""

    def __init__(self, constraint: Constraint, examples: Sequence[int], prompt_tokens: int) -> None:
        self.constraint, self.examples, self.prompt_tokens = constraint, examples, prompt_tokens

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """(B, T) ids so far and (B, V) scores -> (B, V) scores."""
        only = torch.full_like(scores, -torch.inf)
        for row, (example, ids) in enumerate(zip(self.examples, input_ids.tolist(), strict=True)):
            answer = ids[self.prompt_tokens :]
            if self.constraint.has_ended(answer):
                only[row] = scores[row]
            else:
                only[row, self.constraint.choose(example, answer, scores[row])] = 0
        return only


def grammars_of(task: Task, examples: Sequence[Example]) -> list[Grammar]:
    """The grammar of every example's answers. ConfigError where the task has none."""
    if task.grammar is None:
        raise no_grammar(task)
    return [task.grammar(example) for example in examples]


def token_bytes(tokenizer: PreTrainedTokenizerBase) -> list[bytes | None]:
    """What every token writes, by id; None for special tokens, which write nothing. ConfigError for unknown kinds."""
    spell = _speller(tokenizer)
    added = tokenizer.added_tokens_decoder
    special = {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}
    pieces: list[bytes | None] = []
    for i, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        if token is None or i in special:
            pieces.append(None)
        else:
            pieces.append(str(token).encode() if i in added else spell(str(token)))
    ids = tokenizer(PROBE, add_special_tokens=False, verbose=False)["input_ids"]
    if b"".join(pieces[i] or b"" for i in ids).removeprefix(b" ") != PROBE.encode():
        raise _unknown(tokenizer)
    return pieces


def _speller(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], bytes | None]:
    """What turns a token's name into its bytes: the tokenizer's decoder tells how names are to be read."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    kinds = set(_kinds(json.loads(decoder.__getstate__()))) if decoder is not None else set()
    if "ByteLevel" in kinds:
        return _from_letters
    if "Metaspace" in kinds or "ByteFallback" in kinds:
        return _from_piece
    raise _unknown(tokenizer)


def _kinds(decoder: Mapping[str, Any]) -> Iterator[str]:
    """The kinds of a decoder and of its parts."""
    yield decoder["type"]
    for part in decoder.get("decoders", ()):
        yield from _kinds(part)


def _from_letters(token: str) -> bytes | None:
    """Byte-level BPE: a letter for every byte."""
    letters = _byte_letters()
    return bytes(letters[letter] for letter in token) if letters.keys() >= set(token) else None


def _from_piece(token: str) -> bytes:
    """SentencePiece: text with another sign for the space, or one byte."""
    byte = BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(BLANK, " ").encode()


@cache
def _byte_letters() -> dict[str, int]:
    """GPT-2's letters for bytes: a printable byte is its own, the others follow from code point 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def _unknown(tokenizer: PreTrainedTokenizerBase) -> ConfigError:
    return ConfigError(
        "constrained-tokenizer",
        f"the tokenizer of {tokenizer.name_or_path or 'this model'} does not tell what its tokens write: constrained "
        "decoding reads byte-level and SentencePiece vocabularies",
        "leave --constrained out",
    )


def _trimmed(text: bytes) -> bytes:
    """Without the space that some tokenizers put in front of an answer."""
    return text.removeprefix(b" ")
