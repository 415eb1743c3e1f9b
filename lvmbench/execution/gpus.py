"""The GPUs of this machine, and which of them a worker gets."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable of a process's environment that names the GPUs it sees."""
ANY = {"auto", "cuda"}
"""The devices that stand for whichever GPU there is."""


def gpus_here(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs that a process with this environment sees, as `VISIBLE` names them."""
    if VISIBLE not in environ:
        return tuple(map(str, range(_count())))
    names = (name.strip() for name in environ[VISIBLE].split(","))
    return tuple(takewhile(lambda name: name not in {"", "-1"}, names))  # CUDA reads no further either


def emptiest(gpus: Sequence[str], taken: Iterable[str]) -> str:
    """The GPU that the fewest workers have, of several the first.

    >>> emptiest(["0", "1"], ["0", "1", "0"])
    '1'
    """
    workers = Counter(taken)
    return min(gpus, key=lambda gpu: workers[gpu])


def workers_for(jobs: int | None, jobs_per_gpu: int | None, gpus: int, cores: int) -> int:
    """How many workers there are, of at most ``jobs``, where those of GPUs may be limited.

    >>> workers_for(None, 2, gpus=4, cores=16), workers_for(3, 2, gpus=4, cores=16)
    (8, 3)
    """
    if gpus and jobs_per_gpu:
        return min(jobs or gpus * jobs_per_gpu, gpus * jobs_per_gpu)
    return jobs or cores


def _count() -> int:
    """How many GPUs NVIDIA's driver has: it is asked itself, as to import torch takes seconds."""
    try:
        driver = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return 0
    number = ctypes.c_uint(0)
    if driver.nvmlInit_v2() == 0:
        driver.nvmlDeviceGetCount_v2(ctypes.byref(number))
        driver.nvmlShutdown()
    return number.value
