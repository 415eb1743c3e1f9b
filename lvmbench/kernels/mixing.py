"""How well Markov chains mix: what their draws are worth, and whether chains agree with each other."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def effective_sample_size(draws: Tensor) -> Tensor:
    r"""How many independent draws the mean of all draws of several chains is worth, ``(*figures)``.

    .. math:: \frac{CN}{\hat\tau}, \qquad \hat\tau = 1 + 2 \sum_t \hat\rho_t, \qquad
        \hat\rho_t = 1 - \frac{W - \frac1C \sum_c \hat\gamma_{c,t}}{\hat V}

    with the autocovariances :math:`\hat\gamma` of each chain, their mean variance W, and the variance
    :math:`\hat V` of all draws, which the distance between chains is a part of. Chains are cut into halves.
    Autocorrelations are summed in pairs, as far as these are positive, and made monotone.

    References:
        Rank-Normalization, Folding, and Localization: An Improved R-hat for Assessing Convergence of MCMC
        (Vehtari, Gelman, Simpson, Carpenter, Buerkner, 2021), https://arxiv.org/abs/1903.08008;
        Practical Markov Chain Monte Carlo (Geyer, 1992), https://doi.org/10.1214/ss/1177011137

    Arguments:
        draws: The N draws of each of C chains, ``(N, C, *figures)``; at least 4 of each.

    Example:
        >>> from lvmbench import Stream
        >>> draws = Stream.seeded(0, "doc").normal((1000, 4))
        >>> bool((effective_sample_size(draws) - 4000).abs() < 1000)
        True
    """
    halves = _halves(draws)
    count = len(halves)
    covariance = _autocovariance(halves)
    within = covariance[0] * count / (count - 1)
    rho = 1 - (within - covariance) / (covariance[0] + halves.mean(0).var(0))
    rho[0] = 1.0
    even, odd = rho[: count // 2 * 2].unflatten(0, (-1, 2)).unbind(1)
    pairs: Tensor = (even + odd).cummin(0).values
    seen = (pairs > 0).to(rho.dtype)
    # of the first pair that is left out the even one counts, too: alternating chains need it
    further = even.gather(0, seen.sum(0, keepdim=True).long().clamp(max=len(even) - 1))[0].clamp(min=0)
    tau: Tensor = 2 * (pairs * seen).sum(0) - 1 + further
    total = count * halves.shape[1]
    # antithetic draws are worth more than independent ones, but not without end
    return total / tau.clamp(min=1 / math.log10(total))


def r_hat(draws: Tensor) -> Tensor:
    r"""The larger of two split R-hats of ranks, ``(*figures)``: near 1 where chains agree.

    .. math:: \hat R = \sqrt{\hat V / W}

    of the normal scores of all draws, which shows chains in other places, and of their distances from the
    median, which shows chains of other widths; chains are cut into halves.

    References:
        Rank-Normalization, Folding, and Localization: An Improved R-hat for Assessing Convergence of MCMC
        (Vehtari, Gelman, Simpson, Carpenter, Buerkner, 2021), https://arxiv.org/abs/1903.08008

    Arguments:
        draws: The N draws of each of C chains, ``(N, C, *figures)``; at least 4 of each.

    Example:
        >>> from lvmbench import Stream
        >>> draws = Stream.seeded(0, "doc").normal((1000, 4))
        >>> bool(r_hat(draws) < 1.01), bool(r_hat(draws + torch.arange(4)) > 1.5)
        (True, True)
    """
    folded = (draws - draws.flatten(0, 1).median(0).values).abs()
    return torch.maximum(split_r_hat(normal_scores(draws)), split_r_hat(normal_scores(folded)))


def split_r_hat(draws: Tensor) -> Tensor:
    """R-hat of the draws ``(N, C, *figures)`` as they are, of chains that are cut into halves."""
    halves = _halves(draws)
    within = halves.var(0).mean(0)
    return ((1 - 1 / len(halves)) + halves.mean(0).var(0) / within).sqrt()


def normal_scores(draws: Tensor) -> Tensor:
    """The normal quantiles of the ranks that draws, ``(N, C, *figures)``,
    have among all of their figure; equal ones share theirs.
    """
    values = draws.flatten(0, 1).movedim(0, -1).contiguous()
    ordered = values.sort(-1).values
    below, up_to = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    rank = (below + up_to + 1).double() / 2
    scores: Tensor = torch.special.ndtri((rank - 3 / 8) / (values.shape[-1] + 1 / 4))
    return scores.movedim(-1, 0).reshape(draws.shape)


def _halves(draws: Tensor) -> Tensor:
    """Twice as many chains of half the length, in double precision;
    of an odd number of draws the middle one is left out.
    """
    count = len(draws) // 2
    return torch.cat([draws[:count], draws[len(draws) - count :]], 1).double()


def _autocovariance(draws: Tensor) -> Tensor:
    """The autocovariance at each distance, ``(N, *figures)``, on average over chains."""
    size = 2 * len(draws)  # so that the ends do not meet
    power = torch.fft.rfft(draws - draws.mean(0), n=size, dim=0).abs().square()
    total: Tensor = torch.fft.irfft(power.mean(1), n=size, dim=0)
    return total[: len(draws)] / len(draws)
