"""The methods: from what a probe or a run measured to ranks, each of them exact in trained parameters.

Every method has one signature, (modules, budget, evidence, rng) -> ranks by module path. Where ranks are wished that
are not whole, the nearest whole ones that use the budget best are taken (`wishes.nearest`); where every rank has a
worth of its own, the sum is maximised (`wishes.greedy`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lorascope.analysis.allocating import controls
from lorascope.analysis.allocating.places import most_rank
from lorascope.analysis.allocating.wishes import greedy, nearest, shared
from lorascope.analysis.budgets import match_budget, used_params
from lorascope.errors import ConfigError, DataError, pick
from lorascope.models.target import TargetModule

Ranks = dict[str, int]
_GROUPS = ("attention", "mlp")
Need = Literal["scores", "errors", "spectra", "edges", "ranks"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of the modules, by their paths; a method says which of it it needs."""

    scores: Mapping[str, float] = field(default_factory=dict)
    """Larger is more; additive over modules where the method says so."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Standard errors of the scores."""
    spectra: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Singular values, or explained variance ratios for eva; falling."""
    edges: Mapping[str, int] = field(default_factory=dict)
    """Number of directions above the noise edge."""
    ranks: Mapping[str, int] = field(default_factory=dict)
    """Ranks that somebody chose: what a control is made of, or AdaLoRA's final ones."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One rule, and what it needs."""

    needs: tuple[Need, ...]
    words: str
    """One sentence."""
    allot: Callable[[Sequence[TargetModule], int, Evidence, np.random.Generator], Ranks]


def allot(
    modules: Sequence[TargetModule], budget: int, method: str, evidence: Evidence | None = None, *, seed: int = 0
) -> Ranks:
    """Ranks by module path that cost at most `budget` trained parameters, as a method wants them.

    The gap below the budget is the smallest that the method's modules and largest ranks allow: for all methods but
    threshold, mixed, gora, efim and eva that of every module at up to full rank; shuffled_layers costs what the ranks
    do that it is made of. `seed` is read by the controls alone. Errors: UnknownName; ConfigError where the evidence
    that the method needs is missing for a module, or its ranks cost more than the budget; DataError where it has no
    signal.
    """
    rule = pick(METHODS, method, "method")
    evidence = evidence or Evidence()
    for need in rule.needs:
        values = getattr(evidence, need)
        missing = [module.path for module in modules if module.path not in values]
        if missing:
            what = f"--method {method} needs {need} of every module; {len(missing)} have none, such as {missing[0]}"
            raise ConfigError("method-needs", what, "--method uniform")
        if need in ("scores", "errors"):
            broken = [module.path for module in modules if not np.isfinite(values[module.path])]
            if broken:
                raise DataError("not-finite", f"the {need} of {broken[0]} are not finite", "probe again")
    return rule.allot(modules, budget, evidence, np.random.default_rng(seed))


def _uniform(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    return match_budget(modules, budget)


def _proportional(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    """r_m = k s_m."""
    return shared(modules, budget, [evidence.scores[m.path] for m in modules])


def _attribution(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    """c_m r_m = k s_m, which maximises sum s_m log r_m."""
    return shared(modules, budget, [evidence.scores[m.path] / m.cost_per_rank for m in modules])


def _spectral(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    """Rank k of module m is worth sigma_mk^2: by Eckart and Young what it adds to the best low-rank approximation."""
    return greedy(modules, budget, [[s * s for s in evidence.spectra[m.path]] for m in modules])


def _adam(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    """Every rank of a module is worth its score, since a first step under Adam grows with r; up to its noise edge."""
    gains = [[evidence.scores[m.path]] * min(evidence.edges[m.path], most_rank(m)) for m in modules]
    return greedy(modules, budget, gains)


def _threshold(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    """Even ranks over the modules whose score is above 0 by 1.96 standard errors; none for the others."""
    clear = [m for m in modules if evidence.scores[m.path] - 1.96 * evidence.errors[m.path] > 0]
    if not clear:
        raise DataError("no-signal", "no module is above its noise", "--method uniform")
    return {m.path: 0 for m in modules} | match_budget(clear, budget)


def _mixed(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    """In every layer the group, attention or MLP, with the larger norm per parameter: one of them, evenly.

    What is neither (the embedding, the head) competes with nothing, and stays.
    """
    weight: dict[tuple[str, int | None], dict[str, list[float]]] = {}
    for m in (m for m in modules if m.group in _GROUPS):
        sums = weight.setdefault((m.stack, m.layer), {}).setdefault(m.group, [0.0, 0.0])
        sums[0] += evidence.scores[m.path] ** 2
        sums[1] += m.num_experts * m.shape[0] * m.shape[1]
    heavier = {place: max(groups, key=lambda g: groups[g][0] / groups[g][1]) for place, groups in weight.items()}
    chosen = [m for m in modules if m.group not in _GROUPS or heavier[m.stack, m.layer] == m.group]
    return {m.path: 0 for m in modules} | match_budget(chosen, budget)


def _eva(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    """EVA orders all directions by explained variance ratio, whatever they cost, up to rho = 2 times the even rank."""
    even = budget / sum(m.cost_per_rank for m in modules)
    top = max(1, int(2 * even))
    gains = [[ratio * m.cost_per_rank for ratio in evidence.spectra[m.path][:top]] for m in modules]
    return greedy(modules, budget, gains)


def _gora(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    """GoRA shares parameters by importance, with ranks between half and four times the even rank."""
    return _clamped(modules, budget, [evidence.scores[m.path] / m.cost_per_rank for m in modules])


def _efim(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    """eFIM shares ranks by mean squared gradient, with ranks between half and four times the even rank."""
    return _clamped(modules, budget, [evidence.scores[m.path] for m in modules])


def _clamped(modules: Sequence[TargetModule], budget: int, shares: Sequence[float]) -> Ranks:
    even = budget / sum(m.cost_per_rank for m in modules)
    return shared(modules, budget, shares, low=even / 2, high=max(1.0, float(int(4 * even))))


def _adalora(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    """AdaLoRA's final ranks, scaled to the budget."""
    return shared(modules, budget, [float(evidence.ranks[m.path]) for m in modules])


def _random(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    return controls.random_ranks(modules, budget, rng)


def _inverted(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    return nearest(modules, budget, controls.inverted(modules, budget, evidence.ranks))


def _over_layers(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    cost = used_params(modules, evidence.ranks)
    if cost > budget:
        what = f"--method shuffled_layers keeps the allocation's ranks, which cost {cost:,} of {budget:,} parameters"
        raise ConfigError("method-needs", what, "the same without --budget", "--method shuffled_kinds")
    return controls.over_layers(modules, evidence.ranks, rng)


def _over_kinds(modules: Sequence[TargetModule], budget: int, evidence: Evidence, rng: np.random.Generator) -> Ranks:
    return nearest(modules, budget, controls.over_kinds(modules, budget, evidence.ranks, rng))


METHODS: dict[str, Method] = {
    "adalora": Method(needs=("ranks",), words="AdaLoRA's final ranks, scaled to the budget.", allot=_adalora),
    "adam_first_step": Method(
        needs=("scores", "edges"),
        words="Largest first step under Adam, no module beyond its directions above noise.",
        allot=_adam,
    ),
    "attribution": Method(
        needs=("scores",), words="Parameters in proportion to the loss change of a module.", allot=_attribution
    ),
    "efim": Method(needs=("scores",), words="Ranks by mean squared gradient, clamped (eFIM).", allot=_efim),
    "eva": Method(needs=("spectra",), words="Ranks by explained variance ratio (EVA's order).", allot=_eva),
    "gora": Method(needs=("scores",), words="Parameters by mean |W * G|, clamped (GoRA).", allot=_gora),
    "inverted": Method(needs=("ranks",), words="Control: the largest rank where the smallest was.", allot=_inverted),
    "mixed": Method(
        needs=("scores",), words="In every layer attention or MLP, by weight norm per parameter.", allot=_mixed
    ),
    "proportional": Method(needs=("scores",), words="Ranks in proportion to a score.", allot=_proportional),
    "random": Method(needs=(), words="Control: drawn evenly from all ranks that use the budget.", allot=_random),
    "shuffled_kinds": Method(
        needs=("ranks",), words="Control: the chosen ranks, shuffled over kinds in every layer.", allot=_over_kinds
    ),
    "shuffled_layers": Method(
        needs=("ranks",), words="Control: the chosen ranks, shuffled over layers within a kind.", allot=_over_layers
    ),
    "spectral": Method(needs=("spectra",), words="Largest squared singular values per parameter.", allot=_spectral),
    "threshold": Method(
        needs=("scores", "errors"), words="Even ranks over the modules above noise.", allot=_threshold
    ),
    "uniform": Method(needs=(), words="Ranks as even as the budget allows.", allot=_uniform),
    "whitened": Method(
        needs=("spectra",), words="Largest squared singular values of the whitened gradient.", allot=_spectral
    ),
}  # fmt: skip
