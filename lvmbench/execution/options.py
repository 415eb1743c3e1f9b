"""How a plan is run."""

from __future__ import annotations

from dataclasses import dataclass, field

from lvmbench.registry.loader import PluginSelection


@dataclass(frozen=True)
class RunOptions:
    """Device, worker processes (0: in this process; default: one per core), seconds per job, plugins."""

    device: str = "auto"
    jobs: int | None = None
    timeout: float | None = None
    selection: PluginSelection = field(default_factory=PluginSelection)
