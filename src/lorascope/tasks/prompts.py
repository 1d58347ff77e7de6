"""The prompt's layout, and the two readings of a text: on one line for a prompt, and bare for comparison."""

from __future__ import annotations

import re

_NO_WORD = re.compile(r"[\W_]+")


def layout(instruction: str, *parts: tuple[str, str], answer: str) -> str:
    """The study's layout: an instruction, a titled block per part, and the answer's title with nothing below it yet.

    Ends in a line end: the answer starts on a line of its own, and no tokenizer merges it with the prompt.
    """
    blocks = [
        f"### Instruction: {instruction}",
        *(f"### {title}:\n{text}" for title, text in parts),
        f"### {answer}:\n",
    ]
    return "\n\n".join(blocks)


def one_line(text: str) -> str:
    """Without white space at the ends; line ends inside become one space, so that an answer can end at a line end."""
    return " ".join(line for part in text.splitlines() if (line := part.strip()))


def lines(text: str) -> str:
    """Without white space at the ends; every line end is a line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def bare(text: str) -> str:
    """Letters and digits alone, without case: equal for copies of a text that differ in spacing or punctuation.

    Copies of a data set differ so (line ends, detached punctuation), and a row is leaked by its words. A text without
    any letter or digit stands for itself.
    """
    return _NO_WORD.sub("", text.casefold()) or text
