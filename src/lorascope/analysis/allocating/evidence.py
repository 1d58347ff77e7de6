"""From what was measured to what a method asks for: the scores, errors and spectra of a profile, AdaLoRA's ranks."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lorascope.analysis.allocating.methods import METHODS, Evidence
from lorascope.analysis.sensitivity import Scale, SensitivityProfile
from lorascope.config import scores as menu
from lorascope.errors import ConfigError, pick


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a method reads of a profile."""

    score: str | None = None
    """Its score, unless another one is asked for."""
    rather: str | None = None
    """A score that it reads instead where the profile holds it."""
    scale: Scale = "sum"
    """Of a module: the sum over its weights, per weight, or the root of the sum."""
    spectrum: str | None = None
    """Its singular values, or the shares of variance."""
    free: tuple[str, ...] | Literal["any"] = ()
    """What may be asked for in place of the score, or of the spectrum."""


READINGS: dict[str, Reading] = {
    "adam_first_step": Reading(score="adam_step", spectrum="spectrum"),
    "attribution": Reading(score="signal", rather="attribution", free="any"),
    "efim": Reading(score="grad_sq", scale="per_parameter"),
    "eva": Reading(spectrum="eva"),
    "gora": Reading(score="gora", scale="per_parameter"),
    "mixed": Reading(score="weight_sq", scale="norm"),
    "proportional": Reading(score="signal", scale="per_parameter", free="any"),
    "spectral": Reading(spectrum="spectrum"),
    "threshold": Reading(score="signal", free="any"),
    "whitened": Reading(spectrum="whitened", free=("whitened", "whitened_diagonal")),
}
"""Method -> what it reads. Signal, summed over a module, is the loss that an infinitesimal gradient step takes off
through it, per unit of learning rate; so attribution and threshold read it where nothing else is asked for. What a
module took off a held-out loss in a trial training is nearer to the former's name, and goes before it."""


def evidence_of(profile: SensitivityProfile, method: str, score: str | None = None) -> Evidence:
    """What `method` needs, by module path; fused projections are summed over their roles.

    `score` takes the place of the method's own. Errors: ConfigError `method-needs` where the profile does not hold it,
    with what to probe; `score-choice` for a method that reads one thing only.
    """
    needs = pick(METHODS, method, "method").needs
    reading = READINGS.get(method)
    free = reading.free if reading is not None else ()
    if score is not None and free != "any" and score not in free:
        takers = ", ".join(name for name, other in READINGS.items() if other.free == "any")
        what = f"--method {method} does not read a score of choice; got {score!r}"
        raise ConfigError("score-choice", what, f"leave --score out, or one of the methods {takers}")
    if reading is None:
        return Evidence()
    name, spectrum = reading.score, reading.spectrum
    if reading.rather in profile.scores:
        name = reading.rather
    if score is not None:
        name, spectrum = (None, score) if name is None else (score, spectrum)
    missing = [wanted for wanted in _requests(profile, name, spectrum) if wanted]
    if missing:
        read = " and ".join(filter(None, (name, spectrum)))
        what = f"--method {method} reads {read}, which the profile does not hold"
        raise ConfigError("method-needs", what, _again(profile, missing), f"without it: {', '.join(possible(profile))}")
    values: dict[str, float] = {}
    errors: dict[str, float] = {}
    if name is not None:
        table = profile.table(name, by="module", scale=reading.scale)
        values = dict(zip(table["module"], table["value"].astype(float), strict=True))
        # 1.96 of these reach as far as the interval does, so that what threshold leaves out is what the map hatches.
        half = (table["value"] - table["ci_low"]) / 1.96
        errors = dict(zip(table["module"], half.astype(float), strict=True)) if "errors" in needs else {}
    rows = profile.spectra[profile.spectra["spectrum"] == spectrum]
    spectra = {str(m): np.sort(v.to_numpy(float))[::-1].tolist() for m, v in rows.groupby("module")["value"]}
    edges = profile.directions_above_noise(spectrum) if "edges" in needs and spectrum is not None else {}
    return Evidence(scores=values, errors=errors, spectra=spectra if "spectra" in needs else {}, edges=edges)


def possible(profile: SensitivityProfile) -> list[str]:
    """The methods that the profile has everything for."""
    free = [name for name, rule in METHODS.items() if not rule.needs]
    held = [n for n, reading in READINGS.items() if not any(_requests(profile, reading.score, reading.spectrum))]
    return sorted([*free, *held])


def _requests(profile: SensitivityProfile, score: str | None, spectrum: str | None) -> list[str | None]:
    """What `--scores` would have to ask for; None for what is there."""
    found: list[str | None] = []
    if score is not None:
        there = score in profile.scores
        known = {"weight_sq": "weight", "stable_rank": "weight", "gora_noise": "gora"}
        # A name that no probe knows is refused here, with the nearest one.
        request = known.get(score) or score
        if not there and request not in menu.SCORES:
            pick(dict.fromkeys((*profile.scores, *known, *menu.SCORES)), score, "score")
        if not there and request in menu.SPECTRA:
            what = f"{score} is a row of numbers for each module, no score"
            raise ConfigError("score-choice", what, "--score signal")
        found.append(None if there else request)
    if spectrum is not None:
        found.append(None if (profile.spectra["spectrum"] == spectrum).any() else spectrum)
    return found


def _again(profile: SensitivityProfile, scores: list[str]) -> str:
    """The probe that would take the scores too."""
    model, data = profile.about.get("model"), profile.about.get("dataset")
    if not (model and data):
        return f"probe again with --scores {' '.join(scores)}"
    kept = [name for name in menu.ON_REQUEST if name in profile.scores or (profile.spectra["spectrum"] == name).any()]
    kept += ["weight"] if "weight_sq" in profile.scores else []
    asked = dict.fromkeys([*kept, *(name for name in scores if name in menu.ON_REQUEST)])
    line = ["lorascope", "probe", "--model", str(model), "--dataset", str(data), "--scores", *asked, "--overwrite"]
    return shlex.join(line)


def adalora_ranks(file: Path | str) -> tuple[dict[str, int], str]:
    """Final ranks by module path in the adapter_config.json of an AdaLoRA adapter, and the base model it names.

    AdaLoRA keeps one bit for every direction of a module: the ranks are their sums. Errors: ConfigError for a file that
    is none.
    """
    file = Path(file)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        pattern: Mapping[str, list[bool]] = config["rank_pattern"] if config["peft_type"] == "ADALORA" else {}
        ranks = {
            key.removeprefix("base_model.model.").rpartition(".lora_E")[0]: sum(map(bool, np.ravel(kept).tolist()))
            for key, kept in pattern.items()
        }
        if not any(ranks.values()) or not all(ranks):
            raise ValueError("it holds no ranks of AdaLoRA")
        return ranks, str(config.get("base_model_name_or_path") or "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        tried = "the folder of an adapter that AdaLoRA trained"
        raise ConfigError("allocation-file", f"{file}: {error}", tried) from None
