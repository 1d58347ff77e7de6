"""What measuring every step costs, as a share of a training step: `python benchmarks/measurement.py`.

A random Llama of hidden size 512 with 22 layers x 7 projections (308 LoRA matrices) is trained by the run's own
trainer with everything on that is on by default: gradients at every step, weights at every tenth, journal and CSVs
written. The time inside the measuring callback is taken by a clock around its methods. It holds the clipping, which any
Trainer does as well; clipping is timed once more apart, on the same gradients, and so is the usual reading: a loop over
the parameters with one `.item()` each, without file or view. The rows of the table are models of 4, 11 and 22 layers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback

from lorascope.config.experiment import ExperimentConfig, LoRAConfig, TrainingConfig
from lorascope.measure.callback import GradientNormCallback
from lorascope.models.adapters import select, wrap
from lorascope.models.base import BaseModel
from lorascope.models.modules import find_modules
from lorascope.report.terminal import table_lines
from lorascope.training.encoding import Encoded
from lorascope.training.run import Prepared, build_trainer

HIDDEN, MLP, VOCAB, LENGTH = 512, 1376, 4096, 64
HOOKS = ("on_step_begin", "on_pre_optimizer_step", "on_step_end", "on_log", "on_save")


class Clock(TrainerCallback):
    """Times the steps, the measuring callback inside them, and the naive reading on the same gradients."""

    def __init__(self, measuring: GradientNormCallback) -> None:
        self.steps: list[float] = []
        self.inside: list[float] = []
        self.clip: list[float] = []
        self.naive: list[float] = []
        self._inside = self._apart = self._start = 0.0
        for name in HOOKS:
            if hasattr(measuring, name):
                setattr(measuring, name, self._timed(getattr(measuring, name)))

    def _timed(self, hook):
        def timed(*args, **kwargs):
            start = time.perf_counter()
            try:
                return hook(*args, **kwargs)
            finally:
                self._inside += time.perf_counter() - start

        return timed

    def on_step_begin(self, args, state, control, **kwargs):
        self._inside = self._apart = 0.0
        self._start = time.perf_counter()

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        start = time.perf_counter()
        total = 0.0
        for _, parameter in model.named_parameters():
            if parameter.requires_grad and parameter.grad is not None:
                total += parameter.grad.data.norm(2).item() ** 2
        middle = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
        end = time.perf_counter()
        self.naive.append(middle - start)
        self.clip.append(end - middle)
        self._apart = end - start

    def on_step_end(self, args, state, control, **kwargs):
        self.steps.append(time.perf_counter() - self._start - self._apart)
        self.inside.append(self._inside)


def toy(layers: int) -> BaseModel:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=MLP, num_hidden_layers=layers,
            num_attention_heads=8, num_key_value_heads=2, max_position_embeddings=512,
            bos_token_id=1, eos_token_id=2, pad_token_id=0,
        )
    )  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2}, unk_token="<unk>")),
        bos_token="<s>", eos_token="</s>", pad_token="<unk>",
    )  # fmt: skip
    return BaseModel(
        model=model,
        tokenizer=tokenizer,
        model_id="random",
        dtype=torch.float32,
        device=torch.device("cpu"),
        revision=None,
        tied=False,
        context_length=512,
        notes=(),
    )


def measure(layers: int, steps: int) -> dict[str, float]:
    base = toy(layers)
    adapted = wrap(
        base, LoRAConfig(target="both"), select(find_modules(base.model), "both", tied=False, model_id="random"), seed=0
    )
    answers = ((LENGTH // 2, LENGTH),)
    rows = [Encoded(str(i), torch.randint(3, VOCAB, (LENGTH,)).tolist(), answers, 0) for i in range(16 * steps)]
    config = ExperimentConfig(
        lora=LoRAConfig(target="both"), training=TrainingConfig(max_steps=steps, warmup_steps=1, eval_every=steps)
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        trainer, _ = build_trainer(
            config, adapted, Prepared(rows, rows[:4], LENGTH, ()), run, run / "checkpoints", resumed=False
        )
        clock = Clock(trainer.gradient_callback)
        trainer.add_callback(clock)
        trainer.train()
    kept = slice(2, None)  # the first steps warm up
    total = sum(clock.steps[kept])
    milliseconds = {name: 1e3 * statistics.mean(getattr(clock, name)[kept]) for name in ("inside", "clip", "naive")}
    return {
        "layers": layers,
        "matrices": 2 * len(adapted.targets),
        "step_ms": 1e3 * total / len(clock.steps[kept]),
        "measuring_ms": milliseconds["inside"],
        "clipping_ms": milliseconds["clip"],
        "naive_loop_ms": milliseconds["naive"],
        "share_of_step": sum(clock.inside[kept]) / total,
        "naive_share_of_step": sum(clock.naive[kept]) / total,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=14)
    steps = parser.parse_args().steps
    rows = [measure(layers, steps) for layers in (4, 11, 22)]
    for line in table_lines(list(rows[0]), [list(row.values()) for row in rows]):
        print(line)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    facts = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "steps": steps,
        "hidden": HIDDEN,
        "rows": rows,
    }
    (results / "measurement.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
