"""A lossless coder made of the model, which proves its ELBO by compressing with it."""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Annotated, ClassVar, final

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
    Workload,
)
from lvmbench_plugins.evaluators._chain import Chain, Message
from lvmbench_plugins.evaluators._coder import Array
from lvmbench_plugins.evaluators._common import Several, drawn, measurements

Bins = Annotated[int, Field(ge=16, le=2**20)]
"""How finely latents are cut: the coder gives each bin a probability of at least 2^-24, which adds up."""


@final
class BitsBack(Evaluator):
    r"""The length of the images under bits-back coding with the model, beside other ways to store them.

    .. math:: L(x) = -\log_2 p(x|z) - \log_2 p(z) + \log_2 q(z|x), \qquad
        E_{q(z|x)} L(x) = -\mathrm{ELBO} / \ln 2

    Bits-back with asymmetric numeral systems: z is drawn from q(z|x) by decoding bits that are already
    stored, then x is stored under p(x|z) and z under p(z); reading goes the other way round and gives the
    bits back. The images are chained, the first one borrowing pseudo-random seed bits. What an image has left
    on the stack is flipped by pseudo-random bits before the next one draws from it: unless q(z|x) is p(z) on
    average, such bits are not uniform, and draws made of them would drift into the tails of q(z|x). The
    evaluation fails unless a reader who has the model and the message, and nothing else, gets every image
    back bit for bit, and the seed bits.

    The reader needs nothing that is not counted. Continuous latents are cut into equal bins, which range over
    8 standard deviations of the prior, or of each of its components, on either side: that is known with the
    model, and latents beyond it, which p(z) all but rules out, are cut off at its ends. Seed bits and
    flipping bits are those of a fixed generator. The message is in whole words of 32 bits, the first of which
    says how many images there are. The model itself is not counted.

    ``bits_back_total`` is the length of the message; ``bits_back`` is net of the seed bits that it gives
    back, as where the chain goes on or the bits are of use, and is what comes close to -ELBO. The seed has as
    few words as the first image can be drawn from. ``elbo`` is -ELBO of the same images; ``gzip`` is one
    stream of all images, 8 pixels to the byte, at its highest level, and ``png`` is one 1-bit image with all
    of them on top of each other, so that neither pays for a header per image. PNG is left out where the data
    are not images of one channel. Priors are normal, mixtures of normals or Bernoulli, and posteriors normal
    or Bernoulli with independent coordinates; others are refused. Lossless coding needs probabilities, hence
    binary data and a Bernoulli decoder.

    References:
        Practical Lossless Compression with Latent Variables using Bits Back Coding (Townsend, Bird, Barber,
        2019), https://arxiv.org/abs/1901.04866;
        Understanding Entropy Coding With Asymmetric Numeral Systems (Bamler, 2022),
        https://arxiv.org/abs/2201.01741

    Arguments:
        data: How many images to compress, the first ones; without it, all of the measured split.
        bins: The number of bins of each continuous latent. Each gets a probability of at least
            :math:`2^{-24}`, so that with many bins some draws of z fall far from where q(z|x) is, and cost
            their image many bits.
        samples: The number of draws of each datum that the ELBO is found from.
        chunk: How many pairs of sample and datum are decoded at once for the ELBO; the random numbers depend
            on it.

    Example:
        >>> BitsBack(data=100).metrics["bits_per_dim"].better
        'lower'
    """

    version = 2
    requires = frozenset({"dataset.binary", "dataset.complete", "posterior.units"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "bits_per_dim": Metric(
            "Bits per dimension", "bits/dim", "lower", "length of the images in bits, by pixel"
        ),
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

    def evaluations(self, work: Workload) -> int:
        return (self.data or work.size) * (self.samples + 2)

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        if subject.model.decoder.distribution is not Bernoulli:
            raise Refusal(
                "bits_back needs the probability of each pixel, from a decoder whose distribution is "
                f"Bernoulli; this one's is {subject.model.decoder.distribution.__name__}"
            )
        x = self._images(subject)
        dims = x[0].numel()
        message = self._message(subject, x)
        yield _measure("bits_back", message.net / x.numel())
        yield _measure("bits_back_total", message.bits / x.numel())
        noise = subject.noise("bits_back", "elbo")
        parts = x.split(max(1, self.chunk // self.samples))
        nats = [
            drawn(-Terms(subject.model, part, noise, self.samples, q=subject.q(part)).log_w())
            for part in parts
        ]
        scale = 1 / (dims * math.log(2))
        bits = [n._replace(value=n.value * scale, variance=_square(n.variance, scale)) for n in nats]
        (elbo,) = measurements([{("bits_per_dim", "", "elbo"): figure} for figure in bits])
        complete = len(x) == subject.size
        yield elbo if complete else _measure("elbo", elbo.value, elbo.stderr)
        pixels = x.to(torch.uint8).cpu().numpy()
        yield _measure("gzip", 8 * len(gzip.compress(np.packbits(pixels).tobytes(), 9, mtime=0)) / x.numel())
        if "dataset.image" in subject.provides and dims == math.prod(x.shape[-2:]):
            yield _measure("png", 8 * _png(pixels.reshape(-1, pixels.shape[-1])) / x.numel())

    def _images(self, subject: Subject) -> Tensor:
        """The images to compress, ``(N, *x)``."""
        count = self.data or subject.size
        if count > subject.size:
            raise Refusal(f"{count} images are asked for; the {subject.split} split has {subject.size}")
        x = subject.x[:count]
        if not ((x == 0) | (x == 1)).all():
            raise Refusal(
                f"the {subject.split} split has values between 0 and 1; bits_back codes binary ones"
            )
        return x

    def _message(self, subject: Subject, x: Tensor) -> Message:
        """The images as a message that was read back without loss."""
        chain = Chain(subject.model, self.bins)
        message = chain.encode(x)
        images = chain.decode(message.words)
        wrong = sum(not torch.equal(one, other) for one, other in zip(images, x, strict=True))
        if wrong:
            raise LvmbenchError(f"bits-back: {wrong} of {len(x)} images were decoded wrongly")
        return message


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
