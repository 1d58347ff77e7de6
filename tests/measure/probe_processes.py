"""Started by test_probe_distributed.py on two processes: one probe after another, each shared between them."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from probed import TOYS, Batch, batches, fine_toy, toy

from lorascope.cli import main
from lorascope.config.scores import OF_TRIAL, ON_REQUEST
from lorascope.measure.probing.collect import Collected, ProbeSettings, collect

EXACT = ProbeSettings(
    r=4, alpha=12.0, lr=3e-3, blocks=3, directions=9,
    scores=tuple(score for score in ON_REQUEST if score not in OF_TRIAL),
)  # fmt: skip
"""Everything but what takes a trial."""


def exact_batches() -> list[list[Batch]]:
    """Five batches of two micro-batches: an odd number for two processes."""
    return batches(5, micro=2, rows=2)


def exact_probe(name: str) -> Collected:
    """A toy in float64, probed for everything."""
    model, weights = fine_toy(name)
    return collect(model, weights, exact_batches(), EXACT)


SCORES = ("snip", "gora", "fisher", "plop", "weight", "spectrum", "whitened", "eva")


def probes(rank: int) -> list[Collected]:
    """Nine batches, an odd number; and one that the second process alone has enough of after four."""
    settings = ProbeSettings(blocks=4, scores=SCORES, directions=5)
    looked = []

    def enough(done: int, look) -> bool:
        if done == 2:
            looked.append(look())
        return rank == 1 and done >= 4

    model, weights = toy("phi3")
    return [
        collect(model, weights, batches(9, micro=2), settings),
        collect(model, weights, batches(9), settings, enough=enough),
        *looked,
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    number = torch.distributed.get_rank()
    target = Path(sys.argv[1])
    torch.save(probes(number), target / f"rank{number}.pt")
    torch.save({name: exact_probe(name) for name in TOYS}, target / f"exact{number}.pt")
    line = ["probe", "--model", str(target / "model"), "--dataset", str(target / "letters.jsonl"), "--batches", "5"]
    sys.exit(main([*line, "--batch_size", "2", "--output_dir", str(target / "profiles"), "--experiment_name", "two"]))
