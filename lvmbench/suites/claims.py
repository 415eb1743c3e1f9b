"""Claims: what a suite is run to find out, as its file states it."""

from __future__ import annotations

from numbers import Real
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from lvmbench.combinations.combination import SETTINGS
from lvmbench.errors import nearest
from lvmbench.kinds import PARTS
from lvmbench.options import NonNegative
from lvmbench.registry.names import matches

NAMED = (*PARTS, *SETTINGS, "metric")


def _is_named(key: str) -> str:
    if key not in NAMED:
        raise ValueError(f"should be a kind of component, a setting or metric{nearest(key, NAMED)}")
    return key


Pattern = dict[Annotated[str, AfterValidator(_is_named)], str | int | float]
"""Which combinations: each component as tables show it, ``*`` for anything, and values of settings.

``metric`` for another figure than the claim's.
"""


def fits(value: object, wanted: str | float) -> bool:
    """Whether a component is like a pattern, or a setting has a value.

    >>> fits("vamp[components=50]", "vamp*"), fits(8, 8), fits(None, 8)
    (True, True, False)
    """
    if isinstance(wanted, str):
        return matches(str(value), wanted)
    return isinstance(value, Real) and value == wanted


class Claim(BaseModel):
    """A statement about the figures of a suite.

    Either an order, that ``metric`` is larger in the combinations of ``higher`` than in those of ``lower``:
    paired over seeds, it holds where the 95% interval of the difference is above 0. Or an agreement, that in
    every run ``of`` these combinations ``metric`` equals a number or another figure, ``within`` a distance,
    so many standard ``errors`` or ``percent`` of it; with ``at_most``, it may be below by any amount, with
    ``at_least`` above.

    >>> Claim(claim="tighter", metric="bound", higher={"objective": "iwae"}, lower={"objective": "elbo"}).kind
    'order'
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    claim: str
    source: str = ""
    metric: str
    higher: Pattern | None = None
    lower: Pattern | None = None
    of: Pattern = {}
    equals: Annotated[float | str | None, Field(union_mode="left_to_right")] = None
    within: NonNegative | None = None
    errors: NonNegative | None = None
    percent: NonNegative | None = None
    at_most: bool = False
    at_least: bool = False

    @model_validator(mode="after")
    def _is_one_kind(self) -> Claim:
        order = self.higher is not None and self.lower is not None
        given = 3 - [self.within, self.errors, self.percent].count(None)
        if order == (self.equals is not None) or given != (0 if order else 1):
            raise ValueError(
                "gives either higher and lower, or equals with one of within, errors and percent (how far "
                "off is allowed)"
            )
        if self.at_most + self.at_least > (0 if order else 1):
            raise ValueError("takes one of at_most and at_least, beside equals")
        return self

    @property
    def figures(self) -> list[str]:
        """The figures that it is about, as it names them."""
        patterns = [pattern or {} for pattern in (self.higher, self.lower, self.of)]
        named = [self.metric, self.equals, *(pattern.get("metric") for pattern in patterns)]
        return list(dict.fromkeys(name for name in named if isinstance(name, str)))

    @property
    def kind(self) -> str:
        """``order`` or ``agreement``."""
        return "order" if self.equals is None else "agreement"
