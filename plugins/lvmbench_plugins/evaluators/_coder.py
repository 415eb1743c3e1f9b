"""An entropy coder for latents and binary images, on constriction's stack."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lvmbench import Bernoulli, DiagonalNormal, Distribution, Mixture, Refusal

Array = np.ndarray[Any, Any]
_SPREAD = 8.0  # standard deviations on either side that the grid covers


class Grid(NamedTuple):
    """Equal bins over the reals, the same for every latent and known to both sides.

    Arguments:
        low: The lower end.
        width: The width of a bin.
        bins: How many there are.
    """

    low: float
    width: float
    bins: int

    @classmethod
    def over(cls, normals: Sequence[DiagonalNormal], bins: int) -> Grid:
        """A grid that covers all of these."""
        ends = [(n.loc - _SPREAD * n.log_scale.exp(), n.loc + _SPREAD * n.log_scale.exp()) for n in normals]
        low, high = min(a.min().item() for a, _ in ends), max(b.max().item() for _, b in ends)
        if not math.isfinite(high - low):
            raise Refusal("the means or scales of the latents are not finite")
        return cls(low, (high - low) / bins, bins)

    def units(self, normal: DiagonalNormal) -> tuple[Array, Array]:
        """Means and standard deviations in bins, from the centre of the first one."""
        loc, scale = normal.loc.flatten().double(), normal.log_scale.flatten().double().exp()
        return ((loc - self.low) / self.width - 0.5).cpu().numpy(), (scale / self.width).cpu().numpy()

    def centres(self, symbols: Array, like: Tensor) -> Tensor:
        """The values that symbols stand for."""
        return torch.from_numpy(self.low + (symbols + 0.5) * self.width).to(like).reshape(like.shape)


class Stack:
    """A stack of bits: symbols are pushed under a distribution and popped under the same one, last in first out."""

    def __init__(self, seed: Array, bins: int) -> None:
        stream = importlib.import_module("constriction").stream
        self._make = stream.stack.AnsCoder
        self._coder = self._make(seed, seal=True)
        self._normal = stream.model.QuantizedGaussian(0, bins - 1)
        self._bernoulli = stream.model.Bernoulli(perfect=False)
        self._categorical = stream.model.Categorical

    @property
    def bits(self) -> int:
        """How many bits it holds."""
        return int(self._coder.num_bits())

    @property
    def words(self) -> Array:
        """What is left once everything is popped: the seed."""
        words: Array = self._coder.get_compressed(unseal=True)
        return words

    def scramble(self, pad: Array) -> None:
        """Flip bits of the words on top by random ones that reader and writer share; once more undoes it.

        Bits that were just pushed are uniform only where the symbols came from the distribution they were pushed under.
        Flipped, they are uniform whatever they were, and what is popped next is a fair draw. The leading one, which
        marks the end of the stack, stays.
        """
        words = self._coder.get_compressed().copy()
        pad = pad[-len(words) :].copy()
        pad[-1] &= (1 << (int(words[-1]).bit_length() - 1)) - 1
        words[-len(pad) :] ^= pad
        self._coder = self._make(words)

    def push_normal(self, symbols: Array, units: tuple[Array, Array]) -> None:
        """Bins of a grid."""
        self._coder.encode_reverse(symbols, self._normal, *units)

    def pop_normal(self, units: tuple[Array, Array]) -> Array:
        """Bins of a grid."""
        symbols: Array = self._coder.decode(self._normal, *units)
        return symbols

    def push_bits(self, symbols: Array, p: Bernoulli) -> None:
        """Binary values."""
        self._coder.encode_reverse(symbols, self._bernoulli, _probabilities(p))

    def pop_bits(self, p: Bernoulli) -> Array:
        """Binary values."""
        symbols: Array = self._coder.decode(self._bernoulli, _probabilities(p))
        return symbols

    def push_choice(self, choice: int, weights: Tensor) -> None:
        """One of several, ``weights`` being their probabilities."""
        self._coder.encode_reverse(choice, self._choices(weights))

    def pop_choice(self, weights: Tensor) -> int:
        """One of several."""
        return int(self._coder.decode(self._choices(weights)))

    def _choices(self, weights: Tensor) -> Any:
        return self._categorical(weights.flatten().double().cpu().numpy(), perfect=False)


def _probabilities(p: Bernoulli) -> Array:
    probabilities: Array = p.logits.flatten().double().sigmoid().cpu().numpy()
    return probabilities


class NormalLatents:
    """Latents whose prior and posterior are normal with independent coordinates, as bins of a grid."""

    def __init__(self, prior: DiagonalNormal, grid: Grid) -> None:
        self.prior, self.grid = prior, grid

    def pop(self, stack: Stack, q: DiagonalNormal) -> Tensor:
        """A draw of z under q(z|x), made of bits of the stack, which are thereby saved."""
        return self.grid.centres(stack.pop_normal(self.grid.units(q)), q.loc[0])

    def restore(self, stack: Stack, q: DiagonalNormal, z: Tensor) -> None:
        """Give the bits back that z was made of."""
        stack.push_normal(self._symbols(z), self.grid.units(q))

    def push_prior(self, stack: Stack, z: Tensor) -> None:
        """Store z under p(z)."""
        stack.push_normal(self._symbols(z), self.grid.units(self.prior))

    def pop_prior(self, stack: Stack) -> Tensor:
        """Read z under p(z)."""
        return self.grid.centres(stack.pop_normal(self.grid.units(self.prior)), self.prior.loc)

    def _symbols(self, z: Tensor) -> Array:
        bins = (z.flatten().double().cpu().numpy() - self.grid.low) / self.grid.width - 0.5
        return np.rint(bins).astype(np.int32)


class MixtureLatents(NormalLatents):
    """The same under a mixture of such priors.

    The component is a latent variable of its own, whose exact posterior given z is known: that it is coded too costs
    nothing.
    """

    def __init__(self, prior: Mixture[DiagonalNormal], grid: Grid) -> None:
        self.mixture, self.grid = prior, grid
        self.weights = prior.log_weights.exp()

    def push_prior(self, stack: Stack, z: Tensor) -> None:
        component = stack.pop_choice(self.mixture.assign(z))
        stack.push_normal(self._symbols(z), self._units(component))
        stack.push_choice(component, self.weights)

    def pop_prior(self, stack: Stack) -> Tensor:
        component = stack.pop_choice(self.weights)
        z = self.grid.centres(stack.pop_normal(self._units(component)), self.mixture.components.loc[0])
        stack.push_choice(component, self.mixture.assign(z))
        return z

    def _units(self, component: int) -> tuple[Array, Array]:
        normal = self.mixture.components
        return self.grid.units(DiagonalNormal(normal.loc[component], normal.log_scale[component]))


class BinaryLatents:
    """Independent binary latents, which need no grid."""

    def __init__(self, prior: Bernoulli) -> None:
        self.prior = prior

    def pop(self, stack: Stack, q: Bernoulli) -> Tensor:
        """A draw of z under q(z|x), made of bits of the stack, which are thereby saved."""
        return _bits(stack.pop_bits(q), q.logits[0])

    def restore(self, stack: Stack, q: Bernoulli, z: Tensor) -> None:
        """Give the bits back that z was made of."""
        stack.push_bits(integers(z), q)

    def push_prior(self, stack: Stack, z: Tensor) -> None:
        """Store z under p(z)."""
        stack.push_bits(integers(z), self.prior)

    def pop_prior(self, stack: Stack) -> Tensor:
        """Read z under p(z)."""
        return _bits(stack.pop_bits(self.prior), self.prior.logits)


def _bits(symbols: Array, like: Tensor) -> Tensor:
    return torch.from_numpy(symbols).to(like).reshape(like.shape)


def integers(values: Tensor) -> Array:
    """Values as symbols."""
    symbols: Array = values.flatten().to(torch.int32).cpu().numpy()
    return symbols


Latents = NormalLatents | BinaryLatents


def latents(p: Distribution, posteriors: Sequence[Distribution], bins: int) -> Latents:
    """How latents of this prior and these posteriors are coded; raises `Refusal` where there is no way."""
    normal = [q for q in posteriors if type(q) is DiagonalNormal]
    if len(normal) == len(posteriors) and type(p) is DiagonalNormal:
        return NormalLatents(p, Grid.over([p, *normal], bins))
    if len(normal) == len(posteriors) and type(p) is Mixture and type(p.components) is DiagonalNormal:
        return MixtureLatents(p, Grid.over([p.components, *normal], bins))
    if type(p) is Bernoulli and all(type(q) is Bernoulli for q in posteriors):
        return BinaryLatents(p)
    raise Refusal(
        "bits-back codes latents of a normal prior or a mixture of normals, or binary ones, with a posterior of "
        f"independent coordinates; p(z) is a {type(p).__name__}, q(z|x) a {type(posteriors[0]).__name__}"
    )
