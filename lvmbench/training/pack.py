"""A pack: the seeds of one combination, trained as one."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from lvmbench.noise import Demand, generator
from lvmbench.split import Split
from lvmbench.training.learner import Learner

VECTORIZED_LIMIT = 1_500_000
"""Parameters per seed up to which vectorising was measured to gain on a CPU (``benchmarks/packs.py``)."""


def gains_from_vectorizing(learner: Learner, seeds: int, device: torch.device) -> bool:
    """Whether the seeds are better trained as stacked tensors than one after another.

    A rule of size, not a timing, so that it never makes two runs of a suite differ.
    """
    size = sum(p.numel() for p in learner.parameters())
    return seeds > 1 and (device.type != "cpu" or size <= VECTORIZED_LIMIT)


class Pack:
    """The stacked state of ``S`` learners of the same structure, and one pass over all of them.

    Arguments:
        learners: One per seed, already on the device.
        vectorized: Whether to run the seeds inside ``torch.vmap``, or one after another with equal results.
    """

    def __init__(self, learners: Sequence[Learner], *, vectorized: bool) -> None:
        self.vectorized = vectorized
        self.parameters, self.buffers = stack_module_state(list(learners))
        # `functional_call` brings all weights: the skeleton is structure alone, and takes no memory
        self._skeleton = copy.deepcopy(learners[0]).to("meta")

    def __call__(
        self, x: Tensor, normals: Tensor, uniforms: Tensor, kl_weight: Tensor | float, training: bool
    ) -> tuple[Tensor, Tensor]:
        """Mean surrogate and mean bound of each seed, ``(S,)``, for batches ``(S, B, *x)``."""
        self._skeleton.train(training)

        def one(
            parameters: dict[str, Tensor], buffers: dict[str, Tensor], *inputs: Tensor
        ) -> tuple[Tensor, Tensor]:
            result: tuple[Tensor, Tensor] = functional_call(
                self._skeleton, (parameters, buffers), (*inputs, kl_weight, training)
            )
            return result

        # random numbers are among the inputs: inside vmap a generator could not give each seed its own
        if self.vectorized:
            return vmap(one)(self.parameters, self.buffers, x, normals, uniforms)
        states = (_seeds(stacked, len(x)) for stacked in (self.parameters, self.buffers))
        every = zip(*states, x, normals, uniforms, strict=True)
        rows = [one(*inputs) for inputs in every]
        surrogates, bounds = zip(*rows, strict=True)
        return torch.stack(surrogates), torch.stack(bounds)

    def state(self, seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Views of the parameters and of the buffers of one seed."""
        return {k: v[seed] for k, v in self.parameters.items()}, {k: v[seed] for k, v in self.buffers.items()}

    def refresh(self, train: Split) -> None:
        """Show the training data to the parts of each seed."""
        refresher = _Refresher(self._skeleton)
        for s in range(len(next(iter(self.parameters.values())))):
            state = {f"learner.{k}": v for part in self.state(s) for k, v in part.items()}
            functional_call(refresher, state, (train,))

    @property
    def stacked(self) -> dict[str, Tensor]:
        """The whole stacked state."""
        return {**self.parameters, **self.buffers}

    def snapshot(self, names: Collection[str] | None = None) -> dict[str, Tensor]:
        """A copy of the stacked state, or of what has these names."""
        return {k: v.detach().clone() for k, v in self.stacked.items() if names is None or k in names}


def _seeds(stacked: Mapping[str, Tensor], seeds: int) -> list[dict[str, Tensor]]:
    """Stacked tensors as those of each seed."""
    # not by indexing: the gradient of each index would fill a whole stack with zeros
    rows = {k: [v.squeeze(0)] if seeds == 1 else v.unbind() for k, v in stacked.items()}
    return [{k: row[s] for k, row in rows.items()} for s in range(seeds)]


class _Refresher(nn.Module):
    """A learner whose call shows it the training data."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.learner = learner

    @torch.no_grad()
    def forward(self, train: Split) -> None:
        for part in self.learner.parts.components.values():
            if part.refreshes:
                part.refresh(train, self.learner.model)


class PackNoise:
    """One generator per seed, filling one flat buffer per seed and kind.

    A seed's numbers never depend on the others.

    Arguments:
        seeds: The seeds.
        demand: How many numbers one pass draws.
        words: The purpose, as in `lvmbench.noise.derive`.
        device: Where the numbers are made.
    """

    def __init__(self, seeds: Sequence[int], demand: Demand, *words: object, device: torch.device) -> None:
        self.generators = [generator(seed, *words, device=device) for seed in seeds]
        self._normals = torch.empty(len(seeds), demand.normals, device=device)
        self._uniforms = torch.empty(len(seeds), demand.uniforms, device=device)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Fresh normals and uniforms, ``(S, n)`` each, in the same memory every time."""
        # in one call for each seed and kind: numbers must not depend on how many seeds there are
        for row, uniform_row, source in zip(self._normals, self._uniforms, self.generators, strict=True):
            row.normal_(generator=source)
            uniform_row.uniform_(generator=source)
        return self.drawn

    @property
    def drawn(self) -> tuple[Tensor, Tensor]:
        """The numbers that were drawn last, ``(S, n)`` each."""
        return self._normals, self._uniforms


def clip_per_seed(gradients: Sequence[Tensor], limit: float) -> None:
    """Scale the gradients ``(S, ...)`` of each seed, in place, to a norm of at most ``limit``."""
    norms = torch.stack([g.reshape(len(g), -1).square().sum(1) for g in gradients]).sum(0).sqrt()
    # by the norm over all parameters of a seed: its step keeps its direction
    scale = (limit / (norms + 1e-12)).clamp(max=1.0)
    for g in gradients:
        g.mul_(scale.view(-1, *[1] * (g.dim() - 1)))
