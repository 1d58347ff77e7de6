"""Is an allocation better than even ranks here? Successive halving of candidates, then fresh seeds on test rows.

Every training is one row in a file, found again by what it depends on; so whatever stopped, the same command goes on
where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lorascope.analysis.paired import interval, test_of
from lorascope.config.allocation import Allocation
from lorascope.config.experiment import ExperimentConfig
from lorascope.errors import RunError, TrainingError
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.runs.trials import Bench, trial

REFERENCE = "uniform"
STEPS, SEEDS, RATIO, WIDEST = 20, 5, 3.0, 3
"""Steps of the first round; fresh seeds of the last comparison; learning rates are so many times apart, and looked for
so many steps of that beyond the first two."""
HELD_OUT = 200
"""Most held-out rows of either sort."""


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
    steps: int
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    """Winner minus uniform for every seed, nats per answer token on test rows; below 0 the winner is better."""
    effect: float
    ci_low: float
    ci_high: float
    at_edge: tuple[str, ...]
    """Arms whose learning rate is the largest or smallest that was tried."""
    rounds: tuple[dict[str, Any], ...]
    """Steps of each round, and its arms with their validation losses, the best first."""

    @property
    def verdict(self) -> str:
        """better, worse or undecided."""
        return "better" if self.ci_high < 0 else "worse" if self.ci_low > 0 else "undecided"

    def words(self) -> list[str]:
        """What it says, in lines."""
        lines = [
            f"{self.winner.candidate} against uniform: {self.effect:+.4f} nats per answer token "
            f"[{self.ci_low:+.4f}, {self.ci_high:+.4f}], {self.verdict}",
            f"{len(self.seeds)} fresh seeds x {self.steps} steps on test rows ({test_of(len(self.seeds))}), same "
            f"parameters; learning rates {self.winner.lr:g} and {self.uniform.lr:g}, each its own best",
        ]
        return lines + [f"the learning rate of {arm} is the last one that was tried" for arm in self.at_edge]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"verdict": self.verdict, "words": self.words()}


def prove(
    candidates: Sequence[str],
    measure: Measure,
    *,
    lr: float,
    seed: int,
    steps: int = STEPS,
    seeds: int = SEEDS,
    say: Callable[[str], None] = lambda text: None,
) -> Proof:
    """Halve the candidates, each at `lr` and RATIO times that, by validation loss; then compare two on test rows.

    `candidates` has REFERENCE among two at least. A round keeps the better half and doubles the steps, until one arm is
    left beside one of uniform, which is never dropped. Both are tuned: their learning rates move on until both
    neighbours are worse. Fresh seeds follow `seed`.
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
    uniform, uniform_edge = tuned.pop(REFERENCE)
    winner, winner_edge = next(iter(tuned.values()))
    fresh = tuple(seed + 1 + i for i in range(seeds))
    say(f"{winner} against {uniform}: {seeds} fresh seeds each, {steps} steps")
    pairs = [(measure(winner, steps, s, "test"), measure(uniform, steps, s, "test")) for s in fresh]
    differences = np.array([a - b for a, b in pairs])
    low, high = interval(differences)
    return Proof(
        winner=winner, uniform=uniform, steps=steps, seeds=fresh, differences=tuple(differences.tolist()),
        effect=float(differences.mean()), ci_low=low, ci_high=high, rounds=tuple(rounds),
        at_edge=tuple(str(arm) for arm, edge in ((winner, winner_edge), (uniform, uniform_edge)) if edge),
    )  # fmt: skip


def _tuned(arm: Arm, loss: Callable[[Arm], float]) -> tuple[Arm, bool]:
    """The arm at the learning rate whose neighbours are both worse; True where that was not found within WIDEST."""
    tried: dict[int, float] = {}

    def at(place: int) -> float:
        if place not in tried:
            tried[place] = loss(replace(arm, lr=arm.lr * RATIO**place))
        return tried[place]

    best = 0
    while abs(best) <= WIDEST:
        better = min((best - 1, best + 1), key=at)
        if at(better) >= at(best):
            return replace(arm, lr=arm.lr * RATIO**best), False
        best = better
    return replace(arm, lr=arm.lr * RATIO**best), True


def measured(
    config: ExperimentConfig, bench: Bench, allocations: Mapping[str, Allocation], rows: Path, console: Console
) -> Measure:
    """Trainings of these allocations, looked up in the file `rows` and added to it."""
    known = _read(rows)

    def measure(arm: Arm, steps: int, seed: int, on: str) -> float:
        training = replace(config.training, lr=arm.lr, max_steps=steps, seed=seed, warmup_steps=None,
                           eval_every=None, save_every=None)  # fmt: skip
        run = replace(config, training=training)
        allocation = allocations[arm.candidate]
        key = _key(run, allocation, on, len(bench.held_out[on]))
        if key not in known:
            try:
                loss = trial(run, bench, allocation, on=on).mean
            except TrainingError as error:
                if error.code != "nan-loss":
                    raise
                loss = math.inf
            row = {"key": key, **asdict(arm), "steps": steps, "seed": seed, "on": on}
            with rundir.writing(rows.parent), rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**row, "loss": loss if loss < math.inf else None}) + "\n")
            known[key] = loss
            console.note(f"  {on:<10} {arm!s:<28} {steps:>5} steps  seed {seed}  {loss:.4f}")
        return known[key]

    return measure


def _key(config: ExperimentConfig, allocation: Allocation, on: str, rows: int) -> str:
    """Sixteen hex digits over everything that can change the loss of a training."""
    kept: dict[str, Any] = {name: asdict(getattr(config, name)) for name in ("model", "data", "training")}
    kept |= {"dropout": config.lora.lora_dropout, "ranks": allocation.adapted, "alphas": dict(allocation.alphas)}
    text = json.dumps([kept, on, rows], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
