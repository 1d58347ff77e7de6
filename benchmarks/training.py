"""Answer tokens per second of the run's trainer against two usual ways: `python benchmarks/training.py [--lab FOLDER]`.

The same rows, adapter (both, r = 8), optimizer and steps in each arm, on real task data and a real small model:
  ours   length-grouped batches, logits for answers only, every gradient measured at every step, files written
  fixed  a plain Transformers Trainer, every row padded to the smallest multiple of 64 that cuts nothing
  sft    TRL's SFTTrainer, loss on the completion only, activation checkpointing off
The arms take turns, several rounds in one process; a ratio is the median over rounds of the ratio within a round, and
its range is the smallest and largest of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from datasets import Dataset, disable_progress_bars
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging
from trl import SFTConfig, SFTTrainer

from lorascope.config.experiment import DataConfig, ExperimentConfig, LoRAConfig, ModelConfig, TrainingConfig
from lorascope.errors import pick
from lorascope.models.adapters import AdaptedModel, select, wrap
from lorascope.models.base import load_base
from lorascope.models.modules import find_modules
from lorascope.report.terminal import table_lines
from lorascope.tasks import TASKS
from lorascope.tasks.split import load_training
from lorascope.training.batching import IGNORED
from lorascope.training.encoding import Encoded
from lorascope.training.run import Prepared, build_trainer, prepare

WARM_UP = 2
"""Steps before the clock starts."""


class Clock(TrainerCallback):
    """Seconds from the end of the warm-up to the end of the last step."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == WARM_UP:
            self.start = time.perf_counter()
        self.seconds = time.perf_counter() - getattr(self, "start", 0.0)


def setup(lab: Path, dataset: str, steps: int) -> tuple[ExperimentConfig, Callable[[], AdaptedModel], Prepared]:
    config = ExperimentConfig(
        model=ModelConfig(model_id=str(lab / "base")),
        lora=LoRAConfig(target="both", lora_dropout=0.0),
        training=TrainingConfig(max_steps=steps, warmup_steps=1, lr=1e-3, eval_every=steps),
        data=DataConfig(dataset=dataset, data_dir=str(lab / "data" / dataset), num_samples=int(16 * steps / 0.85)),
    )
    task = pick(TASKS, dataset, "task")

    def fresh() -> AdaptedModel:
        base = load_base(config.model)
        return wrap(base, config.lora, select(find_modules(base.model), "both", tied=base.tied, model_id="lab"), seed=0)

    data = load_training(task, config.data)
    rows = prepare(config, task, fresh().base, data.train, data.validation)
    return config, fresh, Prepared(rows.train[: 16 * steps], rows.validation[:4], rows.max_length, ())


def arguments(steps: int, folder: str) -> dict:
    return {
        "output_dir": folder, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "max_steps": steps,
        "learning_rate": 1e-3, "lr_scheduler_type": "cosine", "warmup_steps": 1, "report_to": "none", "use_cpu": True,
        "save_strategy": "no", "logging_steps": 10, "disable_tqdm": True, "weight_decay": 0.01, "bf16": False,
        "dataloader_pin_memory": False,
    }  # fmt: skip


def ours(config: ExperimentConfig, model: AdaptedModel, rows: Prepared, folder: Path) -> Trainer:
    return build_trainer(config, model, rows, folder, folder / "checkpoints", resumed=False)[0]


def fixed(config: ExperimentConfig, model: AdaptedModel, rows: Prepared, folder: Path) -> Trainer:
    width = 64 * -(-max(len(row.input_ids) for row in rows.train) // 64)

    def pad(row: Encoded) -> dict[str, list[int]]:
        empty = width - len(row.input_ids)
        return {
            "input_ids": row.input_ids + [0] * empty,
            "attention_mask": [1] * len(row.input_ids) + [0] * empty,
            "labels": [IGNORED] * row.prompt_tokens + row.input_ids[row.prompt_tokens :] + [IGNORED] * empty,
        }

    return Trainer(
        model=model.model,
        args=TrainingArguments(**arguments(config.training.max_steps, str(folder))),
        train_dataset=Dataset.from_list([pad(row) for row in rows.train]),
        data_collator=lambda batch: {key: torch.tensor([row[key] for row in batch]) for key in batch[0]},
    )


def sft(config: ExperimentConfig, model: AdaptedModel, rows: Prepared, folder: Path) -> Trainer:
    data = Dataset.from_list(
        [
            {
                "input_ids": row.input_ids,
                "completion_mask": [0] * row.prompt_tokens + [1] * (len(row.input_ids) - row.prompt_tokens),
            }
            for row in rows.train
        ]
    )
    options = SFTConfig(
        **arguments(config.training.max_steps, str(folder)),
        activation_checkpointing=False, completion_only_loss=True, max_length=None, packing=False,
    )  # fmt: skip
    return SFTTrainer(model=model.model, args=options, train_dataset=data, processing_class=model.tokenizer)


def rate(build: Callable, config: ExperimentConfig, model: AdaptedModel, rows: Prepared) -> float:
    """Answer tokens per second of the steps after the warm-up; each arm draws the same rows in an order of its own."""
    clock = Clock()
    answers = sum(len(row.input_ids) - row.prompt_tokens for row in rows.train)
    steps = config.training.max_steps
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(config, model, rows, Path(folder))
        trainer.add_callback(clock)
        trainer.train()
    return answers * (steps - WARM_UP) / steps / clock.seconds


def padding(rows: Prepared, width: int | None = None) -> float:
    """Share of computed tokens that is padding, for the fixed width or for random batches of 4."""
    lengths = [len(row.input_ids) for row in rows.train]
    if width:
        return 1 - sum(lengths) / (width * len(lengths))
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(0)).tolist()
    batches = [order[i : i + 4] for i in range(0, len(order), 4)]
    return 1 - sum(lengths) / sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lab", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "lab")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not (options.lab / "base" / "config.json").is_file():
        print(f"skipped: no model and data at {options.lab}")
        return
    disable_progress_bars()
    logging.disable_progress_bar()
    table, facts = [], []
    for dataset in ("e2e_nlg", "samsum", "wikisql", "multi_nli"):
        config, fresh, rows = setup(options.lab, dataset, options.steps)
        rounds = [
            {arm.__name__: rate(arm, config, fresh(), rows) for arm in (ours, fixed, sft)}
            for _ in range(options.rounds)
        ]
        grouped = 1 - sum(map(len_of, rows.train)) / padded_by_groups(config, rows)
        width = 64 * -(-max(map(len_of, rows.train)) // 64)
        shares = {"ours": grouped, "fixed": padding(rows, width), "sft": padding(rows)}
        row = {"task": dataset, "ours_tokens_per_s": statistics.median(r["ours"] for r in rounds)}
        for arm in ("fixed", "sft"):
            ratios = sorted(r["ours"] / r[arm] for r in rounds)
            row |= {f"ours/{arm}": statistics.median(ratios), f"{arm} range": f"{ratios[0]:.2f}-{ratios[-1]:.2f}"}
        row |= {f"padding {arm}": share for arm, share in shares.items()}
        table.append(list(row.values()))
        facts.append(row | {"rounds": rounds})
        print(*table_lines(list(row), table), sep="\n", flush=True)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    head = {"torch": torch.__version__, "threads": torch.get_num_threads(), "steps": options.steps}
    (results / "training.json").write_text(json.dumps(head | {"tasks": facts}, indent=2) + "\n")


def len_of(row: Encoded) -> int:
    return len(row.input_ids)


def padded_by_groups(config: ExperimentConfig, rows: Prepared) -> int:
    """Tokens that the run's own batches compute."""
    from lorascope.training.batching import RunSampler

    batches = RunSampler([len_of(row) for row in rows.train], 4, 4 * config.training.max_steps, 42).batches
    return sum(len(batch) * max(len_of(rows.train[i]) for i in batch) for batch in batches)


if __name__ == "__main__":
    main()
