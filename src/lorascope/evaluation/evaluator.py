"""The study's names: `ModelEvaluator`, and `evaluate_{dataset}` for each of its tasks."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lorascope.config.experiment import DataConfig, DataSource, Dtype, EvaluationConfig, ModelConfig
from lorascope.errors import RunError
from lorascope.evaluation.batches import BATCH_TOKENS
from lorascope.evaluation.generate import generate_from_ids
from lorascope.evaluation.judge import SAMPLING_SEED, judge_loaded
from lorascope.evaluation.loading import base_of_adapter, load_model
from lorascope.evaluation.merging import CHECKED, merged
from lorascope.evaluation.metrics import as_asked
from lorascope.evaluation.result import Evaluation
from lorascope.tasks import find_task
from lorascope.tasks.split import load_evaluation
from lorascope.training.encoding import encode_prompts


class ModelEvaluator:
    """A base model with an adapter, loaded once: `generate` for prompts of one's own, `evaluate` for a task."""

    def __init__(
        self,
        model_path: Path | str | None,
        base_model_id: str | None = None,
        *,
        dtype: Dtype = "auto",
        device_map: str | None = None,
        merge: bool = False,
    ) -> None:
        """Load `base_model_id` with the adapter in `model_path`.

        None for `model_path` is the bare base; None for `base_model_id` is the base that the adapter was trained on.
        `merge` merges the adapter into the base for the time of each call, which is faster (`merging.merged`).
        """
        base = base_model_id or base_of_adapter(model_path)
        self.loaded = load_model(ModelConfig(model_id=base, dtype=dtype, device_map=device_map), model_path)
        self.model, self.tokenizer, self.about = self.loaded.model, self.loaded.tokenizer, self.loaded.about
        self.merge = merge

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
        rows = encode_prompts(prompts, self.tokenizer)
        with merged(self.model, rows[:CHECKED]) if self.merge and rows else nullcontext():
            return generate_from_ids(
                self.model,
                self.tokenizer,
                rows,
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
        return judge_loaded(self.loaded, task, examples, config, merge=self.merge)


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
