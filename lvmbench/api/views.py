"""What a trained model makes of data: reconstructions, samples, what is between data, what a unit does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lvmbench.distributions import Mixture, traits_of
from lvmbench.errors import Refusal
from lvmbench.evaluator import Subject
from lvmbench.observation import observed

if TYPE_CHECKING:
    from lvmbench.api.fitted import Fitted

_CHUNK = 250
"""So many data are encoded or decoded at once."""
REACH = 2.5
"""A traversal goes so many standard deviations of the codes to either side."""


@dataclass(frozen=True)
class View:
    """What a trained model makes of the data of a split; what is drawn depends on its run's seed alone.

    Arguments:
        fitted: The trained model with its data.
        split: The split that is looked at.
    """

    fitted: Fitted
    split: str = "test"

    @cached_property
    def subject(self) -> Subject:
        """The model and the data."""
        return self.fitted.subject(self.split)

    def require(self, *words: str) -> None:
        """Raise `Refusal` where the model or its data do not provide what a picture is of."""
        lacking = [word for word in words if word not in self.fitted.provides]
        if lacking:
            raise Refusal(
                f"this picture requires {lacking[0]}, which {self.fitted.combination} does not provide"
            )

    def data(self, n: int) -> Tensor:
        """The first data of the split, ``(n, *x)``."""
        return self.subject.values(self.split, torch.arange(min(n, self.subject.size)))

    def codes(self, n: int) -> Tensor:
        """The codes of the first data, ``(n, *z)``: means of q(z|x) where it has one, else draws."""
        with torch.no_grad():
            return torch.cat([self._encode(x, i) for i, x in enumerate(self.data(n).split(_CHUNK))])

    def _encode(self, x: Tensor, chunk: int) -> Tensor:
        q = self.subject.model.q(x)
        return q.mean if "mean" in q.traits else q.sample(self.subject.noise("codes", chunk), 1)[0]

    def decoded(self, z: Tensor) -> Tensor:
        """x of codes ``(n, *z)``: the mean of p(x|z) where it has one, else a draw, ``(n, *x)``."""
        with torch.no_grad():
            return torch.cat([self._decode(part, i) for i, part in enumerate(z.split(_CHUNK))])

    def _decode(self, z: Tensor, chunk: int) -> Tensor:
        p = self.subject.model.decode(z.unsqueeze(0))
        x: Tensor = p.mean if self._has_mean else p.sample(self.subject.noise("decoded", chunk), 1)[0]
        return x[0]

    @property
    def _has_mean(self) -> bool:
        return "mean" in traits_of(self.subject.model.emission_distribution)

    def samples(self, n: int) -> Tensor:
        """Draws of x from the model, ``(n, *x)``; of images, where there are means, those for draws of z."""
        image = "dataset.image" in self.fitted.provides
        return self.fitted.generate(n, mean=image and self._has_mean, seed=self.fitted.seed)

    def between(self, pairs: int, steps: int) -> Tensor:
        """x of codes on the line from that of a datum to that of another, ``(pairs, steps, *x)``."""
        self.require("prior.real", "prior.fixed")
        start, end = self.codes(2 * pairs).unflatten(0, (-1, 2)).unbind(1)
        share = torch.linspace(0, 1, steps, device=start.device).reshape(1, -1, *[1] * (start.dim() - 1))
        along = start.unsqueeze(1) + share * (end - start).unsqueeze(1)
        x: Tensor = self.decoded(along.flatten(0, 1)).unflatten(0, (len(start), steps))
        return x

    def traversal(self, units: int, steps: int) -> Tensor:
        """x where one unit of the code of the first datum is moved, ``(units, steps, *x)``:
        those whose codes differ most between data, by 2.5 standard deviations about the mean of all.
        """
        self.require("prior.real", "prior.fixed")
        codes = self.codes(1000)
        flat = codes.flatten(1)
        spread, centre = flat.std(0), flat.mean(0)
        read = (
            self.subject.model.prior.space.layers[0] if self.subject.model.prior.space.layers else len(spread)
        )
        chosen = spread[:read].argsort(descending=True)[:units]
        moved = flat[0].repeat(len(chosen), steps, 1)
        for row, unit in enumerate(chosen):
            moved[row, :, unit] = centre[unit] + spread[unit] * torch.linspace(-REACH, REACH, steps)
        z = moved.flatten(0, 1).unflatten(1, codes.shape[1:])
        x: Tensor = self.decoded(z).unflatten(0, (len(chosen), steps))
        return x

    def imputed(self, n: int, rounds: int) -> tuple[Tensor, Tensor]:
        """The first images with their upper half hidden, and what the model fills in, ``(n, *x)`` each:
        after rounds of encoding and decoding that start from the training mean.
        """
        self.require("dataset.image")
        x = self.data(n)
        hidden = torch.zeros_like(x, dtype=torch.bool)
        hidden[..., : x.shape[-2] // 2, :] = True
        filled = torch.where(hidden, self.fitted.data.summary.mean.to(x.device), observed(x)[0])
        for i in range(rounds):
            filled = torch.where(hidden, self._again(filled, i), filled)
        return torch.where(hidden, torch.nan, x), filled

    def _again(self, x: Tensor, turn: int) -> Tensor:
        """x of a draw of z given x."""
        with torch.no_grad():
            z = self.subject.model.q(x).sample(self.subject.noise("imputed", turn), 1)[0]
        return self.decoded(z)

    def centres(self, n: int) -> Tensor:
        """x of the means of the prior's components, the heaviest first, ``(n, *x)``; of a VampPrior these are
        the means of the posteriors of its pseudo-inputs.
        """
        with torch.no_grad():
            p = self.subject.model.p()
            if not isinstance(p, Mixture) or "mean" not in p.components.traits:
                raise Refusal("this picture is of the components of a prior that is a mixture")
            heaviest = p.log_weights.argsort(descending=True)[:n]
            return self.decoded(p.components.mean[heaviest])

    def pseudo_inputs(self, n: int) -> Tensor:
        """The first data that the prior has made up for itself, ``(n, *x)``."""
        self.require("prior.pseudo_inputs")
        prior: Any = self.subject.model.prior
        with torch.no_grad():
            x: Tensor = prior.pseudo_inputs[:n]
        return x

    def columns(self, n: int) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Each column of a table with its name, the values of data and those of samples, ``(n,)`` each."""
        if len(self.fitted.data.summary.event_shape) != 1:
            raise Refusal("this picture is of the columns of a table")
        data, samples = self.data(n), self.samples(n)
        names = self.fitted.data.columns or tuple(f"x{i + 1}" for i in range(data.shape[1]))
        yield from zip(names, data.unbind(1), samples.unbind(1), strict=True)
