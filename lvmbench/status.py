"""The statuses a run can have; every planned run has one, always."""

from __future__ import annotations

from enum import StrEnum

from lvmbench.errors import Refusal, Unavailable


class Status(StrEnum):
    """How a run ended; ``interrupted`` until it has ended."""

    OK = "ok"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"
    DIVERGED = "diverged"
    OOM = "oom"
    TIMEOUT = "timeout"
    KILLED = "killed"
    INTERRUPTED = "interrupted"


def answered(error: Refusal | Unavailable) -> Status:
    """The status of what a component has answered with instead of doing it."""
    return Status.REFUSED if isinstance(error, Refusal) else Status.UNAVAILABLE


SETTLED = frozenset({Status.OK, Status.REFUSED})
"""Statuses that need nobody's attention."""
