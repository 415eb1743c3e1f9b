"""Which combinations train in one pack."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise

from lvmbench.suites.planned import Planned

RUNS = 32
"""A pack over several combinations has at most so many runs: more would gain little, and take memory."""
LARGE = 1_500_000
"""Nor are combinations of more parameters per run together in one: for the same reasons."""
Due = tuple[Planned, int]
"""A combination, and how many of its runs are to be trained."""


def packed(due: Sequence[Due], workers: float) -> list[list[Planned]]:
    """Combinations by the pack that they train in, in the order of the first of each.

    In one pack are those that differ in numbers alone which may vary, as far as that gains, and leaves a pack
    for each worker.
    """
    families: dict[Hashable, list[Due]] = {}
    for place, (planned, runs) in enumerate(due):
        gains = runs and planned.parameters is not None and planned.parameters <= LARGE
        families.setdefault(planned.kin if gains and planned.kin else place, []).append((planned, runs))
    share = max(1, math.ceil(sum(runs > 0 for _, runs in due) / max(1, workers)))
    return [pack for family in families.values() for pack in _cut(family, share)]


def _cut(family: Sequence[Due], share: int) -> Iterator[list[Planned]]:
    """Combinations in packs of at most so many, as even as can be."""
    most = max(1, min(share, RUNS // max(1, *(runs for _, runs in family))))
    # what has one learning rate has one optimiser
    ordered = sorted((planned for planned, _ in family), key=lambda p: p.combination.budget.learning_rate)
    packs = math.ceil(len(ordered) / most)
    ends = [len(ordered) * i // packs for i in range(packs + 1)]
    yield from (ordered[a:b] for a, b in pairwise(ends))
