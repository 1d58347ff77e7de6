"""What a page has of each run or probe that it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lorascope.report.page_facts import ModelMap


@dataclass(frozen=True)
class Source:
    """One run or profile on a page: what is said about it, and its map."""

    about: dict[str, Any]
    """Plain data, free of private text; its keys are what `run_source` and `profile_source` write."""
    map: ModelMap
