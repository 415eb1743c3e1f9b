"""Figures that others published of a data set."""

from __future__ import annotations

from typing import Literal, NamedTuple

Measure = Literal["probability mass", "density"]
"""What a log density is the logarithm of: figures of the two are on two scales."""


class Published(NamedTuple):
    """The log p(x) that somebody published of a model, in nats per datum, on the same test data.

    Arguments:
        value: The figure, with its sign: a negative log-likelihood of 79.03 is -79.03.
        model: What it is of.
        source: Where it was published.
        note: What to know before it is compared with others.
        measure: What p is: a probability where values are discrete.
    """

    value: float
    model: str
    source: str
    note: str = ""
    measure: Measure = "probability mass"
