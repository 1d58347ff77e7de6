"""What the rows of the study say: stability of every score, shares with intervals, hypotheses, contradictions."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BLOCKS = 16
"""Of a sample's batches in the jackknife, as a probe has them."""
STABLE = 0.9
"""Kendall's tau at which a probe stops."""
OF_WEIGHTS = ("weight_sq", "stable_rank")
SIGNED = ("taylor", "attribution")
MEANS = ("plop", "stable_rank", "eva")
"""Scores that are no sums over weights."""

Row = dict[str, Any]


class Known(NamedTuple):
    """A number with its 95 % interval; the ends are NaN where there are too few samples."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 2) -> str:
        if math.isnan(self.low):
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


# ---- stability -------------------------------------------------------------------------------------------------------


def agreement(orders: Sequence[Sequence[int]], kinds: Sequence[str], how: str) -> Known:
    """Agreement of samples' orders: the mean over pairs, its interval by leaving out a sample at a time.

    `how`: tau, rho (Spearman), or within: tau over the modules of a kind, the mean over kinds.
    """
    pairs = {
        (i, j): _pair(tuple(orders[i]), tuple(orders[j]), tuple(kinds), how)
        for i, j in combinations(range(len(orders)), 2)
    }
    if not pairs:
        return Known(math.nan, math.nan, math.nan)
    value = float(np.mean(list(pairs.values())))
    if len(orders) < 3:
        return Known(value, math.nan, math.nan)
    without = [np.mean([v for pair, v in pairs.items() if s not in pair]) for s in range(len(orders))]
    n = len(without)
    error = math.sqrt((n - 1) / n * float(np.sum((without - np.mean(without)) ** 2)))
    half = _t(n - 1) * error
    return Known(value, value - half, min(1.0, value + half))


def foresight(few: Sequence[Sequence[int]], many: Sequence[Sequence[int]]) -> float:
    """Kendall's tau of a sample's order by few batches with another sample's by many, the mean over samples."""
    pairs = [(i, j) for i in range(len(few)) for j in range(len(many)) if i != j]
    return float(np.mean([_pair(tuple(few[i]), tuple(many[j]), (), "tau") for i, j in pairs])) if pairs else math.nan


@cache
def _pair(one: tuple[int, ...], two: tuple[int, ...], kinds: tuple[str, ...], how: str) -> float:
    from scipy.stats import kendalltau, spearmanr

    if how == "within":
        cells = [[i for i, kind in enumerate(kinds) if kind == name] for name in dict.fromkeys(kinds)]
        return float(np.mean([kendalltau([one[i] for i in c], [two[i] for i in c]).statistic for c in cells]))
    return float((kendalltau if how == "tau" else spearmanr)(one, two).statistic)


@cache
def _t(df: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, df))


def stability(plan: dict[str, Any], rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """A line for each model, task, score and size: batches, tau, rho, within with their intervals, foresight."""
    for model in plan["models"]:
        for task in plan["tasks"]:
            for stage in ("sample", "trial"):
                mine = _of(rows, stage=stage, model=model, task=task)
                kinds = _kinds(rows, model)
                for size in mine[0]["ranks"] if mine else ():
                    for score in mine[0]["ranks"][size]:
                        orders = [row["ranks"][size][score] for row in mine]
                        if any(order is None for order in orders):
                            continue
                        line = {"model": model, "task": task, "score": score, "batches": int(size)}
                        for how in ("tau", "rho", "within"):
                            known = agreement(orders, kinds, how)
                            line |= {how: known.value, f"{how}_low": known.low, f"{how}_high": known.high}
                        many = [row["ranks"][list(row["ranks"])[-1]][score] for row in mine]
                        yield line | {"foresight": foresight(orders, many), "samples": len(mine)}


def write_csv(lines: Sequence[dict[str, Any]], file: Path) -> None:
    with file.open("w", encoding="ascii", newline="") as out:
        writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.3f}" if isinstance(v, float) else v for k, v in line.items()} for line in lines)


def enough(found: Sequence[dict[str, Any]], score: str, how: str, least: float = STABLE) -> int | None:
    """The smallest number of batches from which on every task's agreement is at least so high."""
    mine = [line for line in found if line["score"] == score]
    tasks = {line["task"] for line in mine}
    common = set.intersection(*({line["batches"] for line in mine if line["task"] == t} for t in tasks))
    good = None
    for size in sorted(common, reverse=True):
        if min(line[how] for line in mine if line["batches"] == size) < least:
            break
        good = size
    return good


# ---- shares ----------------------------------------------------------------------------------------------------------


def share(rows: Sequence[Row], name: str, score: str = "signal") -> tuple[Known, float]:
    """The mean over samples with its interval from their own jackknife errors, and its standard error."""
    values, errors = np.array([row["shares"][score][name] for row in rows], dtype=float).T
    error = math.sqrt(float(np.sum(errors**2))) / len(rows)
    half = _t(len(rows) * (BLOCKS - 1)) * error
    return Known(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half), error


def welch(one: tuple[Known, float], two: tuple[Known, float], *, df: int) -> tuple[Known, float]:
    """The difference of two shares, (mean, standard error) each, with its interval; and p of none. Welch 1947."""
    from scipy.stats import t

    difference, variances = one[0].value - two[0].value, np.array([one[1], two[1]]) ** 2
    error, freedom = math.sqrt(variances.sum()), float(variances.sum() ** 2 / (variances**2 / df).sum())
    half = float(t.ppf(0.975, freedom)) * error
    return Known(difference, difference - half, difference + half), float(2 * t.sf(abs(difference) / error, freedom))


def coverage(rows: Sequence[Row], score: str = "signal") -> tuple[float, int]:
    """(root of jackknife variance over variance between samples, shares that it is the mean over)."""
    ratios = []
    for model, task in dict.fromkeys((row["model"], row["task"]) for row in rows if row["stage"] == "sample"):
        mine = _of(rows, stage="sample", model=model, task=task)
        for name in mine[0]["shares"][score] if len(mine) > 1 else ():
            values, errors = np.array([row["shares"][score][name] for row in mine], dtype=float).T
            ratios.append((float(np.mean(errors**2)), float(values.var(ddof=1))))
    if not ratios:
        return math.nan, 0
    # each variance is relative to its share's own scale, so that large shares do not decide alone
    scale = [a + b for a, b in ratios]
    inside = sum(a / s for (a, _), s in zip(ratios, scale, strict=True))
    between = sum(b / s for (_, b), s in zip(ratios, scale, strict=True))
    return math.sqrt(inside / between), len(ratios)


def values(rows: Sequence[Row], model: str, task: str) -> dict[str, np.ndarray]:
    """Score -> (U,) the mean over samples of what the largest size gave."""
    found: dict[str, np.ndarray] = {}
    for stage in ("sample", "trial"):
        mine = _of(rows, stage=stage, model=model, task=task)
        for score in mine[0]["values"] if mine else ():
            found[score] = np.mean(np.array([row["values"][score] for row in mine], dtype=float), axis=0)
    return found


def attention_share(score: np.ndarray, numel: np.ndarray, groups: np.ndarray) -> float:
    """Attention's part of a score per weight, over attention's plus MLP's."""
    a, m = ((score * numel)[groups == g].sum() / numel[groups == g].sum() for g in ("attention", "mlp"))
    return float(a / (a + m))


def correlations(rows: Sequence[Row], model: str, task: str, *, within: bool) -> tuple[list[str], np.ndarray]:
    """Spearman's rho between all scores; `within`: of the layers of a kind, the mean over kinds."""
    from scipy.stats import rankdata

    found, kinds = values(rows, model, task), np.array(_kinds(rows, model))
    names = [name for name, v in found.items() if np.isfinite(v).all()]
    cells = [np.flatnonzero(kinds == k) for k in dict.fromkeys(kinds)] if within else [np.arange(len(kinds))]
    whole = np.zeros((len(names), len(names)))
    for cell in cells:
        whole += np.corrcoef(np.array([rankdata(found[name][cell]) for name in names]))
    return names, whole / len(cells)


def mean_correlations(
    plan: dict[str, Any], rows: Sequence[Row], model: str, *, within: bool
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(scores, mean over tasks, smallest and largest over tasks (2, S, S)); scores that all tasks have."""
    each = [
        correlations(rows, model, task, within=within)
        for task in plan["tasks"]
        if _of(rows, stage="sample", model=model, task=task)
    ]
    names = [name for name in each[0][0] if all(name in mine for mine, _ in each)]
    stack = np.array([matrix[np.ix_(*[[mine.index(n) for n in names]] * 2)] for mine, matrix in each])
    return names, stack.mean(axis=0), np.array([stack.min(axis=0), stack.max(axis=0)])


# ---- in words --------------------------------------------------------------------------------------------------------


def lines(plan: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """Everything that the rows say, as tables of Markdown."""
    found = list(stability(plan, rows))
    told = [f"{len(rows)} rows", ""]
    for model in dict.fromkeys(line["model"] for line in found):
        mine = [line for line in found if line["model"] == model]
        told += [f"## {model}", "", *_stability_table(mine), *_profile_table(plan, rows, model)]
        told += [*_hypothesis_1(rows, model), *_hypothesis_2(plan, rows, model), *_sides(plan, rows, model)]
        told += _contradictions(plan, rows, model)
    ratio, count = coverage(rows)
    return [*told, f"jackknife error over spread between samples: {ratio:.2f}, over {count} shares of the signal"]


def _stability_table(found: Sequence[dict[str, Any]]) -> list[str]:
    sizes = sorted({line["batches"] for line in found})
    told = ["Kendall's tau of two samples of m batches: mean over tasks (smallest task)", ""]
    told += [f"| score | {' | '.join(f'm = {s}' for s in sizes)} | all at {STABLE} from | first size with last | "
             "within kinds | from |"]  # fmt: skip
    told += ["|---" * (len(sizes) + 5) + "|"]
    for score in dict.fromkeys(line["score"] for line in found):
        cells, last = [], "-"
        for size in sizes:
            mine = [line for line in found if line["score"] == score and line["batches"] == size]
            cells.append(f"{np.mean([v['tau'] for v in mine]):.2f} ({min(v['tau'] for v in mine):.2f})" if mine else "")
            last = f"{np.mean([v['within'] for v in mine]):.2f} at {size}" if mine else last
        from_, within = (enough(found, score, how) or "-" for how in ("tau", "within"))
        first = min(line["batches"] for line in found if line["score"] == score)
        ahead = [v["foresight"] for v in found if v["score"] == score and v["batches"] == first]
        told.append(f"| {score} | {' | '.join(cells)} | {from_} | {np.mean(ahead):.2f} ({min(ahead):.2f}) | "
                    f"{last} | {within} |")  # fmt: skip
    return [*told, ""]


def _profile_table(plan: dict[str, Any], rows: Sequence[Row], model: str) -> list[str]:
    told = []
    per_task = {t: m for t in plan["tasks"] if (m := _of(rows, stage="sample", model=model, task=t))}
    names = list(next(iter(per_task.values()))[0]["shares"]["signal"])
    told += [f"| share of the signal per weight | {' | '.join(per_task)} |", "|---" * (len(per_task) + 1) + "|"]
    facts = {
        "samples": lambda mine: str(len(mine)),
        "loss, nats per answer token": lambda mine: f"{np.mean([row['loss'][0] for row in mine]):.2f}",
        "tokens of prompt, answer": lambda mine: "{:.0f}, {:.0f}".format(*mine[0]["tokens"]),
    }
    told += [f"| {what} | {' | '.join(f(mine) for mine in per_task.values())} |" for what, f in facts.items()]
    for name in names:
        if not name.endswith(" mlp"):
            told.append(f"| {name} | {' | '.join(share(mine, name)[0].text() for mine in per_task.values())} |")
    return [*told, ""]


def _hypothesis_1(rows: Sequence[Row], model: str) -> list[str]:
    one = _of(rows, stage="sample", model=model)[0]
    numel, groups = _numel(rows, model), _groups(rows, model)
    squares = np.array(one["values"]["weight_sq"]) * numel
    told = ["Weights: norm of all of a group, root mean square of one", ""]
    told += ["| group | weights | norm | RMS | mean stable rank |", "|---" * 5 + "|"]
    for name, mask in {
        **{g: groups == g for g in ("attention", "mlp")},
        **{k: np.array(_kinds(rows, model)) == k for k in dict.fromkeys(_kinds(rows, model))},
    }.items():
        rms, rank = (
            math.sqrt(squares[mask].sum() / numel[mask].sum()),
            np.mean(np.array(one["values"]["stable_rank"])[mask]),
        )
        told.append(
            f"| {name} | {int(numel[mask].sum()):,} | {math.sqrt(squares[mask].sum()):.1f} | {rms:.4f} | {rank:.1f} |"
        )
    return [*told, ""]


def _hypothesis_2(plan: dict[str, Any], rows: Sequence[Row], model: str) -> list[str]:
    """Differences of attention's share between tasks, and the raw norms of fresh adapters as the study takes them."""
    from lorascope.analysis.statistics import holm

    per_task = {t: m for t in plan["tasks"] if (m := _of(rows, stage="sample", model=model, task=t))}
    shares = {task: share(mine, "group attention") for task, mine in per_task.items()}
    pairs = list(combinations(shares, 2))
    found = [welch(shares[a], shares[b], df=len(per_task[a]) * (BLOCKS - 1)) for a, b in pairs]
    told = ["| attention's share | difference | p (Holm) |", "|---|---|---|"]
    for (a, b), (known, _), p in zip(pairs, found, holm(np.array([p for _, p in found])), strict=True):
        told.append(f"| {a} - {b} | {known.text(3)} | {p:.2g} |")
    told += ["", "| task | norm of fresh adapters' gradient: attention | MLP | attention / MLP, range over samples |"]
    told += ["|---" * 4 + "|"]
    numel, groups = _numel(rows, model), _groups(rows, model)
    for task, mine in per_task.items():
        norms = np.array([
            [math.sqrt((np.array(row["values"]["lora_sq"]) * numel)[groups == g].sum()) for g in ("attention", "mlp")]
            for row in mine
        ])  # fmt: skip
        ratios = norms[:, 0] / norms[:, 1]
        told.append(f"| {task} | {norms[:, 0].mean():.3f} | {norms[:, 1].mean():.3f} | "
                    f"{ratios.mean():.2f}, {ratios.min():.2f} to {ratios.max():.2f} |")  # fmt: skip
    return [*told, ""]


def _sides(plan: dict[str, Any], rows: Sequence[Row], model: str) -> list[str]:
    """For each score attention's part of it, per weight."""
    tasks = [t for t in plan["tasks"] if _of(rows, stage="sample", model=model, task=t)]
    numel, groups = _numel(rows, model), _groups(rows, model)
    each = {task: values(rows, model, task) for task in tasks}
    told = [f"| attention's part of a score, per weight | {' | '.join(tasks)} |", "|---" * (len(tasks) + 1) + "|"]
    for score in each[tasks[0]]:
        if score not in (*SIGNED, *MEANS):
            cells = [f"{attention_share(each[t][score], numel, groups):.2f}" if score in each[t] else "" for t in tasks]
            told.append(f"| {score} | {' | '.join(cells)} |")
    return [*told, ""]


def _contradictions(plan: dict[str, Any], rows: Sequence[Row], model: str) -> list[str]:
    told = []
    for within in (False, True):
        names, mean, ends = mean_correlations(plan, rows, model, within=within)
        what = "layers within kinds" if within else "all modules"
        told += [f"Spearman's rho between scores over {what}, mean over tasks (range): the lowest, and with signal", ""]
        pairs = sorted(combinations(range(len(names)), 2), key=lambda p: mean[p])
        for i, j in pairs[:12]:
            told.append(f"- {names[i]}, {names[j]}: {mean[i, j]:+.2f} ({ends[0, i, j]:+.2f} to {ends[1, i, j]:+.2f})")
        s = names.index("signal")
        order = sorted(range(len(names)), key=lambda i: -mean[s, i])
        told += ["- signal with " + ", ".join(f"{names[i]} {mean[s, i]:+.2f}" for i in order if i != s), ""]
    return told


def _of(rows: Sequence[Row], **what: Any) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in what.items())]


def _kinds(rows: Sequence[Row], model: str) -> list[str]:
    mine = _of(rows, stage="sample", model=model)
    return [name.rpartition(".")[0] for name in mine[0]["modules"]] if mine else []


def _numel(rows: Sequence[Row], model: str) -> np.ndarray:
    return np.array(_of(rows, stage="sample", model=model)[0]["numel"], dtype=float)


def _groups(rows: Sequence[Row], model: str) -> np.ndarray:
    return np.array(["attention" if kind in "qkvo" else "mlp" for kind in _kinds(rows, model)])
