"""How a plan is run."""

from __future__ import annotations

from dataclasses import dataclass, field

from lvmbench.registry.loader import PluginSelection


@dataclass(frozen=True)
class RunOptions:
    """Device, worker processes (0: in this process; default: one per core), seconds per job, plugins,
    and whether baselines are fitted to the data.
    """

    device: str = "auto"
    jobs: int | None = None
    timeout: float | None = None
    selection: PluginSelection = field(default_factory=PluginSelection)
    baselines: bool = True
