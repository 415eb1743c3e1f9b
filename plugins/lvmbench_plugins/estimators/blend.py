"""The path-derivative gradient with a regressed weight of the score."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from lvmbench import Estimate, Estimator, LatentVariableModel, Noise, Objective, Terms


@final
class Blend(Estimator):
    r"""A blend of `stl` and `pathwise`, the score of q being a control variate of regressed weight.

    .. math:: \nabla_\phi \mathrm{ELBO} = E_\epsilon\left[\left(\nabla_z \log p(x, z)
        - c\, s\right) \nabla_\phi z - (1 - c)\, \nabla_\phi \log q_\phi(z|x)\right], \qquad
        s = \nabla_z \log q_{\bar\phi}(z|x)

    .. math:: c_b = \frac{B}{B - 1} \frac{\sum_{a \ne b} \nabla_z \log p(x_a, z_a) \cdot s_a}{|s'_b|^2 +
        \sum_{a \ne b} |s_a|^2} \text{ within } [0, 1]

    with :math:`\nabla_\phi \log q_\phi(z|x)` taken through the sample as well, :math:`\bar\phi = \phi` held
    fixed, and :math:`s'_b` the slope at a spare sample. With c = 1 the score is left out, and this is `stl`:
    where q is the true posterior the two slopes are equal, and there is all but no variance. With c = 0 all
    of the score is kept, and this is `pathwise`: where q is far too narrow, as it may become at large
    learning rates, its slope is large and tells nothing of that of log p, and a step that followed it would
    be noise. In between, this c is where the gradient in the location of q has the least noise, B data
    together; of the datum itself the regression has the slope at the spare sample, by which it sees a q that
    is narrow there alone, and for the product the mean of the others. The slope of log p is what arrives at
    the samples as gradients are taken, with the likelihood and the weighted prior as they enter the
    objective: the model is evaluated once.

    The score has the mean 0, and the weight of a datum does not depend on its own samples, so that the
    gradient is unbiased. That needs bounds of each datum alone: in an objective of the batch the slopes of
    the others depend on these samples. The weight is held within [0, 1], as a ratio of slopes of few data has
    no mean. In a batch of one datum it is 1.

    References:
        Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference (Roeder,
        Wu, Duvenaud, 2017), https://arxiv.org/abs/1703.09194 (c = 1);
        Using Large Ensembles of Control Variates for Variational Inference (Geffner, Domke, 2018),
        https://arxiv.org/abs/1810.12482 (regressed weights);
        Fast and Unified Path Gradient Estimators for Normalizing Flows (Vaitl, Winkler, Richter, Kessel,
        2024), https://arxiv.org/abs/2403.15881 (flows)

    Example:
        >>> sorted(Blend().requires)
        ['objective.additive', 'posterior.pathwise', 'posterior.slope']
    """

    unbiased_where = frozenset({"objective.linear"})
    requires = frozenset({"objective.additive", "posterior.pathwise", "posterior.slope"})

    def forward(
        self,
        objective: Objective,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        terms = Terms(model, x, noise, objective.samples, through=_blended, spare=1)
        bound = objective(terms, kl_weight)
        return Estimate(surrogate=bound, bound=bound)


def _blended(z: Tensor, log_q: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """The samples and log q of all but the last, whose slope is the spare one."""
    found: tuple[Tensor, Tensor] = _Blended.apply(z[:-1], log_q[:-1], slope[:-1], slope[-1])  # type: ignore[no-untyped-call]
    return found


class _Blended(torch.autograd.Function):
    """Samples and their log densities as they are; their gradients are blended on the way back.

    What arrives at z is the slope of log p, and what arrives at log q the factor by which log q enters; both
    carry whatever the loss does to the bound, which cancels in the weight.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, log_q: Tensor, slope: Tensor, spare: Tensor) -> tuple[Tensor, Tensor]:
        return z.clone(), log_q.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, to_z: Tensor, to_log_q: Tensor) -> tuple[Tensor, Tensor, None, None]:
        slope, spare = ctx.saved_tensors
        events = [1] * (slope.dim() - 2)
        factor = to_log_q.reshape(*to_log_q.shape, *events)
        path = factor * slope
        weight = _regressed(-to_z, path, factor * spare)
        return to_z + weight.reshape(-1, *events) * path, (1 - weight) * to_log_q, None, None


def _regressed(target: Tensor, path: Tensor, spare: Tensor) -> Tensor:
    """The weight by which the path, ``(K, B, *z)``, comes nearest to the target,
    of the datum itself by the spare path: ``(B,)``.
    """
    size = path.shape[1]
    if size == 1:
        return torch.ones_like(path[0].flatten(1)[:, 0])
    sums = torch.stack([(value * path).flatten(2).sum((0, 2)) for value in (target, path)])
    # a product, and not the total less its own: one datum with a huge slope would leave nothing but rounding
    # of the others
    product, square = sums @ (1 - torch.eye(size, dtype=sums.dtype, device=sums.device))
    square = square + spare.square().flatten(2).sum((0, 2))
    # without slopes any weight will do
    return torch.where(square > 0, size / (size - 1) * product / square, 1.0).clamp(0, 1)
