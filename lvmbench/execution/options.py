"""How a plan is run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lvmbench.errors import UserError
from lvmbench.execution.executor import Limits
from lvmbench.execution.gpus import ANY
from lvmbench.registry.loader import PluginSelection

EVERY = 300.0
"""Seconds of training after which it is saved, unless one says otherwise."""


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
        jobs_per_gpu: How many workers share a GPU; by default the workers are spread over all there are.
        executor: What does the jobs, by name.
        address: Where the cluster is that does them, where that is not to be started here.
        baselines: Whether models of the data are fitted that rows are held against.
        apart: Whether each combination trains by itself, for training times that compare.
        profile: Whether it is kept where the time of workers goes.
        checkpoint: After how many seconds a training is saved, to go on from there; 0: never, by default 300.
        keep: Whether each training that has ended leaves what larger budgets go on from.
    """

    device: str = "auto"
    jobs: int | None = None
    timeout: float | None = None
    selection: PluginSelection = field(default_factory=PluginSelection)
    memory: float | None = None
    max_failures: str | None = None
    trackers: tuple[str, ...] = ()
    jobs_per_gpu: int | None = None
    executor: str = "local"
    address: str | None = None
    baselines: bool = True
    apart: bool = False
    profile: bool = False
    checkpoint: float | None = None
    keep: bool = False

    @property
    def every(self) -> float:
        """After how many seconds a training is saved; 0: never."""
        return EVERY if self.checkpoint is None else self.checkpoint

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
        if self.executor == "local" and self.address:
            raise UserError("--address is that of a cluster, and jobs are done here; give --executor ray too")
        if self.executor != "local" and self.jobs == 0:
            raise UserError(f"--jobs 0 does jobs in this process, and not by --executor {self.executor}")
        if self.executor != "local" and self.profile:
            raise UserError(
                f"--profile times workers of this machine, not those of --executor {self.executor}"
            )
        if self.jobs_per_gpu and self.device not in ANY:
            raise UserError(f"--jobs-per-gpu divides GPUs, and --device is {self.device}; give auto or cuda")
        if self.max_failures is not None and not re.fullmatch(r"\d+|\d+(\.\d+)?%", self.max_failures):
            raise UserError(
                f"--max-failures: '{self.max_failures}' should be a number of runs, as 10, or a part, as 5%"
            )
