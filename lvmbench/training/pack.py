"""A pack: runs that differ in their seeds, and in numbers that may vary, trained as one."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import stack_module_state, vmap

from lvmbench.noise import Demand, generator
from lvmbench.split import Split
from lvmbench.training.learner import Learner
from lvmbench.training.stacked import stack_linears

VECTORIZED_LIMIT = 10_000_000
"""Parameters per run up to which vectorising was measured not to lose on a CPU (``benchmarks/packs.py``)."""


def gains_from_vectorizing(learner: Learner, runs: int, device: torch.device) -> bool:
    """Whether runs are better trained as stacked tensors than one after another.

    A rule of size, not a timing, so that it never makes two runs of a suite differ.
    """
    size = sum(p.numel() for p in learner.parameters())
    return runs > 1 and (device.type != "cpu" or size <= VECTORIZED_LIMIT)


class Pack:
    """The stacked state of ``S`` learners of the same structure, and one pass over all of them.

    Arguments:
        learners: One per run, already on the device. What is no tensor is taken from the first.
        vectorized: Whether to run them inside ``torch.vmap``, or one after another with equal results.
    """

    def __init__(self, learners: Sequence[Learner], *, vectorized: bool) -> None:
        self.vectorized = vectorized
        self.parameters, self.buffers = stack_module_state(list(learners))
        # a single row is multiplied in another order than several: its last digits would be others
        self.fewest = 2 if vectorized else 1
        # the weights are brought to each call: the skeleton is structure alone, and takes no memory
        self._skeleton = _Skeleton(learners[0])
        if vectorized:
            stack_linears(self._skeleton.learner)
        self._part(len(learners))

    def _part(self, count: int) -> None:
        """Have the runs at hand one by one, where they are not computed as one."""
        # gradients are those of a seed's own rows: they need not go back through the stack
        self._members = [] if self.vectorized else [self._leaves(s) for s in range(count)]

    def __call__(
        self, x: Tensor, normals: Tensor, uniforms: Tensor, kl_weight: Tensor | float, training: bool
    ) -> tuple[Tensor, Tensor]:
        """Mean surrogate and mean bound of each seed, ``(S,)``, for batches ``(S, B, *x)``."""
        self._skeleton.train(training)

        def one(state: dict[str, Tensor], *inputs: Tensor) -> tuple[Tensor, Tensor]:
            with self._skeleton.holding(state) as learner:
                result: tuple[Tensor, Tensor] = learner(*inputs, kl_weight, training)
            return result

        # random numbers are among the inputs: inside vmap a generator could not give each seed its own
        if self.vectorized:
            return vmap(one)({**self.parameters, **self.buffers}, x, normals, uniforms)
        rows = [one(*inputs) for inputs in zip(self._members, x, normals, uniforms, strict=True)]
        surrogates, bounds = zip(*rows, strict=True)
        return torch.stack(surrogates), torch.stack(bounds)

    def backward(self, surrogates: Tensor) -> None:
        """Give each stacked parameter the gradient by which the surrogates ``(S,)`` fall."""
        leaves = [*self.parameters.values(), *(leaf for member in self._members for leaf in member.values())]
        for leaf in leaves:
            leaf.grad = None
        # each seed's weights get the gradient of its own surrogate, as if it were alone; were it begun with
        # given numbers, torch would import what it knows of symbols, which takes half a second
        surrogates.sum().neg().backward()
        for name, stacked in self.parameters.items() if self._members else ():
            stacked.grad = _together([member[name].grad for member in self._members])

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, in memory of their own."""
        self.parameters = {
            name: p.detach()[rows].requires_grad_(p.requires_grad) for name, p in self.parameters.items()
        }
        self.buffers = {name: b[rows] for name, b in self.buffers.items()}
        self._part(len(rows))

    def refresh(self, train: Split) -> None:
        """Show the training data to the parts of each seed."""
        for s in range(len(next(iter(self.parameters.values())))):
            with torch.no_grad(), self._skeleton.holding(self._leaves(s)) as learner:
                for part in learner.parts.components.values():
                    if part.refreshes:
                        part.refresh(train, learner.model)

    @property
    def trained(self) -> list[Tensor]:
        """The stacked parameters that training changes."""
        return [p for p in self.parameters.values() if p.requires_grad]

    @property
    def stacked(self) -> dict[str, Tensor]:
        """The whole stacked state."""
        return {**self.parameters, **self.buffers}

    def snapshot(self, names: Collection[str] | None = None) -> dict[str, Tensor]:
        """A copy of the stacked state, or of what has these names."""
        return {k: v.detach().clone() for k, v in self.stacked.items() if names is None or k in names}

    def _leaves(self, seed: int) -> dict[str, Tensor]:
        """The parameters and buffers of one seed, in the memory of the stacked ones."""
        parameters = {k: v.detach()[seed].requires_grad_(v.requires_grad) for k, v in self.parameters.items()}
        return {**parameters, **{k: v[seed] for k, v in self.buffers.items()}}


def _together(gradients: Sequence[Tensor | None]) -> Tensor | None:
    """The gradients of each seed's parameter as that of the stacked one: of a single seed the same memory."""
    known = [g for g in gradients if g is not None]
    if len(known) < 2:
        return known[0].unsqueeze(0) if known else None
    return torch.stack(known)


class _Skeleton:
    """The structure of a learner, which is run with state that is given.

    It is what `torch.func.functional_call` does, which looks anew at each call where the state belongs: that
    took as long as the steps of a small network.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = copy.deepcopy(learner)
        self._places = list(_places(self.learner))
        self.learner.to("meta").train()

    def train(self, training: bool) -> None:
        """Let it be one that trains, or one that does not."""
        if self.learner.training != training:
            self.learner.train(training)

    @contextmanager
    def holding(self, state: Mapping[str, Tensor]) -> Iterator[Learner]:
        """The learner with this state, by the names of its parameters and buffers."""
        before = [(tensors, key, tensors[key]) for _, tensors, key in self._places]
        for name, tensors, key in self._places:
            tensors[key] = state[name]
        try:
            yield self.learner
        finally:
            for tensors, key, tensor in before:
                tensors[key] = tensor


def _places(module: nn.Module) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Where a module has its parameters and buffers: the name of each, and where it is under which key.

    A tensor in several places has the name of the first, as `torch.nn.Module.named_parameters` has it.
    """
    names: dict[int, str] = {}
    for path, part in module.named_modules():
        for tensors in (part._parameters, part._buffers):
            for key, tensor in tensors.items():
                if tensor is not None:
                    yield names.setdefault(id(tensor), f"{path}.{key}"), tensors, key


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

    def select(self, rows: Sequence[int]) -> None:
        """Draw for these rows alone, in memory of their own."""
        self.generators = [self.generators[row] for row in rows]
        self._normals, self._uniforms = self._normals[rows], self._uniforms[rows]

    @property
    def drawn(self) -> tuple[Tensor, Tensor]:
        """The numbers that were drawn last, ``(S, n)`` each."""
        return self._normals, self._uniforms


def clip_each(gradients: Sequence[Tensor], limit: float) -> None:
    """Scale the gradients ``(S, ...)`` of each run, in place, to a norm of at most ``limit``."""
    norms = torch.stack([g.reshape(len(g), -1).square().sum(1) for g in gradients]).sum(0).sqrt()
    # by the norm over all parameters of a seed: its step keeps its direction
    scale = (limit / (norms + 1e-12)).clamp(max=1.0)
    for g in gradients:
        g.mul_(scale.view(-1, *[1] * (g.dim() - 1)))
