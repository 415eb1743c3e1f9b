"""The terms that bounds are made of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lvmbench.distributions import Distribution
from lvmbench.divergence import analytic_kl, draw_kl
from lvmbench.noise import Noise

if TYPE_CHECKING:
    from lvmbench.model import LatentVariableModel

Through = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From samples, ``(K, B, *z)``, log q, ``(K, B)``, and the slope of log q, ``(K, B, *z)``,
to samples and log q.
"""


class Terms:
    r"""What one draw :math:`z_{1:K} \sim q(z|x)` gives for a batch, each computed when first asked for.

    Arguments:
        model: The model.
        x: The batch, ``(B, *x)``.
        noise: Where random numbers come from.
        samples: The number of samples ``K``.
        pathwise: Whether samples carry gradients to the posterior's parameters.
        fixed: Whether log q is held fixed as a function of z, so that only the path of the samples reaches
            the posterior's parameters.
        p: p(z), where it is at hand; it is found when first asked for otherwise.
        q: q(z|x), likewise.
        through: What the samples and log q become on the way to the objective, given both and the slope of
            log q: the same values with other gradients.
        spare: How many further samples ``through`` is given, after those that it returns.
    """

    _PER_SAMPLE = ("z", "log_q", "log_prior", "log_likelihood")

    def __init__(
        self,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        samples: int,
        *,
        pathwise: bool = True,
        fixed: bool = False,
        p: Distribution | None = None,
        q: Distribution | None = None,
        through: Through | None = None,
        spare: int = 0,
    ) -> None:
        self.model, self.x, self.noise, self._p, self._q = model, x, noise, p, q
        self.samples, self.pathwise, self.fixed = samples, pathwise, fixed
        self.through, self.spare = through, spare

    @cached_property
    def q(self) -> Distribution:
        """q(z|x), batch shape ``(B,)``."""
        return self.model.q(self.x, self.noise) if self._q is None else self._q

    @cached_property
    def p(self) -> Distribution:
        """p(z), batch shape ``()``, or along x ``(B,)``."""
        return (self.model.p() if self._p is None else self._p).along(self.x)

    @cached_property
    def _draw(self) -> tuple[Tensor, Tensor]:
        if self.through is not None:
            return self.through(*self._sloped)
        if self.fixed:
            z, log_q, slope = self._sloped
            return z, _held(z, log_q, slope)
        z, log_q = self.q.sample_and_log_prob(self.noise, self.samples)
        if not self.pathwise:
            z = z.detach()
            # of the z that stays where it is: the draw's own log q would carry the gradient of the path, too
            return z, self.q.log_prob(z)
        return z, log_q

    @cached_property
    def _sloped(self) -> tuple[Tensor, Tensor, Tensor]:
        """The samples, their log densities and the slopes of these."""
        return self.q.sample_with_slope(self.noise, self.samples + self.spare)

    @classmethod
    def at(cls, model: LatentVariableModel, x: Tensor, z: Tensor, noise: Noise) -> Terms:
        """The terms of given values of z, ``(K, B, *z)``, in place of samples."""
        return cls(model, x, noise, len(z), pathwise=False).having(z)

    @cached_property
    def z(self) -> Tensor:
        """The samples, ``(K, B, *z)``."""
        return self._draw[0]

    @cached_property
    def log_q(self) -> Tensor:
        """log q(z|x), ``(K, B)``."""
        return self._draw[1]

    @cached_property
    def log_prior(self) -> Tensor:
        """log p(z), ``(K, B)``."""
        return self.p.log_prob(self.z)

    @cached_property
    def log_likelihood(self) -> Tensor:
        """log p(x|z) of what was observed of x, ``(K, B)``."""
        return self.model.log_likelihood(self.x, self.z)

    def log_w(self, kl_weight: Tensor | float = 1.0) -> Tensor:
        """The log weights log p(x|z) + kl_weight (log p(z) - log q(z|x)), ``(K, B)``."""
        return self.log_likelihood + kl_weight * (self.log_prior - self.log_q)

    @cached_property
    def kl_of_draws(self) -> Tensor:
        """The term of KL(q(z|x) || p(z)) of each draw, ``(K, B)``:
        log q - log p, or what is registered for the pair's draws.
        """
        registered = draw_kl(self.q, self.p, self.z, self.noise)
        return self.log_q - self.log_prior if registered is None else registered

    def kl(self, *, analytic: bool = False) -> Tensor:
        """KL(q(z|x) || p(z)), ``(B,)``: from the samples, or in closed form where that is wanted
        and a formula is registered, for the pair or else for its draws.

        Not by default, so that no pair trains with less noise than others for having a formula.
        """
        if not analytic:
            return (self.log_q - self.log_prior).mean(0)
        exact = analytic_kl(self.q, self.p)
        return self.kl_of_draws.mean(0) if exact is None else exact

    def again(self, samples: int) -> Terms:
        """The terms of fresh samples from the same q and p, which are found only once."""
        names = ("pathwise", "fixed", "through", "spare")
        options: dict[str, Any] = {name: getattr(self, name) for name in names}
        other = Terms(self.model, self.x, self.noise, samples, **options)
        # where `cached_property` looks first
        other.__dict__.update(q=self.q, p=self.p)
        return other

    def having(self, z: Tensor, log_q: Tensor | None = None) -> Terms:
        """The terms of given values of z, ``(K, B, *z)``, of the same q and p;
        with this ``log_q`` ``(K, B)``, where it is at hand.
        """
        other = self.again(len(z))
        other.__dict__["_draw"] = z, self.q.log_prob(z) if log_q is None else log_q
        return other

    def genuine(self) -> Terms:
        """The terms of values that the latent space has:
        these, or where samples are relaxed, fresh ones of the law of q.
        """
        if self.q.law is self.q:
            return self
        other = self.again(self.samples)
        other.__dict__["q"] = self.q.law
        return other

    def unit_kl(self) -> Tensor | None:
        """The KL divergence of each independent unit of z, ``(B, U)``, where q, p and a formula allow it."""
        if not all("units" in type(d).traits for d in (self.q, self.p)):
            return None
        exact = analytic_kl(self.q.units, self.p.units)
        return None if exact is None else exact.flatten(1)

    def along(self, scale: Tensor) -> Terms:
        """The terms of the same samples, whose path to the posterior's parameters carries gradients times
        ``(K, B)``.

        Only where q is held fixed: the gradient of a live log q has a part that is not the path's.
        """
        if not self.fixed:
            raise ValueError("Terms.along needs terms whose q is held fixed: Terms(..., fixed=True)")
        z, log_q, slope = self._sloped
        factor = scale.reshape(*scale.shape, *[1] * (z.dim() - 2))
        other = copy.copy(self)
        # the densities at the moved samples are to be found anew
        for name in (*self._PER_SAMPLE, "kl_of_draws"):
            other.__dict__.pop(name, None)
        # the value of z, with the scaled gradient of the way to it
        moved = z.detach() + factor * (z - z.detach())
        other.__dict__["_draw"] = moved, _held(moved, log_q, slope)
        return other

    def take(self, index: Tensor) -> Terms:
        """The same terms for some of the samples only."""
        return self._of_some({name: each[index] for name, each in self._each.items()})

    def singles(self) -> list[Terms]:
        """The terms of sample k alone, for each k."""
        return self._apart({name: each.split(1) for name, each in self._each.items()})

    def leave_one_out(self) -> list[Terms]:
        """The terms without sample k, for each k of 0 ... K - 1; needs at least two samples."""
        everyone = torch.arange(self.samples, device=self.x.device)
        others = everyone[:-1] + (everyone[:-1] >= everyone.unsqueeze(1))  # (K, K - 1)
        return self._apart({name: each[others].unbind() for name, each in self._each.items()})

    @property
    def _each(self) -> dict[str, Tensor]:
        """What there is of each sample, ``(K, ...)``."""
        # the last may have drawn noise of its own
        names = (*self._PER_SAMPLE, *(("kl_of_draws",) if "kl_of_draws" in self.__dict__ else ()))
        return {name: getattr(self, name) for name in names}

    def _apart(self, parts: Mapping[str, Sequence[Tensor]]) -> list[Terms]:
        """The terms of some samples after another."""
        return [self._of_some({name: part[k] for name, part in parts.items()}) for k in range(self.samples)]

    def _of_some(self, found: Mapping[str, Tensor]) -> Terms:
        """The terms of some samples, of which these are found."""
        other = copy.copy(self)
        other.samples = len(found["z"])
        other.__dict__.update(found)
        return other


def _held(z: Tensor, log_q: Tensor, slope: Tensor) -> Tensor:
    """log q(z) as a function of z alone, ``(K, B)``: its value, and its gradient in z.

    Evaluating a q that was built without gradients would not do: flows run their networks when they are
    evaluated.
    """
    return log_q.detach() + (slope * (z - z.detach())).flatten(2).sum(-1)
