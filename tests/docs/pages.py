"""The documents, read for their tests: pages, fenced blocks, commands, tables."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "lorascope"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
}
README, GUIDE, ARCHITECTURE = (PAGES[f"{name}.md"] for name in ("README", "GUIDE", "ARCHITECTURE"))

PLACEHOLDERS = {"VERB", "FLAGS", "..."}
"""Words in a command that stand for any."""


def blocks(text, language):
    """The contents of the fenced blocks in a language ("" for those without)."""
    return [body for found, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M) if found == language]


def outside_blocks(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)


def commands(text):
    """The command lines of the bash blocks, one string each; loops give their bodies."""
    found = []
    for block in blocks(text, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\$(rank|seed)", "4", line.strip())
            if line and not line.startswith(("#", "for ", "done")):
                found.append(line)
    return found


def inline_commands(text):
    """`lorascope ...` in running text, without those that stand for any verb or flag."""
    spans = re.findall(r"`(lorascope [^`]+)`", outside_blocks(text))
    return [span for span in spans if not PLACEHOLDERS & set(span.split())]


def files_in(text):
    """Name -> content of the YAML blocks that begin with a comment that names them."""
    found = {}
    for block in blocks(text, "yaml"):
        name = re.match(r"# (\S+\.yaml)\n", block)
        assert name, block
        found[name[1]] = block
    return found


def slug(heading):
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def rows(text, heading):
    """The cells of the table rows below a heading, up to the next heading of its rank."""
    rank = heading.split(" ")[0]
    body = re.split(rf"^{rank} ", text.split(f"{heading}\n", 1)[1], flags=re.M)[0]
    lines = [line for line in body.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def in_ticks(text):
    return re.findall(r"`([^`]+)`", text)
