"""What was measured: additive facts at the finest grain, from which every view is derived later."""

from __future__ import annotations

from typing import NamedTuple


class Measurement(NamedTuple):
    """One additive fact."""

    step: int
    """Updates done after this one: the first step is 1."""
    module: str
    """Module path; "" for facts about the whole step."""
    matrix: str
    """A, B, AB (the update), W (the base weight); "" for facts about the whole step."""
    score: str
    """grad_sq, weight_sq, update_sq, base_sq; of the whole step: loss, grad_total_sq, clip_coef, tokens, learning_rate."""
    value: float
    numel: int
    """Numbers that the value sums over."""
