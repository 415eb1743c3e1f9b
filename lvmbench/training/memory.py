"""How much memory training takes, and who keeps it afterwards."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What `mallopt` of glibc calls them."""
_KEPT, _LARGEST = 2**29, 2**25
"""How many bytes are kept, in pieces of at most so many, which is the most that glibc allows."""


def keep_freed_memory() -> None:
    """Let this process keep up to 512 MiB that it has freed for what it asks next.

    By default glibc gives pieces of some MB back to the system, which clears each of their pages anew:
    evaluators, whose tensors are of that size, took 1.7 times as long. Other C libraries stay as they are.
    """
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _LARGEST)


def _give_freed_memory_back() -> None:
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class PeakMemory:
    """The most memory in use since this was made, in bytes.

    Where the system cannot forget earlier peaks, ``host`` is the process's highest ever.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        _give_freed_memory_back()  # what is kept is not in use
        with suppress(OSError):
            (_PROCESS / "clear_refs").write_text("5")
        if device.type == "cuda":
            torch.cuda.init()  # else there are no figures yet, and resetting them raises
            torch.cuda.reset_peak_memory_stats(device)

    @property
    def facts(self) -> dict[str, int | None]:
        """``peak_memory_host``, resident memory, and ``peak_memory_device``, where there is one."""
        on_device = torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else None
        return {"peak_memory_host": _highest(), "peak_memory_device": on_device}


def _highest() -> int:
    with suppress(OSError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
