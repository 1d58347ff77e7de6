"""Make the embedded model from nothing: corpus from seeds, tokenizer, pretraining, the folder that the package carries.

    python tools/pretrain_embedded.py                       # writes src/lorascope/models/assets
    python tools/pretrain_embedded.py --output_dir FOLDER   # somewhere else

Interrupted, the same command goes on from the last saved state (beside the output, removed at the end). Two processes
of one thread each share a step's rows: faster on two cores than one process of two threads. Matrix products are
bfloat16, weights, gradients and the optimizer's state float32. Which rows a step sees depends on its number alone.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from corpus import KINDS, STAGES, VERDICTS, documents, statements
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 2048
TOKENIZER_DOCUMENTS = 30_000
WORKERS = 2
WARM_UP, PEAK = 60, 4e-3
"""Steps that lead to the highest learning rate."""


class Stage(NamedTuple):
    """Steps with one recipe; what they read are the shares of `corpus.STAGES` with the same number."""

    end: int
    """The step before which it ends."""
    rows: int
    """Of a step, over all processes."""
    length: int
    """Tokens of a row."""
    rates: tuple[float, float]
    """Share of the peak learning rate at its beginning and at its end; on a line between them."""
    verdict: float
    """How much more than another token a verdict counts in the loss."""
    verdicts: tuple[str, ...] = VERDICTS
    """What may be one."""


PLAN = (
    Stage(900, 32, 256, (1.0, 0.65), 1),
    Stage(1200, 32, 256, (0.65, 0.5), 1),
    Stage(1500, 32, 256, (0.5, 0.4), 1),
    Stage(1700, 16, 256, (0.4, 0.4), 50),
    Stage(2100, 16, 256, (0.5, 0.5), 50),
    Stage(2400, 16, 256, (0.5, 0.5), 30),
    Stage(3100, 32, 256, (0.6, 0.45), 8),
    Stage(3500, 16, 512, (0.45, 0.23), 10),
    Stage(3950, 16, 512, (0.23, 0.01), 10, (*VERDICTS, *statements.ANSWERS, *statements.BEGINNINGS)),
)
STEPS = PLAN[-1].end
MICRO_TOKENS = 2048
"""What one process handles at once."""
HELD_OUT_TOKENS = 65_536
"""Tokens of each kind of document that the loss is stated on."""
SAVE_EVERY = 100
ASSETS = Path(__file__).resolve().parents[1] / "src/lorascope/models/assets"


def main() -> None:
    """Read the command line; train in two processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=ASSETS)
    arguments = parser.parse_args()
    # Freed memory is kept: giving hundreds of megabytes back to the system in every step costs a tenth of the time.
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32), "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory() as meeting:
        torch.multiprocessing.spawn(work, (arguments, f"{meeting}/store"), nprocs=WORKERS)


def work(rank: int, arguments: argparse.Namespace, meeting: str) -> None:
    """What one of the processes does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORKERS)
    folder: Path = arguments.output_dir
    state_file = folder.with_name(f"{folder.name}.state.pt")
    started, busy = time.monotonic(), time.process_time()
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    model = make_model(len(tokenizer))
    optimizers = make_optimizers(model)
    done, seconds, computed = 0, 0.0, 0.0
    if state_file.is_file():
        state = torch.load(state_file)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        done, seconds, computed = state["done"], state["seconds"], state["computed"]
    if rank == 0:
        print(
            f"tokenizer {time.monotonic() - started:.0f} s; {sum(p.numel() for p in model.parameters()):,} parameters"
        )
    tokens = 0
    for step in range(done, STEPS):
        loss, count = train_step(model, optimizers, tokenizer, step)
        tokens += count
        if rank == 0 and ((step + 1) % 25 == 0 or step < 3):
            spent = time.monotonic() - started
            print(
                f"step {step + 1}  loss {loss:.3f}  {tokens / spent:,.0f} tokens/s  {spent + seconds:.0f} s", flush=True
            )
        if rank == 0 and (step + 1) % SAVE_EVERY == 0:
            folder.parent.mkdir(parents=True, exist_ok=True)
            torch.save(
                {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "done": step + 1,
                 "seconds": seconds + time.monotonic() - started,
                 "computed": computed + time.process_time() - busy}, state_file)  # fmt: skip
    if rank == 0:
        save(model, tokenizer, folder)
        losses = {kind: held_out_loss(model, tokenizer, kind) for kind in KINDS}
        spent = seconds + time.monotonic() - started, computed + time.process_time() - busy
        text = readme(model, *spent, losses)
        (folder / "README.md").write_text(text, encoding="utf-8")
        print(text)
        state_file.unlink(missing_ok=True)
    dist.destroy_process_group()


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on documents of its own seed: 0 <pad>, 1 <s>, 2 </s>, digits single."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    texts = documents("tokenizer")
    backend.train_from_iterator(
        (next(texts)[1] for _ in range(TOKENIZER_DOCUMENTS)),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<pad>", "<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=1024
    )


def make_model(vocabulary: int) -> LlamaForCausalLM:
    """A Llama with grouped-query attention and an embedding apart from the head."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=192, intermediate_size=512, num_hidden_layers=6,
            num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=1024,
            tie_word_embeddings=False, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )
    )  # fmt: skip


def make_optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """AdamW for embedding, head and norms; Muon for the layers' matrices."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    return [
        torch.optim.AdamW(others, lr=PEAK, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
        torch.optim.Muon(matrices, lr=PEAK, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ]


def train_step(
    model: LlamaForCausalLM,
    optimizers: list[torch.optim.Optimizer],
    tokenizer: PreTrainedTokenizerFast,
    step: int,
) -> tuple[float, int]:
    """One update; returns this process's loss and the tokens of all."""
    rank, workers = dist.get_rank(), dist.get_world_size()
    number = stage_of(step)
    stage = PLAN[number]
    texts = documents(f"train {rank} {step}", stage=number)
    pieces = packed(texts, tokenizer, stage.rows // workers, stage.length).split(MICRO_TOKENS // stage.length)
    verdicts = verdict_ids(tokenizer, stage.verdicts)
    total = 0.0
    for piece in pieces:
        loss = cross_entropy(model, piece, verdicts, stage.verdict) / len(pieces)
        loss.backward()
        total += loss.item()
    parameters = list(model.parameters())
    flat = torch.cat([p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= workers
    flat *= min(1.0, 1.0 / (flat.norm().item() + 1e-6))
    place = 0
    for p in parameters:
        p.grad.copy_(flat[place : place + p.numel()].view_as(p))
        place += p.numel()
    rate = PEAK * schedule(step)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    return total, stage.rows * stage.length


def stage_of(step: int) -> int:
    """The number of the stage that a step belongs to."""
    return sum(step >= stage.end for stage in PLAN)


def schedule(step: int) -> float:
    """Share of the peak: linear up, then along each stage's own line."""
    number = stage_of(step)
    start, (first, last) = PLAN[number - 1].end if number else 0, PLAN[number].rates
    line = first + (last - first) * (step - start) / (PLAN[number].end - start)
    return line * min(1.0, (step + 1) / WARM_UP)


def packed(texts: Iterator[tuple[str, str]], tokenizer: PreTrainedTokenizerFast, rows: int, length: int) -> Tensor:
    """(rows, length + 1) ids: documents, each from <s> to </s>, one after the other; the last one is cut."""
    ids: list[int] = []
    while len(ids) < rows * length + 1:
        some = [next(texts)[1] for _ in range(16)]
        for one in tokenizer._tokenizer.encode_batch_fast(some):
            ids += [*one.ids, tokenizer.eos_token_id]
    stream = torch.tensor(ids[: rows * length + 1])
    return torch.stack([stream[i * length : (i + 1) * length + 1] for i in range(rows)])


def cross_entropy(model: LlamaForCausalLM, rows: Tensor, verdicts: Tensor | None = None, weight: float = 1.0) -> Tensor:
    """Mean nats per token of (B, T + 1) ids; tokens among `verdicts` count `weight` times."""
    logits, labels = forward(model, rows[:, :-1]).float().flatten(0, 1), rows[:, 1:].flatten()
    if verdicts is None:
        return F.cross_entropy(logits, labels)
    weights = torch.where(torch.isin(labels, verdicts), weight, 1.0)
    return F.cross_entropy(logits, labels, reduction="none") @ weights / weights.sum()


def verdict_ids(tokenizer: PreTrainedTokenizerFast, verdicts: Sequence[str]) -> Tensor:
    """Ids of the words that are one token, with and without a space in front."""
    spelt = (tokenizer(space + word, add_special_tokens=False).input_ids for word in verdicts for space in ("", " "))
    return torch.tensor(sorted({ids[0] for ids in spelt if len(ids) == 1}))


def forward(model: LlamaForCausalLM, ids: Tensor) -> Tensor:
    """Logits (B, T, V) of a Llama in bfloat16 products: Transformers' own forward pass takes 1.4 times as long."""
    config = model.config
    size = config.hidden_size // config.num_attention_heads
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    eps, half = config.rms_norm_eps, torch.bfloat16
    cos, sin = rotation(ids.shape[1], size)
    length = ids.shape[1]
    future = torch.full((length, length), -1e4, dtype=half).triu(1).repeat(heads // groups, 1)
    x = F.embedding(ids, model.model.embed_tokens.weight)

    def apart(y: Tensor, count: int) -> Tensor:
        return y.view(*y.shape[:2], count, size).transpose(1, 2)

    def rotate(y: Tensor) -> Tensor:
        a, b = y.chunk(2, -1)
        return y * cos + torch.cat((-b, a), -1) * sin

    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        y = F.rms_norm(x, x.shape[-1:], layer.input_layernorm.weight, eps).to(half)
        joint = torch.cat((attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight)).to(half)
        q, k, v = F.linear(y, joint).split((heads * size, groups * size, groups * size), -1)
        k, v = rotate(apart(k, groups)).flatten(0, 1), apart(v, groups).flatten(0, 1)
        q = rotate(apart(q, heads)).reshape(-1, heads // groups * length, size)  # heads of a group, one after the other
        weights = torch.baddbmm(future, q, k.transpose(1, 2), alpha=size**-0.5).softmax(-1)
        y = torch.bmm(weights, v).view(-1, heads, length, size).transpose(1, 2).flatten(2)
        x = x + F.linear(y, attention.o_proj.weight.to(half))
        y = F.rms_norm(x, x.shape[-1:], layer.post_attention_layernorm.weight, eps).to(half)
        gate, up = F.linear(y, torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight)).to(half)).chunk(2, -1)
        x = x + F.linear(F.silu(gate) * up, mlp.down_proj.weight.to(half))
    x = F.rms_norm(x, x.shape[-1:], model.model.norm.weight, eps).to(half)
    return F.linear(x, model.lm_head.weight.to(half))


def rotation(length: int, size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary positions, each (T, size), bfloat16."""
    speeds = 10_000.0 ** (-torch.arange(0, size, 2) / size)
    angles = torch.outer(torch.arange(length), speeds).repeat(1, 2)
    return angles.cos().bfloat16(), angles.sin().bfloat16()


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, kind: str) -> float:
    """Nats per token on documents of one kind from another seed."""
    rows = packed(documents("held out", kind), tokenizer, HELD_OUT_TOKENS // 256, 256)
    return sum(cross_entropy(model, piece).item() * len(piece) for piece in rows.split(8)) / len(rows)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """The folder that `--model embedded` loads; weights in bfloat16."""
    tokenizer.save_pretrained(folder)
    model.to(torch.bfloat16).save_pretrained(folder)
    model.float()


def readme(model: LlamaForCausalLM, seconds: float, computed: float, losses: dict[str, float]) -> str:
    """What the folder says of itself; `computed`: seconds of CPU in one of the two processes."""
    config = model.config
    lengths = [stage.end - before.end for before, stage in pairwise((Stage(0, 0, 0, (0, 0), 0), *PLAN))]
    tokens = sum(steps * stage.rows * stage.length for steps, stage in zip(lengths, PLAN, strict=True))
    rows = "\n".join(
        f"| {kind} | {' / '.join(f'{shares[i]:.0%}' for shares in STAGES)} | {loss:.3f} |"
        for i, (kind, loss) in enumerate(losses.items())
    )
    what = fill(
        f"A Llama of {sum(p.numel() for p in model.parameters()):,} parameters: {config.num_hidden_layers} layers, "
        f"hidden {config.hidden_size}, MLP {config.intermediate_size}, {config.num_attention_heads} heads, "
        f"{config.num_key_value_heads} key/value heads (grouped), vocabulary {config.vocab_size:,} (byte-level BPE, "
        f"digits single), embedding and head apart, context {config.max_position_embeddings:,}, trained on rows of up "
        f"to {PLAN[-1].length}. Weights in bfloat16. bos `<s>` 1, eos `</s>` 2, pad `<pad>` 0.",
        width=120,
    )
    made = fill(
        "Made by `python tools/pretrain_embedded.py` from generated text alone (`tools/corpus`) in "
        f"{seconds / 60:.0f} minutes, of which each of two processes computed {computed / 60:.0f}: {STEPS:,} steps, "
        f"{tokens / 1e6:.1f} M tokens, each seen once. Its text holds none of the tasks' prompt layouts; its words, "
        "the clauses of its statements, and what these are to each other by name (entailment, neutral, contradiction) "
        "are those of lorascope.tasks.builtin.",
        width=120,
    )
    return f"""# The embedded model

{what}

{made}

Loss on held-out documents (another seed), nats per token; part of it is the grammar's own chance:

| kind of document | share in each stage | loss |
|---|---|---|
{rows}

Good for: trying everything that lorascope does, tests, and gradients of a model that really learns. Not good for: text
in real English, or conclusions about large models.
"""


if __name__ == "__main__":
    main()
