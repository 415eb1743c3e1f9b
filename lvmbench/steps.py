"""Sequence models step by step: what they emit, and the walk from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import torch
from torch import Tensor

from lvmbench.decoder import Decoder
from lvmbench.distributions import Distribution, Steps, closed
from lvmbench.noise import Noise
from lvmbench.observation import ended
from lvmbench.prior import SequencePrior

if TYPE_CHECKING:
    from lvmbench.model import LatentVariableModel

D = TypeVar("D", bound=Distribution)


def shown(prior: SequencePrior, z: Tensor, h: Tensor) -> Tensor:
    """What the decoder reads at a step: z_t, and beside it what is shown of the context."""
    return torch.cat([z, h[..., : prior.space.shown]], -1) if prior.space.shown else z


class Emission(Distribution, Generic[D]):
    r"""What a sequence model emits given z: a frame at each step.

    .. math:: \log p(x|z) = \sum_t \log p(x_t | z_t, h_t)

    over the steps up to the end of each sequence, where :math:`h_t` is what the decoder is shown of the
    context that the prior makes of z and x before.

    Arguments:
        z: The latents, ``(K, B, T, Z)``.
        prior: The prior of the steps.
        decoder: The decoder of a step.
    """

    traits = frozenset({"density"})
    lent: ClassVar[Mapping[str, str]] = {"density": "density", "mean": "mean"}

    def __init__(self, z: Tensor, prior: SequencePrior, decoder: Decoder) -> None:
        self.z, self.prior, self.decoder = z, prior, decoder

    @property
    def family(self) -> type[Distribution]:
        return closed(type(self), self.decoder.distribution)

    def frames(self, x: Tensor) -> D:
        """The distribution of each frame after those before it in x, batch shape ``(K, B, T)``."""
        return cast(D, self.decoder(shown(self.prior, self.z, self.prior.contexts(self.z, x))))

    def log_prob(self, value: Tensor) -> Tensor:
        values, lasting = ended(value)
        return torch.where(lasting, self.frames(values).log_prob(values), 0.0).sum(-1)

    def observed_log_prob(self, value: Tensor) -> Tensor:
        # after the end nothing was observed, which adds nothing
        return self.frames(ended(value)[0]).observed_log_prob(value).sum(-1)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        h, drawn = self.prior.start().expand(samples, *self.z.shape[:-2], -1), []
        for z in self.z.expand(samples, *self.z.shape).unbind(-2):
            p = self.decoder(shown(self.prior, z, h))
            x, log_p = (part[0] for part in p.sample_and_log_prob(noise, 1))
            h = self.prior.advance(h, z, x)
            drawn.append((x, log_p))
        frames, figures = zip(*drawn, strict=True)
        return torch.stack(frames, self.z.dim() - 1), torch.stack(figures, -1).sum(-1)


class FreeEmission(Emission[D]):
    """Of a decoder that is shown no context: frames are independent given z."""

    traits = frozenset({"density", "mean"})

    def frames(self, x: Tensor) -> D:
        return self._frames

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        value, figures = self._frames.sample_and_log_prob(noise, samples)
        return value, figures.sum(-1)

    @property
    def mean(self) -> Tensor:
        return self._frames.mean

    @cached_property
    def _frames(self) -> D:
        return cast(D, self.decoder(self.z))


def emission_type(prior: SequencePrior, decoder: Decoder) -> type[Emission[Any]]:
    """The class of what a model of these emits."""
    family: Any = Emission if prior.space.shown else FreeEmission
    emission: Any = closed(family, decoder.distribution)
    return cast(type[Emission[Any]], emission)


def simulated(prior: SequencePrior, decoder: Decoder, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
    """``K`` draws of z, ``(K, T, Z)``, and of x, ``(K, T, *frame)``: z_t, then x_t, step by step."""
    h, drawn = prior.start().expand(samples, -1), []
    for _ in range(prior.space.steps):
        z = prior.law(h).sample(noise, 1)[0]
        x = decoder(shown(prior, z, h)).sample(noise, 1)[0]
        h = prior.advance(h, z, x)
        drawn.append((z, x))
    zs, xs = zip(*drawn, strict=True)
    return torch.stack(zs, 1), torch.stack(xs, 1)


class Walk:
    """The way through a sequence model from step to step, along a batch of sequences.

    What it stands on is a context ``(K, B, H)``, so that who draws again among K samples chooses among
    contexts.

    Arguments:
        model: A model whose prior is a `SequencePrior`.
        x: The batch, ``(B, T, *frame)``.
        q: q(z|x), where it is at hand.
        p: p(z) along x, where it is at hand.
    """

    def __init__(
        self,
        model: LatentVariableModel,
        x: Tensor,
        *,
        q: Distribution | None = None,
        p: Distribution | None = None,
    ) -> None:
        self.prior, self.decoder = cast(SequencePrior, model.prior), model.decoder
        self.complete = model.complete
        self._q = cast(Steps, model.q(x) if q is None else q)
        self._p = cast(Steps, model.along(x, p))
        self.values, self.lasting = ended(x)
        self.x = x

    def start(self, samples: int) -> Tensor:
        """The context before the first step, ``(K, B, H)``."""
        return self._p.memory.start.expand(samples, len(self.lasting), -1)

    def p(self, t: int, h: Tensor) -> Distribution:
        """p(z_t | h_t), batch shape ``(K, B)``."""
        return self._p.at(t, h)

    def q(self, t: int, h: Tensor) -> Distribution:
        """q(z_t | h_t, x), batch shape ``(K, B)``."""
        return self._q.at(t, h)

    def log_likelihood(self, t: int, z: Tensor, h: Tensor) -> Tensor:
        """log p(x_t | z_t, h_t) of what was observed of x_t, ``(K, B)``; after the end of a sequence 0."""
        p = self.decoder(shown(self.prior, z, h))
        if self.complete:
            return torch.where(self.lasting[:, t], p.log_prob(self.values[:, t]), 0.0)
        figures: Tensor = p.observed_log_prob(self.x[:, t])
        return figures

    def advance(self, t: int, h: Tensor, z: Tensor) -> Tensor:
        """The next context, ``(K, B, H)``, after z_t ``(K, B, Z)`` and x_t."""
        return self._p.memory.advance(t, h, z)
