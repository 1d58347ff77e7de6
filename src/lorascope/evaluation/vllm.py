"""Answers by vLLM instead of Transformers: an optional package, and adapters that are given to it at one rank.

vLLM takes rank and alpha of an adapter from the top of its configuration alone, so each adapter is written anew, padded
with zeros to its largest rank (`export_uniform`). It only generates: answer loss and likelihood are left out, and the
record says so. Written against the sources of vLLM 0.29 and tested with a stand-in; see GUIDE.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import GenerationConfig

from lorascope.config.experiment import DataConfig, EvaluationConfig, ModelConfig
from lorascope.errors import ConfigError, ModelError
from lorascope.evaluation.generate import answer_text, end_ids
from lorascope.evaluation.judge import SAMPLING_SEED, decoding_record, longest_prompt
from lorascope.evaluation.metrics import FROM_MODEL, as_asked
from lorascope.evaluation.result import Evaluation, assemble
from lorascope.models.base import BaseModel, load_config_only
from lorascope.models.checkpoint import explained, find
from lorascope.models.uniform import export_uniform
from lorascope.tasks import find_task
from lorascope.tasks.base import Task
from lorascope.tasks.split import EvaluationData, load_evaluation
from lorascope.training.encoding import cut_prompt, encode, prompt_ids

MAX_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM takes for the largest rank; it keeps room for as much."""
LEFT_OUT = "vLLM generates and nothing else here"
"""Why numbers are missing."""


def evaluate_with_vllm(
    model: ModelConfig,
    adapters: Sequence[Path | str | None],
    data: DataConfig,
    evaluation: EvaluationConfig | None = None,
    *,
    split: str | None = None,
) -> Iterator[Evaluation]:
    """As `evaluate_models`, with vLLM's answers: the base is loaded once, and each adapter answers the same examples.

    Errors: ConfigError without the package, or where nothing is generated; ModelError where an adapter cannot be
    written at one rank, or vLLM refuses the model.
    """
    _require_vllm()
    evaluation = evaluation or EvaluationConfig()
    task = as_asked(find_task(data), evaluation)
    _refuse_what_is_not_generated(task, evaluation)
    examples = load_evaluation(task, data, evaluation.eval_samples, split=split)
    base = load_config_only(model)  # for its tokenizer and its limits
    asked = _Asked(base, model, task, examples, evaluation, data.max_length)
    refused = partial(explained, model.model_id, "vllm", "cannot be run by vLLM")
    with TemporaryDirectory(prefix="lorascope-") as folder:
        written = {n: Path(folder, str(n)) for n, adapter in enumerate(adapters, 1) if adapter is not None}
        ranks = {n: export_uniform(str(adapters[n - 1]), path).r for n, path in written.items()}
        with refused():
            llm = _engine(base, model, asked.folder, max(ranks.values(), default=0))
        for n, adapter in enumerate(adapters, 1):
            with refused():
                outputs = llm.generate(
                    [{"prompt_token_ids": ids} for ids in asked.prompts],
                    asked.parameters(),
                    use_tqdm=False,
                    lora_request=_request(n, written[n]) if n in written else None,
                )
            predictions = [asked.text(list(output.outputs[0].token_ids)) for output in outputs]
            about = {"adapter": None if adapter is None else str(adapter), "uniform_rank": ranks.get(n)}
            yield assemble(task, examples, predictions, settings=asked.record(about))


def _require_vllm() -> None:
    try:
        import_module("vllm")
    except ImportError as error:
        what = f"--engine vllm needs the package vllm ({error})"
        raise ConfigError("no-vllm", what, "pip install 'lorascope[vllm]'   (a GPU and Linux)") from error


def _refuse_what_is_not_generated(task: Task, evaluation: EvaluationConfig) -> None:
    if FROM_MODEL.issuperset(task.metrics):
        what = f"nothing is generated for {task.name}, and vLLM does nothing else here"
        raise ConfigError("no-metrics", what, "--engine transformers")
    if evaluation.constrained:
        raise ConfigError("flags-exclude", "--constrained needs --engine transformers", "leave one of them out")


class _Asked:
    """What is asked, how, and how the answers are read: the same for every adapter."""

    def __init__(
        self,
        base: BaseModel,
        model: ModelConfig,
        task: Task,
        data: EvaluationData,
        config: EvaluationConfig,
        max_length: int | None,
    ) -> None:
        source = find(model.model_id, code=model.trust_remote_code)
        self.folder = source.folder
        self.base, self.task, self.data, self.config = base, task, data, config
        self.tokenizer = base.tokenizer
        max_length = max_length or task.max_length
        self.max_new_tokens = config.max_new_tokens or task.max_new_tokens
        self.max_prompt = longest_prompt(max_length, self.max_new_tokens, base.context_length)
        self.uncut = prompt_ids(data.examples, self.tokenizer)
        self.prompts = [cut_prompt(ids, self.max_prompt, self.tokenizer) for ids in self.uncut]
        network: Any = base.model
        if (self.folder / "generation_config.json").is_file():  # its ends of sequence count, as when it is loaded
            network.generation_config = GenerationConfig.from_pretrained(str(self.folder))
        rows, _ = encode(data.examples, self.tokenizer, min(max_length, base.context_length or max_length))
        self.final = end_ids(network, self.tokenizer, {row.input_ids[-1] for row in rows})
        self.more_ends = sorted(set(self.final) - set(end_ids(network, self.tokenizer)))

    def parameters(self) -> Any:
        """vLLM's SamplingParams.

        The stop text is not among them, since vLLM would stop at one in front of an answer too; the text is cut here.
        """
        sampling = {"temperature": 0.0}
        if self.config.temperature is not None:
            sampling = {"temperature": self.config.temperature, "top_p": self.config.top_p or 1.0}
        return import_module("vllm").SamplingParams(
            max_tokens=self.max_new_tokens,
            stop_token_ids=self.final,
            seed=SAMPLING_SEED,
            detokenize=False,
            **sampling,
        )

    def text(self, ids: list[int]) -> str:
        """An answer as it is scored."""
        return answer_text(ids, self.final, self.tokenizer, self.task.stop)

    def record(self, about: dict[str, Any]) -> dict[str, Any]:
        """The settings of an evaluation."""
        named = {
            "base": self.base.model_id,
            "revision": self.base.revision,
            **about,
            "notes": list(self.base.notes),
            "dtype": _name(self.base),
            "engine": f"vllm {import_module('vllm').__version__}",
        }
        record = decoding_record(
            self.config,
            max_new_tokens=self.max_new_tokens,
            stop=self.task.stop,
            prompts=self.uncut,
            max_prompt=self.max_prompt,
            end_of_turn=self.tokenizer.convert_ids_to_tokens(self.more_ends),
        )
        missing = ["answer_loss", *(name for name in self.task.metrics if name in FROM_MODEL)]
        return {"model": named, "decoding": record, "left_out": dict.fromkeys(missing, LEFT_OUT)}


def _engine(base: BaseModel, model: ModelConfig, folder: Path, rank: int) -> Any:
    """vLLM's LLM; `rank` is the largest of all adapters, 0 without any."""
    room = next((size for size in MAX_RANKS if size >= rank), None)
    if room is None:
        raise ModelError(
            "vllm", f"vLLM takes adapters up to rank {MAX_RANKS[-1]}, this one has {rank}", "--engine transformers"
        )
    adapting = {"enable_lora": True, "max_lora_rank": room} if rank else {}
    return import_module("vllm").LLM(
        model=str(folder),
        dtype=_name(base),
        trust_remote_code=model.trust_remote_code,
        seed=SAMPLING_SEED,
        **adapting,
    )


def _request(number: int, folder: Path) -> Any:
    """An adapter as vLLM names it: by a name and a number that no other one has."""
    return import_module("vllm.lora.request").LoRARequest(f"adapter-{number}", number, str(folder))


def _name(base: BaseModel) -> str:
    return str(base.dtype).removeprefix("torch.")
