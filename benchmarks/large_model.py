"""A model of TinyLlama's shape through a whole small run: `python benchmarks/large_model.py`.

1.1 B random parameters in bfloat16 are saved as a checkpoint, then `lorascope run` takes them through 3 steps of the
default size (4 x 4 rows) on generated restaurant descriptions, with validation, checkpoints, plots and an evaluation of
2 examples. Seconds and peak memory stand in the run's own results; they are copied into benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from lorascope.cli import main as lorascope
from lorascope.models.embedded import FOLDER


def save(folder: Path) -> None:
    """TinyLlama's configuration with random weights; the embedded tokenizer uses 2,048 of its 32,000 ids."""
    config = LlamaConfig(
        vocab_size=32_000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32,
        num_key_value_heads=4, max_position_embeddings=2048, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        LlamaForCausalLM(config).save_pretrained(folder)
    finally:
        torch.set_default_dtype(torch.float32)
    AutoTokenizer.from_pretrained(FOLDER).save_pretrained(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", default="bfloat16", help="the format that the run loads the weights in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        save(home / "model")
        where = ["--model", str(home / "model"), "--data_source", "builtin", "--output_dir", str(home)]
        size = ["--dtype", options.dtype, "--max_steps", "3", "--warmup_steps", "0", "--num_samples", "200"]
        evaluation = ["--eval_samples", "2", "--eval_batch_tokens", "1024", "--experiment_name", "run"]
        code = lorascope(["run", *where, *size, *evaluation])
        if code:
            return code
        run = json.loads((home / "run" / "results_summary.json").read_text())
        environment = json.loads((home / "run" / "environment.json").read_text())
    kept = {
        name: run[name]
        for name in ("steps", "dtype", "adapter_dtype", "parameters", "seconds", "peak_memory_bytes", "tokens")
    }
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    facts = {"cpus": environment["cpus"], "threads": environment["threads"], **kept}
    (results / "large_model.json").write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
