"""An amortised posterior that is trained to see through noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from lvmbench import Base, DataSummary, Distribution, LatentSpace, NonNegative, Posterior, Refusal, Varying

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel, Noise, Split


@final
class Denoising(Posterior):
    r"""An amortised posterior that is given x with noise while it trains, and has to explain x without.

    .. math:: E_{\epsilon \sim N(0, \sigma^2 I)}\left[
        \mathrm{ELBO}\left(x;\, q(z | x + \epsilon)\right)\right] \le \log p(x)

    and any other objective in place of the ELBO: a training step draws one :math:`\epsilon` for each datum,
    and all samples of z are from the same :math:`q(z|x + \epsilon)`. That is a distribution like any other,
    whatever :math:`\epsilon` is, so that what is a bound stays one. Validation and evaluation are without
    noise, of :math:`q(z|x)`, and so is a prior that is made of the posterior, in training, too. The noise
    keeps q(z|x) smooth in x: a network cannot learn the true posterior of each training datum by heart.

    :math:`\sigma` is in the units of x. Normal numbers are added to binary data and to counts as well, which
    a network reads as any others; what was not observed stays so. Without noise this is the base itself.

    References:
        Amortized Inference Regularization (Shu, Bui, Zhao, Kochenderfer, Ermon, 2018),
        https://arxiv.org/abs/1805.08913;
        Denoising Criterion for Variational Auto-Encoding Framework (Im, Ahn, Memisevic, Bengio, 2017),
        https://arxiv.org/abs/1511.06406

    Arguments:
        base: The posterior, which must be amortised: ``gaussian``, ``iaf[flows=2]``.
        scale: The standard deviation :math:`\sigma` of the noise.

    Example:
        >>> import torch
        >>> from lvmbench import Stream
        >>> from lvmbench_plugins.posteriors.gaussian import Gaussian
        >>> data, space = DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,))
        >>> q = Denoising(data, space, base=Gaussian(data, space), scale=0.5)
        >>> q.corrupt(torch.zeros(7, 3), Stream.seeded(0)).std() > 0.3
        tensor(True)
    """

    distribution: type[Distribution] | None = None  # that of the base
    provides = frozenset({"amortized"})
    base: Posterior
    scale: Tensor

    def __init__(
        self, data: DataSummary, space: LatentSpace, *, base: Base, scale: Varying[NonNegative] = 0.1
    ) -> None:
        super().__init__()
        if "amortized" not in base.provides:
            raise Refusal(
                f"denoising is for amortised posteriors, functions of x and of their own weights alone; "
                f"{type(base).__name__} is none"
            )
        self.base, self.corrupts = base, scale > 0
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self.distribution = base.distribution
        self.provides, self.requires = base.provides, base.requires
        self.vectorizable, self.refreshes = base.vectorizable, base.refreshes

    @property
    def plain(self) -> Posterior:
        return self.base.plain

    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        q: Distribution = self.base(x, model)
        return q

    def refresh(self, train: Split, model: LatentVariableModel) -> None:
        self.base.refresh(train, model)

    def corrupt(self, x: Tensor, noise: Noise) -> Tensor:
        x = self.base.corrupt(x, noise)
        return x + self.scale * noise.normal(x.shape) if self.corrupts else x
