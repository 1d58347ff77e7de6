"""What needs no model: trivial answers to the generated tasks, scored with the tasks' own metrics.

    python tools/baselines.py [TASK ...]

prints a table per task. Where something is drawn (a label, one of several training items that are as near), it is drawn
three times, and the mean stands there with the largest distance from it.

    frequent       the most frequent answer of the training rows
    random         the answer of a training row drawn at random
    copy           the input itself: E2E the attributes' values, SAMSum the first three turns or the longest one,
                   WikiSQL the question
    nearest        the answer of the training row whose prompt shares most words (Jaccard index of the two sets)
    nearest, swapped
                   the same with its values replaced: E2E every attribute's value by that of the same attribute,
                   SAMSum the speakers in order, WikiSQL columns and values by those that the question names, in order
    hypothesis     MultiNLI: naive Bayes over the words and word pairs of the hypothesis alone
    overlap        MultiNLI: logistic regression over how many of the hypothesis's words the premise has
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import pairwise

import numpy as np

from lorascope.evaluation.metrics import METRICS
from lorascope.tasks import TASKS
from lorascope.tasks.base import Example, Task
from lorascope.tasks.wikisql import sql_text

DRAWS = 3
MOST = 12
"""Shared or missing words that the overlap baseline tells apart."""
NAMES = ("e2e_nlg", "samsum", "wikisql", "multi_nli")
Examples = Sequence[Example]
Baseline = Callable[[Examples, Examples, random.Random], list[str]]
"""(training examples, examples to answer, what draws) -> answers."""


def words(text: str) -> list[str]:
    """The words and numbers of a text, in lower case."""
    return re.findall(r"[a-z0-9']+", text.lower())


def grams(text: str) -> set[str]:
    """The words and the pairs of neighbouring words of a text."""
    said = words(text)
    return {*said, *(f"{one} {two}" for one, two in pairwise(said))}


# --- answers that any task may have --------------------------------------------------------------------------------


def frequent(train: Examples, test: Examples, rng: random.Random) -> list[str]:
    """The most frequent training answer."""
    return [Counter(example.target for example in train).most_common(1)[0][0]] * len(test)


def drawn(train: Examples, test: Examples, rng: random.Random) -> list[str]:
    """Training answers at random."""
    return [rng.choice(train).target for _ in test]


def nearest(train: Examples, test: Examples, rng: random.Random) -> list[Example]:
    """For each example a training example whose prompt has the largest Jaccard index of word sets with its own."""
    column: dict[str, int] = {}
    for example in train:
        for word in words(example.prompt):
            column.setdefault(word, len(column))

    def matrix(examples: Examples) -> np.ndarray:
        has = np.zeros((len(examples), len(column)), dtype=np.float32)
        for row, example in enumerate(examples):
            has[row, [column[word] for word in set(words(example.prompt)) if word in column]] = 1
        return has

    of_train, of_test = matrix(train), matrix(test)
    shared = of_test @ of_train.T
    sizes = np.array([len(set(words(example.prompt))) for example in test])
    index = shared / (sizes[:, None] + of_train.sum(axis=1) - shared)
    return [train[rng.choice(np.flatnonzero(row == row.max()).tolist())] for row in index]


def nearest_answer(train: Examples, test: Examples, rng: random.Random) -> list[str]:
    """The answer of the nearest training example."""
    return [found.target for found in nearest(train, test, rng)]


def swapped(swap: Callable[[Example, Example], str]) -> Baseline:
    """The answer of the nearest training example after `swap` (it, the example to answer)."""
    return lambda train, test, rng: [swap(*pair) for pair in zip(nearest(train, test, rng), test, strict=True)]


def body(example: Example, title: str) -> str:
    """What the prompt has under a title."""
    return example.prompt.split(f"### {title}:\n", 1)[1].split("\n\n###", 1)[0]


# --- E2E -----------------------------------------------------------------------------------------------------------


def attributes(example: Example) -> dict[str, str]:
    """The attributes of a meaning representation."""
    return dict(re.findall(r"(\w[\w ]*)\[([^\]]*)\]", body(example, "Meaning representation")))


def copy_values(train: Examples, test: Examples, rng: random.Random) -> list[str]:
    """The values, one after another."""
    return [" ".join(attributes(example).values()) for example in test]


def swap_values(found: Example, example: Example) -> str:
    """The values of the attributes that both have."""
    text, ours = found.target, attributes(example)
    for attribute, value in attributes(found).items():
        text = text.replace(value, ours.get(attribute, value))
    return text


# --- SAMSum --------------------------------------------------------------------------------------------------------


def turns(example: Example) -> list[tuple[str, str]]:
    """(speaker, what was said)."""
    told = (line.partition(": ") for line in body(example, "Dialogue").splitlines())
    return [(name, text) for name, _, text in told]


def lead(train: Examples, test: Examples, rng: random.Random) -> list[str]:
    """The first three turns, without the speakers' names."""
    return [" ".join(text for _, text in turns(example)[:3]) for example in test]


def longest(train: Examples, test: Examples, rng: random.Random) -> list[str]:
    """The longest turn with its speaker."""
    return [": ".join(max(turns(example), key=lambda turn: len(turn[1]))) for example in test]


def swap_speakers(found: Example, example: Example) -> str:
    """The speakers, in order of appearance."""
    theirs, ours = (list(dict.fromkeys(name for name, _ in turns(one))) for one in (found, example))
    names = dict(zip(theirs, ours, strict=False))
    return re.sub(r"\w+", lambda match: names.get(match[0], match[0]), found.target)


# --- WikiSQL -------------------------------------------------------------------------------------------------------


def copy_question(train: Examples, test: Examples, rng: random.Random) -> list[str]:
    """The question."""
    return [body(example, "Question") for example in test]


def swap_query(found: Example, example: Example) -> str:
    """The nearest query's shape, with the columns and values of the question put in, in order.

    Columns are names of the header that stand in the question (else the nearest query's own, by position); values are
    runs of capitalised words and numbers after the question's first word (else the nearest query's own).
    """
    header, asked = example.meta["header"], body(example, "Question")
    names = sorted(header, key=len, reverse=True)
    spots = re.finditer("|".join(rf"\b{re.escape(name)}\b" for name in names), asked)
    columns = [header.index(spot[0]) for spot in spots]
    values = re.findall(r"(?:[A-Z0-9][\w:.]*\w|[A-Z0-9])(?: [A-Z0-9]\w*)*", asked.partition(" ")[2])
    sql = found.meta["sql"]

    def column(place: int, own: int) -> int:
        return columns[place] if place < len(columns) else own % len(header)

    conds = [
        [column(place + 1, own), op, values[place] if place < len(values) else value]
        for place, (own, op, value) in enumerate(sql["conds"])
    ]
    return sql_text({"sel": column(0, sql["sel"]), "agg": sql["agg"], "conds": conds}, header)


# --- MultiNLI ------------------------------------------------------------------------------------------------------


def naive_bayes(train: Examples, test: Examples, rng: random.Random) -> list[str]:
    """From the hypothesis alone: naive Bayes over the words and word pairs that it has, add-one smoothed."""
    labels = sorted({example.target for example in train})
    seen = {label: Counter[str]() for label in labels}
    for example in train:
        seen[example.target].update(grams(body(example, "Hypothesis")))
    sizes = Counter(example.target for example in train)
    known = set[str]().union(*seen.values())

    def score(text: str, label: str) -> float:
        there = sorted(grams(text) & known)
        return float(sum(np.log((seen[label][gram] + 1) / (sizes[label] + 2)) for gram in there))

    return [max(labels, key=lambda label: score(body(example, "Hypothesis"), label)) for example in test]


def overlap(train: Examples, test: Examples, rng: random.Random) -> list[str]:
    """Multinomial logistic regression over word overlap: each count of shared and of missing words, and the share."""
    labels = sorted({example.target for example in train})

    def features(examples: Examples) -> np.ndarray:
        rows = []
        for example in examples:
            claimed = set(words(body(example, "Hypothesis")))
            shared = len(claimed & set(words(body(example, "Premise"))))
            counts = [min(count, MOST) for count in (shared, len(claimed) - shared)]
            rows.append([1, shared / len(claimed), *np.eye(MOST + 1)[counts].ravel()])
        return np.array(rows)

    has, truth = features(train), np.array([labels.index(example.target) for example in train])
    weights = np.zeros((has.shape[1], len(labels)))
    for _ in range(1000):
        scores = np.exp(has @ weights)
        weights -= 0.5 * has.T @ (scores / scores.sum(axis=1, keepdims=True) - np.eye(len(labels))[truth]) / len(has)
    return [labels[best] for best in (features(test) @ weights).argmax(axis=1)]


BASELINES: dict[str, Mapping[str, Baseline]] = {
    "e2e_nlg": {"copy: values": copy_values, "nearest": nearest_answer, "nearest, swapped": swapped(swap_values)},
    "samsum": {
        "copy: first three turns": lead,
        "copy: longest turn": longest,
        "nearest": nearest_answer,
        "nearest, swapped": swapped(swap_speakers),
    },
    "wikisql": {"copy: question": copy_question, "nearest": nearest_answer, "nearest, swapped": swapped(swap_query)},
    "multi_nli": {"nearest": nearest_answer, "hypothesis": naive_bayes, "overlap": overlap},
}
"""Task -> its baselines besides "frequent" and "random", which all have."""


def scores(task: Task, answers: Sequence[str], examples: Examples) -> dict[str, float]:
    """The task's metrics, by name."""
    return {
        tally.name: tally.value for metric in task.metrics for tally in METRICS[metric](answers, list(examples), task)
    }


def table(name: str) -> str:
    """The baselines of a task as a markdown table."""
    task, rows = TASKS[name], import_module(f"lorascope.tasks.builtin.{name}").rows
    train, test = task.to_examples(rows("train")), task.to_evaluation(rows(task.evaluation_split))
    lines: list[str] = []
    for title, answer in {"frequent": frequent, "random": drawn, **BASELINES[name]}.items():
        draws = [scores(task, answer(train, test, random.Random(seed)), test) for seed in range(DRAWS)]
        if not lines:
            lines += [f"| {name} | {' | '.join(draws[0])} |", "|---" * (len(draws[0]) + 1) + "|"]
        cells = []
        for metric in draws[0]:
            values = [draw[metric] for draw in draws]
            mean = sum(values) / len(values)
            far = max(abs(value - mean) for value in values)
            cells.append(f"{mean:.1f}" + (f" ± {far:.1f}" if far >= 0.05 else ""))
        lines.append(f"| {title} | {' | '.join(cells)} |")
    head = f"{name}: {len(test)} examples of {task.evaluation_split}, {len(train)} training rows"
    return "\n".join([head, "", *lines])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Trivial answers to the generated tasks, with the tasks' own metrics.")
    parser.add_argument("tasks", nargs="*", default=NAMES, metavar="TASK", help=f"of {', '.join(NAMES)} [all]")
    for name in parser.parse_args().tasks:
        print(table(name), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
