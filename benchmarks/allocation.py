"""Planned against trained parameters: `python benchmarks/allocation.py [--model ID] [--r 8]`, and 10,000 modules.

One model, one plan: what rank r on every attention and MLP module costs. Each arm is the real PEFT model:
  uniform   rank r everywhere, PEFT's own
  ours      `match_budget` at the plan, at the plan less 1 % and at a prime number of parameters below it
  AdaLoRA   PEFT, init_r 1.5 r, target_r r: what trains to the last step, and what is not masked at the end
  EVA       PEFT, rho 2, tau 0.99: ranks moved by explained variance, their sum kept
  eFIM      the rule of the closed pull requests: ranks by mean squared gradient, rounded, between r / 4 and 4 r
  ours+     eFIM's score under our budget
Text is the generated E2E set; no network. The last table times every method on 10,000 modules with the shapes of a 7B
Llama, and even and proportional ranks on as many whose costs are 20 primes close together, which no model has: there
the solver's work is bounded, so that the gap is the smallest and the ranks near the best. Results:
benchmarks/results/allocation.json. --smoke is the same with 350 modules and few steps, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import AdaLoraConfig, EvaConfig, LoraConfig, get_peft_model, initialize_lora_eva_weights

from lorascope.analysis.allocating.methods import METHODS, Evidence, allot
from lorascope.analysis.budgets import match_budget, used_params
from lorascope.config.allocation import Allocation, constant_alphas
from lorascope.config.experiment import LoRAConfig, ModelConfig
from lorascope.models.adapters import wrap
from lorascope.models.allocated import allocated_modules
from lorascope.models.base import load_base
from lorascope.models.modules import find_modules
from lorascope.models.selection import select
from lorascope.models.target import TargetModule
from lorascope.tasks.builtin import e2e_nlg

STEPS = 30


def batches(tokenizer: Any, count: int, rows: int = 8) -> list[dict[str, torch.Tensor]]:
    """Batches of generated texts."""
    texts = [f"{e2e_nlg.write_meaning(values)} {refs[0]}" for values, refs in e2e_nlg.restaurants("train")]
    made = []
    for i in range(count):
        kept = [texts[(i * rows + k) % len(texts)] for k in range(rows)]
        ids = tokenizer(kept, return_tensors="pt", padding=True, truncation=True, max_length=96)
        labels = ids["input_ids"].masked_fill(ids["attention_mask"] == 0, -100)
        made.append({"input_ids": ids["input_ids"], "attention_mask": ids["attention_mask"], "labels": labels})
    return made


def trained(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def row(name: str, planned: int, got: int, note: str = "") -> dict[str, Any]:
    print(f"{name:<28} planned {planned:>11,}  trained {got:>11,}  {got / planned - 1:+8.3%}  {note}", flush=True)
    return {"arm": name, "planned": planned, "trained": got, "note": note}


def ours(config: ModelConfig, name: str, budget: int, method: str, evidence: Evidence) -> dict[str, Any]:
    base = load_base(config)
    modules = find_modules(base.model)
    targets = select(modules, "both", tied=base.tied, model_id=base.model_id)
    ranks = match_budget(targets, budget) if method == "uniform" else allot(targets, budget, method, evidence)
    allocation = Allocation(
        ranks=ranks, alphas=constant_alphas(ranks, 2.0), budget_params=budget,
        used_params=used_params(targets, ranks), method=method, base_model=base.model_id,
    )  # fmt: skip
    kept = allocated_modules(allocation, modules, model_id=base.model_id, tied=base.tied)
    adapted = wrap(base, LoRAConfig(lora_dropout=0.0), kept, seed=0, allocation=allocation)
    low, high = min(allocation.adapted.values()), max(allocation.adapted.values())
    return row(name, budget, trained(adapted.model), f"ranks {low} to {high}")


def adalora(config: ModelConfig, targets: list[TargetModule], planned: int, r: int, steps: int) -> list[dict[str, Any]]:
    base = load_base(config)
    names = [m.path for m in targets]
    peft = AdaLoraConfig(
        task_type="CAUSAL_LM", init_r=r * 3 // 2, target_r=r, tinit=steps // 6, tfinal=steps // 6, deltaT=1,
        total_step=steps,
        target_modules=names, lora_alpha=2 * r,
    )  # fmt: skip
    model = get_peft_model(base.model, peft)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    model.train()
    for step, batch in enumerate(batches(base.tokenizer, steps)):
        model(**batch).loss.backward()
        optimizer.step()
        model.base_model.update_and_allocate(step)
        optimizer.zero_grad()
    cost = {m.path: m.cost_per_rank for m in targets}
    kept = {key: sum(mask) for key, mask in model.peft_config["default"].rank_pattern.items()}
    effective = sum(next(c for path, c in cost.items() if f"{path}.lora_E" in key) * n for key, n in kept.items())
    singular = sum(p.numel() for name, p in model.named_parameters() if "lora_E" in name)
    return [
        row("AdaLoRA, trained", planned, trained(model), f"{singular:,} of them singular values"),
        row("AdaLoRA, not masked", planned, effective, f"{sum(kept.values())} ranks of {r * len(targets)} planned"),
    ]


def eva(config: ModelConfig, targets: list[TargetModule], planned: int, r: int, count: int) -> dict[str, Any]:
    base = load_base(config)
    peft = LoraConfig(
        task_type="CAUSAL_LM", r=r, lora_alpha=2 * r, target_modules=[m.path for m in targets],
        init_lora_weights="eva", eva_config=EvaConfig(rho=2.0, tau=0.99),
    )  # fmt: skip
    model = get_peft_model(base.model, peft, low_cpu_mem_usage=True)
    plain = [{k: v for k, v in batch.items() if k != "labels"} for batch in batches(base.tokenizer, count)]
    initialize_lora_eva_weights(model, plain, show_progress_bar=False)
    return row("EVA", planned, trained(model), f"{len(peft.rank_pattern)} ranks moved")


def squared_gradients(config: ModelConfig, targets: list[TargetModule]) -> dict[str, float]:
    """Mean squared gradient of every weight over eight batches: eFIM's score."""
    base = load_base(config)
    model = base.model
    weights = {m.path: model.get_submodule(m.path).weight for m in targets}
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for weight in weights.values():
        weight.requires_grad_(True)
    sums = dict.fromkeys(weights, 0.0)
    data = batches(base.tokenizer, 8)
    for batch in data:
        model(**batch).loss.backward()
        for path, weight in weights.items():
            sums[path] += float(weight.grad.square().mean()) / len(data)
            weight.grad = None
    return sums


def efim(targets: list[TargetModule], scores: dict[str, float], planned: int, r: int) -> dict[str, Any]:
    mean = sum(scores.values()) / len(scores)
    ranks = {m.path: int(np.clip(round(r * scores[m.path] / mean), max(1, r // 4), 4 * r)) for m in targets}
    return row("eFIM", planned, used_params(targets, ranks), f"ranks {min(ranks.values())} to {max(ranks.values())}")


def many(count: int) -> list[dict[str, Any]]:
    """Seconds of every method on `count` modules with the shapes of a 7B Llama."""
    shapes = {"q": (4096, 4096), "k": (1024, 4096), "v": (1024, 4096), "o": (4096, 4096),
              "gate": (14336, 4096), "up": (14336, 4096), "down": (4096, 14336)}  # fmt: skip
    names = list(shapes)
    modules = [
        TargetModule(
            path=f"model.layers.{i // 7}.{names[i % 7]}", layer=i // 7, stack="decoder", projection=names[i % 7],
            group="attention" if names[i % 7] in "qkvo" else "mlp", shape=shapes[names[i % 7]],
            cost_per_rank=sum(shapes[names[i % 7]]), kind="linear",
        )
        for i in range(count)
    ]  # fmt: skip
    return timed(modules, list(METHODS), "7B Llama")


def near_equal_primes(count: int, costs: int = 20) -> list[dict[str, Any]]:
    """The same for costs without a common divisor and hardly different."""
    found = (n for n in range(10_001, 20_000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2)))
    primes = [next(found) for _ in range(costs)]
    modules = [
        TargetModule(
            path=f"model.layers.{i // costs}.{i % costs}", layer=i // costs, stack="decoder", projection=str(i % costs),
            group="mlp", shape=(primes[i % costs] - 5_000, 5_000), cost_per_rank=primes[i % costs], kind="linear",
        )
        for i in range(count)
    ]  # fmt: skip
    return timed(modules, ["uniform", "proportional"], f"{costs} near-equal primes")


def timed(modules: list[TargetModule], methods: list[str], what: str) -> list[dict[str, Any]]:
    """Seconds of the methods on these modules, and what they leave of a budget of 8.3 ranks for all."""
    count = len(modules)
    rng = np.random.default_rng(0)
    scores = {m.path: float(s) for m, s in zip(modules, rng.random(count), strict=True)}
    spectra = {m.path: np.sort(rng.exponential(size=64))[::-1].tolist() for m in modules}
    budget = int(8.3 * sum(m.cost_per_rank for m in modules))
    evidence = Evidence(
        scores=scores, errors={path: score / 4 for path, score in scores.items()}, spectra=spectra,
        edges=dict.fromkeys(scores, 16), ranks=allot(modules, budget, "proportional", Evidence(scores=scores)),
    )  # fmt: skip
    rows = []
    for method in methods:
        start = time.perf_counter()
        ranks = allot(modules, budget, method, evidence)
        seconds = time.perf_counter() - start
        gap = budget - used_params(modules, ranks)
        print(f"{method:<16} {count:,} modules, {what}  {seconds:6.2f} s  left {gap:,} of {budget:,}", flush=True)
        rows.append({"method": method, "modules": count, "costs": what, "seconds": round(seconds, 3), "gap": gap})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--r", type=int, default=8)
    parser.add_argument("--modules", type=int, default=10_000)
    parser.add_argument("--smoke", action="store_true")
    asked = parser.parse_args()
    steps, modules = (6, 350) if asked.smoke else (STEPS, asked.modules)
    warnings.filterwarnings("ignore")
    config = ModelConfig(model_id=asked.model, dtype="float32")
    base = load_base(config)
    targets = select(find_modules(base.model), "both", tied=base.tied, model_id=base.model_id)
    planned = asked.r * sum(m.cost_per_rank for m in targets)
    prime = next(n for n in range(planned - 1, 2, -1) if all(n % d for d in range(2, int(n**0.5) + 1)))
    uniform = get_peft_model(base.model, LoraConfig(r=asked.r, target_modules=[m.path for m in targets]))
    rows = [row("uniform, PEFT", planned, trained(uniform))]
    for name, budget in (
        ("ours, the plan", planned),
        ("ours, 1 % less", planned * 99 // 100),
        ("ours, a prime", prime),
    ):
        rows.append(ours(config, name, budget, "uniform", Evidence()))
    rows += adalora(config, targets, planned, asked.r, steps)
    rows.append(eva(config, targets, planned, asked.r, 4 if asked.smoke else 64))
    scores = squared_gradients(config, targets)
    rows.append(efim(targets, scores, planned, asked.r))
    rows.append(ours(config, "ours+ with eFIM's score", planned, "efim", Evidence(scores=scores)))
    seconds = [*many(modules), *near_equal_primes(modules)]
    if not asked.smoke:
        results = Path(__file__).parent / "results" / "allocation.json"
        results.write_text(json.dumps({"parameters": rows, "seconds": seconds}, indent=2) + "\n")


if __name__ == "__main__":
    main()
