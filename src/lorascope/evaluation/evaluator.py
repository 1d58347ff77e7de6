"""A model judged on a task: answers generated and scored, and the loss of the right answers.

`evaluate_examples` judges a model that is in memory, `evaluate_model` loads one first; `ModelEvaluator` and
`evaluate_{dataset}` are the study's names for the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import PreTrainedTokenizerBase

from lorascope.config.experiment import DataConfig, DataSource, Dtype, EvaluationConfig, ModelConfig
from lorascope.errors import ConfigError, DataError, ModelError, RunError
from lorascope.evaluation.answer_loss import loss_of_examples
from lorascope.evaluation.batches import BATCH_TOKENS
from lorascope.evaluation.constrained import CONSTRAINED, Constraint, grammars_of
from lorascope.evaluation.generate import base_of, end_ids, generate, generate_from_ids
from lorascope.evaluation.likelihood import NAME as LIKELIHOOD
from lorascope.evaluation.likelihood import label_losses, likelihood_tally
from lorascope.evaluation.metrics import FROM_MODEL, as_asked
from lorascope.evaluation.result import Evaluation, assemble
from lorascope.models.adapters import load_adapter
from lorascope.models.base import context_length, load_base
from lorascope.tasks import find_task
from lorascope.tasks.base import Task
from lorascope.tasks.split import EvaluationData, load_evaluation
from lorascope.training.encoding import prompt_ids

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
    sampling = {"temperature": config.temperature, "top_p": config.top_p, "seed": SAMPLING_SEED}
    more_ends = sorted(set(ends) - set(end_ids(model, tokenizer)))
    settings = {
        "model": named,
        "decoding": {
            "method": "greedy" if config.temperature is None else "sampling",
            **({} if config.temperature is None else sampling),
            **({} if constraint is None else {"constrained": True, "stuck": constraint.named(data.examples)}),
            "max_new_tokens": max_new_tokens,
            "stop": task.stop,
            **({"end_of_turn": tokenizer.convert_ids_to_tokens(more_ends)} if more_ends else {}),
            "batch_tokens": config.eval_batch_tokens,
            "max_prompt_tokens": max_prompt,
            "prompts_cut": sum(len(ids) > max_prompt for ids in prompts),
        },
    }
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


def evaluate_model(
    model: ModelConfig,
    adapter: Path | str | None,
    data: DataConfig,
    evaluation: EvaluationConfig | None = None,
    *,
    split: str | None = None,
    console: Screen | None = None,
) -> Evaluation:
    """Load a base model and, unless it is to be judged bare, an adapter; judge it on `data.dataset`.

    `evaluation.eval_samples` examples of `split` (the task's evaluation split unless named) are taken.
    """
    evaluation = evaluation or EvaluationConfig()
    task = as_asked(find_task(data), evaluation)
    examples = load_evaluation(task, data, evaluation.eval_samples, split=split)  # before the model: it fails sooner
    loaded = load_model(model, adapter)
    return evaluate_examples(
        loaded.model,
        loaded.tokenizer,
        task,
        examples,
        evaluation,
        max_length=data.max_length,
        about=loaded.about,
        console=console,
    )


@dataclass(frozen=True)
class LoadedModel:
    """A model that can be judged."""

    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    about: dict[str, Any]
    """Base, revision and adapter, for the record."""


def load_model(model: ModelConfig, adapter: Path | str | None) -> LoadedModel:
    """The base model, with the adapter in the folder `adapter` if there is one. Errors: ModelError."""
    base = load_base(model)
    about = {
        "base": base.model_id,
        "revision": base.revision,
        "adapter": None if adapter is None else str(adapter),
        "notes": list(base.notes),
    }
    return LoadedModel(base.model if adapter is None else load_adapter(base, adapter).model, base.tokenizer, about)


class ModelEvaluator:
    """A base model with an adapter, loaded once: `generate` for prompts of one's own, `evaluate` for a task."""

    def __init__(
        self,
        model_path: Path | str | None,
        base_model_id: str | None = None,
        *,
        dtype: Dtype = "auto",
        device_map: str | None = None,
    ) -> None:
        """Load `base_model_id` with the adapter in `model_path`.

        None for `model_path` is the bare base; None for `base_model_id` is the base that the adapter was trained on.
        """
        base = base_model_id or base_of_adapter(model_path)
        loaded = load_model(ModelConfig(model_id=base, dtype=dtype, device_map=device_map), model_path)
        self.model, self.tokenizer, self.about = loaded.model, loaded.tokenizer, loaded.about

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: int = 128,
        temperature: float | None = None,
        top_p: float | None = None,
        batch_size: int | None = None,
        *,
        do_sample: bool | None = None,
        stop: str | None = None,
        seed: int = SAMPLING_SEED,
    ) -> list[str]:
        """Answers in the prompts' order: greedy without a temperature, sampled with one.

        `do_sample` False is greedy in any case, True samples at temperature 1 where none is given. An answer ends at
        end-of-sequence or before `stop`. `batch_size` bounds the prompts that are answered together.
        """
        if do_sample is False:
            temperature = top_p = None
        elif do_sample and temperature is None:
            temperature = 1.0
        return generate(
            self.model,
            self.tokenizer,
            prompts,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            temperature=temperature,
            top_p=top_p,
            stop=stop,
            seed=seed,
        )

    def evaluate(
        self,
        dataset: str,
        num_samples: int = 200,
        *,
        data_dir: Path | str | None = None,
        data_source: DataSource = "auto",
        split: str | None = None,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        constrained: bool = False,
        batch_tokens: int = BATCH_TOKENS,
    ) -> Evaluation:
        """Judge the model on `num_samples` examples of a task (0: all), from `data_dir` or another `data_source`."""
        data = DataConfig(
            dataset=dataset, data_source=data_source, data_dir=None if data_dir is None else str(data_dir)
        )
        config = EvaluationConfig(
            eval_samples=num_samples,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            constrained=constrained,
            eval_batch_tokens=batch_tokens,
        )
        task = as_asked(find_task(data), config)
        examples = load_evaluation(task, data, num_samples, split=split)
        return evaluate_examples(self.model, self.tokenizer, task, examples, config, about=self.about)


def evaluate(
    dataset: str,
    model_path: Path | str | None,
    base_model_id: str | None = None,
    num_samples: int = 200,
    output_path: Path | str | None = None,
    **options: Any,
) -> Evaluation:
    """Load a model, judge it on a task, and write the scores to `output_path` if one is given.

    The first arguments are those of ModelEvaluator, `options` those of `ModelEvaluator.evaluate`, such as `data_dir`.
    """
    evaluation = ModelEvaluator(model_path, base_model_id).evaluate(dataset, num_samples, **options)
    if output_path is not None:
        save(evaluation, Path(output_path))
    return evaluation


def evaluate_e2e_nlg(
    model_path: Path | str | None,
    base_model_id: str | None = None,
    num_samples: int = 200,
    output_path: Path | str | None = None,
    **options: Any,
) -> Evaluation:
    """`evaluate` on E2E NLG: the challenge's BLEU, NIST, METEOR, ROUGE-L and CIDEr; BLEU, ROUGE and answer loss."""
    return evaluate("e2e_nlg", model_path, base_model_id, num_samples, output_path, **options)


def evaluate_samsum(
    model_path: Path | str | None,
    base_model_id: str | None = None,
    num_samples: int = 200,
    output_path: Path | str | None = None,
    **options: Any,
) -> Evaluation:
    """`evaluate` on SAMSum: ROUGE, BLEU, METEOR and answer loss."""
    return evaluate("samsum", model_path, base_model_id, num_samples, output_path, **options)


def evaluate_wikisql(
    model_path: Path | str | None,
    base_model_id: str | None = None,
    num_samples: int = 200,
    output_path: Path | str | None = None,
    **options: Any,
) -> Evaluation:
    """`evaluate` on WikiSQL: logical form, execution, exact match, what is no query, and answer loss."""
    return evaluate("wikisql", model_path, base_model_id, num_samples, output_path, **options)


def evaluate_multi_nli(
    model_path: Path | str | None,
    base_model_id: str | None = None,
    num_samples: int = 200,
    output_path: Path | str | None = None,
    **options: Any,
) -> Evaluation:
    """`evaluate` on MultiNLI: accuracy of the answers and by likelihood, and answer loss."""
    return evaluate("multi_nli", model_path, base_model_id, num_samples, output_path, **options)


def save(evaluation: Evaluation, path: Path) -> None:
    """Write the JSON shape of an evaluation, whole or not at all. Errors: RunError."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(evaluation.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunError(
            "not-writable", f"cannot write {path}: {error.strerror or error}", "--output FILE.json"
        ) from error


def base_of_adapter(adapter: Path | str | None) -> str:
    """The base model that an adapter names as its own. Errors: ModelError."""
    if adapter is None:
        raise ConfigError("no-model", "neither a base model nor an adapter is given", "base_model_id=...")
    path = Path(adapter) / "adapter_config.json"
    try:
        base = json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not isinstance(base, str) or not base:
        raise ModelError("no-base", f"{path} does not tell the base model", "base_model_id=...", "--model ID_OR_FOLDER")
    return base


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
