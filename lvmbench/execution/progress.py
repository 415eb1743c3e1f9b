"""How far a job has got, as its runner is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

PAUSE = 0.2
"""Seconds between two tellings of the same job."""


@dataclass(frozen=True)
class Progress:
    """Where a job has got to: its phase, steps done of a total, and the mean validation bound."""

    phase: str
    done: int
    total: int
    bound: float | None = None


class NowAndThen:
    """Passes on what is told at most five times a second, and what ends a phase always."""

    def __init__(self, tell: Callable[[Progress], None]) -> None:
        self._tell, self._told = tell, -PAUSE

    def __call__(self, progress: Progress) -> None:
        """Pass on the progress, if it is time."""
        now = time.monotonic()
        if progress.done >= progress.total or now - self._told >= PAUSE:
            self._told = now
            self._tell(progress)
