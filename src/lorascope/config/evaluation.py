"""What the evaluation of a run is; a string under every field, as in `experiment.py`, which has the other sections."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lorascope.config.checks import floats, positive, require
from lorascope.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """The evaluation after training, on the task's test split."""

    enabled: bool = True
    """Evaluate after training."""
    base: bool = False
    """Evaluate the base model without adapters too, on the same examples, to see what training changed."""
    eval_samples: int = 200
    """Test examples to generate for; 0 is all. It is not the validation during training: that takes
    num_samples * validation_split rows [minutes on a CPU]."""
    temperature: float | None = None
    """None decodes greedily, a number samples [greedy: the same text every time]."""
    top_p: float | None = None
    """Nucleus sampling; needs --temperature."""
    constrained: bool = False
    """Of every token, take the most probable one that keeps the answer within the task's grammar (wikisql has one). Its
    scores get names of their own, since they do not compare with those of free answers."""
    max_new_tokens: int | None = None
    """Most tokens to generate for an answer [the task's]."""
    metrics: str | None = None
    """Names with commas between them: accuracy, bleu, exact_match, meteor, rouge [the task's]."""
    eval_batch_tokens: int = 8192
    """Most tokens that are in memory together: prompts, padded to the longest, and room for their answers. Of short
    prompts many are answered at a time, of long ones few [the keys and values of a 7B model stay below 5 GB]."""
    samples: bool = True
    """Keep prompts, references and predictions in samples.jsonl."""

    def __post_init__(self) -> None:
        floats(self)
        require(self.eval_samples >= 0, "eval_samples", "at least 0 (0 is all)", self.eval_samples)
        positive(self, "eval_batch_tokens")
        if self.max_new_tokens is not None:
            positive(self, "max_new_tokens")
        if self.temperature is not None:
            require(
                math.isfinite(self.temperature) and self.temperature > 0,
                "temperature",
                "positive, or left out for greedy",
                self.temperature,
            )
        if self.top_p is not None:
            require(0 < self.top_p <= 1, "top_p", "above 0 and at most 1", self.top_p)
            require(self.temperature is not None, "top_p", "given together with --temperature", self.top_p)
        if self.constrained and self.temperature is not None:
            raise ConfigError(
                "flags-exclude", "constrained decoding is greedy: it takes no temperature", "leave one of them out"
            )

    @property
    def decoding(self) -> str:
        """How tokens are chosen, in words."""
        if self.temperature is not None:
            return f"sampled at temperature {self.temperature:g}"
        return "greedy, constrained to the task's grammar" if self.constrained else "greedy"
