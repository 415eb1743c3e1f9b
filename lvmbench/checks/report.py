"""What checking found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How one check of one component ended; ``expected`` is a failure that was announced, with its reason."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    EXPECTED = "expected"


@dataclass(frozen=True)
class CheckResult:
    """One check of one component.

    Arguments:
        component: ``kind/name``.
        check: The name of the check.
        status: How it ended.
        contract: What is due, in one sentence.
        read: The object whose documentation states it, as ``module.Name``.
        message: What came instead, and a hint; or a warning of a check that passed.
        reason: Why the check was skipped, or why its failure was expected.
        explains: The checks whose failures this one, where it fails, is the likely cause of.
    """

    component: str
    check: str
    status: Outcome
    contract: str
    read: str
    message: str = ""
    reason: str = ""
    explains: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """How it is called: ``posterior/gaussian:density_integrates_to_one``."""
        return f"{self.component}:{self.check}"

    @property
    def explanation(self) -> str:
        """The failure in three lines: what is due, what came, where to read."""
        return f"{self.name}\n  due:  {self.contract}\n  came: {self.message}\n  read: {self.read}"


class Report(tuple[CheckResult, ...]):
    """The results of all checks, in order.

    >>> due, read = "The shapes are right.", "lvmbench.prior.Prior"
    >>> result = CheckResult("prior/mine", "shapes", Outcome.PASSED, due, read)
    >>> report = Report([result])
    >>> report.ok, report.summary
    (True, ['prior mine: 1 checks: 1 passed'])
    """

    __slots__ = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed, and anything was checked."""
        return bool(self) and not self.failed

    @property
    def failed(self) -> list[CheckResult]:
        """The failures that were not expected.

        Those that explain others come before them, within each component.
        """
        found = [result for result in self if result.status == Outcome.FAILED]
        components = list(dict.fromkeys(result.component for result in found))
        return sorted(found, key=lambda r: (components.index(r.component), len(self.causes(r))))

    def causes(self, result: CheckResult) -> list[CheckResult]:
        """The failures of the same component that are likely to be the cause of this one,
        through others, too.
        """
        failed = [r for r in self if r.status == Outcome.FAILED and r.component == result.component]
        found, reached = [], [result]
        while reached:
            effect = reached.pop()
            direct = [r for r in failed if effect.check in r.explains and r not in found]
            found += direct
            reached += direct
        return found

    @property
    def counts(self) -> Counter[str]:
        """How many checks ended in each way."""
        return Counter(str(result.status) for result in self)

    @property
    def summary(self) -> list[str]:
        """One line for each component: ``posterior gaussian: 31 checks: 29 passed, 2 skipped``."""
        names = dict.fromkeys(result.component for result in self)
        return [self._line(name) for name in names]

    def _line(self, component: str) -> str:
        found = Report(result for result in self if result.component == component)
        ends = ("failed", "passed", "skipped", "expected")
        counts = ", ".join(f"{found.counts[end]} {end}" for end in ends if found.counts[end])
        return f"{component.replace('/', ' ', 1)}: {len(found)} checks: {counts}"
