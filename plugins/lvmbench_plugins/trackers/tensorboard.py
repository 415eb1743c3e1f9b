"""Learning curves and figures for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, final

from lvmbench import (
    EpochEnded,
    EvaluationEnded,
    JobStarted,
    SuiteEnded,
    SuiteStarted,
    TrackedRun,
    Tracker,
    TrainingEnded,
    Unavailable,
)
from lvmbench_plugins.trackers._names import figure_name, run_name

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FLUSH = 5
"""Seconds after which what was written is seen."""


@final
class TensorBoard(Tracker):
    """The bounds of each epoch, the figures of evaluators and the settings of each run, for TensorBoard.

    They are event files in the folder ``tensorboard`` of the results directory, in a folder for each run:
    look at them with ``tensorboard --logdir DIR/tensorboard``.

    References:
        TensorFlow: A System for Large-Scale Machine Learning (Abadi et al., 2016),
        https://www.usenix.org/conference/osdi16/technical-sessions/presentation/abadi

    Arguments:
        folder: The folder that the runs' folders are made in, if not that one.
    """

    def __init__(self, *, folder: str | None = None) -> None:
        if find_spec("tensorboard") is None:
            raise Unavailable("the package tensorboard is missing: pip install 'lvmbench[tensorboard]'")
        self.folder = None if folder is None else Path(folder).expanduser()
        self.writers: dict[str, SummaryWriter] = {}

    def suite_started(self, event: SuiteStarted) -> None:
        self.folder = self.folder or Path(event.directory) / "tensorboard"

    def job_started(self, event: JobStarted) -> None:
        for run in event.runs:
            if earlier := self.writers.pop(run.key, None):  # it has been tried before, with others
                earlier.close()
            rows = "".join(f"| {name} | {value} |\n" for name, value in run.columns.items())
            self.writers[run.key] = writer = self._open(run)
            writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}| seed | {run.seed} |")

    def epoch_ended(self, event: EpochEnded) -> None:
        writer = self.writers[event.run.key]
        writer.add_scalar("bound/train", event.train_bound, event.epoch)
        writer.add_scalar("bound/validation", event.validation_bound, event.epoch)

    def training_ended(self, event: TrainingEnded) -> None:
        if writer := self.writers.pop(event.run.key, None):
            writer.add_text("status", f"{event.status} {event.reason}".strip())
            writer.close()

    def evaluation_ended(self, event: EvaluationEnded) -> None:
        with self._written(event.run) as writer:
            for row in event.measurements:
                writer.add_scalar(figure_name(row), row["value"])

    def suite_ended(self, event: SuiteEnded) -> None:
        while self.writers:
            self.writers.popitem()[1].close()

    @contextmanager
    def _written(self, run: TrackedRun) -> Iterator[SummaryWriter]:
        """A writer for a run that was trained before, perhaps long ago."""
        writer = self._open(run)
        try:
            yield writer
        finally:
            writer.close()

    def _open(self, run: TrackedRun) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        assert self.folder is not None
        return SummaryWriter(self.folder / run_name(run), flush_secs=FLUSH)
