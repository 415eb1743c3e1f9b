"""Who is told how far a run of a suite has got."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from lvmbench.execution.progress import Progress


class Reporter(Protocol):
    """What is told about the progress of a run."""

    def start(self, packs: int, workers: int) -> None: ...
    def progress(self, name: str, progress: Progress) -> None: ...
    def finish(self, name: str, counts: Counter[str], reason: str) -> None: ...
    def say(self, text: str) -> None: ...
