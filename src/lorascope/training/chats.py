"""Chats through the tokenizer's chat template: what generation is given, and which part of a chat is an answer.

The template is asked for text, never for a mask: the prompt is what it makes of the turns before the last answer, with
the opening of an assistant's turn; it must be the beginning of what it makes of the whole chat. The template's own
tokens open and close the text, so the tokenizer adds none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from lorascope.errors import DataError, ModelError
from lorascope.tasks.base import Example, Message

_THOUGHT = "</think>"
"""Some templates take the reasoning in front of this out of an answer, except out of the last one."""


@dataclass(frozen=True)
class Chat:
    """A chat as its template writes it, up to the last answer's end."""

    text: str
    prompt: str
    """The beginning of `text` that generation is given."""
    earlier: tuple[tuple[int, int], ...]
    """[start, end) in `prompt` of each answer before the last one, with its end of turn."""
    end: int | None
    """Id of the token that ends an assistant's turn, the last one of `text`; None where the template has none."""


def chat_ids(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase
) -> list[tuple[list[int], tuple[tuple[int, int], ...]]]:
    """Ids of each chat up to the end of its last answer, and [start, end) of every answer with its end of turn.

    The ids of the prompt are those of `chat_prompt_ids`, always. What follows is tokenised together with it, so that
    an answer has the tokens that the template's users see; it is tokenised apart where a token would lie across the
    seam. A template without an end of turn: end of sequence ends the last answer, nothing the earlier ones.
    """
    chats = [read_chat(example, tokenizer) for example in examples]
    prompts = _batch(chats, [chat.prompt for chat in chats], tokenizer)
    wholes = tokenizer([chat.text for chat in chats], add_special_tokens=False, verbose=False)["input_ids"]
    rows = []
    for chat, (prompt, earlier), whole in zip(chats, prompts, wholes, strict=True):
        ids = whole
        if whole[: len(prompt)] != prompt:
            rest = chat.text[len(chat.prompt) :]
            ids = prompt + tokenizer(rest, add_special_tokens=False, verbose=False)["input_ids"]
        if chat.end is None:
            ids = [*ids, tokenizer.eos_token_id]
        rows.append((ids, (*earlier, (len(prompt), len(ids)))))
    return rows


def chat_prompt_ids(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Ids of each chat's turns before the last answer, with the opening of an assistant's turn."""
    prompts = [_prompt(example, tokenizer) for example in examples]
    ids: list[list[int]] = tokenizer(prompts, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def read_chat(example: Example, tokenizer: PreTrainedTokenizerBase) -> Chat:
    """A chat through the template. Errors: ModelError without a template, DataError where it refuses the turns."""
    turns = example.messages
    prompt = _prompt(example, tokenizer)
    text = _written(turns, tokenizer, example)
    if not text.startswith(prompt):
        raise _unfit(tokenizer, example, "begins a chat otherwise than the prompt of its last answer")
    found = _places(text, turns, tokenizer, example)
    (_, stop), earlier = found[-1], found[:-1]
    if stop < len(prompt) or any(end > len(prompt) for _, end in earlier):
        raise _unfit(tokenizer, example, "writes the answers in another order than the turns")
    mark = _closing(text[stop:], tokenizer)
    end: int | None = None
    if mark is not None:
        stop = text.index(mark, stop) + len(mark)
        ids: Any = tokenizer.convert_tokens_to_ids(mark)
        end = int(ids)
        earlier = [(start, _with_mark(text, last, mark)) for start, last in earlier]
    return Chat(text[:stop], prompt, tuple(earlier), end)


def template_notes(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """What a user of the template should know."""
    if "strftime_now" not in str(tokenizer.chat_template):
        return ()
    return ("the chat template writes today's date into prompts: on another day the same rows have other tokens",)


def _prompt(example: Example, tokenizer: PreTrainedTokenizerBase) -> str:
    return _written(example.messages[:-1], tokenizer, example, prompt=True)


def _written(
    turns: Sequence[Message], tokenizer: PreTrainedTokenizerBase, example: Example, *, prompt: bool = False
) -> str:
    """The turns as the template writes them; with `prompt`, an assistant's turn is opened behind them."""
    if not tokenizer.chat_template:
        raise ModelError(
            "no-chat-template",
            f"the data are chats, and the tokenizer of {tokenizer.name_or_path} has no chat template",
            "--model, one that was trained on chats: its tokenizer has a template",
            "a file with the columns prompt and target instead of messages: any model does",
        )
    try:
        return _apply(turns, tokenizer, prompt)
    except Exception as error:  # a template is foreign code: whatever it raises is its refusal
        rest = [turn for turn in turns if turn.role != "system"]
        if len(rest) < len(turns) and _takes(rest, tokenizer, prompt):
            raise DataError(
                "chat-template",
                f"the chat template of {tokenizer.name_or_path} takes no system turn, and row {example.id!r} has one "
                f"(it says: {error})",
                "the system turn's text at the beginning of the first user turn, and no system turn",
            ) from error
        raise _unfit(tokenizer, example, f"refuses it: {error}") from error


def _apply(turns: Sequence[Message], tokenizer: PreTrainedTokenizerBase, prompt: bool) -> str:
    plain: list[dict[str, str]] = [{"role": turn.role, "content": turn.content} for turn in turns]
    return str(tokenizer.apply_chat_template(plain, add_generation_prompt=prompt, tokenize=False))


def _takes(turns: Sequence[Message], tokenizer: PreTrainedTokenizerBase, prompt: bool) -> bool:
    try:
        _apply(turns, tokenizer, prompt)
    except Exception:
        return False
    return True


def _places(
    text: str, turns: Sequence[Message], tokenizer: PreTrainedTokenizerBase, example: Example
) -> list[tuple[int, int]]:
    """[start, end) in `text` of what each assistant turn says.

    The turns are written once more with marks around what the assistant says; without the marks the two texts must be
    the same. Templates trim answers, or take the reasoning out of them, so the marks are tried at three places.
    """
    left, right = (_foreign(sign, turns) for sign in ("openinglorascope", "closinglorascope"))
    for inner in (_all_of_it, _trimmed, _after_reasoning):
        marked = []
        for turn in turns:
            before, said = inner(turn.content)
            content = f"{before}{left}{said}{right}" if turn.role == "assistant" else turn.content
            marked.append(replace(turn, content=content))
        written = _written(marked, tokenizer, example)
        if written.replace(left, "").replace(right, "") == text:
            answers = written.split(left)[1:]
            if len(answers) == sum(turn.role == "assistant" for turn in turns) and all(right in a for a in answers):
                return _unmarked(written, left, right)
    raise _unfit(tokenizer, example, "does not show every answer once, as it was said")


def _all_of_it(content: str) -> tuple[str, str]:
    return "", content


def _trimmed(content: str) -> tuple[str, str]:
    return "", content.strip()


def _after_reasoning(content: str) -> tuple[str, str]:
    before, thought, said = content.rpartition(_THOUGHT)
    return before + thought, said.strip()


def _foreign(sign: str, turns: Sequence[Message]) -> str:
    """A mark that no turn holds; letters alone, so that no template escapes or trims it."""
    while any(sign in turn.content for turn in turns):
        sign += "x"
    return sign


def _unmarked(written: str, left: str, right: str) -> list[tuple[int, int]]:
    """[start, end) of what stands between the marks, in the text without marks."""
    head, *answers = written.split(left)
    places, at = [], len(head)
    for answer in answers:
        said, rest = answer.split(right)
        places.append((at, at + len(said)))
        at += len(said) + len(rest)
    return places


def _closing(rest: str, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The special token that follows an answer, white space apart."""
    known = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
    follows = [token for token in known if token.strip() and rest.lstrip().startswith(token)]
    return max(follows, key=len, default=None)


def _with_mark(text: str, end: int, mark: str) -> int:
    """The end of an earlier answer, with the end of turn where the template writes it there."""
    place = text.find(mark, end)
    return place + len(mark) if place >= 0 and not text[end:place].strip() else end


def _batch(
    chats: Sequence[Chat], prompts: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> list[tuple[list[int], tuple[tuple[int, int], ...]]]:
    """Ids of the prompts, and where the earlier answers stand in them, by tokens."""
    if not any(chat.earlier for chat in chats):
        ids = tokenizer(list(prompts), add_special_tokens=False, verbose=False)["input_ids"]
        return [(row, ()) for row in ids]
    if not tokenizer.is_fast:
        raise ModelError(
            "slow-tokenizer",
            f"the tokenizer of {tokenizer.name_or_path} does not tell which letters a token stands for, so the answers "
            "inside of a chat cannot be found",
            "chats with one answer each",
            "--model, one with a tokenizer.json",
        )
    encoded = tokenizer(list(prompts), add_special_tokens=False, verbose=False, return_offsets_mapping=True)
    return [
        (ids, tuple(_by_tokens(place, offsets) for place in chat.earlier))
        for chat, ids, offsets in zip(chats, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def _by_tokens(place: tuple[int, int], offsets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """[start, end) in tokens of a place in letters: every token that holds one of its letters."""
    start, end = place
    inside = [i for i, (first, last) in enumerate(offsets) if last > start and first < end]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def _unfit(tokenizer: PreTrainedTokenizerBase, example: Example, what: str) -> DataError:
    roles = ", ".join(turn.role for turn in example.messages)
    return DataError(
        "chat-template",
        f"row {example.id!r} ({roles}): the chat template of {tokenizer.name_or_path} {what}",
        "an optional system turn first, then user and assistant in turns",
        "a file with the columns prompt and target instead of messages",
    )
