"""The optimisers that a budget may name, with their options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, final

from pydantic import Field

from lvmbench.options import NonNegative, Positive

Decay = Annotated[float, Field(ge=0, lt=1)]
"""How much of a running average is kept at each step."""


@dataclass(frozen=True, kw_only=True)
class _Moments:
    """Running averages of the gradient and of its size."""

    beta1: Decay = 0.9
    beta2: Decay = 0.999
    epsilon: Positive = 1e-8


@final
@dataclass(frozen=True, kw_only=True)
class Adam(_Moments):
    """The mean gradient divided by the root of the mean squared gradient; ``second_moment`` is what the mean
    square begins with, one value for all.
    """

    second_moment: NonNegative = 0.0


@final
@dataclass(frozen=True, kw_only=True)
class AdamNormGrad(_Moments):
    """Adam of gradients that are each divided by their norm, tensor by tensor."""


@final
@dataclass(frozen=True, kw_only=True)
class AdamW(_Moments):
    """Adam whose weight decay is apart from the gradients."""


@final
@dataclass(frozen=True, kw_only=True)
class Adamax(_Moments):
    """Adam with the largest gradient so far in place of the mean square."""


@final
@dataclass(frozen=True, kw_only=True)
class RMSprop:
    """The gradient divided by the root of the mean squared gradient."""

    decay: Decay = 0.99
    momentum: Decay = 0.0
    epsilon: Positive = 1e-8


@final
@dataclass(frozen=True, kw_only=True)
class SGD:
    """The gradient, or with ``momentum`` a running sum of gradients."""

    momentum: Decay = 0.0


Optimizer = Adam | AdamNormGrad | AdamW | Adamax | RMSprop | SGD
OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    "adam": Adam,
    "adam_norm_grad": AdamNormGrad,
    "adamw": AdamW,
    "adamax": Adamax,
    "rmsprop": RMSprop,
    "sgd": SGD,
}
