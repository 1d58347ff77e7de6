"""An allocation as other programs take it: PEFT, a line of Python, axolotl, TRL, or a plain list of modules.

PEFT and axolotl take rank maps. TRL's command line and LLaMA-Factory take none: for TRL a script is written, for the
rest there is the nearest plain list of modules at one rank, with what it loses. An adapter that is trained already is
written at one rank by `models/uniform.py`.
"""

from __future__ import annotations

import json
import pprint
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from peft import LoraConfig

from lorascope.config.allocation import Allocation
from lorascope.config.experiment import LoRAConfig
from lorascope.errors import RunError
from lorascope.models import embedded
from lorascope.models.adapters import peft_config
from lorascope.models.allocated import allocated_modules
from lorascope.models.base import BaseModel
from lorascope.models.modules import find_modules
from lorascope.models.target import TargetModule

PYTHON, AXOLOTL, TRL, PLAIN = "lora_config.py", "axolotl.yaml", "train_trl.py", "plain.json"


@dataclass(frozen=True, kw_only=True)
class Plain:
    """The nearest adapter at one rank, by names of modules alone."""

    target_modules: tuple[str, ...]
    """Last names, each of which means the modules of that name in every layer."""
    r: int
    lora_alpha: float
    params: int
    """Trained parameters."""
    overlap: float
    """Parameters that it shares with the allocation, module by module the smaller rank, over the allocation's."""

    def words(self, budget: int) -> str:
        """What it loses."""
        names = ", ".join(self.target_modules)
        return (
            f"{names} at r={self.r}: {self.params:,} of {budget:,} parameters, {self.overlap:.0%} of the allocation's "
            "in the same places"
        )


class Exports(NamedTuple):
    """What was written."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]
    """What a form loses, and why one is not there."""


def write_exports(base: BaseModel, lora: LoRAConfig, allocation: Allocation, folder: Path) -> Exports:
    """Write allocation.json and every form of it into `folder`.

    `base` may be empty (`load_config_only`). Of `lora` only the dropout is read. Errors: ModelError where the
    allocation is of another model or PEFT cannot do it; RunError where nothing can be written.
    """
    modules = find_modules(base.model)
    targets = allocated_modules(allocation, modules, model_id=base.model_id, tied=base.tied)
    config = peft_config(base.model, lora, targets, allocation)
    config.base_model_name_or_path = base.model_id
    fields = plain_fields(config)
    texts = {
        "allocation.json": allocation.to_json(),
        PYTHON: python_text(fields, allocation),
        TRL: trl_text(fields, allocation),
    }
    notes = []
    if all(alpha == int(alpha) for alpha in allocation.alphas.values()):
        texts[AXOLOTL] = axolotl_text(fields, allocation)
    else:
        notes.append(f"no {AXOLOTL}: axolotl takes whole alphas alone; lora_alpha / r as a whole number gives them")
    if base.model_id == embedded.NAME:
        notes.append(f"{base.model_id} is inside lorascope; other programs find it in {embedded.FOLDER}")
    plain = nearest_plain(modules, allocation)
    if plain is not None:
        facts = {name: getattr(plain, name) for name in ("target_modules", "r", "lora_alpha", "params", "overlap")}
        notes.append(f"{PLAIN}, for programs without rank maps: {plain.words(allocation.budget_params)}")
        texts[PLAIN] = json.dumps(facts | {"loses": plain.words(allocation.budget_params)}, indent=2) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config.target_modules = fields["target_modules"]
        config.save_pretrained(str(folder))
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError("not-writable", f"cannot write to {folder}: {error.strerror}", "--output FOLDER") from error
    return Exports(tuple(folder / name for name in ("adapter_config.json", *texts)), tuple(notes))


def plain_fields(config: LoraConfig) -> dict[str, Any]:
    """The arguments of `peft.LoraConfig` that matter, as plain values in a fixed order."""
    fields = {
        "task_type": str(getattr(config.task_type, "value", config.task_type)),
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "target_modules": sorted(config.target_modules or ()),
        "rank_pattern": dict(config.rank_pattern or {}),
        "alpha_pattern": dict(config.alpha_pattern or {}),
    }
    if config.target_parameters:
        fields["target_parameters"] = sorted(config.target_parameters)
    if config.fan_in_fan_out:
        fields["fan_in_fan_out"] = True
    return fields


def python_text(fields: dict[str, Any], allocation: Allocation) -> str:
    """A Python file that makes the `LoraConfig`."""
    arguments = "".join(f"    {name}={_literal(value)},\n" for name, value in fields.items())
    return f"{_head(allocation)}from peft import LoraConfig\n\nlora_config = LoraConfig(\n{arguments})\n"


def axolotl_text(fields: dict[str, Any], allocation: Allocation) -> str:
    """The part of an axolotl configuration that is about the adapter."""
    values = {
        "base_model": allocation.base_model,
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
    return _head(allocation) + yaml.safe_dump(values, sort_keys=False, width=120)


def trl_text(fields: dict[str, Any], allocation: Allocation) -> str:
    """A script that trains the allocation with TRL, whose command line takes no rank map."""
    arguments = "".join(f"    {name}={_literal(value)},\n" for name, value in fields.items())
    return (
        f"{_head(allocation)}import sys\n\nimport torch\nfrom datasets import load_dataset\n"
        "from peft import LoraConfig\nfrom trl import SFTConfig, SFTTrainer\n\n"
        f"lora_config = LoraConfig(\n{arguments})\n\n"
        'if __name__ == "__main__":\n'
        '    data = load_dataset("json", data_files=sys.argv[1], split="train")  # rows with prompt and completion\n'
        f"    trainer = SFTTrainer({allocation.base_model!r}, train_dataset=data, peft_config=lora_config,\n"
        '                         args=SFTConfig("trained", learning_rate=2e-4, bf16=torch.cuda.is_available()))\n'
        "    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)\n"
        f"    assert trained == {allocation.used_params}, trained\n"
        "    trainer.train()\n"
        "    trainer.save_model()\n"
    )


def nearest_plain(modules: Sequence[TargetModule], allocation: Allocation) -> Plain | None:
    """The names and the one rank whose parameters share most with the allocation's, without exceeding its budget.

    Names are taken in the order of the parameters that the allocation gives them; of the lists that begin this way, at
    the largest rank that fits, the one with the largest overlap. None where not even rank 1 of one name fits, or an
    expert has a rank: it is no module with a name.
    """
    if any(m.kind in ("experts", "router") for m in modules if allocation.ranks.get(m.path)):
        return None
    given: dict[str, int] = {}
    whole: dict[str, int] = {}
    for m in modules:
        name = m.path.rpartition(".")[2]
        whole[name] = whole.get(name, 0) + m.cost_per_rank
        given[name] = given.get(name, 0) + m.cost_per_rank * allocation.ranks.get(m.path, 0)
    order = sorted((name for name in given if given[name]), key=lambda name: (-given[name], name))
    scaling = allocation.top[1] / allocation.top[0]
    found = []
    for count in range(1, len(order) + 1):
        names = order[:count]
        r = allocation.budget_params // sum(whole[name] for name in names)
        if r:
            shared = sum(
                m.cost_per_rank * min(r, allocation.ranks.get(m.path, 0))
                for m in modules
                if m.path.rpartition(".")[2] in names
            )
            params = r * sum(whole[name] for name in names)
            overlap = shared / allocation.used_params
            found.append(
                Plain(target_modules=tuple(sorted(names)), r=r, lora_alpha=scaling * r, params=params, overlap=overlap)
            )
    return max(found, key=lambda plain: plain.overlap, default=None)


def _head(allocation: Allocation) -> str:
    return (
        f"# {allocation.method}: {allocation.used_params:,} trained parameters of {allocation.budget_params:,} asked "
        f"for, on {allocation.base_model}. Written by lorascope.\n"
    )


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=108, sort_dicts=False).replace("\n", "\n    ")
