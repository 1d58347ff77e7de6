"""A probe's profile as a source of a page: its map, and what is said of it in words."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lorascope.analysis.compare_cells import cells_between
from lorascope.analysis.profile_folder import gains_of, summary
from lorascope.analysis.sensitivity import COMPARED, INTENSIVE, SensitivityProfile
from lorascope.analysis.statistics import Estimate, Floats, Ints
from lorascope.config.scores import SCORES
from lorascope.report.page_facts import KEY, Member, ModelMap, Part, Score, cells_of
from lorascope.report.page_privacy import scrub
from lorascope.report.page_source import Source
from lorascope.report.page_words import adapter_exports, data_rows, environment_rows, model_row
from lorascope.report.profile_view import Row, interval, kinds_of, records, verdict_line
from lorascope.report.terminal import short

Mask = NDArray[np.bool_]

R = 8
"""Rank of the adapter to copy."""
CONTROL = (
    "Attention against MLP is the difference of their signals per parameter over the sum. It is decided where that is "
    "not the same with shuffled answers: the same prompts, each with the answer of another one. What any answers give, "
    "the model gives."
)
ONCE: Ints = np.zeros(1, dtype=np.int64)
"""The one frame of a profile: before any training."""
_SIGNED = {"signal": "an estimate without bias, so it can fall below 0", "taylor": "it has a sign"}


def profile_source(folder: Path, profile: SensitivityProfile) -> Source:
    """What a page shows of a profile; the folder gives its name."""
    about = profile.about
    dataset, model = str(about.get("dataset", "examples")), str(about.get("model", "a model"))
    found = profile.verdict
    shares = {row["group"]: row for row in records(profile.table(by="group", scale="share"))}
    attention = shares.get("attention") if found is not None else None
    return Source(
        {
            **scrub(
                {
                    "kind": "profile",
                    "state": "finished",
                    "name": folder.name,
                    "dataset": dataset,
                    "model": model,
                    "line": f"probe of {dataset} on {model}; {profile.n} batches, {about.get('rows', 0):,} rows, "
                    f"{_when(about)}",
                    "row": {
                        "task": dataset,
                        "batches": profile.n,
                        "attention's share": _with_ends(attention) if attention else None,
                        "ranking tau": profile.tau,
                        "loss, nats per answer token": profile.loss.value,
                    },
                    "verdict": verdict_of_profile(profile),
                    "sure": how_sure(profile),
                    "notes": _notes(profile),
                    "exports": exports(profile),
                    "budget": _looked_at(profile),
                    "facts": _facts(profile),
                }
            ),
            "losses": {"training": [], "validation": [], "best": None},
            "phases": [],
            "evaluation": None,
            "samples": {"rows": [], "of": 0, "metrics": []},
            "shares": _shares(profile),
        },
        map_of_profile(profile),
    )


def map_of_profile(profile: SensitivityProfile) -> ModelMap:
    """The map of a profile: one frame, every score per parameter, with intervals of cells, rows and groups."""
    cells = cells_of(profile.parts)
    layers = profile.parts["layer"].astype(object).where(profile.parts["layer"].notna(), None)
    parts = [(*key, layer) for *key, layer in zip(*(profile.parts[name] for name in KEY[:3]), layers, strict=True)]
    place = {tuple(cell[name] for name in KEY): i for i, cell in enumerate(cells.to_dict("records"))}
    members = np.zeros((len(cells), len(parts)))
    members[[place[part] for part in parts], np.arange(len(parts))] = 1.0
    signal_low, _ = _per_parameter(profile, "signal", members)
    rows = [" ".join(cell[name] for name in KEY[:3]) for cell in cells.to_dict("records")]
    sets = {name: np.array([name in (row, group) for row, group in zip(rows, cells["group"], strict=True)]) @ members
            for name in dict.fromkeys([*rows, *cells["group"]])}  # fmt: skip
    facts = {"signal": Part((members @ profile.scores["signal"].value)[:, None], ONCE, ONCE)}
    scores = [_relative(profile, members, sets, signal_low > 0)] if profile.verdict is not None else []
    for name, estimate in profile.scores.items():
        low, high = _per_parameter(profile, name, members)
        of_sets = _per_parameter(profile, name, np.stack(list(sets.values())))
        facts[name] = Part((members @ estimate.value)[:, None], ONCE, ONCE)
        words = SCORES.get(name)
        scores.append(
            Score(
                name=name,
                label=name.replace("_", " ") + ("" if name in INTENSIVE else " per parameter"),
                unit=words.unit if words else "",
                hint="; ".join(filter(None, (words.what if words and name not in _SIGNED else "", _SIGNED.get(name)))),
                matrices={"W": [name]},
                per={name: members.sum(axis=1) if name in INTENSIVE else members @ _numel(profile)},
                root=False,
                interval=np.stack([low, high], axis=1),
                above_noise=signal_low > 0 if name == "signal" else None,
                bands={key: (float(of_sets[0][i]), float(of_sets[1][i])) for i, key in enumerate(sets)},
            )
        )
    return ModelMap(cells, facts, scores, _members(profile, members))


def _members(profile: SensitivityProfile, members: Floats) -> dict[int, list[Member]]:
    """The places of every cell that has several."""
    numel = _numel(profile)
    return {
        i: [
            Member(
                str(profile.parts["module"].iloc[k]),
                {name: float(estimate.value[k]) for name, estimate in profile.scores.items()},
                {name: 1.0 if name in INTENSIVE else float(numel[k]) for name in profile.scores},
            )
            for k in np.flatnonzero(row)
        ]
        for i, row in enumerate(members)
        if row.sum() > 1
    }


def _relative(profile: SensitivityProfile, members: Floats, sets: Mapping[str, Floats], above: Mask) -> Score:
    """Signal per parameter over its mean over all weights of attention and MLP: tasks with other losses compare."""
    numel, signal = _numel(profile), profile.scores["signal"]
    counted = profile.parts["group"].isin(COMPARED).to_numpy(dtype=float)
    mean = signal.combined(counted[None] / (counted @ numel))

    def over_mean(chosen: Floats) -> tuple[Floats, Floats]:
        each = signal.combined(chosen / (chosen @ numel)[:, None])
        return Estimate(each.value / mean.value, each.without / mean.without).interval()

    low, high = over_mean(members)
    of_sets = over_mean(np.stack(list(sets.values())))
    return Score(
        name="relative",
        label="signal per parameter, relative",
        unit="",
        hint="1 is the mean over all weights of attention and MLP",
        matrices={"W": ["signal"]},
        weight=np.full(len(members), 1.0 / float(mean.value[0])),
        per={"signal": members @ numel},
        root=False,
        interval=np.stack([low, high], axis=1),
        above_noise=above,
        bands={key: (float(of_sets[0][i]), float(of_sets[1][i])) for i, key in enumerate(sets)},
    )


def pairs_of(profiles: Sequence[tuple[int, SensitivityProfile]]) -> list[dict[str, Any]]:
    """Differences between the profiles on a page, cell by cell; each with its place among the page's sources."""
    out = []
    for k, (i, first) in enumerate(profiles):
        for j, second in profiles[k + 1 :]:
            found = cells_between(first, second)
            if found is None:
                continue
            rows = found.to_dict("records")
            names = ("first", "second", "value", "ci_low", "ci_high")
            cells = {
                f"{row['stack']} {row['group']} {row['projection']} {'' if row['layer'] is None else row['layer']}": [
                    *(float(f"{row[name]:.4g}") for name in names),
                    bool(row["decided"]),
                ]
                for row in rows
            }
            out.append({"first": i, "second": j, "cells": cells})
    return out


def verdict_of_profile(profile: SensitivityProfile) -> list[str]:
    """Sentences, the answer first."""
    said = verdict_line(profile)
    lines = [f"{said[0].upper()}{said[1:].replace(f', {profile.n} batches', '')}."]
    kinds = sorted(_kinds(profile), key=lambda row: -row["value"])
    if kinds:
        named = ", ".join(f"{row['projection']} {_with_ends(row)}" for row in kinds[:3])
        lines.append(f"Largest shares by kind of module: {named}.")
    above = profile.above_noise()
    lines.append(
        f"{int(above.sum())} of {len(above)} places are above noise. Loss {short(profile.loss.value)} nats per answer "
        f"token, {_when(profile.about)}."
    )
    lines.append(
        "This is where the gradient is. Which adapter trains better takes runs to tell: even ranks, to copy, "
        "are what to beat."
    )
    return lines


def how_sure(profile: SensitivityProfile) -> list[str]:
    """What the numbers can bear: the first sentence is short, the others explain it."""
    tau = f", ranking tau {profile.tau:.2f}" if profile.tau == profile.tau else ""
    stopped = profile.about.get("stopped")
    return [
        f"{profile.n} batches{tau}",
        *([f"The probe stopped: {stopped}."] if stopped else []),
        *([CONTROL] if profile.control is not None else []),
        "Tau is how well halves of the batches agree on the order of the places; all batches tell it better.",
        "Intervals are 95 %, over batches of these rows (delete-block jackknife); they say nothing of other data, and "
        "nothing of other models.",
        "A place is above noise where its own interval lies above 0. Of 40 places without any signal, about one would.",
    ]


def exports(profile: SensitivityProfile) -> list[dict[str, str]]:
    """What can be copied: even ranks as other programs take them, the run that comes next, the numbers."""
    about = profile.about
    model, dataset = str(about.get("model", "MODEL")), str(about.get("dataset", "FILE"))
    run = ["lorascope", "run", "--model", model, "--dataset", dataset, "--target", "both", "--plan"]
    numbers = {"verdict": summary(profile), "shares": _shares(profile), "batches": profile.n}
    return [
        *_even(profile, model),
        {"label": "run", "text": shlex.join(run)},
        {"label": "numbers", "text": json.dumps(scrub(numbers), indent=2)},
    ]


def _even(profile: SensitivityProfile, model: str) -> list[dict[str, str]]:
    """Rank 8 on all attention and MLP that was probed; nothing where some of it is stacked experts, which lists of
    modules cannot name."""
    parts = profile.parts[profile.parts["group"].isin(COMPARED)].drop_duplicates("module")
    kinds = set(parts["kind"])
    if not kinds or not kinds <= {"linear", "conv1d"}:
        return []
    paths = [str(path) for path in parts["module"]]
    # The last names alone would reach what was left out of a narrower probe.
    whole = profile.about.get("options", {}).get("target") in ("both", "all")
    adapter = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": model,
        "r": R,
        "lora_alpha": 2 * R,
        "lora_dropout": 0.0,
        "target_modules": sorted({path.rpartition(".")[2] for path in paths}) if whole else paths,
        "fan_in_fan_out": "conv1d" in kinds,
    }
    return adapter_exports(adapter, "even ranks", R * int(parts["cost_per_rank"].sum()))


def _per_parameter(profile: SensitivityProfile, name: str, members: Floats) -> tuple[Floats, Floats]:
    """Ends of the interval of a score over sets of parts: the sum over the number of weights, or the mean."""
    of = np.ones(members.shape[1]) if name in INTENSIVE else _numel(profile)
    return profile.scores[name].combined(members / (members @ of)[:, None]).interval()


def _numel(profile: SensitivityProfile) -> Floats:
    return profile.parts["numel"].to_numpy(dtype=float)


def _when(about: Any) -> str:
    after = about.get("after") or 0
    return f"after {after:,} steps of uniform adapters" if after else "before any training"


def _kinds(profile: SensitivityProfile) -> list[Row]:
    rows = records(profile.table(by="projection", scale="share"))
    return [row for row in rows if row["group"] in COMPARED]


def _shares(profile: SensitivityProfile) -> list[dict[str, Any]]:
    """Kinds, then groups: share of the signal per parameter, its interval, how many places are above noise."""
    kinds = {row["projection"]: row for row in _kinds(profile)}
    groups = {row["group"]: row for row in records(profile.table(by="group", scale="share"))}
    rows = [(kind, kinds[kind]) for kind in kinds_of(list(kinds.values()))]
    rows += [(name, groups[name]) for name in COMPARED if name in groups]
    return [
        {"name": name, "group": row["group"], "value": row["value"], "low": row["ci_low"], "high": row["ci_high"],
         "above": row["above"], "of": row["of"]}
        for name, row in rows
    ]  # fmt: skip


def _with_ends(row: Row) -> str:
    return f"{row['value']:.3f} {interval(row['ci_low'], row['ci_high'])}"


def _notes(profile: SensitivityProfile) -> list[str]:
    left_out = profile.about.get("left_out") or ()
    more = [f"not looked at: {', '.join(left_out)}"] if left_out else []
    return [str(note) for note in profile.about.get("notes") or ()] + more


def _looked_at(profile: SensitivityProfile) -> list[list[str]]:
    about = profile.about
    tokens = about.get("tokens_per_row") or {}
    rows = [
        ["places", f"{len(profile.parts):,}, with {int(_numel(profile).sum()):,} weights"],
        ["batches", f"{profile.n:,}; {about.get('rows', 0):,} rows, {about.get('tokens', 0):,} tokens with a loss"],
    ]
    if tokens:
        rows.append(["tokens of a row", f"prompt {tokens['prompt']:g}, answer {tokens['answer']:g} (means)"])
    rows.append(["scores", ", ".join(name.replace("_", " ") for name in profile.scores)])
    rows += [[f"gain at {rank}", text] for rank, text in _gains(profile)]
    return rows


def _gains(profile: SensitivityProfile) -> list[tuple[str, str]]:
    """(rank in words, what it gains by kind) where a whitened spectrum was taken."""
    table = pd.DataFrame(gains_of(profile), columns=["kind", "rank", "gain"])
    found = []
    for rank, rows in table.groupby("rank"):
        if rows["kind"].nunique() == table["kind"].nunique():
            each = rows.sort_values("gain", ascending=False)
            named = ", ".join(f"{kind} {short(gain)}" for kind, gain in zip(each["kind"], each["gain"], strict=True))
            found.append((f"rank {rank}", f"{named} (nats per answer token, in the quadratic model)"))
    return found


def _facts(profile: SensitivityProfile) -> list[list[str]]:
    about = profile.about
    environment = about.get("environment") or {}
    rows = [["lorascope", str((environment.get("packages") or {}).get("lorascope", ""))]]
    rows += [["configuration", str(about["fingerprint"])]] if "fingerprint" in about else []
    rows.append(model_row(about.get("model", ""), about.get("revision")))
    rows += data_rows("probe", about.get("data"))
    rows += [["seconds", f"{about['seconds']:,.0f}"]] if "seconds" in about else []
    return rows + environment_rows(environment)
