"""Bits-back coding of a chain of images:
all that passes from one side to the other is a message in words of 32 bits.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lvmbench import LatentVariableModel, LvmbenchError, Stream
from lvmbench_plugins.evaluators._coder import NOT_RESTORED, Array, Stack, integers, latents

WORD = 32


class Message(NamedTuple):
    """What is sent.

    Arguments:
        words: The number of images, and the stack with them, ``(W,)``, each of 32 bits.
        borrowed: How many words of bits that were there before it gives back.
    """

    words: Array
    borrowed: int

    @property
    def bits(self) -> int:
        """The length of all of it."""
        return WORD * len(self.words)

    @property
    def net(self) -> int:
        """What it is longer than the bits that it gives back."""
        return WORD * (len(self.words) - self.borrowed)


class Chain:
    """The code of a model: whoever has the model has the code, and reads messages without anything else.

    The grid of the latents is found from the prior. Seed and pads are pseudo-random, fixed once and for all.
    Both sides see tensors of the same shapes, one image at a time, and so the same probabilities.

    Arguments:
        model: The model, in evaluation mode.
        bins: The number of bins of each continuous latent.
    """

    @torch.no_grad()
    def __init__(self, model: LatentVariableModel, bins: int) -> None:
        family = model.posterior_distribution
        self.model, self.bins = model, bins
        self.latents = latents(model.p(), family and (family.law_type or family), bins)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Message:
        """Images, ``(N, *x)``, as a message."""
        seed = self._seed(x[:1])
        stack = Stack(seed, self.bins)
        for number, image in enumerate(x.split(1)):
            self._push(stack, image, number)
        return Message(np.concatenate([[len(x)], stack.message]).astype(np.uint32), len(seed))

    @torch.no_grad()
    def decode(self, words: Array) -> Tensor:
        """The images of a message, ``(N, *x)``.

        Raises `LvmbenchError` where the bits that were borrowed do not come back.
        """
        count, stack = int(words[0]), Stack(words[1:], self.bins, seal=False)
        images = [self._pop(stack, number) for number in reversed(range(count))]
        if not np.array_equal(stack.seed, _words("seed", len(stack.seed))):
            raise LvmbenchError(NOT_RESTORED)
        return torch.cat(images[::-1])

    def _seed(self, x: Tensor) -> Array:
        """The fewest words that the first image's latents can be drawn from."""
        return next(seed for count in itertools.count(1) if self._suffices(seed := _words("seed", count), x))

    def _suffices(self, seed: Array, x: Tensor) -> bool:
        stack = Stack(seed, self.bins)
        self._draw(stack, x, 0)
        return stack.full

    def _draw(self, stack: Stack, x: Tensor, number: int) -> Tensor:
        stack.scramble(self._pad(number))
        return self.latents.pop(stack, self._q(x))

    def _push(self, stack: Stack, x: Tensor, number: int) -> None:
        """Store an image, ``(1, *x)``, of this place in the chain."""
        z = self._draw(stack, x, number)
        stack.push_bits(integers(x), self._p(z))
        # z last, as the reader needs it first: without it there is no p(x|z) to read x under
        self.latents.push_prior(stack, z)

    def _pop(self, stack: Stack, number: int) -> Tensor:
        """Read the image that was stored last, ``(1, *x)``."""
        # what _push did, undone from its end
        z = self.latents.pop_prior(stack)
        p = self._p(z)
        x = torch.from_numpy(stack.pop_bits(p)).to(p.logits).reshape(p.logits.shape[1:])
        self.latents.restore(stack, self._q(x), z)
        stack.scramble(self._pad(number))
        return x

    def _pad(self, number: int) -> Array:
        """More words than the latents of one image can use up."""
        return _words("pad", math.prod(self.model.prior.space.event_shape) + 16, number)

    def _q(self, x: Tensor) -> Any:
        return self.model.q(x)

    def _p(self, z: Tensor) -> Any:
        return self.model.decode(z[None, None])


def _words(purpose: str, count: int, *which: int) -> Array:
    """So many pseudo-random words, the same wherever the code is used; fewer are the first of more."""
    # a uniform number has 24 random bits: two of 16 make a word of 32
    halves = Stream.seeded(0, "bits_back", purpose, *which).uniform((count, 2)) * 2**16
    high, low = halves.long().numpy().T
    words: Array = (high << 16 | low).astype(np.uint32)
    return words
