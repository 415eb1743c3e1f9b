"""The exact posterior, where it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from torch import Tensor

from lvmbench import DataSummary, Distribution, LatentSpace, Posterior

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class Exact(Posterior):
    r"""The true posterior (the E-step), where a pair of prior and decoder has one or z can be summed over.

    .. math:: q(z|x) = p(z|x), \qquad \mathrm{ELBO} = \log p(x)

    References:
        Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster, Laird, Rubin, 1977),
        https://doi.org/10.1111/j.2517-6161.1977.tb01600.x;
        A View of the EM Algorithm that Justifies Incremental, Sparse, and Other Variants (Neal, Hinton,
        1998), https://doi.org/10.1007/978-94-011-5014-9_12

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> Exact(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,))).requires
        frozenset({'model.exact_posterior'})
    """

    distribution = None
    provides = frozenset({"reads_model"})
    requires = frozenset({"model.exact_posterior"})

    def __init__(self, data: DataSummary, space: LatentSpace) -> None:
        super().__init__()

    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        return model.exact_posterior(x)
