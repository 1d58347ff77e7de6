"""The tiny pretrained Llama inside the package: `--model embedded`. `tools/pretrain_embedded.py` makes it."""

from __future__ import annotations

from pathlib import Path

NAME = "embedded"
"""What one types for it; a folder of that name is ./embedded."""
FOLDER = Path(__file__).parent / "assets"
"""Its config.json, weights and tokenizer."""


def folder_of(model_id: str) -> Path:
    """The folder that a model's name stands for, whether it is there or not."""
    return FOLDER if model_id == NAME else Path(model_id).expanduser()
