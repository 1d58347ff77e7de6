"""A profile of the same prompts with each other's answers: what stands out there is not about the task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.config.experiment import ExperimentConfig
from lorascope.measure.probing.collect import ProbeSettings
from lorascope.models.base import load_base
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.runs.logs import captured
from lorascope.runs.probe import ProbeOptions, probe_examples
from lorascope.runs.probing import complete
from lorascope.tasks import find_task
from lorascope.tasks.base import Example, Message
from lorascope.tasks.split import load_training


def shuffle_answers(examples: Sequence[Example], seed: int) -> list[Example]:
    """The examples with the answers in another order, in which no answer keeps its place; of chats every answer."""
    answers = [answer for example in examples for answer in _answers(example)]
    order = np.random.default_rng(seed).permutation(len(answers))
    moved = list(answers)
    for here, there in zip(order, np.roll(order, 1), strict=True):
        moved[here] = answers[there]
    left = iter(moved)
    return [_answered(example, left) for example in examples]


def _answers(example: Example) -> list[str]:
    return [turn.content for turn in example.messages if turn.role == "assistant"] or [example.target]


def _answered(example: Example, answers: Iterator[str]) -> Example:
    """The example with the next answers; its references are of the old ones and go."""
    turns = [Message(turn.role, next(answers)) if turn.role == "assistant" else turn for turn in example.messages]
    target = turns[-1].content if turns else next(answers)
    return replace(example, target=target, references=(target,), messages=tuple(turns))


def shuffled_profile(
    config: ExperimentConfig, options: ProbeOptions, profile: SensitivityProfile, place: Path, console: Console
) -> SensitivityProfile | None:
    """Probe again, with as many batches as `profile` has and shuffled answers; what lies in `place` is only loaded.

    None where the data are texts without prompts. The settings are those that `profile` was made with.
    """
    if (place / rundir.PROFILE).is_file():
        return SensitivityProfile.load(place)
    task = find_task(config.data)
    training = load_training(task, config.data)
    if any(example.is_text for example in training.train):
        return None
    console.note("  control   the same prompts with each other's answers")
    with captured(verbose=console.verbose):
        base = load_base(config.model)
        options = replace(
            complete(config, options), batches=profile.n, tau=1.0, max_length=config.data.max_length or task.max_length
        )
        settings: ProbeSettings = replace(options.settings, scores=())
        found = probe_examples(
            base.model, base.tokenizer, shuffle_answers(training.train, settings.seed),
            replace(options, settings=settings), about={"model": base.model_id, "answers": "shuffled"},
            console=console,
        )  # fmt: skip
        found.save(place)
    return found
