"""Statistical tests: what is left to chance is held to its law at a stated rate of false alarms,
and under other seeds.

A test says by ``@pytest.mark.statistical(compared, deviation)`` what it compares and how the standard
deviation is known, and makes its comparisons by the fixture ``chance``, which shares the rate out among them.
``pytest -m statistical --seeds 20`` runs each under twenty other seeds, and with
``--audit docs/statistical-tests.md`` writes the table of all.
"""

from __future__ import annotations

import math

import torch
from scipy import stats

from lvmbench.checks.statistics import limit, require_average

MARKER = (
    "statistical(compared, deviation, comparisons=1): left to chance; what it compares, and how the "
    "deviation is known"
)
FALSE_ALARM = 1e-6
"""How often a test fails where all is well: at most, for all of its comparisons together."""


def tensors(*values):
    return (torch.as_tensor(value).detach().double() for value in values)


class Chance:
    """The comparisons of one test, under one seed.

    Arguments:
        seed: 0, or the number of the shift of all seeds.
        comparisons: How many there will be at most; the rate of false alarms is shared out among them.
    """

    def __init__(self, seed=0, comparisons=1):
        self.seed, self.comparisons, self.done = seed, comparisons, 0
        self.width = [0.0, 0.0]

    def limit(self, freedom, figures):
        """How many standard errors each of these figures may be off."""
        return limit(freedom, figures * self.comparisons, FALSE_ALARM)

    def agrees(self, draws, truth=0.0, *, slack=0.0, above=False):
        """The average of independent ``draws``, ``(N, ...)``, is ``truth`` by Student's t.

        With ``above`` at most that.
        """
        (draws,) = tensors(draws)
        error = draws.std(0) / math.sqrt(len(draws))
        self._note(error, self.limit(len(draws) - 1, error.numel()))
        shared = {"rate": FALSE_ALARM / self.comparisons, "slack": slack, "above": above}
        require_average(draws, truth, "the figure", **shared)

    def allowed(self, error, *, figures=1, freedom=math.inf):
        """By how much each of these figures may be off, of a standard ``error`` that is normal
        or has degrees of ``freedom``.
        """
        limit = self.limit(freedom, figures)
        self._note(error, limit)
        return limit * error

    def within(self, found, truth, error, *, freedom=math.inf, slack=0.0, above=False):
        """Figures are as they should be, or with ``above`` at most that, by their standard ``error``."""
        found, truth, error = tensors(found, truth, error)
        allowed = self.allowed(error, figures=found.numel(), freedom=freedom) + slack
        off = found - truth if above else (found - truth).abs()
        assert (off <= allowed).all(), f"{found} for {truth}: off by {off}, allowed are {allowed}"

    def ordered(self, low, high, error):
        """Figures are in this order.

        Under other seeds by more than chance may take away, which shows that it may be relied on.
        """
        low, high, error = tensors(low, high, error)
        allowed = self.allowed(error, figures=high.numel())
        margin = high - low
        assert (margin > (allowed if self.seed else 0)).all(), (
            f"{low} and {high}: apart by {margin}, allowed {allowed}"
        )

    def spreads(self, values, stated, *, kurtosis=0.0, slack=0.0):
        """The variance of independent ``values`` is the mean square of the ``stated`` errors, by chi-squared.

        An excess ``kurtosis`` of the values leaves their variance so many fewer degrees of freedom; ``slack``
        is the share by which the stated error itself may be off.
        """
        values, stated = tensors(values, stated)
        freedom = (len(values) - 1) / (1 + kurtosis / 2)
        tail = FALSE_ALARM / 2 / self.comparisons
        low, high = (
            stats.chi2.ppf([tail, 1 - tail], freedom) / freedom * [(1 + slack) ** -2, (1 + slack) ** 2]
        )
        self._note(stated, math.sqrt(high))
        ratio = (values.var() / stated.square().mean()).item()
        assert low <= ratio <= high, (
            f"the variance is {ratio:.3g} of the stated one, outside {low:.3g} to {high:.3g}"
        )

    def likely(self, *levels):
        """None of these levels of significance, exact where all is well, is below what chance allows."""
        self._note()
        least, due = min(float(p) for p in levels), FALSE_ALARM / self.comparisons / len(levels)
        assert least > due, f"a level of significance of {least:.3g}, below {due:.3g}"

    def _note(self, error=0.0, errors=0.0):
        """Count a comparison; of all, ``width`` keeps the largest standard error,
        and how many of them are allowed.
        """
        self.done += 1
        assert self.done <= self.comparisons, "more comparisons than the marker allows for"
        self.width[:] = max(self.width, [float(torch.as_tensor(error).max()), errors])


HEAD = """# Statistical tests

Every test that leaves something to chance, written by
`pytest -m statistical --seeds 20 --audit docs/statistical-tests.md`. Each fails at a rate of at most 1e-6
where all is well, for all of its comparisons and each choice of its parameters, by the quantiles of the law
named here; none depends on the processor. The width is by how much a figure may be off: the largest standard
error of any, and how many of them; where a level of significance is compared there is none. Runs are of all
parameters under seeds other than the one that `pytest` runs under.

| test | what is compared | how the standard deviation is known | width | false alarms | runs | failures |
|---|---|---|---|---|---|---|
"""


def table(reports):
    """The audit: one row for each test, whatever its parameters and seeds."""
    rows = {}
    for report in reports:
        for name, found in report.user_properties:
            if name == "statistical":
                rows.setdefault(report.nodeid.partition("[")[0], []).append((report.failed, found))
    return HEAD + "".join(_row(test, runs) for test, runs in sorted(rows.items()))


def _row(test, runs):
    compared, deviation = runs[0][1][:2]
    error, errors = max(found[3] for _, found in runs)
    width = f"{error:.2g} x {errors:.2g}" if errors else "-"
    failures = sum(failed for failed, _ in runs)
    cells = (f"`{test.removeprefix('tests/')}`", compared, deviation, width, "1e-6", len(runs), failures)
    return f"| {' | '.join(map(str, cells))} |\n"
