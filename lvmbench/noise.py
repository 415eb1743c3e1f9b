"""Randomness is an argument: every sampling call takes its source of noise.

The source is a flat run of standard normal and of uniform numbers. While a step is built, a `Recorder` learns
how many it draws; each step then fills one buffer per seed from that seed's own generator, and a `Buffer`
deals it out inside the vectorised step. What a seed draws therefore never depends on the seeds that train
beside it.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lvmbench.quantiles import LogGamma, poisson


def derive(seed: int, *words: object) -> int:
    """A seed for one purpose, from the run's seed and words that name the purpose.

    >>> derive(0, "order") != derive(0, "noise"), derive(0, "order") == derive(0, "order")
    (True, True)
    """
    text = "/".join(str(word) for word in (seed, *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *words: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator for one purpose of one seed."""
    return torch.Generator(device).manual_seed(derive(seed, *words))


class Noise(ABC):
    """A source of random numbers; one idea, two primitives.

    All others are made of these two, the same number of them for each number, and exactly: they follow their
    law as far as the primitives follow theirs. Gamma numbers and what is made of them carry gradients to
    their parameters; those have shapes that broadcast to the asked one, and any positive value.

    References:
        Implicit Reparameterization Gradients (Figurnov, Mohamed, Mnih, 2018),
        https://arxiv.org/abs/1805.08498

    Example:
        >>> concentration = torch.full((3,), 2.0, requires_grad=True)
        >>> Stream.seeded(0, "picture").gamma((3,), concentration).sum().backward()
        >>> concentration.grad.shape
        torch.Size([3])
    """

    @abstractmethod
    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers of this shape."""

    @abstractmethod
    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Numbers uniform on [0, 1) of this shape."""

    def gumbel(self, shape: Sequence[int]) -> Tensor:
        """Standard Gumbel numbers: -log(-log(u))."""
        u = self.uniform(shape)
        tiny = torch.finfo(u.dtype).tiny
        return -torch.log(-torch.log(u.clamp(min=tiny, max=1 - torch.finfo(u.dtype).eps / 2)))

    def log_gamma(self, shape: Sequence[int], concentration: Tensor) -> Tensor:
        """Logarithms of gamma numbers of unit rate, finite where the numbers themselves would be rounded to
        0.

        G(a) = G(a + 1) u^(1/a), where G(a + 1) is the quantile that a normal number has among normal ones.
        """
        z, u = self.normal(shape), self.uniform(shape)
        a = concentration.expand(tuple(shape))
        logarithm: Tensor = LogGamma.apply(z, a + 1)  # type: ignore[no-untyped-call]
        return logarithm + u.clamp(min=torch.finfo(u.dtype).tiny).log() / a

    def gamma(self, shape: Sequence[int], concentration: Tensor) -> Tensor:
        """Gamma numbers of unit rate; divide by a rate, or multiply by a scale."""
        return self.log_gamma(shape, concentration).exp()

    def beta(self, shape: Sequence[int], a: Tensor, b: Tensor) -> Tensor:
        """Beta numbers, within 0 and 1.

        Where an end matters, ``log_gamma`` of a less that of b is their logit.
        """
        ratio = torch.sigmoid(self.log_gamma(shape, a) - self.log_gamma(shape, b))
        rounding = torch.finfo(ratio.dtype)
        return ratio.clamp(min=rounding.tiny, max=1 - rounding.eps / 2)

    def dirichlet(self, shape: Sequence[int], concentration: Tensor) -> Tensor:
        """Shares that add up to 1 along the last dimension."""
        return self.log_gamma(shape, concentration).softmax(-1)

    def student(self, shape: Sequence[int], freedom: Tensor) -> Tensor:
        """Student's t numbers of so many degrees of freedom."""
        half = freedom / 2
        return self.normal(shape) * (0.5 * (half.log() - self.log_gamma(shape, half))).exp()

    def poisson(self, shape: Sequence[int], rate: Tensor) -> Tensor:
        """Poisson numbers, whole ones of at most 2^24 - 1, which carry no gradients."""
        return poisson(self.uniform(shape), rate.detach())


class Stream(Noise):
    """Noise drawn from a generator as it is asked for.

    >>> a, b = Stream.seeded(0, "test"), Stream.seeded(0, "test")
    >>> torch.equal(a.normal((3,)), b.normal((3,)))
    True
    """

    def __init__(self, generator: torch.Generator, dtype: torch.dtype | None = None) -> None:
        self.generator = generator
        self.dtype = dtype or torch.get_default_dtype()

    @classmethod
    def seeded(
        cls, seed: int, *words: object, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> Stream:
        """A stream for one purpose of one seed."""
        return cls(generator(seed, *words, device=device), dtype)

    def normal(self, shape: Sequence[int]) -> Tensor:
        return torch.randn(
            tuple(shape), generator=self.generator, device=self.generator.device, dtype=self.dtype
        )

    def uniform(self, shape: Sequence[int]) -> Tensor:
        return torch.rand(
            tuple(shape), generator=self.generator, device=self.generator.device, dtype=self.dtype
        )


class Demand(NamedTuple):
    """How many numbers of each kind one step draws."""

    normals: int
    uniforms: int


class Recorder(Noise):
    """Noise that counts what is drawn through it."""

    def __init__(self, source: Noise) -> None:
        self.source = source
        self.demand = Demand(0, 0)

    def normal(self, shape: Sequence[int]) -> Tensor:
        self.demand = self.demand._replace(normals=self.demand.normals + math.prod(shape))
        return self.source.normal(shape)

    def uniform(self, shape: Sequence[int]) -> Tensor:
        self.demand = self.demand._replace(uniforms=self.demand.uniforms + math.prod(shape))
        return self.source.uniform(shape)


class Buffer(Noise):
    """Noise dealt out from two flat tensors, in the order it is asked for; works inside ``torch.vmap``."""

    def __init__(self, normals: Tensor, uniforms: Tensor) -> None:
        self.normals, self.uniforms = normals, uniforms
        self.dealt = Demand(0, 0)

    def normal(self, shape: Sequence[int]) -> Tensor:
        start, size = self.dealt.normals, math.prod(shape)
        self.dealt = self.dealt._replace(normals=start + size)
        return self._deal(self.normals, start, size).reshape(tuple(shape))

    def uniform(self, shape: Sequence[int]) -> Tensor:
        start, size = self.dealt.uniforms, math.prod(shape)
        self.dealt = self.dealt._replace(uniforms=start + size)
        return self._deal(self.uniforms, start, size).reshape(tuple(shape))

    @staticmethod
    def _deal(flat: Tensor, start: int, size: int) -> Tensor:
        if start + size > flat.shape[-1]:
            raise RuntimeError(
                f"a step drew {start + size} random numbers but only {flat.shape[-1]} in the step it was "
                "measured on; a component must draw the same number each step: use masks instead of "
                "data-dependent loops"
            )
        return flat[start : start + size]
