"""What a plan holds: its runs, each runnable or refused with its reason, and what is known of them."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lvmbench.combinations.combination import Combination
from lvmbench.registry.names import Ref
from lvmbench.suites.suite import Suite

if TYPE_CHECKING:
    from lvmbench.dataset import Data
    from lvmbench.suites.effort import Effort
    from lvmbench.suites.figures import Instrument


@dataclass(frozen=True)
class Planned:
    """One combination of a plan: its runs by seed, or why it cannot run (``status`` refused or unavailable).

    ``support`` is where p(x|z) has its probability; ``kin`` is shared by combinations whose runs can train in
    one pack, and empty where each has to train by itself; ``evaluators`` are those that are to measure it,
    ``efforts`` what each takes for one of its runs, where that is known.
    """

    combination: Combination
    keys: Mapping[int, str]
    provenance: Mapping[str, Any]
    status: str | None = None
    reason: str = ""
    parameters: int | None = None
    support: str = ""
    kin: str = ""
    evaluators: tuple[Ref, ...] = ()
    refused_evaluators: Mapping[str, str] = field(default_factory=dict)
    efforts: Mapping[str, Effort | None] = field(default_factory=dict)

    def name(self, seed: int) -> tuple[Any, ...]:
        """What one of its runs is called: components, settings and seed."""
        return (*self.combination.columns.values(), seed)


@dataclass(frozen=True)
class Plan:
    """Everything that a suite asks for.

    Arguments:
        suite: The suite.
        planned: Its combinations, without those that ``--only`` leaves out.
        evaluators: What measures.
        instruments: What these say of their figures.
        data: The data sets that could be had.
        combinations: All combinations.
        remarks: What to know of the data sets of which there is something to know.
        tested: How many data the test split of each data set has.
    """

    suite: Suite
    planned: tuple[Planned, ...]
    evaluators: tuple[Ref, ...]
    instruments: Mapping[str, Instrument]
    data: Mapping[str, Data]
    combinations: tuple[Combination, ...]
    remarks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tested: Mapping[str, int] = field(default_factory=dict)

    @property
    def portable(self) -> Plan:
        """The plan without the data themselves."""
        return replace(self, data={})

    @property
    def names(self) -> frozenset[tuple[Any, ...]]:
        """What its runs are called."""
        return frozenset(p.name(seed) for p in self.planned for seed in p.keys)

    def restricted(self, names: Container[tuple[Any, ...]]) -> Plan:
        """The plan of these runs only, each named by its components, settings and seed."""
        kept = [
            replace(p, keys={s: k for s, k in p.keys.items() if p.name(s) in names}) for p in self.planned
        ]
        return replace(self, planned=tuple(p for p in kept if p.keys))

    def measured_by(self, instruments: Mapping[str, Instrument], evaluators: tuple[Ref, ...]) -> Plan:
        """The plan with these evaluators in place of those that the suite asks for, for every combination."""
        planned = tuple(replace(p, evaluators=evaluators) for p in self.planned)
        return replace(self, planned=planned, evaluators=evaluators, instruments=instruments)
