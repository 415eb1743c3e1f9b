"""The checkpoints of a results folder: which training goes on from which, and when one is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lvmbench.execution.unfinished import all_in, file_of
from lvmbench.training.checkpoint import Checkpoint, Unusable
from lvmbench.training.loop import Training

KEPT = "kept"
"""The folder, among the checkpoints, of those that ended trainings have left."""


@dataclass
class Checkpoints:
    """The checkpoints of the training of one pack.

    Arguments:
        folder: Where they are.
        keys: The keys of its runs.
        courses: What its runs have in common with those of other epochs and patience.
        seconds: After how long one is written; 0: never.
        keep: Whether every training leaves one when it ends, for larger budgets.
        say: Is told what the training goes on from, and what it cannot.
        started: When the training began.
    """

    folder: Path
    keys: Sequence[str]
    courses: Sequence[str]
    seconds: float
    keep: bool
    say: Callable[[str], None]
    started: str
    _written: float = field(default_factory=time.monotonic)

    def resume(self, training: Training) -> None:
        """Bring a training that has not begun to where it was, or where one with a smaller budget ended."""
        _clean(self._own)
        if not self._resumed(training, _holding(self.folder, self.keys), self.keys):
            self._resumed(training, [self._left] if self._left.is_file() else [], self.courses)

    def end_epoch(self, training: Training, *, over: bool) -> None:
        """Write where a training is, if it is time, or if larger budgets may go on from there."""
        if self._serves_others(training, over):
            self._write(training, self._left, self.courses)
        if self.seconds and not over and time.monotonic() - self._written >= self.seconds:
            self._write(training, self._own, self.keys)
            self._written = time.monotonic()

    @property
    def _own(self) -> Path:
        return file_of(self.folder, self.keys)

    @property
    def _left(self) -> Path:
        return file_of(self.folder / KEPT, self.courses)

    def _resumed(self, training: Training, files: Iterable[Path], keys: Sequence[str]) -> bool:
        """Whether a training goes on from one of these files."""
        for file in files:
            try:
                checkpoint = Checkpoint.read(file).of_runs(keys)
                if checkpoint.is_on_the_way(training):
                    checkpoint.restore(training)
                    self.started = checkpoint.started
                    where = f"epoch {checkpoint.epoch} of {training.budget.epochs}"
                    self.say(f"goes on after {where}, begun {checkpoint.started}")
                    return True
            except Unusable as error:
                self.say(f"the checkpoint '{file}' {error}; it is not used")
        return False

    def _serves_others(self, training: Training, over: bool) -> bool:
        """Whether a training with more epochs or patience may go on from here, and is worth it."""
        trained = [result for result in training.results if result.status == "ok"]
        ends = {result.stopped for result in trained if result.epochs == training.epoch}
        if not self.keep:
            long = 0 < self.seconds <= training.seconds
            return over and long and bool(ends & {"budget", "seconds"})
        # with more patience than the first seed had that lost it
        whole = bool(trained) and all(result.epochs == training.epoch for result in trained)
        return whole and (over or "patience" in ends)

    def _write(self, training: Training, path: Path, keys: Sequence[str]) -> None:
        try:
            Checkpoint.of(training, keys, self.started).write(path)
        except OSError as error:
            self.say(f"no checkpoint can be written, and it goes on without: '{path}': {error.strerror}")
            self.seconds, self.keep = 0.0, False


def _holding(folder: Path, keys: Sequence[str]) -> list[Path]:
    """The files that have what these runs go on from: their own first, and those of packs with them."""
    own = file_of(folder, keys)
    others = [file for file, checkpoint in all_in(folder) if {*keys} <= {*checkpoint.keys} and file != own]
    return [*([own] if own.is_file() else []), *others]


def _clean(path: Path) -> None:
    """Remove what writing a file has left where it was cut short: nobody else writes it."""
    for left in path.parent.glob(f".{path.name}.*.partial"):
        left.unlink(missing_ok=True)
