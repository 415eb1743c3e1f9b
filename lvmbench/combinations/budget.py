"""How long, and with what, a combination trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, final

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

from lvmbench.errors import UserError, nearest
from lvmbench.options import Count, NonNegative, Positive, Probability, Size, given, resolve
from lvmbench.registry.names import Ref


@final
class Constant:
    """The learning rate stays as it is."""


@final
class Cosine:
    """The learning rate falls to ``end`` times itself along half a cosine over the epochs of the budget."""

    def __init__(self, *, end: Probability = 0.0) -> None:
        self.end = end


@final
class Step:
    """The learning rate is multiplied by ``factor`` after each ``every`` epochs."""

    def __init__(self, *, every: Count = 30, factor: Probability = 0.1) -> None:
        self.every, self.factor = every, factor


@final
class Plateau:
    """A seed's learning rate is multiplied by ``factor`` after more than ``patience`` epochs without a better
    bound.
    """

    def __init__(self, *, patience: Size = 10, factor: Probability = 0.5) -> None:
        self.patience, self.factor = patience, factor


Schedule = Constant | Cosine | Step | Plateau
SCHEDULES: Mapping[str, type[Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "step": Step,
    "plateau": Plateau,
}


def schedule_of(name: str) -> Schedule:
    """The schedule of a name with options.

    >>> schedule_of("plateau[patience=5]").factor
    0.5
    """
    ref = Ref.parse(name)
    return SCHEDULES[ref.name](**ref.options)


def _canonical(written: str) -> str:
    """A schedule with its options checked, those at their defaults left out."""
    try:
        ref = Ref.parse(written)
        if ref.name not in SCHEDULES:
            raise UserError(f"should be a schedule, not '{ref.name}'{nearest(ref.name, SCHEDULES)}")
        cls = SCHEDULES[ref.name]
        return str(Ref(ref.name, given(cls, resolve(cls, ref.options, f"schedule '{ref.name}'"))))
    except UserError as error:
        raise ValueError(str(error)) from None


class Budget(BaseModel):
    """How long and with what each combination trains.

    ``batch`` is the most data of a step: an epoch visits all, in batches whose sizes differ by at most one.
    ``schedule`` says how the learning rate changes: ``constant``, ``cosine``, ``step`` or ``plateau``.
    ``weight_decay`` is the optimiser's own where it is not given: 0.01 for ``adamw``, 0 for the others.
    ``patience`` is the number of epochs without a better validation bound after which a seed stops (0: never
    early); ``seconds`` the training time of a seed after which no further epoch begins; ``warm_up`` the
    number of epochs over which the KL weight rises to 1; ``clip`` the largest gradient norm of a seed.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)

    epochs: Count = 100
    batch: Count = 128
    optimizer: Literal["adam", "adamw", "adamax", "rmsprop", "sgd"] = "adam"
    learning_rate: Positive = 1e-3
    schedule: Annotated[str, AfterValidator(_canonical)] = "constant"
    weight_decay: NonNegative | None = None
    patience: Size = 20
    seconds: Positive | None = None
    warm_up: NonNegative = 0.0
    clip: Positive | None = None

    @field_validator("patience")
    @classmethod
    def _outlasts_the_schedule(cls, patience: int, others: ValidationInfo) -> int:
        schedule = schedule_of(others.data.get("schedule", "constant"))
        if isinstance(schedule, Plateau) and 0 < patience <= schedule.patience:
            raise ValueError(
                f"should be more than the {schedule.patience} epochs that schedule plateau waits, which else "
                "never acts; raise it, or write plateau[patience=N]"
            )
        return patience
