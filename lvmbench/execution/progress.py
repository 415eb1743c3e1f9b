"""How far a job has got, as its runner is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

PAUSE = 0.2
"""Seconds between two tellings of the same job."""


@dataclass(frozen=True)
class Progress:
    """Where a job has got to: its phase, steps done of a total, and the mean validation bound.

    ``epochs`` are those that have ended since it was last told: the number of each, and the training and
    validation bound of each run, by its key. ``said`` is what the user is to be told.
    """

    phase: str
    done: int
    total: int
    bound: float | None = None
    epochs: tuple[tuple[int, Mapping[str, tuple[float, float]]], ...] = ()
    said: tuple[str, ...] = ()

    def after(self, earlier: Progress | None) -> Progress:
        """The same with what is new in an earlier one that was passed over."""
        if earlier is None:
            return self
        return replace(self, epochs=earlier.epochs + self.epochs, said=earlier.said + self.said)


class NowAndThen:
    """Passes on what is told at most five times a second, and what ends a phase always."""

    def __init__(self, tell: Callable[[Progress], None]) -> None:
        self._tell, self._told = tell, -PAUSE
        self._passed_over: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Pass on the progress, if it is time."""
        now, progress = time.monotonic(), progress.after(self._passed_over)
        self._passed_over = progress
        if progress.said or progress.done >= progress.total or now - self._told >= PAUSE:
            self._told, self._passed_over = now, None
            self._tell(progress)
