"""A sparse prior for lvmbench, in one file."""

import lvmbench
import torch


class Laplace(lvmbench.Distribution):
    traits = frozenset({"pathwise", "density"})

    def __init__(self, log_scale):
        self.log_scale = log_scale

    def log_prob(self, value):
        return -(value.abs() * (-self.log_scale).exp() + self.log_scale + 0.69314718056).sum(-1)

    def sample_and_log_prob(self, noise, samples):
        u, v = noise.uniform((2, samples, *self.log_scale.shape)).clamp(min=1e-30).log().unbind()
        value = self.log_scale.exp() * (u - v)  # the difference of two exponential variables
        return value, self.log_prob(value)


class LaplacePrior(lvmbench.Prior):
    r"""Independent Laplace latents of learned scale: most are near 0, a few far away.

    .. math:: p(z) = \prod_d e^{-|z_d| / b_d} / (2 b_d)

    References: Sparse Codes for Natural Images (Olshausen, Field, 1996), https://doi.org/10.1038/381607a0

    Example:
        >>> LaplacePrior(None, 2)(None).log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    distribution = Laplace

    def __init__(self, data, latent):
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.zeros(latent))

    @property
    def space(self):
        return lvmbench.LatentSpace(tuple(self.log_scale.shape))

    def forward(self, model):
        return Laplace(self.log_scale)


@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("laplace", "lvmbench_laplace:LaplacePrior")
