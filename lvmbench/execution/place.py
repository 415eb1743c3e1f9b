"""Where the results of a run of a suite are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lvmbench.execution.environment import identifier
from lvmbench.execution.executor import Ended
from lvmbench.results.store import Store
from lvmbench.results.weights import WEIGHTS


@dataclass
class Place:
    """The store and the folder of the results, for runs that are done in some environment.

    Arguments:
        store: The store.
        folder: The folder.
        environment: What this machine is called in the store.
        save: Writes the tables.
    """

    store: Store
    folder: Path
    environment: str
    save: Callable[[], None]
    _known: set[str] = field(default_factory=set)

    @property
    def weights(self) -> Path:
        """The folder of the weights."""
        return self.folder / WEIGHTS

    def environment_of(self, ended: Ended) -> str:
        """What the machine of a job is called there: this one, unless another has described itself."""
        content = ended.prepared
        if not isinstance(content, dict):
            return self.environment
        name = identifier(content)
        if name not in self._known:
            self.store.environment(name, content)
            self._known.add(name)
        return name
