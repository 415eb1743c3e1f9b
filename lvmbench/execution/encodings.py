"""The posteriors of a split's data where each is searched for: found once, whoever asks for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from lvmbench.distributions import Distribution
from lvmbench.model import LatentVariableModel
from lvmbench.posterior import Searched

AT_ONCE = 256
"""So many data are searched for together."""
MOST = 2**26
"""So many bytes of parameters are kept at most: those of the first data in order."""

Kept = dict[int, Tensor]
"""Parameters of `AT_ONCE` data each, ``(AT_ONCE, ...)``, by the number of their block in order."""


class Encodings:
    """The posteriors of a split's data by a model that searches for each.

    What is found of a datum differs in its last digits with the data that are searched for beside it. So
    these are always the same, its neighbours in ``order``, and no figure depends on who else has asked, or
    before. The order is a random one, of which instruments that measure some data only take the first: not
    many more are searched for than they ask for.

    Arguments:
        model: The model, in evaluation mode.
        values: The values of some of the data, by their numbers, as the model takes them.
        order: The numbers of all, ``(N,)``, in a random order.
        kept: What was found before, by a model equal to this one; what is found now is added.
    """

    def __init__(
        self, model: LatentVariableModel, values: Callable[[Tensor], Tensor], order: Tensor, kept: Kept
    ) -> None:
        self._model, self._values, self._kept = model, values, kept
        self._blocks = order.split(AT_ONCE)

    def __call__(self, model: LatentVariableModel, x: Tensor) -> Distribution:
        """q(z|x) of data ``(B, *x)``; that of others than the split's, or by another model, is not kept.

        What was searched for carries no gradients.
        """
        if model is not self._model:
            return model.q(x)
        places = [self._places.get(digest) for digest in _digests(x)]
        others = [row for row, place in enumerate(places) if place is None]
        found = iter(self._search(x[others]) if others else ())
        each = [next(found) if place is None else self._block(place[0])[place[1]] for place in places]
        law: Distribution = self._posterior.of(torch.stack(each)).law
        return law

    @property
    def _posterior(self) -> Searched:
        assert isinstance(self._model.posterior, Searched)
        return self._model.posterior

    @cached_property
    def _places(self) -> dict[bytes, tuple[int, int]]:
        """By the content of a datum whose parameters are kept, its block and which of it it is."""
        most = max(1, MOST // self._block(0).nbytes)
        return {
            digest: (number, row)
            for number, rows in enumerate(self._blocks[:most])
            for row, digest in enumerate(_digests(self._values(rows)))
        }

    def _block(self, number: int) -> Tensor:
        """The parameters of the data of a block."""
        if number not in self._kept:
            self._kept[number] = self._search(self._values(self._blocks[number]))
        return self._kept[number]

    @torch.no_grad()
    def _search(self, x: Tensor) -> Tensor:
        return torch.cat([self._posterior.search(part, self._model) for part in x.split(AT_ONCE)])


def _digests(x: Tensor) -> list[bytes]:
    """What tells each datum, ``(B, *x)``, from others."""
    rows = x.detach().reshape(len(x), -1).cpu().numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
