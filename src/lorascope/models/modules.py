"""The modules of a model that LoRA can adapt, found on a bare model, one that PEFT has wrapped, or an empty one."""

from __future__ import annotations

from collections.abc import Iterator

from peft import PeftModel
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers.pytorch_utils import Conv1D

from lorascope.models.roles import Ancestor, group_of, is_router_class, projection_of
from lorascope.models.target import Group, Kind, TargetModule

__all__ = ["Group", "Kind", "TargetModule", "bare", "embeddings_are_tied", "find_modules"]

_Chain = tuple[tuple[str, nn.Module], ...]
"""(attribute name, bare module) from the root's child down to a module."""


def find_modules(model: nn.Module) -> list[TargetModule]:
    """Every weight that LoRA can adapt, in the model's order, with group and role by the rule of `roles.py`.

    Linear layers, GPT-2's Conv1D, embeddings, stacked experts (3-D parameters) and routers that hold their weight
    themselves. Convolutions and other raw parameters (Mamba's conv1d and A_log) are no LoRA targets here. Paths are
    those of the bare model, also when DDP or PEFT is around it.
    """
    root = bare(model)
    ends = _ends(root)
    return [target for chain in _walk(root) for target in _targets(chain, *ends)]


def embeddings_are_tied(model: nn.Module) -> bool:
    """Whether input embedding and output head are one and the same parameter."""
    embedding, head = _ends(bare(model))
    return embedding is not None and head is not None and embedding.weight is head.weight


def bare(module: nn.Module) -> nn.Module:
    """The module without what DDP and PEFT put around it; its children may still be wrapped."""
    while True:
        if isinstance(module, DistributedDataParallel):
            module = module.module
        elif isinstance(module, PeftModel):
            module = module.get_base_model()
        elif isinstance(module, BaseTuner):
            module = module.model
        elif isinstance(module, BaseTunerLayer):
            module = module.get_base_layer()
        elif isinstance(module, AuxiliaryTrainingWrapper):
            module = module.original_module
        else:
            return module


def _ends(root: nn.Module) -> tuple[nn.Module | None, nn.Module | None]:
    """Input embedding and output head, bare; None where the model has none or is not of Transformers."""
    found = [getattr(root, name)() for name in ("get_input_embeddings", "get_output_embeddings") if hasattr(root, name)]
    embedding, head = found if len(found) == 2 else (None, None)
    return embedding and bare(embedding), head and bare(head)


def _walk(root: nn.Module) -> Iterator[_Chain]:
    """The chain of every module, in registration order, each module once."""
    seen: set[int] = set()
    waiting: list[_Chain] = [((name, bare(child)),) for name, child in reversed(list(root.named_children()))]
    while waiting:
        chain = waiting.pop()
        module = chain[-1][1]
        if id(module) not in seen:
            seen.add(id(module))
            yield chain
            waiting += [(*chain, (name, bare(child))) for name, child in reversed(list(module.named_children()))]


def _targets(chain: _Chain, embedding: nn.Module | None, head: nn.Module | None) -> Iterator[TargetModule]:
    """What LoRA can adapt in the last module of the chain itself: nothing, its weight, or its stacked experts."""
    leaf, module = chain[-1]
    class_name = type(module).__name__
    if module is head and isinstance(module, nn.Linear):
        yield _target(chain, "linear", (module.out_features, module.in_features), group="lm_head", projection="head")
    elif isinstance(module, nn.Embedding):
        shape = (module.embedding_dim, module.num_embeddings)
        if embedding is not None and module.weight is embedding.weight:  # T5 and BART hold it in several modules
            yield _target(chain, "embedding", shape, group="embed", projection="embed")
        else:  # positions, even where they lie inside an attention module
            yield _target(chain, "embedding", shape, group="other", projection=leaf)
    elif isinstance(module, nn.Linear):
        yield _target(chain, "linear", (module.out_features, module.in_features))
    elif isinstance(module, Conv1D):
        yield _target(chain, "conv1d", (module.nf, module.nx))
    elif is_router_class(class_name):
        for name, weight in module.named_parameters(recurse=False):
            if name == "weight" and weight.ndim == 2:
                yield _target(chain, "router", (weight.shape[0], weight.shape[1]), group="other", projection="router")
    elif not isinstance(module, nn.modules.conv._ConvNd):
        for name, stacked in module.named_parameters(recurse=False):
            if stacked.ndim == 3:
                experts, first, second = stacked.shape
                shape = (second, first) if getattr(module, "is_transposed", False) else (first, second)
                target = _target((*chain, (name, nn.Module())), "experts", shape, experts=experts)
                if target.group == "mlp":
                    yield target


def _target(
    chain: _Chain,
    kind: Kind,
    shape: tuple[int, int],
    *,
    group: Group | None = None,
    projection: str | None = None,
    experts: int = 1,
) -> TargetModule:
    """The target at the end of the chain; group and projection by name where they are not given."""
    names = [name for name, _ in chain]
    lists = [i for i, (_, module) in enumerate(chain) if isinstance(module, nn.ModuleList)]
    inner = lists[-1] + 1 if lists else 0  # the first module below the nearest ModuleList: the block
    ancestors = [Ancestor(name, type(module).__name__) for name, module in reversed(chain[inner:-1])]
    if group is None:
        group = group_of(names[-1], ancestors, on_block=bool(lists) and len(chain) == inner + 2)
    return TargetModule(
        path=".".join(names),
        layer=int(names[lists[0] + 1]) if lists else None,
        stack="encoder" if "encoder" in names[: lists[0] if lists else -1] else "decoder",
        projection=projection or projection_of(names[-1], group, ancestors),
        group=group,
        shape=shape,
        cost_per_rank=experts * sum(shape),
        kind=kind,
    )
