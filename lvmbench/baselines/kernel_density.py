"""scikit-learn's kernel density estimate."""

from __future__ import annotations

from typing import final

import numpy as np

from lvmbench.baselines.rows import Array, thinned
from lvmbench.baselines.standardized import StandardizedBaseline
from lvmbench.errors import Refusal

BANDWIDTHS = np.geomspace(0.01, 2.0, 14)
MOST_CHOOSING = 500
"""At most so many rows of validation are used to choose."""


@final
class KernelEstimate(StandardizedBaseline):
    r"""The mean of normal kernels at the training data, of standardised values.

    .. math:: p(z) = \frac1N \sum_n N(z; z_n, h^2 I)

    The bandwidth h is the one of some under which validation data are most likely. Where that is the smallest
    of all, rows repeat and the density grows without bound: then there is none.

    References:
        On Estimation of a Probability Density Function and Mode (Parzen, 1962),
        https://doi.org/10.1214/aoms/1177704472

    Example:
        >>> from lvmbench.dataset import DataSummary
        >>> x = np.random.default_rng(0).normal(size=(500, 1))
        >>> estimate = KernelEstimate(DataSummary((1,), "real", torch.zeros(1)))
        >>> estimate.fit(x[:400], x[400:])
        >>> estimate.choice
        'bandwidth 0.26'
    """

    name = "kernel_density"

    def fit_standardized(self, train: Array, validation: Array) -> None:
        from sklearn.neighbors import KernelDensity  # planning needs the names of baselines, and no more

        held = thinned(validation, MOST_CHOOSING)
        models = [KernelDensity(bandwidth=float(h)).fit(train) for h in BANDWIDTHS]
        best = int(np.argmax([model.score(held) for model in models]))
        if best == 0:
            raise Refusal("rows of validation repeat those of training: a density grows without bound there")
        self.model, self.choice = models[best], f"bandwidth {BANDWIDTHS[best]:.2g}"

    def standardized_log_prob(self, z: Array) -> Array:
        return np.asarray(self.model.score_samples(z))
