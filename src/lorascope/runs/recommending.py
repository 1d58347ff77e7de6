"""Which adapter should be trained: candidates at one budget, what a profile says for them, and what a proof says."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorascope.analysis.allocating.evidence import evidence_of, possible
from lorascope.analysis.allocating.methods import Evidence
from lorascope.analysis.allocating.places import most_rank
from lorascope.analysis.allocating.preference import Preference, preference
from lorascope.analysis.budgets import by_kind
from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.config.allocation import Allocation
from lorascope.config.experiment import ExperimentConfig, LoRAConfig
from lorascope.errors import ConfigError, DataError
from lorascope.models.base import BaseModel, load_config_only
from lorascope.models.modules import find_modules
from lorascope.models.target import TargetModule
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.runs.adapting import budget_of
from lorascope.runs.allocating import allocation_for
from lorascope.runs.proving import HELD_OUT, REFERENCE, Proof, measured, prove
from lorascope.runs.trials import open_bench

METHOD = "mlp_only"
"""What a preference recommends where nothing is trained: what beat even ranks over tasks (docs/studies/allocation.md).
That was MLP alone; ranks by a profile did not."""
WON = "over four tasks on a model of 4.7 M parameters it ended 0.006 nats per answer token below even ranks everywhere"
"""What is known of METHOD."""
PLAIN = {"attention_only": "attention", "mlp_only": "mlp"}
"""Candidates that need nothing of a profile, with their group."""
METHODS = ("threshold", "adam_first_step", "spectral", "attribution", "proportional", "gora", "whitened")
"""Candidates of a proof besides the plain ones, as far as the profile has their scores."""
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
    left_out: Mapping[str, str]
    """What is no candidate -> why."""
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
        if self.allocation.method in METHODS:
            return f"Use {self.allocation.method}: {used}. {self.preference} It was not tried here against uniform."
        if self.allocation.method != REFERENCE:
            return f"Use {self.allocation.method}: {used}. {self.preference} Here it was not tried; {WON}."
        if not self.preference.decided:
            said = f"No preference found. Use uniform: {used}. {self.preference}"
        else:
            said = f"Use uniform: {used}. {self.preference} Ranks by a profile lost to even ones where it was studied."
        if METHOD not in self.candidates and _applies(self.preference, self.targets):
            why = self.left_out.get(METHOD, "the profile or the target lacks what it is made of")
            said += f" {METHOD}, which would be recommended, is no candidate: {why}."
        return said

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know beside the reason."""
        told = "; ".join(f"{name}: {why}" for name, why in self.left_out.items())
        return (f"no candidates: {told}",) if told else ()

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
            "left_out": dict(self.left_out),
            "proof": None if self.proof is None else self.proof.to_dict(),
            "allocation": self.allocation.to_dict(),
        }


def candidates(
    profile: SensitivityProfile, targets: Sequence[TargetModule], asked: int, *, scaling: float, base_model: str
) -> tuple[dict[str, Allocation], dict[str, str]]:
    """At most MOST allocations of one budget by name, uniform first; and what is none of them, with the reason.

    attention_only and mlp_only are even ranks over that group alone. A candidate is one whose trained parameters fall
    short of the budget by less than one rank of a module costs: of the cheapest that has an adapter and is not yet at
    full rank, or of the cheapest with an adapter where all of them are. So what is left is too little for a whole rank,
    and a group that ends at full rank below the budget is left out, as is a method whose own limits end its ranks
    there. Uniform stays whatever it costs. Left out is also what has no signal, no rank, or the ranks of an earlier
    one.
    """

    def made(method: str, among: Sequence[TargetModule], evidence: Evidence) -> Allocation:
        found = allocation_for(among, asked, method, evidence, scaling=scaling, base_model=base_model)
        return replace(found, ranks={target.path: found.ranks.get(target.path, 0) for target in targets})

    every = {REFERENCE: made("uniform", targets, Evidence())}
    left_out: dict[str, str] = {}
    for name, group in (("attention_only", "attention"), ("mlp_only", "mlp")):
        among = [target for target in targets if target.group == group]
        if among:
            every[name] = replace(made("uniform", among, Evidence()), method=name)
    held = possible(profile)
    for method in (name for name in METHODS if name in held):
        try:
            every[method] = made(method, targets, evidence_of(profile, method))
        except DataError as error:  # no signal, or a score that is not finite: this method has nothing to say here
            left_out[method] = error.what
    kept: dict[str, Allocation] = {}
    for name, found in every.items():
        same = [other for other, its in kept.items() if its.ranks == found.ranks]
        if not found.adapted:
            left_out[name] = "its cheapest module costs more than the budget"
        elif same:
            left_out[name] = f"it has the ranks of {same[0]}"
        elif name != REFERENCE and _falls_short(found, targets):
            left_out[name] = f"its ranks end at {found.used_params:,} of {asked:,} parameters"
        elif len(kept) == MOST:
            left_out[name] = f"there are {MOST} before it"
        else:
            kept[name] = found
    return kept, left_out


def _falls_short(found: Allocation, targets: Sequence[TargetModule]) -> bool:
    """Whether a rank more would have stayed within the budget: see `candidates`."""
    adapted = [target for target in targets if found.ranks[target.path]]
    open_ones = [target for target in adapted if found.ranks[target.path] < most_rank(target)]
    rank_more = min(target.cost_per_rank for target in open_ones or adapted)
    return found.budget_params - found.used_params >= rank_more


def _applies(seen: Preference, targets: Sequence[TargetModule]) -> bool:
    """Whether METHOD is what is recommended: where there is a preference, and for a group alone one for that group."""
    if not seen.decided or METHOD not in PLAIN:
        return seen.decided
    more = seen.times > (1.0 if seen.control is None else seen.control)
    groups = {target.group for target in targets if target.projection == seen.kind}  # none: outside of the target
    return bool(groups) and (PLAIN[METHOD] in groups) == more


def _refuse_unseen(profile: SensitivityProfile, targets: Sequence[TargetModule], target: str, base_model: str) -> None:
    """ConfigError where the target has modules that the profile did not look at."""
    seen = set(profile.parts["module"])
    unseen = [module.path for module in targets if module.path not in seen]
    if not unseen:
        return
    about = profile.about
    options = about.get("options", {}).get("target")
    probe = ["lorascope", "probe", "--model", base_model, "--dataset", str(about.get("dataset", "DATASET"))]
    if about.get("data", {}).get("source") == "builtin":
        probe += ["--data_source", "builtin"]
    raise ConfigError(
        "method-needs",
        f"the profile did not look at {len(unseen)} of the {len(targets)} modules of --target {target} in "
        f"{base_model}, such as {unseen[0]}",
        shlex.join([*probe, "--target", target, "--scores", *SCORES, "--overwrite"]),
        *([f"--target {options}   (what it looked at)"] if options and options != target else []),
    )


def recommend_from(profile: SensitivityProfile, base: BaseModel, lora: LoRAConfig) -> Recommendation:
    """What a profile recommends for the budget of the settings, without training anything. `base` may be empty.

    Errors: ConfigError where the target has modules that the profile did not look at; those of a budget.
    """
    targets, asked = budget_of(base, lora, find_modules(base.model))
    _refuse_unseen(profile, targets, lora.target, base.model_id)
    found, left_out = candidates(profile, targets, asked, scaling=lora.lora_alpha / lora.r, base_model=base.model_id)
    seen = preference(profile)
    chosen = found[REFERENCE]
    if _applies(seen, targets):
        chosen = found.get(METHOD, chosen)
    return Recommendation(
        allocation=chosen, targets=tuple(targets), preference=seen, candidates=found, left_out=left_out
    )


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
        what = "; ".join(("there is no candidate beside uniform", *found.notes))
        raise DataError("no-signal", what, "--target both", "a smaller --budget", "probe with --scores")
    with rundir.locked(folder, other="--output OTHER"):
        with rundir.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        bench = open_bench(config, test=HELD_OUT, validation=HELD_OUT, console=console)
        measure = measured(config, bench, found.candidates, folder / rundir.PROOF, console)
        proof = prove(
            {name: one.used_params for name, one in found.candidates.items()}, measure,
            lr=config.training.lr, seed=config.training.seed,
            say=lambda text: console.note(f"  proof     {text}"), **sizes,
        )  # fmt: skip
    better = found.candidates[proof.winner.candidate if proof.verdict == "better" else REFERENCE]
    return replace(found, allocation=better, proof=proof)
