"""Progress of a job, handed over in a small file:
nothing to lock, and nothing left behind by a killed process.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """Where a job has got to: its phase, steps done of a total, and the mean validation bound."""

    phase: str
    done: int
    total: int
    bound: float | None = None


@dataclass(frozen=True)
class ProgressFile:
    """Written by the worker at most five times a second, read by the runner."""

    path: Path

    def write(self, progress: Progress) -> None:
        """Put the latest progress where the runner finds it."""
        with contextlib.suppress(OSError):
            if (
                progress.done < progress.total
                and self.path.exists()
                and time.time() - self.path.stat().st_mtime < 0.2
            ):
                return
            partial = self.path.with_suffix(".partial")
            partial.write_text(json.dumps(asdict(progress)))
            partial.replace(self.path)

    def read(self) -> Progress | None:
        """The latest progress, if there is any."""
        try:
            return Progress(**json.loads(self.path.read_text()))
        except (OSError, ValueError):
            return None
