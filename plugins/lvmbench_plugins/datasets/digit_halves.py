"""scikit-learn's digits in two parts: the lower one is seen, the upper one is what it comes from."""

from __future__ import annotations

from typing import Annotated, final

from pydantic import Field

from lvmbench import Data, Dataset, Split
from lvmbench_plugins.datasets.digits import Digits

SIDE = 8


@final
class DigitHalves(Dataset):
    r"""The lower rows of handwritten digits, 8x8, each with the pixels above them as its known factors.

    .. math:: g = (z, x), \qquad z \in \{0, 1\}^{8 r}, \qquad x \in \{0, 1\}^{8 (8 - r)}

    for a digit :math:`g`, as `digits` has them at half intensity and in the same splits. A prior over z and a
    decoder make up a model of whole digits, which complete training digits can teach; the posterior is then
    to complete digits of which it sees the lower rows alone.

    References:
        Optical Recognition of Handwritten Digits (Alpaydin, Kaynak, 1998), https://doi.org/10.24432/C50P49

    Arguments:
        rows: The number :math:`r` of upper rows that are latent.

    Example:
        >>> train = DigitHalves(rows=3).load().splits["train"]
        >>> train.x.shape, train.factors.shape
        (torch.Size([1257, 1, 5, 8]), torch.Size([1257, 24]))
    """

    def __init__(self, *, rows: Annotated[int, Field(ge=1, lt=SIDE)] = SIDE // 2) -> None:
        self.rows = rows

    def load(self) -> Data:
        whole = Digits().load()
        return Data(
            {name: self._parted(split) for name, split in whole.splits.items()},
            whole.support,
            whole.licence,
            provides=whole.provides,
            factor_names=tuple(f"row{i // SIDE}_column{i % SIDE}" for i in range(SIDE * self.rows)),
        )

    def _parted(self, split: Split) -> Split:
        upper, lower = split.x.tensor_split([self.rows], 2)
        return Split(lower.contiguous(), split.labels, factors=upper.flatten(1).long())
