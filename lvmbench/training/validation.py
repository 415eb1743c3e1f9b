"""What a training is validated on after each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lvmbench.split import Split
from lvmbench.training.learner import Learner, demand
from lvmbench.training.pack import PackNoise

BATCH = 512
STEPS = 2**17
"""So many steps of sequences are validated at a time, at most, if they are of more than one."""


class Validation:
    """Validation data in batches, with the same noise in every epoch.

    Arguments:
        split: The data.
        tried: A learner that may be tried on them, for counting what it draws.
        device: Where they are validated.
        trim: Whether sequences are cut to the steps of their batch.
    """

    def __init__(self, split: Split, tried: Learner, device: torch.device, *, trim: bool) -> None:
        self._split, self._device, self._trim = replace(split, x=split.x.to(device)), device, trim
        self._demands = [demand(tried, x, training=False) for x in self]
        self.shapes = {x.shape for x in self}

    def __len__(self) -> int:
        return len(self._split)

    def __iter__(self) -> Iterator[Tensor]:
        fitting = STEPS // self._split.x.shape[1] if self._trim else BATCH
        return self._split.batches(max(1, min(BATCH, fitting)), trim=self._trim)

    def with_noise(self, seeds: Sequence[int]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Each batch with the normals and uniforms that seeds draw for it, ``(S, n)`` each."""
        for i, (x, demanded) in enumerate(zip(self, self._demands, strict=True)):
            # common random numbers: from epoch to epoch the weights alone make a difference
            yield x, *PackNoise(seeds, demanded, "validation", i, device=self._device).draw()
