"""The latent variable model: a prior, a posterior and a decoder put together."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lvmbench.decoder import Decoder
from lvmbench.distributions import Distribution, Finite, closed, traits_of
from lvmbench.distributions.base import family_name
from lvmbench.divergence import exact_posterior, has_kl, posterior_type
from lvmbench.errors import UserError
from lvmbench.noise import Noise
from lvmbench.posterior import Posterior
from lvmbench.prior import Prior, SequencePrior
from lvmbench.steps import emission_type, simulated

T = TypeVar("T")


@final
class LatentVariableModel(nn.Module):
    r"""The model :math:`p(x, z) = p(z)\, p(x|z)` with its approximate posterior :math:`q(z|x)`.

    Arguments:
        prior: :math:`p(z)`.
        posterior: :math:`q(z|x)`.
        decoder: :math:`p(x|z)`.
        complete: Whether all of x is observed, of sequences up to their ends. Otherwise NaN in x means not
            observed, and densities of x are of what was.
    """

    PARTS = ("prior", "posterior", "decoder")

    def __init__(
        self, prior: Prior, posterior: Posterior, decoder: Decoder, *, complete: bool = True
    ) -> None:
        super().__init__()
        self.prior, self.posterior, self.decoder = prior, posterior, decoder
        self.complete = complete

    def p(self) -> Distribution:
        """p(z), batch shape ``()``.

        Where the model is not training, its law.
        """
        p: Distribution = self.prior(self)
        return p if self.training else p.law

    def q(self, x: Tensor, noise: Noise | None = None) -> Distribution:
        """q(z|x), batch shape ``(B,)``, for ``x`` of shape ``(B, *x)``.

        Where the model is not training, its law; where it is, and there is ``noise``, of x as the posterior
        corrupts it.
        """
        if not self.training:
            law: Distribution = self.posterior(x, self).law
            return law
        q: Distribution = self.posterior(x if noise is None else self.posterior.corrupt(x, noise), self)
        return q

    def along(self, x: Tensor, p: Distribution | None = None) -> Distribution:
        """p(z) along x ``(B, *x)``, batch shape ``(B,)`` where it depends on x as that goes along,
        and ``()`` elsewhere; p(z) itself is found where it is not given.
        """
        return (self.p() if p is None else p).along(x)

    def prior_draws(self, x: Tensor, noise: Noise, samples: int, p: Distribution | None = None) -> Tensor:
        """``K`` draws of p(z), along x, for each of x ``(B, *x)``: ``(K, B, *z)``."""
        p = self.along(x, p)
        if "steps" in p.traits:
            return p.sample(noise, samples)
        z: Tensor = p.sample(noise, samples * len(x)).unflatten(0, (samples, len(x)))
        return z

    def decode(self, z: Tensor) -> Distribution:
        """p(x|z), batch shape ``(K, B)``, for ``z`` of shape ``(K, B, *z)``,
        of which the decoder sees what the space has it read; of steps, one at a time.
        """
        if isinstance(self.prior, SequencePrior):
            return emission_type(self.prior, self.decoder)(z, self.prior, self.decoder)
        p: Distribution = self.decoder(self.prior.space.read(z))
        return p

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of what was observed of x, ``(K, B)``, for x ``(B, *x)`` and z ``(K, B, *z)``."""
        p = self.decode(z)
        return p.log_prob(x) if self.complete else p.observed_log_prob(x)

    def log_joint(self, x: Tensor, z: Tensor, p: Distribution | None = None) -> Tensor:
        """log p(x, z), ``(K, B)``, for ``x`` of shape ``(B, *x)`` and ``z`` of shape ``(K, B, *z)``.

        Whoever asks for more than one figure finds ``p``, p(z), once and gives it: a prior may ask a network
        each time.
        """
        return self.log_likelihood(x, z) + self.along(x, p).log_prob(z)

    def holding(self, parts: Collection[str], work: Callable[[], T]) -> T:
        """What some work with this model gives where the weights of these parts are held fixed:
        gradients do not reach them, and pass through all else.
        """
        named = self.named_parameters(prefix="model")
        held = {name: w.detach() for name, w in named if name.split(".")[1] in parts}
        result: T = functional_call(_Worker(self), held, (work,))
        return result

    def exact_posterior(self, x: Tensor, p: Distribution | None = None) -> Distribution:
        """The true p(z|x) of this model, where it provides ``exact_posterior``:
        registered for the pair, or by enumeration.
        """
        if self._registered_type(self.prior_distribution):
            return exact_posterior(self.along(x, p), self.decoder, x)
        values = self.prior.space.values(x)
        return Finite(values, self.log_joint(x, values.unsqueeze(1), p).movedim(0, -1))

    def exact_log_prob(self, x: Tensor, p: Distribution | None = None) -> Tensor:
        r"""The exact log p(x) of this model, ``(B,)``:
        a sum over z, or log p(x, z) - log p(z|x), the same at every z.
        """
        if self.prior.space.enumerable:
            return self.log_joint(x, self.prior.space.values(x).unsqueeze(1), p).logsumexp(0)
        p = self.along(x, p)
        truth = self.exact_posterior(x, p)
        z = truth.mean.unsqueeze(0)
        return (self.log_joint(x, z, p) - truth.log_prob(z)).squeeze(0)

    @property
    def prior_distribution(self) -> type[Distribution]:
        """The class of p(z) in this model: what the prior declares, of what the posterior returns where that
        is left open; where the model is not training, that of its law.
        """
        p = closed(self.prior.distribution, self.posterior.distribution)
        return p if self.training else p.law_type or p

    @property
    def emission_distribution(self) -> type[Distribution]:
        """The class of p(x|z) in this model: the decoder's, or of steps that of what they emit together."""
        if isinstance(self.prior, SequencePrior):
            return emission_type(self.prior, self.decoder)
        return self.decoder.distribution

    @property
    def posterior_distribution(self) -> type[Distribution] | None:
        """The class that the posterior returns in this model."""
        return self.posterior.distribution or self._exact_type(self.prior_distribution)

    @property
    def provides(self) -> frozenset[str]:
        """What is known of this combination of parts: ``exact_posterior``, ``analytic_kl``."""
        return self.known(self.prior_distribution, self.posterior_distribution)

    def known(self, p: type[Distribution], q: type[Distribution] | None) -> frozenset[str]:
        """What is known of these classes of p(z) and q(z|x) with the decoder."""
        known = {"exact_posterior": self._exact_type(p) is not None, "analytic_kl": has_kl(q, p)}
        return frozenset(name for name, holds in known.items() if holds)

    def _exact_type(self, p: type[Distribution]) -> type[Distribution] | None:
        """The class of the exact posterior, where it is known."""
        return self._registered_type(p) or (Finite if self.prior.space.enumerable else None)

    def _registered_type(self, p: type[Distribution]) -> type[Distribution] | None:
        """The class of the exact posterior that is registered for the pair, where z is read as it is."""
        return None if self.prior.space.sticks else posterior_type(p, type(self.decoder))

    @property
    def parameters_count(self) -> int:
        """How many numbers training can change."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def _repr_html_(self) -> str:
        """The parts and the size of each, for notebooks."""
        parts = ((name, getattr(self, name)) for name in self.PARTS)
        sizes = (
            (name, type(part).__name__, sum(p.numel() for p in part.parameters())) for name, part in parts
        )
        rows = "".join(f"<tr><th>{name}</th><td>{cls}</td><td>{n:,}</td></tr>" for name, cls, n in sizes)
        return f"<table><tr><th>part</th><th>class</th><th>parameters</th></tr>{rows}</table>"

    @torch.no_grad()
    def generate(self, noise: Noise, samples: int, *, mean: bool = False) -> Tensor:
        """``K`` draws of x from the model, ``(K, *x)``, or the ``mean`` of p(x|z) for as many draws of z.

        Raises `UserError` where p(x|z) has no mean.
        """
        if not mean:
            return self.simulate(noise, samples)[1]
        self._expect_mean()
        return self.means(self.p().sample(noise, samples))

    @torch.no_grad()
    def means(self, z: Tensor) -> Tensor:
        """The mean of p(x|z) at each of z ``(N, *z)``, ``(N, *x)``; raises `UserError` where it has none."""
        self._expect_mean()
        return self.decode(z.unsqueeze(1)).mean[:, 0]

    def _expect_mean(self) -> None:
        family = self.emission_distribution
        if "mean" not in traits_of(family):
            raise UserError(f"the decoder's {family_name(family)} has no mean; draw x instead")

    @torch.no_grad()
    def simulate(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        """``K`` draws of z, ``(K, *z)``, and of x with each, ``(K, *x)``; of steps as many as the longest."""
        if isinstance(self.prior, SequencePrior):
            return simulated(self.prior, self.decoder, noise, samples)
        z = self.p().sample(noise, samples)
        return z, self.decode(z.unsqueeze(1)).sample(noise, 1)[0, :, 0]


class _Worker(nn.Module):
    """A model whose weights can be replaced while some work is done."""

    def __init__(self, model: LatentVariableModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], T]) -> T:
        return work()
