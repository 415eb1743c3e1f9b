"""What every distribution offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, final, get_args

import torch
from torch import Tensor
from torch.func import grad

from lvmbench.noise import Noise
from lvmbench.observation import observed


class Distribution(ABC):
    """A distribution over events of shape ``*event``, for each element of a batch of shape ``*batch``.

    ``traits`` declares what it can do:

    - ``pathwise``: its samples carry gradients to its parameters;
    - ``density``: `log_prob` can be evaluated anywhere, not only at its own draws;
    - ``estimate``: the density is known by estimates alone. What comes with samples as their log density is
      such that exp(-log q) has the mean 1 / q(z) given z, and `estimate_log_prob` is the log of an estimate
      of q(z);
    - ``bound``: what comes with samples as their log density is on average at least that, so that the ELBO is
      a lower bound still; of a prior it is at most that, for the same reason;
    - ``slope``: `sample_with_slope` has the gradient of its log density at its own draws; who has a density
      has it too;
    - ``mean``: `mean` is available;
    - ``enumerable``: its support is finite and small enough to sum over;
    - ``components``: it is a mixture and can `assign` values to its components;
    - ``strata``: it is a mixture and can draw `strata`, samples of each component that carry gradients to its
      parameters, with weights that do so, too;
    - ``straight_through``: its samples are rounded, and their gradients those of what they were before: no
      derivatives;
    - ``relaxable``: it is discrete, and can draw `relaxations`, continuous values that round to its samples;
    - ``units``: its event is made of independent units, and `units` has them one by one;
    - ``steps``: its event is made of steps, each drawn given those before: it is a `Steps`;
    - ``proposals``: its draws are chosen among proposals: it is a `Resampled`;
    - ``moving_proposals``: these carry gradients to its parameters.
    """

    traits: ClassVar[frozenset[str]] = frozenset()
    lent: ClassVar[Mapping[str, str]] = {}
    """Those of its traits that a distribution made of others has where they have another, or the same."""
    support: str = "real"
    """Where its values lie: ``real`` or ``unit`` (from 0 to 1), where its densities are densities; or
    ``binary``, ``count``, ``levels`` (equally spaced from 0 on), ``one_hot`` or ``finite``, where they are
    probabilities. Boards do not rank the two together.
    """
    event_dims: int
    """How many of the last dimensions make one event, where ``traits`` has ``units``."""
    law_type: ClassVar[type[Distribution] | None] = None
    """The class of `law`, where that is not this distribution itself."""

    def __repr__(self) -> str:
        shapes = (f"{name}={tuple(t.shape)}" for name, t in vars(self).items() if isinstance(t, Tensor))
        return f"{type(self).__name__}({', '.join(shapes)})"

    @property
    def family(self) -> type[Distribution]:
        """The class by which pairs know it:
        its own, with that of what is inside where the class leaves it open.
        """
        return type(self)

    @abstractmethod
    def log_prob(self, value: Tensor) -> Tensor:
        """The log density, in nats, of values of shape ``(..., *batch, *event)``: shape ``(..., *batch)``."""

    def observed_log_prob(self, value: Tensor) -> Tensor:
        """The log density of what was observed of values ``(..., *batch, *event)``,
        in which NaN means that it was not.

        For independent units, which ``event_dims`` counts, it is the sum over those that were. Others
        override it, or have none.
        """
        if "units" not in self.traits:
            raise NotImplementedError(
                f"{type(self).__name__} cannot tell the density of a part of its values; who returns it "
                "requires dataset.complete"
            )
        values, mask = observed(value)
        each = self.units.log_prob(values)  # (..., *batch, *units)
        within = self.units.event_dims
        seen = mask.flatten(-within).all(-1) if within else mask
        return sum_event(torch.where(seen, each, 0.0), self.event_dims - within)

    @abstractmethod
    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        """``K`` samples, ``(K, *batch, *event)``, and their log densities, ``(K, *batch)``."""

    def sample_with_slope(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        """Samples, their log densities and the slope ``d log q(z) / dz`` there, ``(K, *batch, *event)``.

        The slope is a number, which has no gradient to any parameter. Who has no density overrides this.
        """
        z, log_q = self.sample_and_log_prob(noise, samples)
        with torch.no_grad():
            slope = grad(lambda value: self.log_prob(value).sum())(z.detach())
        return z, log_q, slope

    def estimate_log_prob(self, value: Tensor, noise: Noise) -> Tensor:
        """The log of an unbiased estimate of the density of values ``(..., *batch, *event)``,
        where ``traits`` has ``estimate``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not declare the trait 'estimate'")

    @final
    def sample(self, noise: Noise, samples: int) -> Tensor:
        """``K`` samples, ``(K, *batch, *event)``."""
        return self.sample_and_log_prob(noise, samples)[0]

    @property
    def mean(self) -> Tensor:
        """The mean, ``(*batch, *event)``, where ``traits`` has ``mean``."""
        raise NotImplementedError(f"{type(self).__name__} does not declare the trait 'mean'")

    @property
    def units(self) -> Distribution:
        """The same distribution with each unit as an event of its own, where ``traits`` has ``units``."""
        raise NotImplementedError(f"{type(self).__name__} does not declare the trait 'units'")

    def along(self, x: Tensor) -> Distribution:
        """The same along x ``(B, *x)``, of batch shape ``(B,)``, where it depends on what is observed as it
        goes along, or on how long that is.
        """
        return self

    @property
    def law(self) -> Distribution:
        """What a model is measured with: this, or the discrete distribution that relaxed samples stand for,
        or the density that a prior has a bound of.
        """
        return self

    def relaxations(
        self, noise: Noise, samples: int, temperature: Tensor | float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Samples, relaxed values that round to them, and other relaxed values given the samples alone,
        ``(K, *batch, *event)`` each, where ``traits`` has ``relaxable``; the relaxed values carry gradients
        to the parameters.
        """
        raise NotImplementedError(f"{type(self).__name__} does not declare the trait 'relaxable'")

    def assign(self, value: Tensor) -> Tensor:
        """The probability of each component given the value, ``(..., C)``,
        where ``traits`` has ``components``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not declare the trait 'components'")

    def strata(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        """``K`` samples of each component, ``(K, C, *batch, *event)``, and the log weights of the components,
        ``(C, *batch)``, where ``traits`` has ``strata``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not declare the trait 'strata'")


def is_open(family: type[Distribution]) -> bool:
    """Whether a class leaves open what is inside of it."""
    return bool(getattr(family, "__parameters__", ()))


def closed(family: type[Distribution], inside: type[Distribution] | None) -> type[Distribution]:
    """A class, of what is inside of it where that is left open.

    >>> from lvmbench import DiagonalNormal, Mixture
    >>> family_name(closed(Mixture, DiagonalNormal)), family_name(closed(DiagonalNormal, DiagonalNormal))
    ('Mixture[DiagonalNormal]', 'DiagonalNormal')
    """
    generic: Any = family
    return generic[inside] if inside and is_open(family) else family


def traits_of(family: type[Distribution]) -> frozenset[str]:
    """What a distribution class can do, made of what is inside of it, or of anything where that is left open.

    >>> from lvmbench import DiagonalNormal, InvertibleFlow, Mixture
    >>> [sorted(traits_of(p)) for p in (Mixture[DiagonalNormal], Mixture[InvertibleFlow], Mixture)]
    [['components', 'density', 'mean', 'strata'], ['components', 'density', 'strata'], ['components']]
    """
    inside = [frozenset()] if is_open(family) else [traits_of(part) for part in get_args(family)]
    return family.traits.difference(
        trait for trait, needed in family.lent.items() if any(needed not in traits for traits in inside)
    )


def family_name(family: type) -> str:
    """The name of a distribution class, with what is inside of it.

    >>> from lvmbench import DiagonalNormal, Mixture
    >>> family_name(Mixture[DiagonalNormal])
    'Mixture[DiagonalNormal]'
    """
    inside = ", ".join(map(family_name, get_args(family)))
    return f"{family.__name__}[{inside}]" if inside else family.__name__


def sum_event(values: Tensor, dims: int) -> Tensor:
    """Sum over the last ``dims`` dimensions."""
    return values.flatten(-dims).sum(-1) if dims else values
