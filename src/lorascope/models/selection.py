"""Which modules a LoRA target means in a given model, by group and role: pure functions, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

from lorascope.config.experiment import Target
from lorascope.errors import ModelError, NoTargets
from lorascope.models.target import Group, Kind, TargetModule

GROUPS: dict[Target, tuple[Group, ...]] = {
    "attention_only": ("attention",),
    "attention_qv": ("attention",),
    "mlp_only": ("mlp",),
    "both": ("attention", "mlp"),
    "all": ("attention", "mlp", "embed", "lm_head"),
}
"""Target -> groups; attention_qv takes two roles of its group."""

_QV = frozenset({"q", "v", "cross_q", "cross_v"})


def select(modules: Sequence[TargetModule], target: Target, *, tied: bool, model_id: str) -> list[TargetModule]:
    """The modules that get an adapter, in the model's order.

    Errors: NoTargets where a group of the target has no module (nothing is left out silently); ModelError for
    attention_qv where some layer has no q and v of its own, and for all where embedding and head are one matrix.
    """
    present = {module.group for module in modules}
    fitting = [t for t in GROUPS if present.issuperset(GROUPS[t]) and t != "attention_qv" and not (t == "all" and tied)]
    tries = [f"--target {t}" for t in fitting]
    missing = [group for group in GROUPS[target] if group not in present]
    if missing:
        raise NoTargets(
            "no-targets",
            f"--target {target} wants {', '.join(GROUPS[target])}, but {model_id} has no {', '.join(missing)}; "
            f"it has {_inventory(modules)}",
            *(tries or ["--model, one with attention or MLP layers"]),
        )
    if target == "all" and tied:
        raise ModelError(
            "tied-embeddings",
            f"{model_id} uses one matrix as embedding and as head; adapters on it cannot be merged without an error",
            *sorted(tries, key="--target both".__ne__),
        )
    chosen = [module for module in modules if module.group in GROUPS[target]]
    if target != "attention_qv":
        return chosen
    pairs = [module for module in chosen if module.projection in _QV]
    without = {(m.stack, m.layer) for m in chosen} - {(m.stack, m.layer) for m in pairs if m.projection == "v"}
    if without or not pairs:
        raise ModelError(
            "fused-attention",
            f"--target attention_qv wants q and v apart; in {model_id} attention has {_roles(modules, 'attention')}",
            "--target attention_only",
        )
    return pairs


class CoverageRow(NamedTuple):
    """How much of one kind of module gets an adapter."""

    group: Group
    projection: str
    stack: str
    kind: Kind
    shape: tuple[int, int]
    """(out, in); of one expert where kind is experts."""
    matched: int
    """Modules with an adapter."""
    total: int
    """Modules of this kind in the model."""
    cost_per_rank: int
    """Trained parameters of the matched modules together, per rank."""
    allocated: int | None = None
    """Trained parameters where every module has a rank of its own."""

    @property
    def coverage(self) -> str:
        """ "22 of 22"."""
        return f"{self.matched} of {self.total}"

    def parameters(self, r: int) -> int:
        """Trained parameters: at rank r, or at the modules' own ranks."""
        return r * self.cost_per_rank if self.allocated is None else self.allocated


def coverage(
    modules: Sequence[TargetModule], targets: Sequence[TargetModule], ranks: Mapping[str, int] | None = None
) -> list[CoverageRow]:
    """A row for every kind of module, adapted or not: groups in a fixed order, then in the model's order.

    `ranks`: by path, where every module has its own.
    """
    adapted = {target.path for target in targets}
    kinds: dict[tuple[Group, str, str, Kind, tuple[int, int]], list[TargetModule]] = {}
    for m in modules:
        kinds.setdefault((m.group, m.projection, m.stack, m.kind, m.shape), []).append(m)
    rows = []
    for key, members in kinds.items():
        matched = [m for m in members if m.path in adapted]
        own = sum(ranks[m.path] * m.cost_per_rank for m in matched) if ranks else None
        rows.append(CoverageRow(*key, len(matched), len(members), sum(m.cost_per_rank for m in matched), own))
    return sorted(rows, key=lambda row: get_args(Group).index(row.group))


def _roles(modules: Sequence[TargetModule], group: Group) -> str:
    return ", ".join(dict.fromkeys(m.projection for m in modules if m.group == group))


def _inventory(modules: Sequence[TargetModule]) -> str:
    """ "attention (q, k, v, o), mlp (gate, up, down), embed (embed), lm_head (head)"."""
    present = {m.group for m in modules}
    return ", ".join(f"{group} ({_roles(modules, group)})" for group in get_args(Group) if group in present)
