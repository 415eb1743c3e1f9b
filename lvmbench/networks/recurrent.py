"""A recurrent cell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Lstm(nn.Module):
    r"""A cell with a long short-term memory, which reads one or several vectors at each step.

    .. math:: m' = \operatorname{sigmoid}(f) \odot m + \operatorname{sigmoid}(i) \odot \tanh(n), \qquad
        h' = \operatorname{sigmoid}(o) \odot \tanh(m')

    where :math:`f, i, o, n` are linear in what is read and in :math:`h`; what is kept, :math:`f`, starts
    at 1. Batch dimensions broadcast.

    References:
        Long Short-Term Memory (Hochreiter, Schmidhuber, 1997), https://doi.org/10.1162/neco.1997.9.8.1735

    Arguments:
        sources: The sizes of the vectors that it reads.
        hidden: The size of :math:`h` and :math:`m`.

    Example:
        >>> cell, state = Lstm((3,), 8), torch.zeros(2, 8)
        >>> hidden, memory = cell((torch.zeros(5, 7, 3),), *state)
        >>> hidden.shape
        torch.Size([5, 7, 8])
    """

    def __init__(self, sources: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.reads = nn.ModuleList(nn.Linear(size, 4 * hidden, bias=False) for size in sources)
        self.before = nn.Linear(hidden, 4 * hidden)
        with torch.no_grad():
            self.before.bias[:hidden].fill_(1.0)

    def forward(self, values: Sequence[Tensor], hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The next ``h`` and ``m``."""
        gates: Tensor = self.before(hidden)
        for read, value in zip(self.reads, values, strict=True):
            gates = gates + read(value)
        return self._next(gates, memory)

    def scan(self, value: Tensor, state: Tensor, *, keep: Tensor, backward: bool = False) -> Tensor:
        """The ``h`` after each of the steps ``(..., T, S)`` of one vector that it reads, ``(..., T, H)``.

        Arguments:
            value: What it reads at each step.
            state: The first ``h`` and ``m``, ``(2, H)``.
            keep: Which steps it reads, ``(..., T)``; the others leave its state as it is.
            backward: Whether it reads from the last step to the first.
        """
        (read,) = self.reads
        gates = read(value).unbind(-2)
        hidden, memory = (part.expand(*value.shape[:-2], -1) for part in state)
        found = []
        for t in range(len(gates))[:: -1 if backward else 1]:
            after = self._next(gates[t] + self.before(hidden), memory)
            hidden, memory = (
                torch.where(keep[..., t, None], new, old)
                for new, old in zip(after, (hidden, memory), strict=True)
            )
            found.append(hidden)
        return torch.stack(found[::-1] if backward else found, -2)

    def _next(self, gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        keep, write, show, new = gates.chunk(4, -1)
        memory = keep.sigmoid() * memory + write.sigmoid() * new.tanh()
        return show.sigmoid() * memory.tanh(), memory
