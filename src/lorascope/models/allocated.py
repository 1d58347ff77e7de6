"""From what a run's settings say about adapters to modules with ranks: a target, a budget, or an allocation."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lorascope.config.allocation import Allocation
from lorascope.errors import ModelError, near
from lorascope.models.target import TargetModule


def allocated_modules(
    allocation: Allocation, modules: Sequence[TargetModule], *, model_id: str, tied: bool
) -> list[TargetModule]:
    """The modules with an adapter, in the model's order. Errors: ModelError where the allocation is of another model.

    A model is the same if its paths are there and its parameters are as many; its name alone may differ (a folder that
    was moved, a local copy of a hub model).
    """
    refuse_unknown(list(allocation.adapted), modules, model_id=model_id, made_for=allocation.base_model)
    by_path = {module.path: module for module in modules}
    used = sum(by_path[path].cost_per_rank * rank for path, rank in allocation.adapted.items())
    if used != allocation.used_params:
        raise ModelError(
            "allocation-model",
            f"on {model_id} the allocation has {used:,} parameters, and says {allocation.used_params:,}: it was made "
            f"for {allocation.base_model}, or its ranks were changed by hand",
            f"--model {allocation.base_model}",
            f'"used_params": {used}   (in the file, if the ranks are meant)',
        )
    for path, rank in allocation.adapted.items():
        if rank > min(by_path[path].shape):
            what = f"rank {rank} of {path} is above the {min(by_path[path].shape)} of its weight's smaller side"
            raise ModelError("allocation-modules", what, "a smaller rank")
    if tied and any(by_path[path].group in ("embed", "lm_head") for path in allocation.adapted):
        raise ModelError(
            "tied-embeddings",
            f"{model_id} uses one matrix as embedding and as head; adapters on it cannot be merged without an error",
            "an allocation without embedding and head",
        )
    return [module for module in modules if allocation.ranks.get(module.path)]


def refuse_unknown(paths: Collection[str], modules: Sequence[TargetModule], *, model_id: str, made_for: str) -> None:
    """ModelError where a module with a rank is not in the model; `made_for` is the model that has it."""
    known = {module.path for module in modules}
    unknown = [path for path in paths if path not in known]
    if unknown:
        guess = near(unknown[0], known)
        raise ModelError(
            "allocation-modules",
            f"{len(unknown)} of the {len(paths)} modules in the allocation are not in {model_id}: "
            f"{unknown[0]}; it was made for {made_for}",
            *([f"did you mean: {guess}"] if guess else []),
            f"--model {made_for}",
        )
