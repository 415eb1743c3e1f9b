"""What every component declares, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
