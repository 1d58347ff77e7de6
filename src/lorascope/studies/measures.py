"""The measures of a run that a study's contrasts can be made of, by name."""

from __future__ import annotations

from lorascope.errors import pick

MEASURES = {
    "test_loss": "loss of the right answers on test rows, nats per answer token",
    "base_test_loss": "the same of the base model without adapters",
    "validation_loss": "smallest validation loss during training, nats per answer token",
    "trained_parameters": "parameters of the adapters",
    **{
        f"{window}_{scale}_{group}": f"gradient of {group}, {words}, mean over {steps}"
        for window, steps in (("early", "the first tenth of the steps"), ("whole", "all steps"))
        for scale, words in (("raw", "L2 norm"), ("free", "per frozen weight, free of rank, alpha and width"))
        for group in ("attention", "mlp")
    },
    **{f"update_{group}": f"|dW| / |W| of {group} at the end" for group in ("attention", "mlp")},
    **{
        f"knockout_{group}": f"rise of the test loss without the adapters of {group}, nats per answer token and "
        "thousand trained parameters"
        for group in ("attention", "mlp")
    },
}
"""Name -> what it is; columns of a study's results."""


def check_measure(name: str) -> str:
    """The name, or an UnknownName with the near miss."""
    pick(MEASURES, name, "measure")
    return name
