"""How much memory training takes."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")


class PeakMemory:
    """The most memory in use since this was made, in bytes.

    Where the system cannot forget earlier peaks, ``host`` is the process's highest ever.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
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
