"""What one looks at: plots, tables in the terminal, pages.

`lorascope.report` is this room and the function of that name at once: called, it writes a page, as `lorascope report`
does (`lorascope.runs.pages.report`). A package cannot hold a room and a function of one name otherwise.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """A room that can be called."""

    def __call__(self, *folders: Any, **options: Any) -> Any:
        # By its name: runs are above this room, and nothing in it may need them.
        return import_module("lorascope.runs.pages").report(*folders, **options)


sys.modules[__name__].__class__ = _Room
