"""References: published figures that a suite's own are to be held against, as its file states them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, field_validator

from lvmbench.suites.claims import Pattern


class Reference(BaseModel):
    """A figure that somebody published, of the combinations of a suite that stand for what it is of.

    ``value`` is in the unit and with the sign of ``metric``: a negative log-likelihood of 85.57 nats is a
    ``log_likelihood`` of -85.57. ``of`` says which combinations, ``source`` where it was published, and
    ``note`` what to know before the two are compared.

    >>> source = "Tomczak & Welling 2018, table 1"
    >>> Reference(metric="log_likelihood", value=-85.57, of={"prior": "vamp"}, source=source).note
    ''
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    metric: str
    value: float
    of: Pattern
    source: str
    note: str = ""

    @field_validator("of")
    @classmethod
    def _is_of_combinations(cls, of: Pattern) -> Pattern:
        if "metric" in of or not of:
            raise ValueError("should name components and settings, one at least; metric stands beside it")
        return of

    @property
    def pattern(self) -> str:
        """Which combinations it is of, in one line."""
        return " · ".join(f"{name} {value}" for name, value in self.of.items())
