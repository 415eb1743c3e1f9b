"""How a plan is run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lvmbench.errors import UserError
from lvmbench.execution.executor import Limits
from lvmbench.registry.loader import PluginSelection


@dataclass(frozen=True)
class RunOptions:
    """How a plan is run; raises `UserError` for what cannot be.

    Arguments:
        device: Where models are trained and measured, by name.
        jobs: Worker processes; 0 is this process, and by default there is one per core.
        timeout: Seconds that a job may take.
        selection: Plugins.
        memory: GiB that a worker process may take.
        max_failures: After how many failures nothing new is begun; or after what part, as ``5%``.
        trackers: Who follow it, by name.
        baselines: Whether models of the data are fitted that rows are held against.
        apart: Whether each combination trains by itself, for training times that compare.
    """

    device: str = "auto"
    jobs: int | None = None
    timeout: float | None = None
    selection: PluginSelection = field(default_factory=PluginSelection)
    memory: float | None = None
    max_failures: str | None = None
    trackers: tuple[str, ...] = ()
    baselines: bool = True
    apart: bool = False

    @property
    def limits(self) -> Limits:
        """What one job may take."""
        return Limits(self.timeout, None if self.memory is None else int(self.memory * 2**30))

    def __post_init__(self) -> None:
        for name, limit in (("timeout", self.timeout), ("memory", self.memory)):
            if limit is not None and self.jobs == 0:
                raise UserError(
                    f"--{name} needs worker processes, which can be ended, and --jobs is 0; "
                    "give --jobs 1 or more"
                )
        if self.max_failures is not None and not re.fullmatch(r"\d+|\d+(\.\d+)?%", self.max_failures):
            raise UserError(
                f"--max-failures: '{self.max_failures}' should be a number of runs, as 10, or a part, as 5%"
            )
