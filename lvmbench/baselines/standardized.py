"""Baselines of real values that are fitted after each column was brought to mean 0 and variance 1."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from lvmbench.baselines.baseline import RowBaseline
from lvmbench.baselines.rows import Array, thinned

MOST_ROWS, MOST_VALUES = 10_000, 2_000_000
"""At most so many rows are fitted, and so many values, evenly spaced over all."""


class StandardizedBaseline(RowBaseline):
    r"""A density of :math:`z = (x - \mu) / s`, and so one of x: :math:`p(x) = p(z) \prod_d 1 / s_d`."""

    measure = "density"
    requires = "real"

    def fit(self, train: Array, validation: Array) -> None:
        self.loc, self.scale = train.mean(0), train.std(0)
        most = min(MOST_ROWS, MOST_VALUES // len(self.loc))
        self.fit_standardized(*(thinned(self._standardized(x), most) for x in (train, validation)))
        if len(train) > most:
            self.choice += f", {most:,} of {len(train):,} training rows"

    def log_prob(self, x: Array) -> Array:
        log_scale: float = np.log(self.scale).sum()
        return self.standardized_log_prob(self._standardized(x)) - log_scale

    def _standardized(self, x: Array) -> Array:
        return np.asarray((x - self.loc) / self.scale)

    @abstractmethod
    def fit_standardized(self, train: Array, validation: Array) -> None:
        """Fit it to standardised rows, and choose on others."""

    @abstractmethod
    def standardized_log_prob(self, z: Array) -> Array:
        """log p(z), ``(R,)``."""
