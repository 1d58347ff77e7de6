"""The scores that a probe knows, in words: names, units, sources. How they are computed: `measure/probing/`."""

from __future__ import annotations

from typing import NamedTuple


class ScoreWords(NamedTuple):
    """What a score is."""

    unit: str
    source: str
    what: str


SCORES: dict[str, ScoreWords] = {
    "signal": ScoreWords(
        "(nats/token)^2", "Hoeffding 1948 for the estimate", "|mean gradient|^2, unbiased; may be negative"
    ),
    "noise": ScoreWords("(nats/token)^2", "the rest of grad_sq", "spread of one batch's gradient around the mean"),
    "grad_sq": ScoreWords("(nats/token)^2", "per weight: eFIM", "|G|^2 of one batch, signal and noise together"),
    "lora_sq": ScoreWords("(nats/token)^2", "the study, section 4", "|gradient|^2 of a fresh adapter, mean over draws"),
    "lora_draw_sq": ScoreWords("(nats/token)^2", "the study, section 4", "the same for one draw of its random matrix"),
    "taylor": ScoreWords("nats/token", "Molchanov 2019", "<G, W>: slope of the loss along the weight; signed"),
    "adam_step": ScoreWords("nats/token", "Kingma 2015; Hu 2022", "what Adam's first LoRA step takes off the loss"),
    "snip": ScoreWords("nats/token", "SNIP, Lee 2019", "sum of |W o G| of one batch"),
    "gora": ScoreWords("nats/token", "GoRA, He 2025", "sum of |W o mean G|; gora_noise: what noise alone makes of it"),
    "fisher": ScoreWords("nats^2", "empirical Fisher information", "mean over rows of |gradient of the row's nats|^2"),
    "plop": ScoreWords("1", "PLoP, Hayou 2025", "mean |W x| / |x| over tokens, over the same for random x"),
    "weight": ScoreWords("1", "the study, hypothesis 1", "weight_sq: |W|^2; stable_rank: |W|^2 / largest value^2"),
    "spectrum": ScoreWords("nats/token", "LoRA-GA, Wang 2024", "singular values of the mean gradient"),
    "whitened": ScoreWords("nats^(1/2)", "K-FAC, Martens 2015", "the same under the curvature of inputs and outputs"),
    "whitened_diagonal": ScoreWords("nats^(1/2)", "as whitened", "the same under that curvature's diagonal"),
    "attribution": ScoreWords(
        "nats/token", "loss change allocation, Lan 2019", "what a module took off a held-out loss in a trial; signed"
    ),
    "adalora": ScoreWords("(nats/token)^2", "AdaLoRA, Zhang 2023", "|w dL/dw| smoothed, times its unrest, in a trial"),
    "eva": ScoreWords("1", "EVA, Paischer 2024", "shares of the inputs' variance along their largest directions"),
}

DEFAULT = ("grad_sq", "lora_sq", "lora_draw_sq", "taylor", "adam_step")
"""Taken of every batch's gradient, always. Signal and noise come from sums over batches."""
ON_REQUEST = (
    *("snip", "gora", "fisher", "plop", "weight", "spectrum", "whitened", "whitened_diagonal", "eva"),
    *("attribution", "adalora"),
)
OF_TRIAL = ("attribution", "adalora")
"""Those that need a short training, which is taken back."""
SPECTRA = ("spectrum", "whitened", "whitened_diagonal", "eva")
"""Those that are a row of numbers for each module."""
