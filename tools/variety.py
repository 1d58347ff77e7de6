"""How varied the generated tasks are, beside the real data: `python tools/variety.py` prints a table.

All but the first two numbers are counted over 1,000 texts drawn from the training rows, and self-BLEU over 200 of them,
so that splits of different sizes compare; the draw is seeded.

    rows         of the training split
    distinct     texts that differ, of all of them, in percent (rows share a meaning, a table or a premise by design)
    length       mean number of words
    vocabulary   different words
    distinct-2   pairs of neighbouring words that differ, of all pairs, in percent (Li 2016)
    self-BLEU    mean BLEU of a text against all others as its references, 0 to 100 (Zhu 2018); high means alike

The real data are looked for in the folder that LORASCOPE_LAB names, else in shared/lab beside the checkout.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from lorascope.config.experiment import DataConfig
from lorascope.tasks import TASKS
from lorascope.tasks.base import Row, Task
from lorascope.tasks.sources import load_rows

LAB = Path(os.environ.get("LORASCOPE_LAB", Path(__file__).resolve().parents[2] / "shared" / "lab"))
TEXTS, COMPARED, SEED = 1000, 200, 0

COLUMNS: dict[str, dict[str, Callable[[Row], str]]] = {
    "e2e_nlg": {"meaning": lambda row: row["mr"], "reference": lambda row: row["ref"]},
    "samsum": {"dialogue": lambda row: row["dialogue"], "summary": lambda row: row["summary"]},
    "wikisql": {
        "question": lambda row: row["question"],
        "header": lambda row: ", ".join(row["table"]["header"]),
    },
    "multi_nli": {"premise": lambda row: row["sentence1"], "hypothesis": lambda row: row["sentence2"]},
}
"""Task -> the texts of a row that are looked at."""
HEAD = ("task", "text", "rows from", "rows", "distinct", "length", "vocabulary", "distinct-2", "self-BLEU")


def main() -> None:
    real = LAB.is_dir()
    if not real:
        print(f"The real data are not here (no folder {LAB}), so their lines are left out.\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * 3}{'---:|' * 6}")
    for name, columns in COLUMNS.items():
        sources = {"builtin": DataConfig(dataset=name, data_source="builtin")}
        if real:
            sources["real"] = DataConfig(dataset=name, data_source="local", data_dir=str(LAB / "data"))
        for text, column in columns.items():
            for source, data in sources.items():
                print(f"| {name} | {text} | {source} | {' | '.join(figures(texts(TASKS[name], data, column)))} |")


def texts(task: Task, data: DataConfig, column: Callable[[Row], str]) -> list[str]:
    return [" ".join(column(row).split()) for row in load_rows(task, data, "train").rows]


def figures(whole: Sequence[str]) -> list[str]:
    """The numbers of one line, as they are printed."""
    drawn = random.Random(SEED).sample(whole, min(TEXTS, len(whole)))
    split = [words(text) for text in drawn]
    return [
        f"{len(whole):,}",
        f"{100 * len(set(whole)) / len(whole):.1f}",
        f"{sum(map(len, split)) / len(split):.1f}",
        f"{len({word for some in split for word in some}):,}",
        f"{100 * distinct_pairs(split):.1f}",
        f"{self_bleu(drawn[:COMPARED]):.1f}",
    ]


def words(text: str) -> list[str]:
    """Words, numbers and punctuation marks, in lower case."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def distinct_pairs(split: Sequence[Sequence[str]]) -> float:
    """Share of neighbouring pairs that are different pairs."""
    pairs = [pair for some in split for pair in pairwise(some)]
    return len(set(pairs)) / len(pairs)


def self_bleu(some: Sequence[str]) -> float:
    """Mean sentence BLEU of each text with all others as references."""
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(effective_order=True, lowercase=True)
    scores = [bleu.sentence_score(text, [*some[:i], *some[i + 1 :]]).score for i, text in enumerate(some)]
    return sum(scores) / len(scores)


if __name__ == "__main__":
    main()
