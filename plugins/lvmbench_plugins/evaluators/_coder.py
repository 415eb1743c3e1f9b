"""An entropy coder for latents and binary images, on constriction's stack."""

from __future__ import annotations

import importlib
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lvmbench import Bernoulli, DiagonalNormal, Distribution, LvmbenchError, Mixture, Refusal

Array = np.ndarray[Any, Any]
_SPREAD = 8.0  # standard deviations on either side that the grid covers
_HEAD = 2  # words that the coder works on; while there are more, it has not run out

NOT_RESTORED = "bits-back: the seed bits were not restored"


class Grid(NamedTuple):
    """Equal bins over the reals, the same for every latent and found from the model alone,
    so that both sides know it.

    Arguments:
        low: The lower end.
        width: The width of a bin.
        bins: How many there are.
    """

    low: float
    width: float
    bins: int

    @classmethod
    def over(cls, prior: DiagonalNormal, bins: int) -> Grid:
        """A grid that covers a prior, or each component of one."""
        loc, reach = prior.loc, _SPREAD * prior.log_scale.exp()
        low, high = (loc - reach).min().item(), (loc + reach).max().item()
        if not math.isfinite(high - low):
            raise Refusal("the means or scales of the prior are not finite")
        return cls(low, (high - low) / bins, bins)

    def units(self, normal: DiagonalNormal) -> tuple[Array, Array]:
        """Means and standard deviations in bins, from the centre of the first one."""
        if not (normal.loc.isfinite().all() and normal.log_scale.isfinite().all()):
            raise Refusal("the means or scales of the latents are not finite")
        loc, scale = normal.loc.flatten().double(), normal.log_scale.flatten().double().exp()
        return ((loc - self.low) / self.width - 0.5).cpu().numpy(), (scale / self.width).cpu().numpy()

    def centres(self, symbols: Array, like: Tensor) -> Tensor:
        """The values that symbols stand for."""
        return torch.from_numpy(self.low + (symbols + 0.5) * self.width).to(like).reshape(like.shape)


class Stack:
    """A stack of bits: symbols are pushed under a distribution
    and popped under the same one, last in first out.
    """

    def __init__(self, words: Array, bins: int, *, seal: bool = True) -> None:
        stream = importlib.import_module("constriction").stream
        self._make = stream.stack.AnsCoder
        self._coder = self._make(words, seal=seal)
        self._normal = stream.model.QuantizedGaussian(0, bins - 1)
        self._bernoulli = stream.model.Bernoulli(perfect=False)
        self._categorical = stream.model.Categorical

    @property
    def full(self) -> bool:
        """Whether what was popped so far was made of the words that it holds alone, and not of their lack."""
        return len(self._coder.get_compressed()) > _HEAD

    @property
    def message(self) -> Array:
        """Everything that it holds, in words of 32 bits."""
        words: Array = self._coder.get_compressed()
        return words

    @property
    def seed(self) -> Array:
        """What is left once everything is popped: the words that it began with.

        Raises `LvmbenchError` where that is none.
        """
        try:
            words: Array = self._coder.get_compressed(unseal=True)
        except AssertionError:  # what is left is no whole number of words
            raise LvmbenchError(NOT_RESTORED) from None
        return words

    def scramble(self, pad: Array) -> None:
        """Flip bits of the words on top by random ones that reader and writer share; once more undoes it.

        Bits that were just pushed are uniform only where the symbols came from the distribution they were
        pushed under. Flipped, they are uniform whatever they were, and what is popped next is a fair draw.
        The leading one, which marks the end of the stack, stays.
        """
        words = self._coder.get_compressed().copy()
        pad = pad[-len(words) :].copy()
        pad[-1] &= (1 << (int(words[-1]).bit_length() - 1)) - 1
        words[-len(pad) :] ^= pad
        self._coder = self._make(words)

    def push_normal(self, symbols: Array, units: tuple[Array, Array]) -> None:
        """Bins of a grid."""
        # in reverse, as a stack gives back first what came last
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

    The component is a latent variable of its own, whose exact posterior given z is known: that it is coded
    too costs nothing.
    """

    def __init__(self, prior: Mixture[DiagonalNormal], grid: Grid) -> None:
        self.mixture, self.grid = prior, grid
        self.weights = prior.log_weights.exp()

    def push_prior(self, stack: Stack, z: Tensor) -> None:
        # bits back once more: -log p(z|c) - log p(c) + log p(c|z) is -log p(z), whichever c is drawn
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


def latents(p: Distribution, family: type[Distribution] | None, bins: int) -> Latents:
    """How latents of this prior and this family of posteriors are coded.

    Raises `Refusal` where there is no way.
    """
    if family is DiagonalNormal and type(p) is DiagonalNormal:
        return NormalLatents(p, Grid.over(p, bins))
    if family is DiagonalNormal and isinstance(p, Mixture) and p.family == Mixture[DiagonalNormal]:
        return MixtureLatents(p, Grid.over(p.components, bins))
    if type(p) is Bernoulli and family is Bernoulli:
        return BinaryLatents(p)
    name = family.__name__ if family else "distribution of its own"
    raise Refusal(
        "bits-back codes latents of a normal prior or a mixture of normals, or binary ones, with a "
        f"posterior of independent coordinates; p(z) is a {type(p).__name__}, q(z|x) a {name}"
    )
