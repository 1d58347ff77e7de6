"""A LoRA adapter's settings as other programs take them: a `peft.LoraConfig` in Python, a TRL script, axolotl's YAML.

Texts in, texts out: neither PEFT nor TRL is loaded for it.
"""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from typing import Any

import yaml

PEFT, PYTHON, AXOLOTL = "adapter_config.json", "lora_config.py", "axolotl.yaml"
TRL, PLAIN, PADDED = "train_trl.py", "plain.json", "padded"
"""Files of an exported allocation; the last is a folder."""

AXOLOTL_SINCE = "# axolotl from July 2026 on reads the two patterns; to an older one they mean nothing.\n"


def adapter_fields(adapter: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `peft.LoraConfig` that matter, in a fixed order, from adapter_config.json or its like."""
    wanted = adapter["target_modules"] or ()
    fields = {
        "task_type": adapter.get("task_type"),
        "r": adapter["r"],
        "lora_alpha": adapter["lora_alpha"],
        "lora_dropout": adapter["lora_dropout"],
        "target_modules": wanted if isinstance(wanted, str) else sorted(wanted),
        "rank_pattern": dict(adapter.get("rank_pattern") or {}),
        "alpha_pattern": dict(adapter.get("alpha_pattern") or {}),
    }
    if adapter.get("target_parameters"):
        fields["target_parameters"] = sorted(adapter["target_parameters"])
    if adapter.get("fan_in_fan_out"):
        fields["fan_in_fan_out"] = True
    return fields


def python_text(fields: Mapping[str, Any], head: str) -> str:
    """A Python file that makes the `LoraConfig`. `head` is a comment that says where it came from."""
    return f"{head}from peft import LoraConfig\n\nlora_config = LoraConfig(\n{_arguments(fields)})\n"


def axolotl_text(fields: Mapping[str, Any], head: str, base_model: str) -> str | None:
    """The part of an axolotl configuration about the adapter; None where an alpha is not whole: it takes none."""
    alphas = [fields["lora_alpha"], *fields["alpha_pattern"].values()]
    if any(alpha != int(alpha) for alpha in alphas):
        return None
    values = {
        "base_model": base_model,
        "adapter": "lora",
        "lora_r": fields["r"],
        "lora_alpha": fields["lora_alpha"],
        "lora_dropout": fields["lora_dropout"],
        "lora_target_modules": fields["target_modules"],
        "lora_rank_pattern": fields["rank_pattern"],
        "lora_alpha_pattern": fields["alpha_pattern"],
    }
    if "target_parameters" in fields:
        values["lora_target_parameters"] = fields["target_parameters"]
    return head + AXOLOTL_SINCE + yaml.safe_dump(values, sort_keys=False, width=120)


def trl_text(fields: Mapping[str, Any], head: str, base_model: str, params: int) -> str:
    """A script that trains the adapter with TRL, whose command line takes no rank map; `params`: how many it trains."""
    return (
        f"{head}import sys\n\nimport torch\nfrom datasets import load_dataset\n"
        "from peft import LoraConfig\nfrom trl import SFTConfig, SFTTrainer\n\n"
        f"lora_config = LoraConfig(\n{_arguments(fields)})\n\n"
        'if __name__ == "__main__":\n'
        '    data = load_dataset("json", data_files=sys.argv[1], split="train")  # rows with prompt and completion\n'
        f"    trainer = SFTTrainer({base_model!r}, train_dataset=data, peft_config=lora_config,\n"
        '                         args=SFTConfig("trained", learning_rate=2e-4, bf16=torch.cuda.is_available()))\n'
        "    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)\n"
        f"    assert trained == {params}, trained\n"
        "    trainer.train()\n"
        "    trainer.save_model()\n"
    )


def _arguments(fields: Mapping[str, Any]) -> str:
    return "".join(f"    {name}={_literal(value)},\n" for name, value in fields.items())


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=108, sort_dicts=False).replace("\n", "\n    ")
