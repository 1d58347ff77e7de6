"""Is an allocation better than even ranks here? Successive halving of candidates, then fresh seeds on test rows.

Every training is one row in a file, found again by what it depends on; so whatever stopped, the same command goes on
where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from lorascope.analysis.paired import interval, test_of
from lorascope.config.allocation import Allocation
from lorascope.config.experiment import ExperimentConfig
from lorascope.errors import RunError, TrainingError
from lorascope.models.base import BaseModel
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.runs.trials import Bench, trial
from lorascope.training.encoding import Encoded

REFERENCE = "uniform"
STEPS, SEEDS, RATIO, WIDEST = 20, 5, 3.0, 3
"""Steps of the first round; fresh seeds of the last comparison; learning rates are so many times apart, and looked for
so many steps of that beyond the first two."""
HELD_OUT = 200
"""Most held-out rows of either sort."""
MARKS = 16
"""Numbers of every weight by which a base model is known again."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A candidate at a learning rate."""

    candidate: str
    lr: float

    def __str__(self) -> str:
        return f"{self.candidate} at {self.lr:g}"


Measure = Callable[[Arm, int, int, str], float]
"""(arm, steps, seed, validation or test) -> nats per answer token of the held-out rows; infinite where it diverged."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What the halving chose, and what fresh seeds say of it."""

    winner: Arm
    """The best candidate that is not uniform."""
    uniform: Arm
    """Uniform at its own best learning rate."""
    parameters: tuple[int, int]
    """What the winner and uniform train."""
    steps: int
    seeds: tuple[int, ...]
    """None where an arm trained at no learning rate, so that there is nothing to compare."""
    differences: tuple[float | None, ...]
    """Winner minus uniform for every seed, nats per answer token on test rows; below 0 the winner is better. None where
    one of the two diverged."""
    effect: float | None
    """None, as its interval, where anything diverged."""
    ci_low: float | None
    ci_high: float | None
    diverged: tuple[str, ...]
    """Which arm diverged at which seed, or trained at no learning rate; then nothing is decided."""
    at_edge: tuple[str, ...]
    """Arms whose learning rate is the largest or smallest that was tried."""
    rounds: tuple[dict[str, Any], ...]
    """Steps of each round, and its arms with their validation losses, the best first."""

    @property
    def verdict(self) -> str:
        """better, worse or undecided."""
        if self.ci_low is None or self.ci_high is None:
            return "undecided"
        return "better" if self.ci_high < 0 else "worse" if self.ci_low > 0 else "undecided"

    def words(self) -> list[str]:
        """What it says, in lines."""
        against = f"{self.winner.candidate} against uniform"
        if self.effect is None:
            lines = [f"{against}: {self.verdict}, since {' and '.join(self.diverged)}"]
        else:
            lines = [
                f"{against}: {self.effect:+.4f} nats per answer token "
                f"[{self.ci_low:+.4f}, {self.ci_high:+.4f}], {self.verdict}"
            ]
        if self.seeds:
            test = "no test" if self.effect is None else test_of(len(self.seeds))
            mine, even = self.parameters
            same = "same parameters" if mine == even else f"{mine:,} and {even:,} parameters"
            lines.append(
                f"{len(self.seeds)} fresh seeds x {self.steps} steps on test rows ({test}), {same}; learning rates "
                f"{self.winner.lr:g} and {self.uniform.lr:g}, each its own best"
            )
        return lines + [f"the learning rate of {arm} is the last one that was tried" for arm in self.at_edge]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: null for a loss that diverged, and for the ends of an interval of too few seeds."""
        rounds = [
            {**found, "arms": [{**arm, "loss": _finite(arm["loss"])} for arm in found["arms"]]} for found in self.rounds
        ]
        ends = {"ci_low": _finite(self.ci_low), "ci_high": _finite(self.ci_high)}
        return asdict(self) | ends | {"rounds": rounds, "verdict": self.verdict, "words": self.words()}


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def prove(
    candidates: Mapping[str, int],
    measure: Measure,
    *,
    lr: float,
    seed: int,
    steps: int = STEPS,
    seeds: int = SEEDS,
    say: Callable[[str], None] = lambda text: None,
) -> Proof:
    """Halve the candidates, each at `lr` and RATIO times that, by validation loss; then compare two on test rows.

    `candidates`: name -> trained parameters, with REFERENCE among two at least. A round keeps the better half and
    doubles the steps, until one arm is left beside one of uniform, which is never dropped. Both are tuned: their
    learning rates move on until both neighbours are worse. Fresh seeds follow `seed`. Nothing is decided where a
    training of the last comparison diverges, or where one of the two trains at no learning rate.
    """
    arms = [Arm(candidate=name, lr=rate) for name in candidates for rate in (lr, RATIO * lr)]
    rounds: list[dict[str, Any]] = []
    while True:
        say(f"round {len(rounds) + 1}: {len(arms)} trainings of {steps} steps")
        losses = {arm: measure(arm, steps, seed, "validation") for arm in arms}
        ranked = sorted(arms, key=lambda arm: losses[arm])
        rounds.append({"steps": steps, "arms": [{**asdict(arm), "loss": losses[arm]} for arm in ranked]})
        arms, steps = ranked[: max(2, len(ranked) // 2)], 2 * steps
        # Uniform stays to be compared with, and something to compare with it: in place of the worst that was kept.
        for even in (True, False):
            if not any((arm.candidate == REFERENCE) == even for arm in arms):
                arms[-1] = next(arm for arm in ranked if (arm.candidate == REFERENCE) == even)
        if len(arms) == 2:
            break
    first = {arm.candidate: arm for arm in arms}
    say(f"learning rates of {' and '.join(sorted(first))}, {steps} steps")
    tuned = {name: _tuned(arm, lambda a: measure(a, steps, seed, "validation")) for name, arm in first.items()}
    uniform = tuned.pop(REFERENCE)
    winner = next(iter(tuned.values()))
    both = (winner, uniform)
    diverged = [f"{found.arm.candidate} trained at no learning rate that was tried" for found in both if found.failed]
    fresh = () if diverged else tuple(seed + 1 + i for i in range(seeds))
    pairs: list[list[float]] = []
    if fresh:
        say(f"{winner.arm} against {uniform.arm}: {seeds} fresh seeds each, {steps} steps")
        pairs = [[measure(found.arm, steps, s, "test") for found in both] for s in fresh]
    for s, pair in zip(fresh, pairs, strict=True):
        lost = [found.arm for found, loss in zip(both, pair, strict=True) if not math.isfinite(loss)]
        diverged += [f"{arm} diverged at seed {s}" for arm in lost]
    differences = [a - b if math.isfinite(a) and math.isfinite(b) else None for a, b in pairs]
    known = np.array([one for one in differences if one is not None])
    low, high = (None, None) if diverged else interval(known)
    return Proof(
        winner=winner.arm, uniform=uniform.arm,
        parameters=(candidates[winner.arm.candidate], candidates[REFERENCE]),
        steps=steps, seeds=fresh, differences=tuple(differences), effect=None if diverged else float(known.mean()),
        ci_low=low, ci_high=high, diverged=tuple(diverged), rounds=tuple(rounds),
        at_edge=tuple(str(found.arm) for found in both if found.at_edge and not found.failed),
    )  # fmt: skip


class _Tuned(NamedTuple):
    """An arm at the best learning rate that was tried."""

    arm: Arm
    at_edge: bool
    """No learning rate whose neighbours are both worse was found within WIDEST."""
    failed: bool
    """It diverged at every one."""


def _tuned(arm: Arm, loss: Callable[[Arm], float]) -> _Tuned:
    """The arm at the learning rate whose neighbours are both worse; down from one that diverges as they do."""
    tried: dict[int, float] = {}

    def at(place: int) -> float:
        if place not in tried:
            tried[place] = loss(replace(arm, lr=arm.lr * RATIO**place))
        return tried[place]

    best, edge = 0, True
    while abs(best) <= WIDEST:
        better = min((best - 1, best + 1), key=at)
        if at(better) >= at(best) and math.isfinite(at(best)):
            edge = False
            break
        best = better
    return _Tuned(replace(arm, lr=arm.lr * RATIO**best), edge, not math.isfinite(at(best)))


def measured(
    config: ExperimentConfig, bench: Bench, allocations: Mapping[str, Allocation], rows: Path, console: Console
) -> Measure:
    """Trainings of these allocations, looked up in the file `rows` and added to it."""
    known = _read(rows)
    base, train = _digest(_base_marks(bench.base)), _digest(_rows_marks(bench.rows.train))
    held_out = {name: _digest(_rows_marks(those)) for name, those in bench.held_out.items()}

    def measure(arm: Arm, steps: int, seed: int, on: str) -> float:
        training = replace(config.training, lr=arm.lr, max_steps=steps, seed=seed, warmup_steps=None,
                           eval_every=None, save_every=None)  # fmt: skip
        run = replace(config, training=training)
        allocation = allocations[arm.candidate]
        key = _key(run, allocation, on, (base, train, held_out[on]))
        if key not in known:
            try:
                loss = trial(run, bench, allocation, on=on).mean
            except TrainingError as error:
                if error.code != "nan-loss":
                    raise
                loss = math.inf
            loss = loss if math.isfinite(loss) else math.inf
            row = {"key": key, **asdict(arm), "steps": steps, "seed": seed, "on": on}
            with rundir.writing(rows.parent), rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**row, "loss": _finite(loss)}) + "\n")
            known[key] = loss
            console.note(f"  {on:<10} {arm!s:<28} {steps:>5} steps  seed {seed}  {loss:.4f}")
        return known[key]

    return measure


def _key(config: ExperimentConfig, allocation: Allocation, on: str, digests: Sequence[str]) -> str:
    """Sixteen hex digits over everything that can change the loss of a training.

    `digests`: of the base model, the training rows and the held-out rows, which a name stays the same without.
    """
    kept: dict[str, Any] = {name: asdict(getattr(config, name)) for name in ("model", "data", "training")}
    kept |= {"dropout": config.lora.lora_dropout, "ranks": allocation.adapted, "alphas": dict(allocation.alphas)}
    text = json.dumps([kept, on, *digests], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _digest(marks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for mark in marks:
        digest.update(mark)
    return digest.hexdigest()[:16]


def _rows_marks(rows: Sequence[Encoded]) -> Iterator[bytes]:
    """Every row's tokens and where its answers are, each behind its length."""
    for row in rows:
        flat = [len(row.input_ids), *row.input_ids, len(row.answers), *(end for span in row.answers for end in span)]
        yield np.array(flat, dtype=np.int64).tobytes()


def _base_marks(base: BaseModel) -> Iterator[bytes]:
    """The revision, the number format, and the first numbers of every weight: what a folder's name stays the same
    without, at the cost of no pass over the weights."""
    yield f"{base.revision} {base.dtype}".encode()
    for name, weight in base.model.named_parameters():
        some = [] if weight.is_meta else weight.detach().reshape(-1)[:MARKS].to(torch.float32).tolist()
        yield f"{name} {tuple(weight.shape)} {some}".encode()


def _read(rows: Path) -> dict[str, float]:
    """Key -> loss of what was trained before; a last line that a kill cut off is left out, and cut off the file."""
    if not rows.is_file():
        return {}
    text = rows.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        rundir.write_text(rows, whole)
    try:
        found = [json.loads(line) for line in whole.splitlines()]
        return {row["key"]: math.inf if row["loss"] is None else float(row["loss"]) for row in found}
    except (ValueError, KeyError, TypeError) as error:
        raise RunError("damaged-run", f"{rows} cannot be read: {error}", f"rm {rows}   (to begin again)") from None
