"""What a page leaves out, since pages travel: folders of a machine, names of people and machines, tokens."""

from __future__ import annotations

import getpass
import os
import re
import socket
from pathlib import Path
from typing import Any

FOLDERS = re.compile(r"(?<![\w/.<~])(?:~|[A-Za-z]:)?[/\\](?:[\w.+@-]+(?: +(?!-)[\w.+@-]+)*[/\\])+([\w.+@-]+)")
"""Absolute paths; a folder's name may hold spaces, but a flag behind a path is not a part of it."""
HOMES = re.compile(r"(?:/home|/Users|[A-Za-z]:\\Users)[/\\][\w.+@-]+|(?<![\w/])/root(?![\w])")
TOKENS = re.compile(r"\b(?:hf_|sk-|gh[pousr]_|wandb_v1_)[A-Za-z0-9_-]{16,}|(?<=Bearer )[\w.-]{16,}")
SECRETS = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY")
COMMON = {"root", "user", "users", "home", "admin", "localhost", "model", "data", "test", "results"}
"""Names of accounts and machines that tell nothing, and are words of the page."""


def scrub(value: Any) -> Any:
    """Plain data without private text: an absolute path keeps its last name only."""
    return _each(value, lambda text: _names_out(FOLDERS.sub(r".../\1", _homes_out(text))))


def scrub_samples(value: Any) -> Any:
    """Rows of a data set, which may speak of any folder: only this machine's home and secrets go."""
    return _each(value, lambda text: TOKENS.sub("[token]", _secrets(text.replace(str(Path.home()), "~"))))


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key) if isinstance(key, str) else key: _each(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_each(item, change) for item in value]
    return value


def _homes_out(text: str) -> str:
    return HOMES.sub("~", text.replace(str(Path.home()), "~"))


def _names_out(text: str) -> str:
    text = TOKENS.sub("[token]", text)
    for name in _names():
        text = re.sub(rf"(?<![\w]){re.escape(name)}(?![\w])", "[name]", text)
    return _secrets(text)


def _secrets(text: str) -> str:
    for name, secret in os.environ.items():
        if len(secret) >= 12 and SECRETS.search(name.upper()) and secret in text:
            text = text.replace(secret, "[token]")
    return text


def _names() -> list[str]:
    """The account and the machine, where their names tell something."""
    try:
        account = getpass.getuser()
    except (OSError, KeyError):
        account = ""  # an account without a name, as in some containers
    names = {account, socket.gethostname(), socket.gethostname().partition(".")[0]}
    return sorted((name for name in names if len(name) > 3 and name.lower() not in COMMON), key=len, reverse=True)
