"""Combinations: one choice of each part, and the key under which a run of it is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lvmbench.combinations.budget import Budget
from lvmbench.kinds import PARTS
from lvmbench.registry.names import Ref

PROTOCOL = 2
"""Raised when the training or evaluation protocol changes results: older results are then not reused."""
SETTINGS = ("latent", *Budget.model_fields)
"""What a combination has beside components: the latent size, and the keys of the budget."""
WHOLE_SETTINGS = ("latent", "epochs", "batch", "patience")
"""The settings that are whole numbers."""
REAL_SETTINGS = ("learning_rate", "weight_decay", "seconds", "warm_up", "clip")
"""The settings that are real numbers; all others are text."""
COLUMNS = (*PARTS, *SETTINGS)
"""The columns that name a combination in every table."""


@dataclass(frozen=True)
class Combination:
    """One choice of each part, the latent size and the budget.

    ``shown`` are the settings that its name has, as they tell it from others.
    """

    refs: Mapping[str, Ref]
    latent: int
    budget: Budget = field(default_factory=Budget)
    shown: tuple[str, ...] = field(default=(), compare=False)

    def __getitem__(self, kind: str) -> Ref:
        return self.refs[kind]

    def __str__(self) -> str:
        settings = (f"{name}={self.settings[name]}" for name in self.shown)
        return " · ".join([*(str(self.refs[kind]) for kind in PARTS), *settings])

    def __hash__(self) -> int:
        return hash(tuple(self.columns.values()))

    @property
    def settings(self) -> dict[str, Any]:
        """The latent size, and each key of the budget."""
        return {"latent": self.latent, **self.budget.settings}

    @property
    def columns(self) -> dict[str, Any]:
        """What names this combination in every table, by column."""
        return {**{kind: str(self.refs[kind]) for kind in PARTS}, **self.settings}


def run_keys(combination: Combination, seeds: Iterable[int], identity: Mapping[str, Any]) -> dict[int, str]:
    """The content address of each run:
    sha256 of the canonical JSON of everything that its results depend on.
    """
    spec = {**identity, "latent": combination.latent, "protocol": PROTOCOL}
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), default=str)
    # the seed is the last key in sorted order, and all that the runs of a combination differ in
    return {seed: hashlib.sha256(f'{text[:-1]},"seed":{seed}}}'.encode()).hexdigest() for seed in seeds}
