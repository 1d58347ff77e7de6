"""A model judged on a task: answers generated and scored, and the loss of the right answers.

`evaluate_examples` judges a model that is in memory, `evaluate_models` loads one first and judges it with one adapter
after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import PreTrainedTokenizerBase

from lorascope.config.experiment import DataConfig, EvaluationConfig, ModelConfig
from lorascope.errors import ConfigError, DataError
from lorascope.evaluation.answer_loss import loss_of_examples
from lorascope.evaluation.constrained import CONSTRAINED, Constraint, grammars_of
from lorascope.evaluation.generate import base_of, end_ids, generate_from_ids
from lorascope.evaluation.likelihood import NAME as LIKELIHOOD
from lorascope.evaluation.likelihood import label_losses, likelihood_tally
from lorascope.evaluation.loading import LoadedModel, each_loaded
from lorascope.evaluation.merging import CHECKED, merged
from lorascope.evaluation.metrics import FROM_MODEL, as_asked
from lorascope.evaluation.result import Evaluation, assemble
from lorascope.models.base import context_length
from lorascope.tasks import find_task
from lorascope.tasks.base import Task
from lorascope.tasks.split import EvaluationData, load_evaluation
from lorascope.training.encoding import encode, prompt_ids

SAMPLING_SEED = 0
"""Of sampled answers; greedy ones need none."""


class Bar(Protocol):
    """What a progress display offers: the count done so far."""

    def update(self, done: int, **numbers: float) -> None:
        """Show `done` of the total."""


class Screen(Protocol):
    """What shows progress; the command line's console is one."""

    def progress(self, total: int, label: str) -> AbstractContextManager[Bar]:
        """A bar from 0 to `total`."""


def evaluate_examples(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    data: EvaluationData,
    config: EvaluationConfig | None = None,
    *,
    max_length: int | None = None,
    about: Mapping[str, Any] | None = None,
    console: Screen | None = None,
) -> Evaluation:
    """Judge a model that is in memory, with or without adapters, in training or not; it is afterwards as before.

    `max_length` bounds prompt and answer together for the loss, as in training, and the prompt alone for generation,
    where the answer's length is not known; the task's default if None, the model's context at most. Where no
    metric is of answers, nothing is generated. `about` names the model in the record. Errors: ConfigError and DataError
    where nothing fits, TrainingError where memory does not suffice.
    """
    if not data.examples:
        raise DataError("empty", f"there is no example of {task.name} to evaluate in split {data.split}")
    config = config or EvaluationConfig()
    max_length = max_length or task.max_length
    window = context_length(base_of(model).config)
    max_new_tokens = config.max_new_tokens or task.max_new_tokens
    answers = not FROM_MODEL.issuperset(task.metrics)
    max_prompt = longest_prompt(max_length, max_new_tokens, window) if answers else 0
    fits = min(max_length, window or max_length)
    with _bar(console, len(data.examples), "loss") as bar:
        loss, ends = loss_of_examples(
            model,
            tokenizer,
            data.examples,
            fits,
            batch_tokens=config.eval_batch_tokens,
            progress=lambda done, n: bar.update(done),
        )
    tallies = [loss]
    if LIKELIHOOD in task.metrics:
        with _bar(console, len(data.examples), "labels") as bar:
            losses = label_losses(
                model,
                tokenizer,
                data.examples,
                task.labels,
                max_length=fits,
                batch_tokens=config.eval_batch_tokens,
                progress=lambda done, n: bar.update(done),
            )
        tallies.insert(0, likelihood_tally(losses, data.examples, task.labels, max_length=fits))
    named = {**(about or {}), "dtype": str(next(model.parameters()).dtype).removeprefix("torch.")}
    if not answers:
        return assemble(task, data, None, settings={"model": named}, tallies=tallies)
    prompts = prompt_ids(data.examples, tokenizer)
    final = end_ids(model, tokenizer, ends)
    constraint = None
    if config.constrained:
        constraint = Constraint(grammars_of(task, data.examples), tokenizer, stop=task.stop, ends=final)
    with _bar(console, len(data.examples), "answers") as bar:
        predictions = generate_from_ids(
            model,
            tokenizer,
            prompts,
            max_new_tokens=max_new_tokens,
            batch_tokens=config.eval_batch_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            stop=task.stop,
            ends=ends,
            seed=SAMPLING_SEED,
            max_prompt_tokens=max_prompt,
            constraint=constraint,
            progress=lambda done, n: bar.update(done),
        )
    more_ends = sorted(set(ends) - set(end_ids(model, tokenizer)))
    record = decoding_record(
        config,
        max_new_tokens=max_new_tokens,
        stop=task.stop,
        prompts=prompts,
        max_prompt=max_prompt,
        end_of_turn=tokenizer.convert_ids_to_tokens(more_ends),
    )
    if constraint:
        record |= {"constrained": True, "stuck": constraint.named(data.examples)}
    settings = {"model": named, "decoding": {**record, "batch_tokens": config.eval_batch_tokens}}
    return assemble(
        task, data, predictions, settings=settings, tallies=tallies, suffix=CONSTRAINED if constraint else ""
    )


def longest_prompt(max_length: int, max_new_tokens: int, window: int | None) -> int:
    """Most tokens of a prompt to be answered in a context of `window`. Errors: ConfigError where there is no room."""
    if window is None:
        return max_length
    if max_new_tokens >= window:
        raise ConfigError(
            "too-long",
            f"max_new_tokens {max_new_tokens} leaves no room for a prompt in the model's context of {window}",
            f"--max_new_tokens {max(1, window // 4)}",
        )
    return min(max_length, window - max_new_tokens)


def decoding_record(
    config: EvaluationConfig,
    *,
    max_new_tokens: int,
    stop: str | None,
    prompts: Sequence[Sequence[int]],
    max_prompt: int,
    end_of_turn: Sequence[str] = (),
) -> dict[str, Any]:
    """How answers were made, for the record; `end_of_turn` are the tokens that end an answer besides the usual ones."""
    sampling = {"temperature": config.temperature, "top_p": config.top_p, "seed": SAMPLING_SEED}
    return {
        "method": "greedy" if config.temperature is None else "sampling",
        **({} if config.temperature is None else sampling),
        "max_new_tokens": max_new_tokens,
        "stop": stop,
        **({"end_of_turn": list(end_of_turn)} if end_of_turn else {}),
        "max_prompt_tokens": max_prompt,
        "prompts_cut": sum(len(ids) > max_prompt for ids in prompts),
    }


def evaluate_models(
    model: ModelConfig,
    adapters: Sequence[Path | str | None],
    data: DataConfig,
    evaluation: EvaluationConfig | None = None,
    *,
    split: str | None = None,
    merge: bool = False,
    console: Screen | None = None,
) -> Iterator[Evaluation]:
    """Load a base model once and judge it with each of the adapters (None: bare) on `data.dataset`, one after another.

    `evaluation.eval_samples` examples of `split` (the task's evaluation split unless named) are taken, the same ones
    for all. `merge` merges each adapter into the base for the time of its evaluation.
    """
    evaluation = evaluation or EvaluationConfig()
    task = as_asked(find_task(data), evaluation)
    examples = load_evaluation(task, data, evaluation.eval_samples, split=split)  # before the model: it fails sooner
    for loaded in each_loaded(model, adapters):
        yield judge_loaded(loaded, task, examples, evaluation, max_length=data.max_length, merge=merge, console=console)


def judge_loaded(
    loaded: LoadedModel,
    task: Task,
    data: EvaluationData,
    evaluation: EvaluationConfig,
    *,
    max_length: int | None = None,
    merge: bool = False,
    console: Screen | None = None,
) -> Evaluation:
    """`evaluate_examples` of a model that was loaded for it, merged for as long if `merge` says so."""
    with ExitStack() as stack:
        about = loaded.about
        if merge:
            rows, _ = encode(data.examples, loaded.tokenizer, max_length or task.max_length)
            check = merged(loaded.model, [row.input_ids for row in rows[:CHECKED]])
            about = {**about, "merged": stack.enter_context(check)}
        return evaluate_examples(
            loaded.model, loaded.tokenizer, task, data, evaluation, max_length=max_length, about=about, console=console
        )


@contextmanager
def _bar(console: Screen | None, total: int, label: str) -> Iterator[Bar]:
    if console is None:
        yield _Silent()
        return
    with console.progress(total, label) as bar:
        yield bar


class _Silent:
    def update(self, done: int, **numbers: float) -> None:
        """Show nothing."""
