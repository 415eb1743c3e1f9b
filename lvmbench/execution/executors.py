"""Which executor does the jobs of a run."""

from __future__ import annotations

import os
from collections.abc import Callable

from lvmbench.errors import UserError, nearest
from lvmbench.execution.executor import Executor, cores
from lvmbench.execution.gpus import ANY, gpus_here, workers_for
from lvmbench.execution.local import HereExecutor, LocalExecutor
from lvmbench.execution.options import RunOptions


def executor_of(options: RunOptions) -> Executor:
    """Where the jobs of a run are done; raises `UserError` where that cannot be."""
    if options.executor not in EXECUTORS:
        raise UserError(f"--executor: no '{options.executor}'{nearest(options.executor, EXECUTORS)}")
    return EXECUTORS[options.executor](options)


def _local(options: RunOptions) -> Executor:
    """This process where there are to be no workers, and else worker processes of this machine."""
    if options.jobs == 0:
        return HereExecutor()
    gpus = gpus_here(os.environ) if options.device in ANY else ()
    return LocalExecutor(workers_for(options.jobs, options.jobs_per_gpu, len(gpus), cores()), gpus)


def _ray(options: RunOptions) -> Executor:
    from lvmbench.execution.distributed import RayExecutor

    memory = options.limits.memory or 0
    return RayExecutor(options.address, options.jobs, options.device, options.jobs_per_gpu or 1, memory)


EXECUTORS: dict[str, Callable[[RunOptions], Executor]] = {"local": _local, "ray": _ray}
