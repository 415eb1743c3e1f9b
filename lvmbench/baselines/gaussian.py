"""A Gaussian with a full covariance."""

from __future__ import annotations

from typing import final

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from lvmbench.baselines.baseline import RowBaseline
from lvmbench.baselines.rows import Array

SHRINKAGE = (0.0, *np.logspace(-4, 0, 13))
"""How much of a covariance may be taken from the diagonal one."""


@final
class FullGaussian(RowBaseline):
    r"""One normal distribution of all values together, whose covariance is shrunk towards its diagonal.

    .. math:: p(x) = N(x; \mu, (1 - \lambda) S + \lambda \operatorname{diag} S)

    for mean :math:`\mu` and covariance S of the training data; :math:`\lambda` is the one of some, from 0 to
    1, under which validation data are most likely.

    References:
        A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices (Ledoit, Wolf, 2004),
        https://doi.org/10.1016/S0047-259X(03)00096-4

    Example:
        >>> from lvmbench.dataset import DataSummary
        >>> x = np.random.default_rng(0).normal(size=(1000, 2)) @ [[1.0, 0.9], [0.0, 0.1]]
        >>> gaussian = FullGaussian(DataSummary((2,), "real", torch.zeros(2)))
        >>> gaussian.fit(x[:800], x[800:])
        >>> gaussian.choice
        'shrinkage 0'
    """

    name = "gaussian"
    measure = "density"
    requires = "real"

    def fit(self, train: Array, validation: Array) -> None:
        self.loc, self.covariance = train.mean(0), np.atleast_2d(np.cov(train.T, bias=True))
        means = {weight: self._mean(weight, validation) for weight in SHRINKAGE}
        self.shrinkage = max(means, key=means.__getitem__)
        self.choice = f"shrinkage {self.shrinkage:.2g}"

    def log_prob(self, x: Array) -> Array:
        return self._log_prob(x, self.shrinkage)

    def _mean(self, shrinkage: float, validation: Array) -> float:
        """The mean log density of validation; minus infinity where the covariance is singular."""
        try:
            return float(self._log_prob(validation, shrinkage).mean())
        except np.linalg.LinAlgError:
            return -np.inf

    def _log_prob(self, x: Array, shrinkage: float) -> Array:
        own = np.diag(np.diag(self.covariance))
        factor, lower = cho_factor((1 - shrinkage) * self.covariance + shrinkage * own, lower=True)
        off = (x - self.loc).T
        distance = (off * cho_solve((factor, lower), off)).sum(0)
        log_det = 2 * np.log(np.diag(factor)).sum()
        return np.asarray(-0.5 * (distance + log_det + len(off) * np.log(2 * np.pi)))
