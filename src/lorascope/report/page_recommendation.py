"""A recommendation as a source of a page: the profile's page, headed by the adapter, with what speaks for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.config.adapter_texts import AXOLOTL, PEFT, PYTHON, TRL
from lorascope.errors import RunError
from lorascope.report.page import page_of, write_page
from lorascope.report.page_privacy import scrub
from lorascope.report.page_profile import profile_source
from lorascope.report.page_source import Source
from lorascope.runs import rundir

FORMS = (("Python", PYTHON), ("PEFT", PEFT), ("TRL script", TRL), ("axolotl", AXOLOTL), ("JSON", rundir.ALLOCATION))
"""Label of a button -> the file that it shows."""
SIGN = {"better": 1, "worse": -1, "undecided": 0}


def is_recommendation(folder: Path) -> bool:
    """Whether `lorascope recommend` wrote the folder."""
    return (folder / rundir.RECOMMENDATION).is_file()


def recommendation_page(folder: Path) -> str:
    """The page of a recommendation."""
    return page_of([recommendation_source(folder)])


def write_recommendation_page(folder: Path) -> Path:
    """Write report.html into the folder of a recommendation."""
    return write_page(folder / rundir.REPORT, recommendation_page(folder))


def recommendation_source(folder: Path) -> Source:
    """What a page shows of a recommendation, from its folder and that of its profile. RunError for a damaged one."""
    told = rundir.read_json(folder / rundir.RECOMMENDATION)
    try:
        profile = profile_source(folder, SensitivityProfile.load(folder / str(told["profile"])))
        allocation, proof = told["allocation"], told["proof"]
        about = {
            "line": f"adapter for {profile.about['dataset']} on {profile.about['model']}, "
            + ("trained beside uniform" if proof else "nothing was trained"),
            "verdict": [*_said(told), *profile.about["verdict"][:2]],
            "sure": _sure(proof) + list(profile.about["sure"]),
            "notes": [*told["notes"], *profile.about["notes"]],
            "exports": _exports(folder, str(told["command"])),
            "budget": [
                ["parameters asked for", f"{allocation['budget_params']:,}"],
                ["parameters used", f"{allocation['used_params']:,}"],
                *profile.about["budget"],
            ],
            "choice": _choice(told),
        }
    except (KeyError, TypeError, IndexError) as error:
        what = f"{folder / rundir.RECOMMENDATION} cannot be read: {error!r}"
        raise RunError("damaged-run", what, "lorascope recommend, the same again") from None
    return Source({**profile.about, **scrub(about)}, profile.map)


def _said(told: Mapping[str, Any]) -> list[str]:
    """The reason, its answer first; then what the proof says."""
    sentences = str(told["why"]).split(". ")
    answer = 2 if sentences[0] == "No preference found" else 1
    said = [". ".join(sentences[:answer]) + ".", ". ".join(sentences[answer:])]
    proof = told["proof"]
    return [words for words in said if words] + ([f"Proof: {proof['words'][0]}."] if proof else [])


def _sure(proof: Mapping[str, Any] | None) -> list[str]:
    """What the recommendation can bear; the first sentence is short."""
    if proof is None:
        return [
            "nothing was trained",
            "A profile says where the gradient is. Which ranks train better takes trainings to tell (--prove).",
        ]
    return [
        "nothing was decided" if proof["effect"] is None else f"{len(proof['seeds'])} fresh seeds, paired",
        *(f"{words[0].upper()}{words[1:]}." for words in proof["words"][1:]),
        "The interval is 95 % over seeds, of short trainings on these rows; it says nothing of other data or of longer "
        "trainings. Candidates and learning rates were chosen on other rows and another seed.",
    ]


def _exports(folder: Path, command: str) -> list[dict[str, str]]:
    """What can be copied: the forms of the adapter that are there, and the command that trains it."""
    there = [(label, folder / name) for label, name in FORMS if (folder / name).is_file()]
    forms = [{"label": label, "text": file.read_text(encoding="utf-8").rstrip("\n")} for label, file in there]
    return [*forms, {"label": "command", "text": command}]


def _choice(told: Mapping[str, Any]) -> dict[str, Any]:
    """The candidates with their ranks by kind; the proof's interval and its rounds."""
    candidates, proof = told["candidates"], told["proof"]
    chosen = told["method"]
    kinds = [row["module"] for row in next(iter(candidates.values()))["kinds"]]
    rows = [
        [f"{name} (recommended)" if name == chosen else name, *(row["ranks"] for row in found["kinds"]),
         found["used_params"]]
        for name, found in candidates.items()
    ]  # fmt: skip
    return {
        "headings": ["candidate", *kinds, "parameters"],
        "candidates": rows,
        "proof": None
        if proof is None
        else {
            "effect": None
            if proof["effect"] is None
            else {
                "name": f"{proof['winner']['candidate']} minus uniform",
                "effect": proof["effect"],
                "ci_low": proof["ci_low"],
                "ci_high": proof["ci_high"],
                "sign": SIGN[proof["verdict"]],
                "side": proof["verdict"],
                "smallest": 0,
            },
            "seeds": [list(pair) for pair in zip(map(str, proof["seeds"]), proof["differences"], strict=True)],
            "rounds": [
                [f"{found['steps']}", arm["candidate"], f"{arm['lr']:g}", arm["loss"]]
                for found in proof["rounds"]
                for arm in found["arms"]
            ],
            "words": proof["words"],
        },
    }
