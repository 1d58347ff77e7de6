"""The types of a task. One task is one file beside this one; no torch here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lorascope.tasks.files import Record

Row = Mapping[str, Any]
"""One row under the official file's column names, cut down to what the task uses, with its "id" (the file's own, else
its number from 0 among the rows that are kept). JSON-ready, and the same from every source: its sha256 is recorded.
WikiSQL: the question row with its table under "table"."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the files of a split gave."""

    rows: list[Row]
    """In file order."""
    files: tuple[Path, ...]
    left_out: int = 0
    """Rows that are whole but cannot be used (no gold label, an empty text); `notes` says which."""
    notes: tuple[str, ...] = ()
    """Sentences that the user should see."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where data of one's own was found."""

    source: str
    """"local", or "hub:owner/name"."""
    revision: str | None = None
    """Commit of the data set on the hub."""


@dataclass(frozen=True)
class Message:
    """One turn of a chat."""

    role: str
    """system, user or assistant."""
    content: str


@dataclass(frozen=True, kw_only=True)
class Example:
    """One thing to learn or to answer. Training and evaluation use the same prompt."""

    id: str
    """Stable within a split: a file's own id, or the row's number from 0."""
    prompt: str
    """Everything before the answer, up to and including the last newline."""
    target: str
    """The answer without end-of-sequence."""
    references: tuple[str, ...]
    """Every right answer; the target alone where the data has one."""
    group: str
    """Rows of one group never part between training and validation (E2E: the meaning representation, …)."""
    messages: tuple[Message, ...] = ()
    """A chat instead of a prompt: turns up to and including the answer, an assistant's, which is `target`. The
    tokenizer's chat template makes the prompt of them; `prompt` is then the same in plain words, for people."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What a metric needs besides text (WikiSQL: table and sql dict)."""

    @property
    def is_text(self) -> bool:
        """Whether it is a plain text: nothing is asked, all of it is learnt."""
        return not self.prompt and not self.messages


class Grammar(Protocol):
    """Which texts are answers to an example. Texts are UTF-8, and the beginning of one may end within a letter."""

    def begins(self, text: bytes) -> bool:
        """Whether an answer can begin so; it can go on from every such text, and b"" is one."""

    def accepts(self, text: bytes) -> bool:
        """Whether this is a whole answer."""


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A task's data set on the Hugging Face hub."""

    repo: str
    """owner/name."""
    splits: Mapping[str, str]
    """Our split -> the hub's name for it."""
    read: Callable[[Iterable[Record], tuple[Path, ...]], Reading]
    """(records of a split under the hub's column names, the files they are from) -> the rows that the official files
    give. Raises DataError."""
    unread: Collection[str] = ()
    """Large columns that are of no use here; in Parquet they are skipped."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task: how rows are read, how they become examples, how answers are judged."""

    name: str
    title: str
    version: int
    """Raised whenever a prompt, a target or a reading rule changes: scores of different versions do not compare."""
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Split -> names of its official files. The keys are the splits that there are."""
    read: Callable[[Path, str], Reading]
    """(folder, split) -> its rows, from the official files in that folder. Raises DataError."""
    builtin: Callable[[str], list[Row]] | None = None
    """split -> generated rows, the same every time; None where there is no generator."""
    hub: HubSource | None = None
    """Where the hub has the same data; None where it has not."""
    to_examples: Callable[[Sequence[Row]], list[Example]]
    """Rows -> training examples, one per row, in order."""
    to_evaluation: Callable[[Sequence[Row]], list[Example]]
    """Rows -> evaluation examples in the official order (E2E: one per distinct meaning representation)."""
    evaluation_split: str
    """Split that is evaluated after training: test, or validation where test has no labels."""
    group: str = "group"
    """What the rows of one group share, in a word or two: "dialogue"."""
    metrics: tuple[str, ...]
    """Names of METRICS; none where the loss alone judges (plain text has no answers)."""
    metrics_note: str | None = None
    """Why these, where they were not stated but read off the rows."""
    max_length: int
    """Default of data.max_length, in tokens."""
    max_new_tokens: int
    """Default of evaluation.max_new_tokens."""
    official_counts: Mapping[str, int]
    """Published rows per split."""
    labels: tuple[str, ...] = ()
    """The closed set of answers of a classification task."""
    stop: str | None = "\n"
    """An answer ends before this text at the latest (after end-of-sequence, which comes first); None: no such text."""
    grammar: Callable[[Example], Grammar] | None = None
    """Of an example's answers, for constrained decoding; None where answers are free text."""
    origin: Origin | None = None
    """Set where the task knows its rows itself: data of one's own. `read` then takes no notice of its folder."""
