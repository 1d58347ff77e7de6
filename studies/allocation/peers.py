"""AdaLoRA and EVA as PEFT's users run them against even ranks: `python studies/allocation/peers.py STAGE`.

The plan is peers.json, the rows are in peers.jsonl, the stages are lrs and confirm, and everything else is as in
study.py: `--minutes`, `--part`, `--table`. Both of a method's budgets stand in every row: `planned` is what its ranks
would cost evenly, `params` what trains at the start, `effective` what is left of it after the last step.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import AdaLoraConfig, EvaConfig, LoraConfig, get_peft_model, initialize_lora_eva_weights
from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from lorascope.analysis.allocating.methods import Evidence
from lorascope.models.adapters import AdaptedModel, adapter_tensors, take_off
from lorascope.models.modules import find_modules
from lorascope.runs.adapting import budget_of
from lorascope.runs.allocating import allocation_for
from lorascope.runs.trials import losses, train, trained
from lorascope.training.batching import RunSampler, collate
from lorascope.training.rows import lengths
from lorascope.training.run import training_arguments

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import rows as records  # noqa: E402  (the modules beside the studies, which are no package)
import study  # noqa: E402

PLAN, ROWS = HERE / "peers.json", HERE / "peers.jsonl"
STAGES = ("lrs", "confirm")


class Outcome(NamedTuple):
    """A trained model with its budgets in parameters, and what else belongs into the row."""

    adapted: AdaptedModel
    planned: int
    params: int
    effective: int
    facts: dict[str, Any]


# ---- the arms --------------------------------------------------------------------------------------------------------


@contextmanager
def uniform(plan: dict[str, Any], config: Any, bench: Any) -> Iterator[Outcome]:
    """Ours: even ranks that cost the budget to the last parameter."""
    targets, asked = targets_of(plan, config, bench)
    scaling = config.lora.lora_alpha / config.lora.r
    allocation = allocation_for(targets, asked, "uniform", Evidence(), scaling=scaling, base_model=bench.base.model_id)
    with trained(config, bench, allocation) as adapted:
        params = trainable(adapted.model)
        yield Outcome(adapted, asked, params, params, {})


@contextmanager
def eva(plan: dict[str, Any], config: Any, bench: Any) -> Iterator[Outcome]:
    """Ranks and A by explained variance of the inputs at the answers, over the batches that the run will train on."""
    asked, (targets, _) = plan["peers"]["eva"], targets_of(plan, config, bench)
    peft = LoraConfig(
        task_type="CAUSAL_LM", target_modules=[m.path for m in targets], r=asked["r"], lora_alpha=asked["lora_alpha"],
        lora_dropout=config.lora.lora_dropout, init_lora_weights="eva", eva_config=EvaConfig(rho=asked["rho"]),
    )  # fmt: skip
    rows, pad = bench.rows.train, bench.base.tokenizer.pad_token_id
    batches = [
        collate([rows[i] for i in picked], pad, config.data.loss_on) for picked in sampler(config, bench).batches
    ]
    with adapters_on(config, bench, peft, low_cpu_mem_usage=True) as adapted:
        with seeded(config.training.seed):
            initialize_lora_eva_weights(adapted.model, batches, show_progress_bar=False)
        ranks = {tensor.module.path: tensor.r for tensor in adapter_tensors(adapted.model)}
        params = trainable(adapted.model)
        train(config, bench, replace(adapted, targets=tuple(t for t in targets if t.path in ranks)))
        facts = {"ranks_kept": sum(ranks.values()), "modules": len(ranks), "ranks": records.fingerprint(ranks)}
        yield Outcome(adapted, asked["r"] * cost(targets), params, params, facts)


@contextmanager
def adalora(plan: dict[str, Any], config: Any, bench: Any) -> Iterator[Outcome]:
    """PEFT's AdaLoRA: more ranks at the start, the least important masked while it trains, A and B kept orthogonal."""
    asked, (targets, _) = plan["peers"]["adalora"], targets_of(plan, config, bench)
    peft = AdaLoraConfig(
        task_type="CAUSAL_LM", target_modules=[m.path for m in targets], lora_dropout=config.lora.lora_dropout,
        total_step=config.training.max_steps, **asked,
    )  # fmt: skip
    with adapters_on(config, bench, peft) as adapted:
        params = trainable(adapted.model)
        history = train_plainly(config, bench, adapted, [Allocate(adapted.model)])
        masks = masks_of(adapted.model)
        alive = {path: int((layer != 0).sum()) for path, layer in singular_values(adapted.model).items()}
        if any(alive[path] > sum(mask) for path, mask in masks.items()):
            raise SystemExit("AdaLoRA ended with singular values that its masks say are none")
        # A rank is a row of A, a column of B and its singular value.
        effective = sum(sum(masks[m.path]) * (m.cost_per_rank + 1) for m in targets)
        ranks = {path: sum(mask) for path, mask in masks.items()}
        facts = {
            "ranks_kept": sum(ranks.values()), "modules": sum(r > 0 for r in ranks.values()),
            "ranks": records.fingerprint(ranks), "first_loss": history[0], "last_loss": history[-1],
        }  # fmt: skip
        yield Outcome(adapted, asked["target_r"] * cost(targets), params, effective, facts)


ARMS = {"uniform": uniform, "adalora": adalora, "eva": eva}


# ---- what they stand on ----------------------------------------------------------------------------------------------


class Allocate(TrainerCallback):
    """AdaLoRA's step, where PEFT's documentation has it: after the optimizer's, while the gradients are still there."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """`global_step` counts the steps before this one."""
        self.model.base_model.update_and_allocate(state.global_step)


class PlainTrainer(Trainer):
    """Transformers' Trainer with a run's batches. Ours measures A and B of LoRA alone and refuses AdaLoRA.

    Its loss is the model's own, which is where PEFT adds the orthogonal regularisation.
    """

    def __init__(self, rows: RunSampler, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = rows

    def _get_train_sampler(self, train_dataset: Any = None) -> RunSampler:
        return self.rows


def train_plainly(
    config: Any, bench: Any, adapted: AdaptedModel, callbacks: Sequence[TrainerCallback] = ()
) -> list[float]:
    """As `lorascope.runs.trials.train`, with the plain Trainer; returns its log of the training loss."""
    pad = bench.base.tokenizer.pad_token_id
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(config, adapted, Path(folder), resumed=False)
        arguments.eval_on_start = arguments.load_best_model_at_end = False
        arguments.eval_strategy, arguments.save_strategy = IntervalStrategy.NO, SaveStrategy.NO
        trainer = PlainTrainer(
            sampler(config, bench), model=adapted.model, args=arguments, train_dataset=bench.rows.train,
            data_collator=lambda rows: collate(rows, pad, config.data.loss_on), callbacks=list(callbacks),
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@contextmanager
def adapters_on(config: Any, bench: Any, peft: LoraConfig, **how: Any) -> Iterator[AdaptedModel]:
    """PEFT's adapters on the base model, drawn from the run's seed; taken off afterwards."""
    base, modules = bench.base, tuple(find_modules(bench.base.model))
    targets = tuple(m for m in modules if m.path in (peft.target_modules or ()))
    try:
        with seeded(config.training.seed):
            model = get_peft_model(base.model, peft, **how)
        yield AdaptedModel(model=model, tokenizer=base.tokenizer, targets=targets, modules=modules, base=base)
    finally:
        take_off(base.model)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's generator from `seed`, and as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def targets_of(plan: dict[str, Any], config: Any, bench: Any) -> tuple[list[Any], int]:
    """The modules of every arm, and the budget in parameters."""
    lora = replace(config.lora, budget=plan["budgets"][plan["confirm"]["budget"]])
    targets, asked = budget_of(bench.base, lora, find_modules(bench.base.model))
    return list(targets), asked


def sampler(config: Any, bench: Any) -> RunSampler:
    """The batches of a run, in their order."""
    return RunSampler(
        lengths(bench.rows.train), config.training.batch_size, config.training.max_steps, config.training.seed
    )


def cost(targets: Sequence[Any]) -> int:
    """Parameters of rank 1 everywhere."""
    return sum(m.cost_per_rank for m in targets)


def trainable(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def masks_of(model: Any) -> dict[str, list[bool]]:
    """Path of a module -> which of AdaLoRA's ranks are kept at the end."""
    found = model.peft_config["default"].rank_pattern
    return {key.removesuffix(".lora_E.default"): mask for key, mask in found.items()}


def singular_values(model: Any) -> dict[str, torch.Tensor]:
    """Path of a module -> its singular values, (init_r, 1)."""
    return {
        name.removeprefix("base_model.model.").removesuffix(".lora_E.default"): p.detach()
        for name, p in model.named_parameters()
        if name.endswith(".lora_E.default")
    }


# ---- runs ------------------------------------------------------------------------------------------------------------


def measure(plan: dict[str, Any], lab: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Train one run and take its held-out loss."""
    bench = study.bench_of(json.dumps(plan), lab, run["task"])
    config = study.configure(plan, lab, run["task"], lr=run["lr"], seed=run["seed"], steps=plan["confirm"]["steps"])
    on = "validation" if run["stage"] == "lrs" else "test"
    with ARMS[run["arm"]](plan, config, bench) as found:
        seen = losses(bench, found.adapted, on)
    return {
        "planned": found.planned, "params": found.params, "effective": found.effective, **found.facts,
        "config_hash": config.hash, "on": on, "loss": seen.mean, "tokens": int(seen.tokens.sum()),
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    options = study.asked(argv, __doc__, STAGES)
    plan = json.loads(PLAN.read_text(encoding="utf-8"))
    if options.table:
        print(*study.table(plan, records.read_rows(plan, ROWS)), sep="\n")
        return
    study.go_through(
        plan, ROWS, options.stages, lambda _, run: measure(plan, options.lab, run),
        minutes=options.minutes, limit=options.runs, part=options.part,
    )  # fmt: skip


if __name__ == "__main__":
    main()
