"""What a probe costs beside what it replaces: `python benchmarks/probe.py`.

A random Llama in float32, the same batches for everybody, a process of its own for each arm (with all libraries
imported already), the arms in turn:

- lora: forward and backward of a model with LoRA (rank 8 on attention and MLP), the unit of a batch's time;
- probe: the default scores; and with each score on request, whose cost is what comes on top of that;
- weights: plain autograd for all weights that the probe looks at;
- eva: PEFT's EVA initialisation; lora_ga: PEFT's LoRA-GA preprocessing; adalora: an AdaLoRA training of 100 steps.

Then lora and probe on models of 4 to 32 layers, of other widths, on other lengths of rows; and two batches through a
random model of TinyLlama's shape in bfloat16 (it takes 9 GB). Seconds of a batch are the median after the first; the
rest are medians over rounds with the smallest and the largest; what is long (`adalora`, `eva`, and the trial that
`attribution` and `adalora` are scores of) is made in the first round alone. Peak memory is the kernel's high-water
mark of the process beyond the loaded model, "told" what the probe says beforehand of the same. Results:
benchmarks/results/probe.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lorascope.report.terminal import table_lines

R = 8
ON_REQUEST = (
    *("snip", "gora", "fisher", "plop", "weight", "spectrum", "whitened", "whitened_diagonal", "eva"),
    "attribution adalora",  # one trial gives both
)
PEERS = ("weights", "eva", "lora_ga", "adalora")
ONCE = ("probe attribution adalora", "adalora", "eva")
PRELOADED = ["torch", "peft", "transformers.models.llama.modeling_llama", "lorascope.runs.profiled",
             "lorascope.measure.probing.trial"]  # fmt: skip
Size = dict[str, Any]
SIZE: Size = {
    "hidden": 512, "mlp": 1376, "layers": 4, "vocab": 4096, "rows": 8, "length": 64, "batches": 8,
    "dtype": "float32", "trial_steps": 30, "adalora_steps": 100,
}  # fmt: skip
TINY: Size = {"hidden": 64, "mlp": 176, "layers": 2, "vocab": 256, "rows": 2, "length": 16, "batches": 4,
              "trial_steps": 2, "adalora_steps": 10}  # fmt: skip
GROWTH = {"layers": (4, 8, 16, 32), "hidden": (256, 512, 1024), "length": (32, 64, 128, 256)}
TINY_GROWTH = {"layers": (2, 3), "hidden": (64, 128), "length": (16, 32)}
TINYLLAMA: Size = {**SIZE, "hidden": 2048, "mlp": 5632, "layers": 22, "vocab": 32_000, "rows": 1, "batches": 2,
                   "dtype": "bfloat16"}  # fmt: skip


# ---- one arm, in a process of its own --------------------------------------------------------------------------------


def build(size: Size) -> LlamaForCausalLM:
    """A random Llama with heads of 64 and four query heads to a key."""
    config = LlamaConfig(
        vocab_size=size["vocab"], hidden_size=size["hidden"], intermediate_size=size["mlp"],
        num_hidden_layers=size["layers"], num_attention_heads=max(1, size["hidden"] // 64),
        num_key_value_heads=max(1, size["hidden"] // 256), max_position_embeddings=2048,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, size["dtype"]))
    try:
        return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)


def batches(size: Size) -> list[list[dict[str, torch.Tensor]]]:
    """Random rows whose tokens are as uneven as words are (Zipf); the loss on their second half."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(size["batches"]):
        rank = (size["vocab"] - 3) ** torch.rand(size["rows"], size["length"], generator=generator)
        ids = 2 + rank.long()
        labels = ids.clone()
        labels[:, : size["length"] // 2] = -100
        found.append([{"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}])
    return found


def targets(model: torch.nn.Module) -> list[Any]:
    from lorascope.measure.probing.parts import probed
    from lorascope.models.modules import find_modules

    return probed(find_modules(model))


def steps(model: torch.nn.Module, data: list[Any], after: Callable[[], None]) -> list[float]:
    """Forward and backward of every batch; `after` ends it. Seconds of each."""
    from lorascope.measure.probing.gradients import count_tokens, sum_of_nats

    seconds = []
    for (batch,) in data:
        start = time.perf_counter()
        (sum_of_nats(model, batch) / count_tokens(model, batch)).backward()
        after()
        seconds.append(time.perf_counter() - start)
    return seconds


def arm_lora(model: Any, data: list[Any], size: Size) -> dict[str, Any]:
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(model, LoraConfig(r=R, target_modules=[m.path for m in targets(model)]))
    return {"each": steps(adapted, data, lambda: adapted.zero_grad(set_to_none=True))}


def arm_weights(model: Any, data: list[Any], size: Size) -> dict[str, Any]:
    model.requires_grad_(False)
    for module in targets(model):
        model.get_submodule(module.path).weight.requires_grad_(True)
    return {"each": steps(model, data, lambda: model.zero_grad(set_to_none=True))}


def arm_probe(model: Any, data: list[Any], size: Size, scores: tuple[str, ...] = ()) -> dict[str, Any]:
    """All of it: memory beforehand, the pass, what is made of the sums at its end, the trial."""
    from lorascope.config.scores import OF_TRIAL
    from lorascope.measure.probing.collect import ProbeSettings, collect
    from lorascope.measure.probing.memory import memory
    from lorascope.measure.probing.parts import find_weights
    from lorascope.measure.probing.trial import trial
    from lorascope.runs.profiled import profile_of

    chosen = targets(model)
    weights, settings = find_weights(model, chosen), ProbeSettings(scores=scores, trial_steps=size["trial_steps"])
    told = memory(model, weights, data, settings)
    times = [time.perf_counter()]
    found = collect(model, weights, data, settings, progress=lambda done, loss: times.append(time.perf_counter()))
    profile_of(found, {})
    if set(OF_TRIAL) & set(scores):
        trial(
            model, weights, chosen, data, steps=settings.trial_steps, r=R, alpha=settings.alpha, lr=settings.lr,
            seed=0, blocks=settings.blocks,
        )  # fmt: skip
    return {
        "each": [b - a for a, b in itertools.pairwise(times)],
        "told_bytes": sum(size for name, size in told.items() if name != "weights"),
    }


def arm_eva(model: Any, data: list[Any], size: Size) -> dict[str, Any]:
    from peft import EvaConfig, LoraConfig, get_peft_model, initialize_lora_eva_weights

    names = [m.path for m in targets(model)]
    config = LoraConfig(
        task_type="CAUSAL_LM", r=R, target_modules=names, init_lora_weights="eva", eva_config=EvaConfig(rho=2.0)
    )
    adapted = get_peft_model(model, config, low_cpu_mem_usage=True)
    plain = [{k: v for k, v in batch.items() if k != "labels"} for (batch,) in data]
    passes: list[None] = []
    model.register_forward_pre_hook(lambda module, inputs: passes.append(None))
    initialize_lora_eva_weights(adapted, plain, show_progress_bar=False)
    return {"forwards": len(passes)}  # it goes on until its directions stand still


def arm_lora_ga(model: Any, data: list[Any], size: Size) -> dict[str, Any]:
    from peft import LoraConfig, LoraGAConfig, get_peft_model
    from peft.tuners.lora.loraga import preprocess_loraga

    names = [m.path for m in targets(model)]
    config = LoraConfig(r=R, target_modules=names, init_lora_weights="lora_ga", lora_ga_config=LoraGAConfig())
    each: list[float] = []
    preprocess_loraga(model, config, lambda: each.extend(steps(model, data, lambda: None)))
    get_peft_model(model, config)
    return {"each": each}


def arm_adalora(model: Any, data: list[Any], size: Size) -> dict[str, Any]:
    from peft import AdaLoraConfig, get_peft_model

    total = size["adalora_steps"]
    config = AdaLoraConfig(
        init_r=R + R // 2, target_r=R, tinit=total // 10, tfinal=total // 5, deltaT=1, total_step=total,
        target_modules=[m.path for m in targets(model)], task_type="CAUSAL_LM",
    )  # fmt: skip
    adapted = get_peft_model(model, config)
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=2e-4)
    numbers = iter(range(1, total + 1))

    def after() -> None:
        optimizer.step()
        adapted.base_model.update_and_allocate(next(numbers))
        optimizer.zero_grad(set_to_none=True)

    return {"each": steps(adapted, [data[i % len(data)] for i in range(total)], after)}


ARMS: dict[str, Callable[..., dict[str, Any]]] = {
    "lora": arm_lora, "weights": arm_weights, "probe": arm_probe, "eva": arm_eva, "lora_ga": arm_lora_ga,
    "adalora": arm_adalora,
}  # fmt: skip


def measured(name: str, size: Size) -> dict[str, Any]:
    """Seconds in all and of a batch, and bytes beyond the loaded model, of one arm in this process."""
    warnings.filterwarnings("ignore")
    model, data = build(size), batches(size)
    arm, *scores = name.split()
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts anew
    start = time.perf_counter()
    found = ARMS[arm](model, data, size, *([tuple(scores)] if scores else []))
    seconds = time.perf_counter() - start
    each = found.pop("each", [])
    return {
        "seconds": seconds, "per_batch": statistics.median(each[1:]) if each else None,
        "peak_bytes": resident("VmHWM") - before, "model_bytes": sum(p.nbytes for p in model.parameters()), **found,
    }  # fmt: skip


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def work(pipe: Any, name: str, size: Size) -> None:
    pipe.send(measured(name, size))


# ---- all arms --------------------------------------------------------------------------------------------------------


def child(name: str, size: Size) -> dict[str, Any]:
    """One arm in a fresh process, forked from one that has imported everything and computed nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(there, name, size))
    process.start()
    there.close()
    try:
        found: dict[str, Any] = here.recv()
    except EOFError:
        process.join()
        raise SystemExit(f"{name} ended with {process.exitcode}") from None
    process.join()
    print(f"{name:<28} {found['seconds']:7.2f} s  {found['peak_bytes'] / 1e6:7.0f} MB", flush=True)
    return found


def rounds(names: list[str], size: Size, count: int) -> dict[str, dict[str, Any]]:
    """Every arm in turn, `count` times (those of ONCE once): medians, with the smallest and largest time."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(count):
        for name in names:
            if not (number and name in ONCE):
                found[name].append(child(name, size))
    rows = {}
    for name, runs in found.items():
        each = [run["per_batch"] for run in runs if run["per_batch"] is not None]
        seconds = [run["seconds"] for run in runs]
        rows[name] = {
            "seconds": round(statistics.median(seconds), 3),
            "range": [round(min(seconds), 3), round(max(seconds), 3)],
            "per_batch": round(statistics.median(each), 4) if each else None,
            "peak_bytes": int(statistics.median(run["peak_bytes"] for run in runs)),
            **{name: runs[0][name] for name in ("told_bytes", "forwards") if name in runs[0]},
            "model_bytes": runs[0]["model_bytes"], "rounds": len(runs),
        }  # fmt: skip
    return rows


def compared(arms: dict[str, dict[str, Any]], batches: int) -> list[list[Any]]:
    """Every arm in LoRA forward-backwards, the scores on request beside the default ones; rows of a table."""
    unit, default = arms["lora"]["per_batch"], arms["probe"]
    table = []
    for name, row in arms.items():
        row["in_lora_steps"] = round(row["per_batch"] / unit, 3) if row["per_batch"] is not None else None
        row["whole_in_lora_steps"] = round(row["seconds"] / unit, 2)
        more = ["", "", ""]
        if name.startswith("probe "):
            row["beyond_default_seconds"] = round(row["seconds"] - default["seconds"], 3)
            row["beyond_default_bytes"] = row["peak_bytes"] - default["peak_bytes"]
            row["beyond_default_lora_steps_a_batch"] = round(row["beyond_default_seconds"] / batches / unit, 3)
            more = [f"{row['beyond_default_seconds']:+.2f}", f"{row['beyond_default_lora_steps_a_batch']:+.2f}",
                    f"{row['beyond_default_bytes'] / 1e6:+.0f}"]  # fmt: skip
        each = "" if row["in_lora_steps"] is None else f"{row['in_lora_steps']:.2f}"
        table.append([name, f"{row['seconds']:.2f}", "{:.2f}-{:.2f}".format(*row["range"]), each,
                      f"{row['peak_bytes'] / 1e6:.0f}", *more])  # fmt: skip
    return table


def growth(base: Size, changes: dict[str, tuple[int, ...]]) -> list[dict[str, Any]]:
    """Time of a batch and peak memory of lora and probe as one measure of the model or the rows changes."""
    rows = []
    for measure, values in changes.items():
        for value in values:
            size = {**base, measure: value} | ({"mlp": value * 43 // 16} if measure == "hidden" else {})
            found = {name: child(name, size) for name in ("lora", "probe")}
            lora, probe = (found[name]["per_batch"] for name in ("lora", "probe"))
            rows.append({
                "measure": measure, "value": value, "lora": round(lora, 4), "probe": round(probe, 4),
                "ratio": round(probe / lora, 3), "lora_peak_bytes": found["lora"]["peak_bytes"],
                "probe_peak_bytes": found["probe"]["peak_bytes"], "told_bytes": found["probe"]["told_bytes"],
            })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="everything tiny, once; writes no results")
    parser.add_argument("--no_tinyllama", action="store_true", help="leave the model of TinyLlama's shape out")
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args()
    size, count = ({**SIZE, **TINY}, 1) if options.smoke else (SIZE, options.rounds)
    arms = rounds(["lora", "probe", *(f"probe {score}" for score in ON_REQUEST), *PEERS], size, count)
    table = compared(arms, size["batches"])
    head = ["arm", "s", "range", "LoRA steps a batch", "MB", "s beyond", "steps a batch beyond", "MB beyond"]
    print(*table_lines(head, table), sep="\n", flush=True)
    facts: dict[str, Any] = {
        "torch": torch.__version__, "threads": torch.get_num_threads(), "cpus": os.cpu_count(), "size": size,
        "arms": arms, "growth": growth({**size, "batches": 4}, TINY_GROWTH if options.smoke else GROWTH),
    }  # fmt: skip
    grown = [[r["measure"], r["value"], r["lora"], r["probe"], r["ratio"], *(f"{r[f'{n}_bytes'] / 1e6:.0f}" for n in
             ("lora_peak", "probe_peak", "told"))] for r in facts["growth"]]  # fmt: skip
    print(*table_lines(["measure", "value", "lora, s", "probe, s", "ratio", "MB", "MB", "told"], grown), sep="\n")
    if not options.smoke and not options.no_tinyllama:
        facts["tinyllama"] = {"size": TINYLLAMA, **rounds(["probe"], TINYLLAMA, 1)["probe"]}
    print(f"default scores: {arms['probe']['in_lora_steps']:.2f} LoRA forward-backwards a batch (at most 1.5 wanted)")
    if not (options.smoke or options.dry):
        results = Path(__file__).parent / "results"
        results.mkdir(exist_ok=True)
        (results / "probe.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
