"""Answers per second against plain `generate`: `python benchmarks/generation.py [--lab FOLDER]`.

A real small model with an adapter (both, r = 8) that was trained for it here answers real prompts, E2E's and SAMSum's,
greedily. Each arm has one measure more than the one before it:
  plain   Transformers' generate, end of sequence on, 8 prompts at a time, in their order, everything else as it is
  sorted  the longest prompts first
  budget  as many prompts as make up 8,192 tokens with their answers, instead of 8
  stop    rows end at the task's stop text, which is looked for only where a token can end it (decoding: the same, all
          rows decoded at every step; it is beside the others, not under them)
  shrink  rows that have ended leave their batch: `lorascope evaluate`
  merged  the adapter merged into the base for the time of it, check and restoring included: `--merge`
The arms take turns, several rounds in one process; a ratio is the median over rounds of the ratio within a round, and
its range is the smallest and largest of them. `same` counts answers that are, letter for letter, those of plain.
Last, all metrics with their intervals are timed on E2E's whole test split, answered with its references.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.utils import logging

from lorascope.config.experiment import (
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    LoRAConfig,
    ModelConfig,
    TrainingConfig,
)
from lorascope.evaluation.batches import BATCH_TOKENS, by_tokens
from lorascope.evaluation.decode import StopText, decoded, pad_left
from lorascope.evaluation.generate import answer_text, end_ids, generate_from_ids, pad_id_of
from lorascope.evaluation.loading import LoadedModel, load_model
from lorascope.evaluation.merging import CHECKED, merged
from lorascope.evaluation.result import assemble
from lorascope.report.terminal import Console, table_lines
from lorascope.runs import rundir
from lorascope.runs.experiment import run
from lorascope.tasks import TASKS
from lorascope.tasks.split import load_evaluation
from lorascope.training.encoding import cut_prompt, prompt_ids

PLAIN_ROWS = 8


class Spelt(StoppingCriteria):
    """Ends rows that have spelt the stop text; `cheap` looks only where the newest token can have ended it."""

    def __init__(self, stop: StopText, prompt: int, cheap: bool) -> None:
        self.stop, self.prompt, self.cheap = stop, prompt, cheap

    def __call__(self, input_ids, scores, **kwargs):
        if self.cheap:
            ended = [
                self.stop.may_end_with(int(ids[-1])) and self.stop.is_in(ids[self.prompt :].tolist())
                for ids in input_ids
            ]
        else:
            ended = [self.stop.text in decoded(ids[self.prompt :].tolist(), self.stop.tokenizer) for ids in input_ids]
        return torch.tensor(ended, device=input_ids.device)


class Asked:
    """A task's prompts, the model that answers them, and the arms."""

    def __init__(self, loaded: LoadedModel, dataset: str, data: DataConfig, n: int) -> None:
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self.task = TASKS[dataset]
        examples = load_evaluation(self.task, data, n).examples
        self.most = self.task.max_new_tokens
        room = min(self.task.max_length, self.model.config.max_position_embeddings - self.most)
        self.rows = [cut_prompt(ids, room, self.tokenizer) for ids in prompt_ids(examples, self.tokenizer)]
        self.ends = end_ids(self.model, self.tokenizer)

    def given(self) -> list[range]:
        return [range(i, min(i + PLAIN_ROWS, len(self.rows))) for i in range(0, len(self.rows), PLAIN_ROWS)]

    def by_hand(self, batches: Sequence[Sequence[int]], stop: Callable[[int], Any] | None = None) -> list[str]:
        """Plain generate over batches, each to the end of its last row."""
        answers = [""] * len(self.rows)
        for batch in batches:
            padded = pad_left([self.rows[i] for i in batch], pad_id_of(self.tokenizer))
            ids, mask = (tensor.to(self.model.device) for tensor in padded)
            said = self.model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=self.most, do_sample=False,
                pad_token_id=pad_id_of(self.tokenizer),
                stopping_criteria=StoppingCriteriaList([stop(ids.shape[1])] if stop else []),
            )[:, ids.shape[1] :]  # fmt: skip
            for i, new in zip(batch, said.tolist(), strict=True):
                answers[i] = answer_text(new, self.ends, self.tokenizer, self.task.stop)
        return answers

    def arms(self) -> dict[str, Callable[[], list[str]]]:
        lengths = [len(ids) for ids in self.rows]
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        ordered = [[order[i] for i in batch] for batch in self.given()]
        budget = list(by_tokens([length + self.most for length in lengths], BATCH_TOKENS))

        def stop(cheap: bool) -> Callable[[int], Spelt]:
            return lambda prompt: Spelt(StopText(self.task.stop, self.tokenizer), prompt, cheap)

        def ours() -> list[str]:
            return generate_from_ids(
                self.model, self.tokenizer, self.rows, max_new_tokens=self.most, stop=self.task.stop
            )

        def within() -> list[str]:
            with merged(self.model, self.rows[:CHECKED]):
                return ours()

        return {
            "plain": lambda: self.by_hand(self.given()),
            "sorted": lambda: self.by_hand(ordered),
            "budget": lambda: self.by_hand(budget),
            "decoding": lambda: self.by_hand(budget, stop(cheap=False)),
            "stop": lambda: self.by_hand(budget, stop(cheap=True)),
            "shrink": ours,
            "merged": within,
        }


def trained(model: str, dataset: str, data: DataConfig, steps: int, folder: Path) -> LoadedModel:
    """The model with an adapter that knows what an answer looks like, and ends."""
    config = ExperimentConfig(
        model=ModelConfig(model_id=model, dtype="float32"),
        lora=LoRAConfig(target="both", lora_dropout=0.0),
        training=TrainingConfig(max_steps=steps, lr=5e-3, batch_size=4, grad_accum=4, eval_every=steps),
        data=replace(data, num_samples=int(16 * steps / 0.9) + 20),
        evaluation=EvaluationConfig(enabled=False),
        output_dir=str(folder),
        experiment_name=dataset,
    )
    return load_model(
        config.model, run(config, console=Console(quiet=True, stdout=io.StringIO())).folder / rundir.FINAL_MODEL
    )


@torch.no_grad()
def one_round(arms: dict[str, Callable[[], list[str]]]) -> dict[str, tuple[float, list[str]]]:
    found = {}
    for name, arm in arms.items():
        start = time.perf_counter()
        answers = arm()
        found[name] = (time.perf_counter() - start, answers)
    return found


def speed(dataset: str, model: str, data: DataConfig, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each arm."""
    with tempfile.TemporaryDirectory() as folder:
        asked = Asked(trained(model, dataset, data, options.steps, Path(folder)), dataset, data, options.samples)
        arms = asked.arms()
        rounds = [one_round(arms) for _ in range(options.rounds)]
    rows, before = [], {"sorted": "plain", "budget": "sorted", "decoding": "budget", "stop": "budget"}
    before |= {"shrink": "stop", "merged": "shrink"}
    for name in arms:
        total = sorted(r["plain"][0] / r[name][0] for r in rounds)
        step = [r[before.get(name, "plain")][0] / r[name][0] for r in rounds]
        same = sum(mine == plain for mine, plain in zip(rounds[0][name][1], rounds[0]["plain"][1], strict=True))
        rows.append(
            {
                "task": dataset,
                "arm": name,
                "answers/s": len(asked.rows) / statistics.median(r[name][0] for r in rounds),
                "against the one before": statistics.median(step),
                "against plain": statistics.median(total),
                "range": f"{total[0]:.2f}-{total[-1]:.2f}",
                "same": f"{same} of {len(asked.rows)}",
            }
        )
    return rows


def scoring(data: DataConfig) -> dict[str, Any]:
    """Seconds for all metrics of E2E with intervals on its whole test split; the answers are references of it."""
    task = TASKS["e2e_nlg"]
    examples = load_evaluation(task, data, 0)
    answers = [example.references[-1] for example in examples.examples]
    start = time.perf_counter()
    result = assemble(task, examples, answers, settings={})
    return {"inputs": result.n, "metrics": sorted(result.metrics), "seconds": round(time.perf_counter() - start, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lab", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "lab")
    parser.add_argument("--samples", type=int, default=200, help="prompts of each task")
    parser.add_argument("--steps", type=int, default=100, help="training steps of the adapter")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    there = (options.lab / "base" / "config.json").is_file()
    model = str(options.lab / "base") if there else "embedded"
    print("the lab's model and data" if there else f"no lab at {options.lab}: the embedded model and generated data")
    table, facts = [], []
    for dataset in ("e2e_nlg", "samsum"):
        where = {"data_dir": str(options.lab / "data" / dataset)} if there else {"data_source": "builtin"}
        facts += speed(dataset, model, DataConfig(dataset=dataset, **where), options)
        table = [list(row.values()) for row in facts]
        print(*table_lines(list(facts[0]), table), sep="\n", flush=True)
    e2e = {"data_dir": str(options.lab / "data" / "e2e_nlg")} if there else {"data_source": "builtin"}
    scored = scoring(DataConfig(dataset="e2e_nlg", **e2e))
    print(f"scoring {scored['inputs']} inputs, {len(scored['metrics'])} metrics with intervals: {scored['seconds']} s")
    if options.dry:
        return
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    head = {"torch": torch.__version__, "threads": torch.get_num_threads(), "model": "lab" if there else "embedded"}
    head |= {name: getattr(options, name) for name in ("samples", "steps", "rounds")}
    (results / "generation.json").write_text(json.dumps(head | {"arms": facts, "scoring": scored}, indent=2) + "\n")


if __name__ == "__main__":
    main()
