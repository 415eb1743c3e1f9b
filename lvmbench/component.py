"""What every component declares, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lvmbench.model import LatentVariableModel
    from lvmbench.split import Split


class Component:
    """One plugin class of any kind.

    ``provides`` are the capabilities it offers to the others of its combination; ``requires`` are the ones it
    needs of them, each written ``kind.capability`` (``"dataset.binary"``, ``"posterior.pathwise"``). Both are
    class data; a component whose needs depend on its options sets them anew on the instance, in ``__init__``.
    A combination whose requirements are not met is refused before any training, with the component and the
    requirement as the reason.

    ``version`` is raised when a change alters results: stored results of another version are not reused.
    ``vectorizable`` is false for a part that cannot run inside ``torch.vmap``; its seeds are then trained one
    after another, with equal results. ``refreshes`` is true for a part that asks to see the training data
    before each epoch.
    """

    version: int = 1
    provides: frozenset[str] = frozenset()
    requires: frozenset[str] = frozenset()
    vectorizable: bool = True
    refreshes: bool = False

    def refresh(self, train: Split, model: LatentVariableModel) -> None:
        """Take in the training data, whose ``x`` is as models take it, without gradients.

        What is kept is written into buffers, in place; before the first epoch parameters may be set as well.
        """


@dataclass(frozen=True)
class Metric:
    """What a measurement of this name is: a title, a unit, which direction is better, a sentence.

    Arguments:
        title: What tables, pictures and pages call it, a few words; variants and settings are added to it
            where two figures would be confused.
        unit: The unit, a word such as ``fraction`` where there is none.
        better: Which direction is better, if any.
        meaning: What it is, in a sentence that goes on from its title.
        timed: Whether it is measured by the clock, so that it differs from one evaluation to the next.
    """

    title: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    meaning: str
    timed: bool = False
