"""An allocation as other programs take it: PEFT, a line of Python, axolotl, TRL, or a plain list of modules.

PEFT and axolotl take rank maps. TRL's command line and LLaMA-Factory take none: for TRL a script is written, for the
rest there is the nearest plain list of modules at one rank, with what it loses. An adapter that is trained already is
written at one rank by `models/uniform.py`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lorascope.config.adapter_texts import (
    AXOLOTL,
    PADDED,
    PEFT,
    PLAIN,
    PYTHON,
    TRL,
    adapter_fields,
    axolotl_text,
    python_text,
    trl_text,
)
from lorascope.config.allocation import Allocation
from lorascope.config.experiment import LoRAConfig
from lorascope.errors import RunError
from lorascope.models import embedded
from lorascope.models.adapters import peft_config
from lorascope.models.allocated import allocated_modules
from lorascope.models.base import BaseModel
from lorascope.models.modules import find_modules
from lorascope.models.target import TargetModule


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
    """Write allocation.json and every form of it into `folder`, in the place of those of another allocation.

    `base` may be empty (`load_config_only`). Of `lora` only the dropout is read. Errors: ModelError where the
    allocation is of another model or PEFT cannot do it; RunError where nothing can be written.
    """
    modules = find_modules(base.model)
    targets = allocated_modules(allocation, modules, model_id=base.model_id, tied=base.tied)
    config = peft_config(base.model, lora, targets, allocation)
    config.base_model_name_or_path = base.model_id
    plain_type = getattr(config.task_type, "value", config.task_type)
    fields, head = adapter_fields({**vars(config), "task_type": str(plain_type)}), _head(allocation)
    texts = {
        "allocation.json": allocation.to_json(),
        PYTHON: python_text(fields, head),
        TRL: trl_text(fields, head, allocation.base_model, allocation.used_params),
    }
    notes = []
    axolotl = axolotl_text(fields, head, allocation.base_model)
    if axolotl is not None:
        texts[AXOLOTL] = axolotl
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
        for name in {AXOLOTL, PLAIN} - set(texts):  # of the allocation before
            (folder / name).unlink(missing_ok=True)
        if (folder / PADDED / PEFT).is_file():
            shutil.rmtree(folder / PADDED)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError("not-writable", f"cannot write to {folder}: {error.strerror}", "--output FOLDER") from error
    return Exports(tuple(folder / name for name in (PEFT, *texts)), tuple(notes))


def nearest_plain(modules: Sequence[TargetModule], allocation: Allocation) -> Plain | None:
    """The names and the one rank whose parameters share most with the allocation's, without exceeding its budget.

    Names are taken in the order of the parameters that the allocation gives them; of the lists that begin this way, at
    the largest rank that fits, none beyond full rank, the one with the largest overlap. None where not even rank 1 of
    one name fits, or an expert has a rank: it is no module with a name.
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
        most = min(min(m.shape) for m in modules if m.path.rpartition(".")[2] in names)
        r = min(most, allocation.budget_params // sum(whole[name] for name in names))
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
