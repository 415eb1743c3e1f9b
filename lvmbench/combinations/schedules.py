"""The schedules of the learning rate that a budget may name, with their options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from pydantic import Field

from lvmbench.options import Count, Probability, Size


class _Course:
    """How the learning rate changes; ``spans`` says whether that depends on the number of all epochs."""

    spans: ClassVar[bool] = False


@final
@dataclass(frozen=True, kw_only=True)
class Constant(_Course):
    """The learning rate stays as it is."""


@final
@dataclass(frozen=True, kw_only=True)
class Cosine(_Course):
    """The learning rate falls to ``end`` times itself along half a cosine over the epochs of the budget."""

    spans: ClassVar[bool] = True
    end: Probability = 0.0


@final
@dataclass(frozen=True, kw_only=True)
class Step(_Course):
    """The learning rate is multiplied by ``factor`` after each ``every`` epochs."""

    every: Count = 30
    factor: Probability = 0.1


@final
@dataclass(frozen=True, kw_only=True)
class Stages(_Course):
    r"""The learning rate falls to a tenth in 8 stages, each ``base`` times as long as the one before.

    In stage i = 0, ..., 7, of :math:`b^i` epochs, it is multiplied by :math:`10^{-i/7}`, rounded to two
    decimals; all take 3,280 epochs with base 3.

    References:
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016), https://arxiv.org/abs/1509.00519
    """

    base: Annotated[int, Field(ge=2)] = 3

    def factor(self, epoch: int) -> float:
        """By what the learning rate is multiplied in an epoch, counted from 0.

        >>> [Stages().factor(epoch) for epoch in (0, 1, 3, 4, 3279, 9999)]
        [1.0, 0.72, 0.72, 0.52, 0.1, 0.1]
        """
        ends = (sum(self.base**j for j in range(i + 1)) for i in range(7))
        stage = sum(epoch >= end for end in ends)
        return round(float(10 ** (-stage / 7)), 2)


@final
@dataclass(frozen=True, kw_only=True)
class Plateau(_Course):
    """A seed's learning rate is multiplied by ``factor`` after more than ``patience`` epochs without a better
    bound.
    """

    patience: Size = 10
    factor: Probability = 0.5


Schedule = Constant | Cosine | Step | Stages | Plateau
SCHEDULES: Mapping[str, type[Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "step": Step,
    "stages": Stages,
    "plateau": Plateau,
}
