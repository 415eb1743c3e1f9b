"""Combinations: one choice of each part, and the key under which a run of it is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lvmbench.kinds import PARTS
from lvmbench.registry.names import Ref

PROTOCOL = 2
"""Raised when the training or evaluation protocol changes results: older results are then not reused."""
COLUMNS = (*PARTS, "latent")
"""The columns that name a combination in every table."""


@dataclass(frozen=True)
class Combination:
    """One choice of dataset, prior, posterior, decoder, objective and estimator, and the latent size."""

    refs: Mapping[str, Ref]
    latent: int

    def __getitem__(self, kind: str) -> Ref:
        return self.refs[kind]

    def __str__(self) -> str:
        return " · ".join(str(self.refs[kind]) for kind in PARTS)

    def __hash__(self) -> int:
        return hash((str(self), self.latent))

    @property
    def columns(self) -> dict[str, Any]:
        """What names this combination in every table, by column."""
        return dict(zip(COLUMNS, (*(str(self.refs[kind]) for kind in PARTS), self.latent), strict=True))


def run_key(combination: Combination, seed: int, identity: Mapping[str, Any]) -> str:
    """The content address of a run: sha256 of the canonical JSON of everything that its results depend on."""
    spec = {**identity, "seed": seed, "latent": combination.latent, "protocol": PROTOCOL}
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
