"""Independent normal marginals of real values."""

from __future__ import annotations

from typing import final

import numpy as np

from lvmbench.baselines.baseline import RowBaseline
from lvmbench.baselines.rows import Array


@final
class NormalMarginals(RowBaseline):
    r"""Each value by itself, normal with the mean and the variance of the training data.

    .. math:: p(x) = \prod_d N(x_d; \mu_d, \sigma_d^2)

    A value that was not observed has no factor.

    Example:
        >>> from lvmbench.dataset import DataSummary
        >>> marginals = NormalMarginals(DataSummary((1,), "real", torch.zeros(1)))
        >>> marginals.fit(np.array([[-1.0], [1.0]]), np.empty((0, 1)))
        >>> marginals.log_prob(np.array([[0.0], [np.nan]])).round(4)
        array([-0.9189,  0.    ])
    """

    name = "marginals"
    measure = "density"
    requires = "real"
    complete = False

    def fit(self, train: Array, validation: Array) -> None:
        self.loc, self.scale = np.nanmean(train, 0), np.nanstd(train, 0)

    def log_prob(self, x: Array) -> Array:
        z = (x - self.loc) / self.scale
        terms = -0.5 * z**2 - np.log(self.scale) - 0.5 * np.log(2 * np.pi)
        return np.asarray(np.nansum(terms, 1))
