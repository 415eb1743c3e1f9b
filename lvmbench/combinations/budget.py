"""How long, and with what, a combination trains."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

from lvmbench.combinations.optimizers import OPTIMIZERS, Optimizer
from lvmbench.combinations.schedules import SCHEDULES, Plateau, Schedule
from lvmbench.errors import UserError, nearest
from lvmbench.options import Count, NonNegative, Positive, Precision, Size, Varying, given, resolve
from lvmbench.registry.names import Ref


def schedule_of(name: str) -> Schedule:
    """The schedule of a name with options.

    >>> schedule_of("plateau[patience=5]").factor
    0.5
    """
    ref = Ref.parse(name)
    return SCHEDULES[ref.name](**ref.options)


def optimizer_of(name: str) -> Optimizer:
    """The optimiser of a name with options.

    >>> optimizer_of("adam[beta1=0.99]").beta2
    0.999
    """
    ref = Ref.parse(name)
    return OPTIMIZERS[ref.name](**ref.options)


def _canonical(label: str, article: str, classes: Mapping[str, type[Any]], written: str) -> str:
    """A name with its options checked, those at their defaults left out."""
    try:
        ref = Ref.parse(written)
        if ref.name not in classes:
            raise UserError(f"should be {article} {label}, not '{ref.name}'{nearest(ref.name, classes)}")
        cls = classes[ref.name]
        return str(Ref(ref.name, given(cls, resolve(cls, ref.options, f"{label} '{ref.name}'"))))
    except UserError as error:
        raise ValueError(str(error)) from None


class Budget(BaseModel):
    """How long and with what each combination trains.

    ``batch`` is the most data of a step: an epoch visits all, in batches whose sizes differ by at most one.
    ``optimizer`` and ``schedule``, how the learning rate changes, are written as components are:
    ``adam[beta1=0.99]``, ``step[every=50]``.
    ``weight_decay`` is the optimiser's own where it is not given: 0.01 for ``adamw``, 0 for the others.
    ``patience`` is the number of epochs without a better validation bound after which a seed stops (0: never
    early); ``seconds`` the training time of a seed after which no further epoch begins; ``warm_up`` the
    number of epochs over which the KL weight rises to 1; ``clip`` the largest gradient norm of a seed.
    ``precision`` is that of matrix products: ``high`` and ``medium`` let them round what they multiply to the
    19 or 16 bits that some processors multiply faster; all else, and every sum, stays as it is.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)

    epochs: Count = 100
    batch: Count = 128
    optimizer: Annotated[str, AfterValidator(partial(_canonical, "optimiser", "an", OPTIMIZERS))] = "adam"
    learning_rate: Varying[Positive] = 1e-3
    schedule: Annotated[str, AfterValidator(partial(_canonical, "schedule", "a", SCHEDULES))] = "constant"
    weight_decay: NonNegative | None = None
    patience: Size = 20
    seconds: Positive | None = None
    warm_up: NonNegative = 0.0
    clip: Positive | None = None
    precision: Precision = "highest"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Each key with its value; many combinations share a budget."""
        return self.model_dump()

    @property
    def identity(self) -> dict[str, Any]:
        """What results depend on.

        What was trained before there was a choice of precision had the one that is not named.
        """
        plain = self.precision == "highest"
        return {name: value for name, value in self.settings.items() if not (plain and name == "precision")}

    @property
    def course(self) -> dict[str, Any]:
        """What an epoch depends on, and not when training ends.

        Of two budgets of one course, what the first gave is where a training with the larger one was then.
        """
        ends = {"patience", "seconds", *(() if schedule_of(self.schedule).spans else ("epochs",))}
        return {name: value for name, value in self.identity.items() if name not in ends}

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
