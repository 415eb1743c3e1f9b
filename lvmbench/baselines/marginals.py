"""Independent marginals of values on levels."""

from __future__ import annotations

from typing import final

import numpy as np

from lvmbench.baselines.baseline import RowBaseline
from lvmbench.baselines.rows import Array


@final
class Marginals(RowBaseline):
    r"""Each value by itself, with the share of each level in the training data.

    .. math:: p(x) = \prod_d p_d(x_d), \qquad p_d(l) = \frac{n_{dl} + 1}{\sum_k (n_{dk} + 1)}

    for :math:`n_{dl}` training data with level l at d. One is added so that no level is impossible (the rule
    of succession). A value that was not observed has no factor.

    Example:
        >>> from lvmbench.dataset import DataSummary
        >>> marginals = Marginals(DataSummary((1,), "binary", torch.zeros(1), levels=2))
        >>> marginals.fit(np.array([[1.0], [1.0], [0.0]]), np.empty((0, 1)))
        >>> np.exp(marginals.log_prob(np.array([[1.0], [np.nan]])))
        array([0.6, 1. ])
    """

    name = "marginals"
    measure = "probability mass"
    requires = "levels"
    complete = False

    def fit(self, train: Array, validation: Array) -> None:
        codes = self._codes(train)
        counts = np.stack([(codes == level).sum(0) for level in range(self.summary.levels)]) + 1.0
        self.log_p = np.log(counts / counts.sum(0))

    def log_prob(self, x: Array) -> Array:
        codes = self._codes(x)
        seen = ~np.isnan(codes)
        log_p = np.take_along_axis(self.log_p, np.where(seen, codes, 0).astype(int), 0)
        return np.asarray(np.where(seen, log_p, 0.0).sum(1))

    def _codes(self, x: Array) -> Array:
        """The number of the level of each value."""
        return np.asarray(np.rint(x / self.summary.step))
