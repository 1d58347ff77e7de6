"""Data of one's own: what kind of rows the columns make, and a record of a file as a row.

Three kinds. A pair is a prompt and its answer, or several right answers:

    {"prompt": "Capital of France?", "target": "Paris"}
    {"question": "Capital of France?", "answer": ["Paris", "It is Paris."]}    named by --prompt_column, --target_column

A chat ends with the assistant's last turn; what comes after it is not used:

    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}

A text is learnt as it is:

    {"text": "Once upon a time ..."}

The kind is read off the first record and holds for all. Columns are never guessed: an answer that is taken for a part
of the prompt trains something else, and nobody sees it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lorascope.config.experiment import DataConfig
from lorascope.errors import ConfigError, DataError, near
from lorascope.tasks.base import Row
from lorascope.tasks.files import Record, wrong
from lorascope.tasks.template import Template, parse, unknown_column

Kind = Literal["pair", "chat", "text"]

ROLES = ("system", "user", "assistant")

_ASKED = (
    *("prompt", "question", "instruction", "input", "query", "source"),
    *("document", "article", "dialogue", "sentence", "context", "text"),
)
_ANSWERED = (
    *("target", "answer", "answers", "output", "response", "completion"),
    *("label", "summary", "highlights", "translation", "reply", "chosen"),
)
"""What such columns are usually called, the likelier first: for the error that says what to type, not for guessing."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a row of one's own data is made of."""

    kind: Kind
    prompt: str = ""
    """Column of the prompt, where `template` does not make it of several."""
    target: str = ""
    template: Template | None = None

    @property
    def words(self) -> str:
        """The kind, in words."""
        if self.kind == "chat":
            return "chats in column messages, with the loss on every turn of the assistant"
        if self.kind == "text":
            return "plain text in column text, with the loss on all of it"
        asked = f"{', '.join(self.template.columns)} in a template" if self.template else self.prompt
        return f"column {self.target} answers {asked}"

    @property
    def missing(self) -> str:
        """What a row that cannot be used has none of."""
        return {"chat": "messages", "text": "text"}.get(self.kind, f"{self.prompt or 'prompt'} or {self.target}")


def recognise(first: Record, data: DataConfig) -> Columns:
    """The kind of the rows, from the first record and the flags. DataError `no-column` says what to type."""
    names = list(map(str, first.fields))
    if data.prompt_template is not None:
        template = parse(data.prompt_template)
        if error := unknown_column(template, names, first.where):
            raise error
        target = _named(first, data.target_column, "target_column", "target")
        if target in template.columns:
            raise ConfigError(
                "template", f"prompt_template gives the answer away: it holds {{{target}}}", "--target_column COLUMN"
            )
        return Columns(kind="pair", target=target, template=template)
    if data.prompt_column is not None or data.target_column is not None:
        prompt = _named(first, data.prompt_column, "prompt_column", "prompt")
        target = _named(first, data.target_column, "target_column", "target")
        if prompt == target:
            raise ConfigError(
                "flags-exclude", f"column {prompt!r} cannot be prompt and answer at once", "--target_column COLUMN"
            )
        return Columns(kind="pair", prompt=prompt, target=target)
    if "messages" in names:
        return Columns(kind="chat")
    if "prompt" in names and "target" in names:
        return Columns(kind="pair", prompt="prompt", target="target")
    if "text" in names and not _likely(names, _ANSWERED):
        return Columns(kind="text")
    raise _no_kind(first, names)


def to_row(record: Record, columns: Columns, number: str) -> Row | None:
    """One record as a row, or None where it is whole and has nothing to learn: an empty prompt, answer or text.

    Rows: {"id", "prompt", "target", "references"}, {"id", "messages", "more"} or {"id", "text"}. The id is the record's
    own where it is a text or a whole number, else `number`. Raises DataError for values that are no text.
    """
    id = record.fields.get("id")
    id = str(id) if isinstance(id, (str, int)) and not isinstance(id, bool) else number
    if columns.kind == "chat":
        turns = _turns(record, _value(record, "messages"))
        last = max((i for i, turn in enumerate(turns) if turn["role"] == "assistant"), default=-1)
        if last < 0:
            raise wrong(record, "the chat has no turn of the assistant, so there is nothing to learn")
        if last == 0:
            raise wrong(record, "the chat begins with its answer: a turn of the user is missing")
        kept = {"id": id, "messages": turns[: last + 1], "more": len(turns) - last - 1}
        return kept if turns[last]["content"].strip() else None
    if columns.kind == "text":
        text = _text(record, "text", _value(record, "text"))
        return {"id": id, "text": text} if text.strip() else None
    if columns.template is not None:
        asked = {name: _text(record, name, _value(record, name)) for name in columns.template.columns}
        prompt = columns.template.fill(asked)
    else:
        prompt = _text(record, columns.prompt, _value(record, columns.prompt))
    answers = _answers(record, columns.target, _value(record, columns.target))
    if columns.target != "references" and "references" in record.fields:
        answers += _answers(record, "references", record.fields["references"])
    answers = list(dict.fromkeys(answer for answer in answers if answer.strip()))
    if not prompt.strip() or not answers:
        return None
    return {"id": id, "prompt": prompt, "target": answers[0], "references": answers}


def _named(first: Record, given: str | None, flag: str, usual: str) -> str:
    """The column that a flag names, or the usual one."""
    names = list(map(str, first.fields))
    wanted = given or usual
    if wanted in names:
        return wanted
    likely = near(wanted, names) or next(iter(_likely(names, _ANSWERED if usual == "target" else _ASKED)), None)
    raise DataError(
        "no-column",
        f"{first.where}: no column {wanted!r}; there is: {', '.join(names)}",
        f"--{flag} {likely or 'COLUMN'}",
    )


def _no_kind(first: Record, names: Sequence[str]) -> DataError:
    what = f"{first.where}: no columns prompt and target, nor messages, nor text alone; there is: {', '.join(names)}"
    if "conversations" in names:
        turns = '{messages: [.conversations[] | {role: {"human": "user", "gpt": "assistant"}[.from], content: .value}]}'
        return DataError("no-column", what, f"jq -c '{turns}' OLD > NEW   (turns are read from messages)")
    answers, asked = _likely(names, _ANSWERED), _likely(names, _ASKED)
    rest = [name for name in names if name not in answers and name != "id"]
    target = answers[0] if answers else rest[-1] if len(rest) == 2 else "COLUMN"
    prompts = [name for name in asked or rest if name != target]
    tries = [f"--prompt_column {prompts[0] if prompts else 'COLUMN'} --target_column {target}"]
    if len(prompts) > 1:
        braces = "\\n".join(f"{{{name}}}" for name in prompts)
        tries.append(f'--prompt_template "{braces}" --target_column {target}')
    return DataError("no-column", what, *tries)


def _likely(names: Sequence[str], usual: Sequence[str]) -> list[str]:
    return sorted((name for name in names if name.lower() in usual), key=lambda name: usual.index(name.lower()))


def _value(record: Record, name: str) -> Any:
    if name not in record.fields:
        there = ", ".join(map(str, record.fields)) or "nothing"
        raise DataError(
            "no-column",
            f"{record.where}: no column {name!r}, which the first row has; there is: {there}",
            "give every row the same columns",
        )
    return record.fields[name]


def _text(record: Record, name: str, value: Any) -> str:
    """A value as text: numbers as they are written, true and false in lower case, as JSON has them."""
    if isinstance(value, str):
        if "\0" in value:
            raise wrong(record, f"{name!r} holds a NUL character")
        return value
    if isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return json.dumps(value)
    if value is None:
        raise wrong(record, f"{name!r} is null")
    raise wrong(record, f"{name!r} must be text or a number, got {_shown(value)}")


def _answers(record: Record, name: str, value: Any) -> list[str]:
    return [_text(record, name, item) for item in (value if isinstance(value, list) else [value])]


def _turns(record: Record, value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list):
        raise wrong(record, f'\'messages\' must be a list of {{"role", "content"}}, got {_shown(value)}')
    turns = []
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, Mapping) or not {"role", "content"} <= turn.keys():
            raise wrong(record, f'turn {number} must be {{"role": ..., "content": ...}}, got {_shown(turn)}')
        if turn["role"] not in ROLES:
            raise wrong(record, f"turn {number} has the role {turn['role']!r}; it is one of {', '.join(ROLES)}")
        if not isinstance(turn["content"], str) or "\0" in turn["content"]:
            raise wrong(record, f"the content of turn {number} must be text, got {_shown(turn['content'])}")
        turns.append({"role": turn["role"], "content": turn["content"]})
    return turns


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
