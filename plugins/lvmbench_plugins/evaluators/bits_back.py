"""A lossless coder made of the model, which proves its ELBO by compressing with it."""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lvmbench import (
    Bernoulli,
    Count,
    Evaluator,
    LvmbenchError,
    Measurement,
    Metric,
    Refusal,
    Subject,
    Terms,
    Unavailable,
    Work,
)
from lvmbench_plugins.evaluators._coder import Array, Latents, Stack, integers, latents
from lvmbench_plugins.evaluators._common import Several, drawn, measurements

Bins = Annotated[int, Field(ge=16, le=2**20)]
"""How finely latents are cut: the coder gives each bin a probability of at least 2^-24, which adds up."""


@final
class BitsBack(Evaluator):
    r"""The length of the images under bits-back coding with the model, beside other ways to store them.

    .. math:: L(x) = -\log_2 p(x|z) - \log_2 p(z) + \log_2 q(z|x), \qquad
        E_{q(z|x)} L(x) = -\mathrm{ELBO} / \ln 2

    Bits-back with asymmetric numeral systems: z is drawn from q(z|x) by decoding bits that are already stored,
    then x is stored under p(x|z) and z under p(z); reading goes the other way round and gives the bits back.
    The images are chained, the first one borrowing random seed bits. What an image has left on the stack is
    flipped by pseudo-random bits before the next one draws from it: unless q(z|x) is p(z) on average, such bits are not
    uniform, and draws made of them would drift into the tails of q(z|x). Everything is read again: the evaluation
    fails unless every image is equal bit for bit and the seed bits are restored. The length is net: what the
    chain adds to the seed bits. Continuous latents are cut into equal bins, which range over all the
    posteriors and the prior.

    ``bits_back`` is that length, ``elbo`` is -ELBO of the same images; ``gzip`` is one stream of all
    images, 8 pixels to the byte, at its highest level, and ``png`` is one 1-bit image with all of them on top of
    each other, so that neither pays for a header per image. PNG is left out where the data are not images of one
    channel. Priors are normal, mixtures of normals or Bernoulli, and posteriors normal or Bernoulli with independent
    coordinates; others are refused. Lossless coding needs probabilities, hence binary data and a Bernoulli decoder.

    References:
        Practical Lossless Compression with Latent Variables using Bits Back Coding (Townsend, Bird, Barber, 2019),
        https://arxiv.org/abs/1901.04866;
        Understanding Entropy Coding With Asymmetric Numeral Systems (Bamler, 2022),
        https://arxiv.org/abs/2201.01741

    Arguments:
        data: How many images to compress, the first ones; without it, all of the measured split.
        bins: The number of bins of each continuous latent. Each gets a probability of at least :math:`2^{-24}`, so that
            with many bins some draws of z fall far from where q(z|x) is, and cost their image many bits.
        samples: The number of draws of each datum that the ELBO is found from.
        chunk: How many pairs of sample and datum are decoded at once for the ELBO; the random numbers depend on it.

    Example:
        >>> BitsBack(data=100).metrics["bits_per_dim"].better
        'lower'
    """

    requires = frozenset({"dataset.binary", "posterior.units"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "bits_per_dim": Metric("bits/dim", "lower", "length of the images in bits, by pixel"),
    }

    def __init__(
        self,
        *,
        data: Count | None = None,
        bins: Bins = 1024,
        samples: Several = 100,
        chunk: Count = 16384,
    ) -> None:
        if find_spec("constriction") is None:
            raise Unavailable("bits_back needs the coder 'constriction': pip install 'lvmbench[coding]'")
        self.data, self.bins, self.samples, self.chunk = data, bins, samples, chunk

    def evaluations(self, work: Work) -> int:
        return (self.data or work.size) * (self.samples + 2)

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        if subject.model.decoder.distribution is not Bernoulli:
            raise Refusal(
                "bits_back needs the probability of each pixel, from a decoder whose distribution is Bernoulli; "
                f"this one's is {subject.model.decoder.distribution.__name__}"
            )
        x = self._images(subject)
        dims = x[0].numel()
        yield _measure("bits_back", self._length(subject, x) / x.numel())
        noise = subject.noise("bits_back", "elbo")
        parts = x.split(max(1, self.chunk // self.samples))
        nats = [drawn(-Terms(subject.model, part, noise, self.samples).log_w()) for part in parts]
        scale = 1 / (dims * math.log(2))
        bits = [n._replace(value=n.value * scale, variance=_square(n.variance, scale)) for n in nats]
        (elbo,) = measurements([{("bits_per_dim", "", "elbo"): figure} for figure in bits])
        complete = len(x) == len(subject.x)
        yield elbo if complete else _measure("elbo", elbo.value, elbo.stderr)
        pixels = x.to(torch.uint8).cpu().numpy()
        yield _measure("gzip", 8 * len(gzip.compress(np.packbits(pixels).tobytes(), 9, mtime=0)) / x.numel())
        if "dataset.image" in subject.provides and dims == math.prod(x.shape[-2:]):
            yield _measure("png", 8 * _png(pixels.reshape(-1, pixels.shape[-1])) / x.numel())

    def _images(self, subject: Subject) -> Tensor:
        """The images to compress, ``(N, *x)``."""
        count = self.data or len(subject.x)
        if count > len(subject.x):
            raise Refusal(f"{count} images are asked for; the {subject.split} split has {len(subject.x)}")
        x = subject.x[:count]
        if not ((x == 0) | (x == 1)).all():
            raise Refusal(
                f"the {subject.split} split has values between 0 and 1; bits_back codes binary ones"
            )
        return x

    def _length(self, subject: Subject, x: Tensor) -> int:
        """The net length in bits of a chain of images that was read back without loss."""
        posteriors = [subject.model.q(datum) for datum in x.split(1)]
        codec = _Codec(subject, latents(subject.model.p(), posteriors, self.bins))
        seed = codec.words("seed")
        stack = Stack(seed, self.bins)
        start = stack.bits
        images = list(enumerate(x.split(1)))
        for number, datum in images:
            codec.push(stack, datum, number)
        length = stack.bits - start
        wrong = sum(not torch.equal(codec.pop(stack, datum, n), datum) for n, datum in reversed(images))
        if wrong:
            raise LvmbenchError(f"bits-back: {wrong} of {len(x)} images were decoded wrongly")
        if not np.array_equal(stack.words, seed):
            raise LvmbenchError("bits-back: the seed bits were not restored")
        return length


class _Codec:
    """Stores one image at a time; both ways see tensors of the same shapes, and so the same probabilities."""

    def __init__(self, subject: Subject, latents: Latents) -> None:
        self.subject, self.model, self.latents = subject, subject.model, latents

    def words(self, *purpose: object) -> Array:
        """Random words of 32 bits, more than the latents of one image can use up."""
        count = math.prod(self.model.prior.space.event_shape) + 16
        halves = (self.subject.noise("bits_back", *purpose).uniform((2, count)) * 2**16).long().cpu().numpy()
        words: Array = (halves[0] << 16 | halves[1]).astype(np.uint32)
        return words

    def push(self, stack: Stack, x: Tensor, number: int) -> None:
        """Store an image, ``(1, *x)``, of this place in the chain."""
        stack.scramble(self.words("pad", number))
        z = self.latents.pop(stack, self._q(x))
        stack.push_bits(integers(x), self._p(z))
        self.latents.push_prior(stack, z)

    def pop(self, stack: Stack, like: Tensor, number: int) -> Tensor:
        """Read the image that was stored last."""
        z = self.latents.pop_prior(stack)
        x = torch.from_numpy(stack.pop_bits(self._p(z))).to(like).reshape(like.shape)
        self.latents.restore(stack, self._q(x), z)
        stack.scramble(self.words("pad", number))
        return x

    def _q(self, x: Tensor) -> Any:
        return self.model.q(x)

    def _p(self, z: Tensor) -> Any:
        return self.model.decoder(z[None, None])


def _png(pixels: Array) -> int:
    """The bytes of a 1-bit PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels * 255).convert("1", dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return len(file.getvalue())


def _measure(method: str, value: float, stderr: float | None = None) -> Measurement:
    return Measurement("bits_per_dim", value, stderr, method=method)


def _square(variance: Tensor | None, scale: float) -> Tensor | None:
    return None if variance is None else variance * scale**2
