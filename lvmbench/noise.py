"""Randomness is an argument: every sampling call takes its source of noise.

The source is a flat run of standard normal and of uniform numbers. While a step is built, a `Recorder` learns how many it
draws; each step then fills one buffer per seed from that seed's own generator, and a `Buffer` deals it out inside the
vectorised step. What a seed draws therefore never depends on the seeds that train beside it.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


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
    """A source of random numbers; one idea, two primitives."""

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
                f"a step drew {start + size} random numbers but only {flat.shape[-1]} in the step it was measured on; "
                "a component must draw the same number each step: use masks instead of data-dependent loops"
            )
        return flat[start : start + size]
