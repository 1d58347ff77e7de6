"""Which adapter should be trained: candidates at one budget, what a profile says for them, and what a proof says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorascope.analysis.allocating.evidence import evidence_of, possible
from lorascope.analysis.allocating.methods import Evidence
from lorascope.analysis.allocating.preference import Preference, preference
from lorascope.analysis.budgets import by_kind
from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.config.allocation import Allocation
from lorascope.config.experiment import ExperimentConfig, LoRAConfig
from lorascope.errors import DataError
from lorascope.models.base import BaseModel, load_config_only
from lorascope.models.modules import find_modules
from lorascope.models.target import TargetModule
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.runs.adapting import budget_of
from lorascope.runs.allocating import allocation_for
from lorascope.runs.proving import HELD_OUT, REFERENCE, Proof, measured, prove
from lorascope.runs.trials import open_bench

METHOD = "uniform"
"""What is recommended where nothing is trained: the method that was shown to beat even ranks over tasks
(studies/allocation). None has been."""
METHODS = ("threshold", "adam_first_step", "spectral", "attribution", "proportional", "gora", "whitened")
"""Candidates of a proof besides uniform, attention alone and MLP alone, as far as the profile has their scores."""
MOST = 8
"""Candidates of a proof."""
SCORES = ("spectrum", "gora")
"""What a probe for a recommendation takes on request."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What to train, and why."""

    allocation: Allocation
    targets: tuple[TargetModule, ...]
    """The modules that shared the budget."""
    preference: Preference
    candidates: Mapping[str, Allocation]
    proof: Proof | None = None

    @property
    def why(self) -> str:
        """The reason in a sentence or two."""
        ranks = sorted(set(self.allocation.adapted.values()))
        span = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
        used = f"{span}, {self.allocation.used_params:,} parameters"
        if self.proof is not None:
            if self.allocation.method != REFERENCE:
                return f"Use {self.allocation.method}: {used}. It beat uniform on this task."
            return f"No preference found. Use uniform: {used}. No candidate was shown to beat it on this task."
        if not self.preference.decided:
            return f"No preference found. Use uniform: {used}. {self.preference}"
        if self.allocation.ranks == self.candidates[REFERENCE].ranks:
            return (
                f"Use uniform: {used}. {self.preference} That other ranks beat even ones for that reason has not been "
                "shown."
            )
        return f"Use {self.allocation.method}: {used}. {self.preference} It was not tried here against uniform."

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "why": self.why,
            "method": self.allocation.method,
            "preference": vars(self.preference) | {"sentence": str(self.preference)},
            "candidates": {
                name: {
                    "used_params": found.used_params,
                    "kinds": by_kind(self.targets, found.ranks),
                    "ranks": dict(found.ranks),
                }
                for name, found in self.candidates.items()
            },
            "proof": None if self.proof is None else self.proof.to_dict(),
            "allocation": self.allocation.to_dict(),
        }


def candidates(
    profile: SensitivityProfile, targets: Sequence[TargetModule], asked: int, *, scaling: float, base_model: str
) -> dict[str, Allocation]:
    """At most MOST allocations of one budget by name, uniform first.

    attention_only and mlp_only are even ranks over that group alone. What has the ranks of an earlier one is left out.
    """

    def made(method: str, among: Sequence[TargetModule], evidence: Evidence) -> Allocation:
        found = allocation_for(among, asked, method, evidence, scaling=scaling, base_model=base_model)
        return replace(found, ranks={target.path: found.ranks.get(target.path, 0) for target in targets})

    every = {REFERENCE: made("uniform", targets, Evidence())}
    for name, group in (("attention_only", "attention"), ("mlp_only", "mlp")):
        among = [target for target in targets if target.group == group]
        if among:
            every[name] = replace(made("uniform", among, Evidence()), method=name)
    held = possible(profile)
    for method in (name for name in METHODS if name in held):
        try:
            every[method] = made(method, targets, evidence_of(profile, method))
        except DataError:  # no signal, or a score that is not finite: this method has nothing to say here
            continue
    kept: dict[str, Allocation] = {}
    for name, found in every.items():
        new = found.adapted and not any(found.ranks == other.ranks for other in kept.values())
        if new and len(kept) < MOST:  # without a rank the budget is below the group's cheapest module
            kept[name] = found
    return kept


def recommend_from(profile: SensitivityProfile, base: BaseModel, lora: LoRAConfig) -> Recommendation:
    """What a profile recommends for the budget of the settings, without training anything. `base` may be empty."""
    targets, asked = budget_of(base, lora, find_modules(base.model))
    found = candidates(profile, targets, asked, scaling=lora.lora_alpha / lora.r, base_model=base.model_id)
    seen = preference(profile)
    chosen = found[REFERENCE]
    if seen.decided:
        chosen = found.get(METHOD, chosen)  # its ranks may be those of uniform
    return Recommendation(allocation=chosen, targets=tuple(targets), preference=seen, candidates=found)


def recommend(
    profile: SensitivityProfile | Path | str, budget: str = "r=8", *, model: str | None = None, **lora: Any
) -> Allocation:
    """The allocation that a profile recommends for a budget: params=2.25M, r=8, like=attention_only:r=8 or 0.2%.

    `model` is the profile's unless it is given; `lora` are fields of LoRAConfig (target, r, lora_alpha). The profile
    may be its folder. Errors: LorascopeErrors.
    """
    if not isinstance(profile, SensitivityProfile):
        profile = SensitivityProfile.load(profile)
    config = ExperimentConfig()
    about = profile.about
    target = {"target": about["options"]["target"]} if "options" in about else {}
    settings = LoRAConfig(**{**target, **lora, "budget": budget})
    base = load_config_only(replace(config.model, model_id=model or str(about.get("model"))))
    return recommend_from(profile, base, settings).allocation


def prove_it(
    found: Recommendation, config: ExperimentConfig, folder: Path, console: Console, **sizes: int
) -> Recommendation:
    """The recommendation after its candidates were trained on the task of the configuration.

    Rows of the trainings are in `folder`, which goes on where it was. `sizes` are steps and seeds of `prove`.
    """
    if len(found.candidates) < 2:
        raise DataError("no-signal", "there is no candidate beside uniform", "--target both", "probe with --scores")
    with rundir.locked(folder, other="--output OTHER"):
        with rundir.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        bench = open_bench(config, test=HELD_OUT, validation=HELD_OUT, console=console)
        measure = measured(config, bench, found.candidates, folder / rundir.PROOF, console)
        proof = prove(
            list(found.candidates), measure, lr=config.training.lr, seed=config.training.seed,
            say=lambda text: console.note(f"  proof     {text}"), **sizes,
        )  # fmt: skip
    better = found.candidates[proof.winner.candidate if proof.verdict == "better" else REFERENCE]
    return replace(found, allocation=better, proof=proof)
