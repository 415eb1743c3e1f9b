"""scikit-learn's mixture of Gaussians."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, final

import numpy as np

from lvmbench.baselines.rows import Array
from lvmbench.baselines.standardized import StandardizedBaseline

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

COMPONENTS = (1, 2, 5, 10, 20, 50)
COVARIANCES = ("full", "diag")
RIDGES = (1e-6, 1e-2, 1e-1)
"""What is added to the variances of standardised values."""
STEPS = 100
MOST_WORK = 3e10
"""At most so many multiplications are spent on the steps of one fit: half a minute."""


@final
class MixtureOfGaussians(StandardizedBaseline):
    r"""A mixture of normal distributions, fitted by EM to standardised values.

    .. math:: p(z) = \sum_{c=1}^C \pi_c N(z; \mu_c, \Sigma_c)

    The number of components, whether covariances are full or diagonal, and what is added to the variances are
    those under which validation data are most likely; no more components are tried once they are less so.

    References:
        Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster, Laird, Rubin, 1977),
        https://doi.org/10.1111/j.2517-6161.1977.tb01600.x

    Example:
        >>> from lvmbench.dataset import DataSummary
        >>> x = np.random.default_rng(0).normal(size=(400, 1)) + np.where(np.arange(400) % 2, 5, -5)[:, None]
        >>> mixture = MixtureOfGaussians(DataSummary((1,), "real", torch.zeros(1)))
        >>> mixture.fit(x[:300], x[300:])
        >>> mixture.choice.partition(",")[0]
        '2 components'
    """

    name = "gaussian_mixture"

    def fit_standardized(self, train: Array, validation: Array) -> None:
        kinds = product(COVARIANCES, RIDGES)
        fits = [fit for kind, ridge in kinds for fit in _rising(kind, ridge, train, validation)]
        _, self.model = max(fits, key=lambda fit: fit[0])
        components = self.model.n_components
        self.choice = (
            f"{components} component{'s' * (components > 1)}, {self.model.covariance_type} covariance"
        )

    def standardized_log_prob(self, z: Array) -> Array:
        return np.asarray(self.model.score_samples(z))


def _rising(
    kind: str, ridge: float, train: Array, validation: Array
) -> Iterator[tuple[float, GaussianMixture]]:
    """Mixtures of more and more components with their scores on validation, as long as these rise."""
    best = float("-inf")
    for components in COMPONENTS:
        rows, columns = train.shape
        work = STEPS * components * rows * columns * (columns if kind == "full" else 1)
        if components > rows or (work > MOST_WORK and components > 1):
            return
        model = _fitted(components, kind, ridge, train)
        score = float(model.score(validation))
        yield score, model
        if score < best:
            return
        best = score


def _fitted(components: int, kind: str, ridge: float, train: Array) -> GaussianMixture:
    from sklearn.exceptions import ConvergenceWarning  # planning needs the names of baselines, and no more
    from sklearn.mixture import GaussianMixture

    options = {"covariance_type": kind, "reg_covar": ridge, "max_iter": STEPS, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(components, **options).fit(train)
