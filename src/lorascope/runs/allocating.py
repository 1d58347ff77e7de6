"""Ranks for a budget: what they are made of (a profile, an allocation, AdaLoRA's ranks, nothing), and made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lorascope.analysis.allocating.evidence import READINGS, adalora_ranks, evidence_of, possible
from lorascope.analysis.allocating.methods import METHODS, Evidence, allot
from lorascope.analysis.allocating.places import most_rank
from lorascope.analysis.budgets import used_params
from lorascope.analysis.profile_folder import load as load_profile
from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.config.allocation import Allocation, constant_alphas, read_allocation
from lorascope.errors import ConfigError, RunError, pick
from lorascope.models.allocated import allocated_modules, refuse_unknown
from lorascope.models.target import TargetModule
from lorascope.runs import rundir

SAFETENSORS = "adapter_model.safetensors"
"""PEFT's name for an adapter's weights."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What ranks are made of."""

    model: str | None = None
    """The model that it was made on."""
    profile: SensitivityProfile | None = None
    allocation: Allocation | None = None
    ranks: dict[str, int] = field(default_factory=dict)
    """Of the allocation, or AdaLoRA's final ones."""

    @property
    def target(self) -> str | None:
        """The target that a profile looked at."""
        return self.profile.about.get("options", {}).get("target") if self.profile else None


def read_source(place: Path) -> Source:
    """A profile's folder, an allocation.json or the folder with one, or the folder of an adapter of AdaLoRA.

    Errors: ConfigError, RunError.
    """
    if (place / rundir.PROFILE).is_file():
        profile = load_profile(place)
        return Source(model=profile.about.get("model"), profile=profile)
    if (place / "adapter_config.json").is_file() and not (place / rundir.ALLOCATION).is_file():
        ranks, model = adalora_ranks(place / "adapter_config.json")
        return Source(model=model or None, ranks=ranks)
    found = read_allocation(place / rundir.ALLOCATION if place.is_dir() else place)
    return Source(model=found.base_model, allocation=found, ranks=dict(found.ranks))


def ranked_modules(source: Source, modules: Sequence[TargetModule], *, model_id: str, tied: bool) -> list[TargetModule]:
    """The modules that a source has ranks of, in the model's order; none for a profile.

    Errors: ModelError where it was made for another model.
    """
    if source.allocation is not None:
        allocated_modules(source.allocation, modules, model_id=model_id, tied=tied)
    refuse_unknown(source.ranks, modules, model_id=model_id, made_for=source.model or "another model")
    return [module for module in modules if module.path in source.ranks]


def evidence_for(method: str, source: Source | None, score: str | None = None) -> Evidence:
    """What a method needs, from a source. Errors: ConfigError that says what would have it, `score-choice`."""
    needs = pick(METHODS, method, "method").needs
    if source is not None and source.profile is not None and set(needs) != {"ranks"}:
        return evidence_of(source.profile, method, score)
    if score is not None:
        raise ConfigError("score-choice", "--score names a score of a profile", "lorascope allocate profiles/NAME")
    if set(needs) - {"ranks"}:
        probe = _probed(method)
        what = f"--method {method} needs {', '.join(needs)} of every module, which a profile holds"
        raise ConfigError("method-needs", what, probe, f"--method uniform   (without a profile: {', '.join(_plain())})")
    if needs and (source is None or not source.ranks):
        what = f"--method {method} is made of the ranks of an allocation"
        raise ConfigError("method-needs", what, f"lorascope allocate allocation.json --method {method}")
    if source is not None and not needs:
        if source.profile is None:
            what = f"--method {method} reads no allocation"
            raise ConfigError("method-needs", what, f"lorascope allocate --method {method} --budget params=N")
        return Evidence()
    return Evidence(ranks=source.ranks) if source is not None else Evidence()


def allocation_for(
    targets: Sequence[TargetModule],
    asked: int,
    method: str,
    evidence: Evidence,
    *,
    scaling: float,
    base_model: str,
    seed: int = 0,
) -> Allocation:
    """The ranks that a method gives the targets for `asked` parameters, with alpha / rank = `scaling` everywhere."""
    ranks = allot(targets, asked, method, evidence, seed=seed)
    return Allocation(
        ranks=ranks,
        alphas=constant_alphas(ranks, scaling),
        budget_params=asked,
        used_params=used_params(targets, ranks),
        method=method,
        base_model=base_model,
    )


def refuse_other(folder: Path, allocation: Allocation, *, overwrite: bool) -> None:
    """RunError where writing an allocation into the folder would lose something: another one, an adapter, a run."""
    for name, what in ((rundir.CONFIG, "a run or a model"), (SAFETENSORS, "an adapter's weights")):
        if (folder / name).exists():
            raise RunError("other-run", f"{folder} holds {what}, and no allocation is written there", "--output OTHER")
    there = folder / rundir.ALLOCATION
    if overwrite or not there.is_file():
        return
    try:
        same = there.read_text(encoding="utf-8") == allocation.to_json()
    except (OSError, ValueError):
        same = False
    if not same:
        what = f"{folder} holds another allocation"
        raise RunError("other-run", what, "--output OTHER", "--overwrite   (replace it)")


def spectra_end(targets: Sequence[TargetModule], allocation: Allocation, evidence: Evidence) -> list[str]:
    """A note where ranks end only because a profile holds no more directions of a module."""
    held = {path: len(values) for path, values in evidence.spectra.items()}
    ended = [t for t in targets if t.path in held and allocation.ranks[t.path] == held[t.path] < most_rank(t)]
    if not ended:
        return []
    most = max(held[target.path] for target in ended)
    where = f"in {len(ended)} of {len(targets)} modules ranks end at the {most} directions that the profile holds"
    return [f"{where}: what more is worth is not known"]


def methods_of(source: Source | None) -> list[str]:
    """The methods that a source has everything for."""
    if source is not None and source.profile is not None:
        return possible(source.profile)
    return _plain() if source is None else [name for name, rule in METHODS.items() if rule.needs == ("ranks",)]


def _plain() -> list[str]:
    return [name for name, rule in METHODS.items() if not rule.needs]


def _probed(method: str) -> str:
    reading = READINGS[method]
    known = {"gora": "gora", "weight_sq": "weight"}
    asked = [name for name in (known.get(reading.score or ""), reading.spectrum) if name]
    scores = f" --scores {' '.join(asked)}" if asked else ""
    return f"lorascope probe{scores}, then lorascope allocate profiles/NAME --method {method}"
