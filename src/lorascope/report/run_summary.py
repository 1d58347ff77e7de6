"""A run in the terminal: what it will train, before it starts; what it showed, when it is done."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lorascope.report.terminal import Console, short
from lorascope.runs import rundir

GROUP_WORDS = {"attention": "attention", "mlp": "MLP", "embed": "embedding", "lm_head": "head", "other": "other"}


class Coverage(Protocol):
    """One kind of module, and how many of it get an adapter."""

    @property
    def group(self) -> str:
        """attention, mlp, embed, lm_head, other"""

    @property
    def projection(self) -> str:
        """q, k, v, o, gate, up, down, ..."""

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)"""

    @property
    def matched(self) -> int:
        """Modules with an adapter."""

    @property
    def total(self) -> int:
        """Modules of this kind."""

    def parameters(self, r: int) -> int:
        """Trained parameters at rank r, or at the modules' own ranks."""


def show_coverage(rows: Iterable[Coverage], r: int, parameters: Mapping[str, Any], console: Console) -> None:
    """Which modules get an adapter, of how many, and what they cost; always printed."""
    rows = list(rows)
    console.table(
        ["group", "module", "adapted", "out x in", "trained parameters"],
        [
            [
                GROUP_WORDS[row.group],
                row.projection,
                f"{row.matched} of {row.total}",
                f"{row.shape[0]:,} x {row.shape[1]:,}",
                row.parameters(r) if row.matched else None,
            ]
            for row in rows
        ],
    )
    trained, total = parameters["trained"], parameters["total"]
    adapted = sum(row.matched for row in rows)
    console.out(f"{adapted} modules adapted, {trained:,} trained parameters, {trained / total:.2%} of {total:,}")


class Rows(Protocol):
    """The rows of a run as token ids."""

    @property
    def train(self) -> Sequence[object]:
        """Training rows."""

    @property
    def validation(self) -> Sequence[object]:
        """Validation rows."""

    @property
    def max_length(self) -> int:
        """Most tokens of a row."""

    @property
    def kind(self) -> str:
        """prompts, chats or texts"""

    @property
    def cut(self) -> Sequence[int]:
        """Tokens cut from every row that was cut."""

    @property
    def left_out(self) -> Sequence[str]:
        """Ids of rows whose answer does not fit."""


def show_rows(rows: Rows, console: Console) -> None:
    """How many rows train, and what max_length did to them."""
    texts = rows.kind == "texts"
    cut = out = ""
    if rows.cut:
        where = "end" if texts else "start"
        cut = f"{len(rows.cut):,} {rows.kind} cut at their {where} to fit {rows.max_length} tokens"
    if rows.cut and texts:
        cut += f", {sum(rows.cut):,} tokens of them unused"
    if rows.left_out:
        out = f"{len(rows.left_out):,} rows left out: " + ("no text" if texts else "the answer alone is longer")
    trimmed = "; ".join(filter(None, (cut, out))) or f"none longer than {rows.max_length} tokens"
    console.out(f"{len(rows.train):,} training and {len(rows.validation):,} validation rows; {trimmed}")


def show_run(
    folder: Path,
    results: Mapping[str, Any],
    gradients: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None,
    base: Mapping[str, Any] | None,
    console: Console,
) -> None:
    """What a finished run showed, and what to look at next."""
    console.out("")
    before = next((loss for step, loss in results["validation_loss"] if step == 0), None)
    start = f"{short(before)} -> " if before is not None else ""
    console.out(
        f"validation loss {start}{short(results['best_validation_loss'])} nats per answer token"
        f" (best: step {results['best_step']} of {results['steps']})"
    )
    console.table(
        [
            "gradient over the run",
            "trained parameters",
            "norm",
            "A",
            "B",
            "RMS per parameter",
            "norm x r/alpha",
            "|dW|/|W|",
        ],
        [_gradient_row(group, entry, gradients["weights"]) for group, entry in gradients["groups"].items()],
    )
    if results["phases"]:
        updates = ", ".join(f"{GROUP_WORDS[group]} {steps:,}" for group, steps in results["active_steps"].items())
        console.out(f"updates of a module, of {results['steps']:,} in all: {updates}")
    console.out("means over steps of one seed: a description of this run, no verdict on attention against MLP")
    if gradients["nonfinite_steps"]:
        console.warn(
            f"gradients were not finite at {len(gradients['nonfinite_steps'])} steps; they are left out of the means"
        )
    if evaluation:
        console.table(
            ["metric", *(["base"] if base else []), "trained" if base else "value", "95 % interval", "unit"],
            [
                [name, *([base["metrics"][name]["value"]] if base else []), *_metric_row(score)]
                for name, score in evaluation["metrics"].items()
            ],
        )
        which = f"{evaluation['n']:,} examples of the {evaluation['split']} split"
        console.out(f"{which}; the intervals are over examples, not over seeds")
        console.out(
            f"why these: {_which(evaluation['settings'])}",
            f"the validation loss is of {results['rows']['validation']:,} other rows, kept back from training "
            "(validation_split)",
        )
    seconds, memory = results["seconds"], results["peak_memory_bytes"] / 2**30
    padding = results["tokens"]["padding_share"]
    console.out(
        f"{seconds['total']:,.0f} s, {seconds['training']:,.0f} s of them training; peak memory {memory:.2f} GiB; "
        f"{padding:.1%} of the computed tokens were padding"
    )
    if results["warnings"]:
        console.note(f"{results['warnings']} warnings of other libraries are in {folder / rundir.LOG}")
    console.saved(folder)
    console.next(
        shlex.join(["lorascope", "evaluate", str(folder), "--eval_samples", "0"]),
        shlex.join(["lorascope", "ls", "runs", "--output_dir", str(folder.parent)]),
    )


def _gradient_row(group: str, entry: Mapping[str, Any], weights: Mapping[str, Any] | None) -> Sequence[object]:
    matrices = entry.get("matrices", {})
    update = weights["groups"].get(group, {}).get("update_over_base") if weights else None
    return [
        GROUP_WORDS[group],
        entry["parameters"],
        entry["norm"]["mean"],
        matrices.get("A", {}).get("norm", {}).get("mean"),
        matrices.get("B", {}).get("norm", {}).get("mean"),
        entry["rms"]["mean"],
        entry["per_scaling"]["mean"],
        update,
    ]


def _which(settings: Mapping[str, Any]) -> str:
    """Which examples were evaluated, and why that split."""
    return f"{settings['examples']['chosen']}; {settings['data']['split']}: {settings['data']['why_split']}"


def _metric_row(score: Mapping[str, Any]) -> Sequence[object]:
    ends = (score["ci_low"], score["ci_high"])
    interval = "-" if None in ends else f"[{short(ends[0])}, {short(ends[1])}]"
    return [score["value"], interval, score["unit"]]
