"""Seconds per step of each phase against all adapters: `python benchmarks/phases.py`.

A random Llama of hidden size 512 (LoRA on attention and MLP) takes steps of the same rows in every phase that the
strategies know, once with what is off frozen and once with it measured. The phases of a round are one training, in
which all adapters train before and after every other phase: a phase is timed against the mean of its two neighbours. A
ratio is the median over rounds, its range the smallest and the largest of them. Once without and once with activation
checkpointing. The switch itself is the time inside the callback at the beginning of a step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from lorascope import DynamicLoRACallback, GradientNormCallback
from lorascope.config.phases import Phase
from lorascope.report.terminal import table_lines

HIDDEN, MLP, VOCAB, LENGTH, ROWS = 512, 1376, 4096, 64, 4
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BOTH = frozenset({"attention", "mlp"})


def kinds(layers: int) -> dict[str, dict[str, Any]]:
    """Name -> what a phase of this kind trains."""
    middle = (layers + 1) // 2
    return {
        "attention": {"active_modules": frozenset({"attention"})},
        "MLP": {"active_modules": frozenset({"mlp"})},
        "early half": {"active_modules": BOTH, "layer_range": (0, middle - 1)},
        "late half": {"active_modules": BOTH, "layer_range": (middle, layers - 1)},
        "two layers (first, last)": {"active_modules": BOTH, "layers": (0, layers - 1)},
        "two layers (last two)": {"active_modules": BOTH, "layers": (layers - 2, layers - 1)},
    }


class Clock(TrainerCallback):
    """Seconds of every step; stands behind the phases, so that switching is in it."""

    def __init__(self, switching: DynamicLoRACallback) -> None:
        self.steps: list[float] = []
        self.switch: list[float] = []
        begin = switching.on_step_begin

        def timed(*args: Any, **kwargs: Any) -> None:
            self.start = time.perf_counter()
            begin(*args, **kwargs)
            self.switch.append(time.perf_counter() - self.start)

        switching.on_step_begin = timed

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps.append(time.perf_counter() - self.start)


def model_of(layers: int) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=MLP, num_hidden_layers=layers,
        num_attention_heads=8, num_key_value_heads=2, max_position_embeddings=LENGTH,
    )  # fmt: skip
    return get_peft_model(LlamaForCausalLM(config), LoraConfig(r=8, lora_alpha=32, target_modules=LINEAR))


def one_round(layers: int, inactive: str, checkpointing: bool, steps: int) -> tuple[dict[str, tuple], float]:
    """({kind: (seconds of its median step, of that of all adapters beside it)}, seconds of a switch).

    The first step of each phase is not counted.
    """
    everything = {"active_modules": BOTH}
    trained = [everything, *(part for what in kinds(layers).values() for part in (what, everything))]
    plan = [Phase(i * steps, (i + 1) * steps, **what) for i, what in enumerate(trained)]
    switching, measuring = DynamicLoRACallback(plan, inactive=inactive), GradientNormCallback(weight_every=0)
    clock = Clock(switching)
    rows = torch.randint(0, VOCAB, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0)).tolist()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model_of(layers),
            args=TrainingArguments(
                output_dir=folder, max_steps=steps * len(plan), per_device_train_batch_size=ROWS, learning_rate=1e-4,
                use_cpu=True, save_strategy="no", report_to="none", disable_tqdm=True, logging_strategy="no",
                dataloader_pin_memory=False, activation_checkpointing=checkpointing,
            ),
            train_dataset=[{"input_ids": row, "labels": row} for row in rows],
            callbacks=[measuring, switching, clock],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    seconds = [statistics.median(clock.steps[i * steps + 1 : (i + 1) * steps]) for i in range(len(plan))]
    beside = {
        name: (seconds[2 * i + 1], (seconds[2 * i] + seconds[2 * i + 2]) / 2) for i, name in enumerate(kinds(layers))
    }
    return beside, statistics.median(clock.switch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--steps", type=int, default=5, help="steps of each phase, the first of which is not counted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps must be at least 2")
    table, facts = [], []
    for checkpointing in (False, True):
        rounds = [
            {how: one_round(options.layers, how, checkpointing, options.steps) for how in ("freeze", "measure")}
            for _ in range(options.rounds)
        ]
        for name in kinds(options.layers):
            row: dict[str, Any] = {"phase": name, "checkpointing": "yes" if checkpointing else "no"}
            row["all, ms"] = round(1e3 * statistics.median(r["freeze"][0][name][1] for r in rounds))
            for how in ("freeze", "measure"):
                ratios = sorted(r[how][0][name][0] / r[how][0][name][1] for r in rounds)
                row[f"{how}/all"] = round(statistics.median(ratios), 3)
                row[f"{how} range"] = f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
            table.append(list(row.values()))
            facts.append(row)
        switch = statistics.median(r["freeze"][1] for r in rounds)
        print(*table_lines(list(row), table), f"switching: {1e3 * switch:.2f} ms a step", sep="\n", flush=True)
        facts.append({"checkpointing": "yes" if checkpointing else "no", "switch_ms": round(1e3 * switch, 3)})
    if options.dry:
        return
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    head = {"torch": torch.__version__, "threads": torch.get_num_threads(), **vars(options)}
    (results / "phases.json").write_text(json.dumps(head | {"phases": facts}, indent=2) + "\n")


if __name__ == "__main__":
    main()
