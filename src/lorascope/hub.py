"""One way to ask the Hugging Face hub: one question, five seconds for the answer, and words where none comes.

Its own libraries ask again and again, and wait for minutes where nobody answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

T = TypeVar("T")

TIMEOUT = 5.0
"""Seconds that the hub has for an answer."""

OFF = "the hub is switched off (HF_HUB_OFFLINE)"


def host() -> str:
    """The hub's address, as a person would say it."""
    return constants.ENDPOINT.split("://")[-1]


def ask(question: Callable[[HfApi], T]) -> T | str:
    """The answer, or in words why there is none.

    A no is raised as the hub's libraries have it: GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError, and
    HFValidationError for a name that none can have.
    """
    if constants.HF_HUB_OFFLINE:
        return OFF
    answers: list[T | Exception] = []

    def run() -> None:
        try:
            answers.append(question(HfApi(endpoint=constants.ENDPOINT)))
        except Exception as error:  # carried over to the caller's thread
            answers.append(error)

    # A daemon: looking up a name can hang for longer than any timeout, and must not keep the program from ending.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    if not answers:
        return f"{host()} did not answer in {TIMEOUT:g} s"
    match answers[0]:
        case RepositoryNotFoundError() | RevisionNotFoundError() | HFValidationError() as no:
            raise no
        case HfHubHTTPError() as error:
            return f"{host()} has no answer (HTTP {error.response.status_code})"
        case Exception() as error:
            return f"{host()} cannot be reached ({type(error).__name__})"
        case answer:
            return answer
