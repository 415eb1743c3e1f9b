"""The statuses a run can have; every planned run has one, always."""

from __future__ import annotations

from enum import StrEnum


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


SETTLED = frozenset({Status.OK, Status.REFUSED})
"""Statuses that need nobody's attention."""
