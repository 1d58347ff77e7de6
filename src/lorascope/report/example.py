"""One row in the terminal, as the model sees it: the stretches that carry the loss stand between [[ and ]]."""

from __future__ import annotations

from collections.abc import Sequence

from lorascope.report.terminal import Console

WIDTH = 76
HEAD, TAIL = 5, 6
"""Lines that are shown of a long row, from its beginning and from its end."""

Piece = tuple[str, bool]
"""A stretch of text, and whether it carries the loss."""


def show_example(pieces: Sequence[Piece], console: Console, *, what: str = "first training row") -> None:
    """A row with its marks, twelve lines at most; in colour too, where there is some."""
    console.out(f"{what}, the loss on what stands between [[ ]]:")
    lines = example_lines(pieces)
    if len(lines) > HEAD + 1 + TAIL:
        lines = [*lines[:HEAD], [("...", False)], *lines[-TAIL:]]
    for line in lines:
        text = "".join(console.style(f"[[{part}]]", "cyan") if with_loss else part for part, with_loss in line)
        console.out(f"  | {text}".rstrip())


def example_lines(pieces: Sequence[Piece], width: int = WIDTH) -> list[list[Piece]]:
    """The lines of a row, no longer than `width`; what a terminal would act upon is written as in Python."""
    lines: list[list[Piece]] = [[]]
    room = width
    for text, with_loss in pieces:
        for number, part in enumerate(text.split("\n")):
            if number:
                lines.append([])
                room = width
            rest = "".join(_visible(letter) for letter in part)
            while rest:
                end = _fitting(rest, room, width)
                if end:
                    lines[-1].append((rest[:end], with_loss))
                rest, room = rest[end:], room - end
                if rest:
                    lines.append([])
                    room = width
    return lines


def _fitting(text: str, room: int, width: int) -> int:
    """Letters of a text that fit into the rest of a line: whole words, or a part of one that is longer than a line."""
    if len(text) <= room:
        return len(text)
    return text.rfind(" ", 0, room) + 1 or (width if room == width else 0)


def _visible(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()
