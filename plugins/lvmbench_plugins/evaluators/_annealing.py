"""Annealed importance sampling with Hamiltonian transitions, vectorised over chains and data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lvmbench import Distribution, LatentVariableModel, Noise
from lvmbench.kernels.hmc import FIRST, adapted, transition


def schedule(temperatures: int, steepness: float = 4.0) -> list[float]:
    """Inverse temperatures from 0 to 1, close to each other at both ends:
    a sigmoid's, as Wu et al. have them.
    """
    curve = torch.linspace(-steepness, steepness, temperatures + 1, dtype=torch.float64).sigmoid()
    rescaled: list[float] = ((curve - curve[0]) / (curve[-1] - curve[0])).tolist()
    return rescaled


class State(NamedTuple):
    """Where the chains are, ``z`` of shape ``(C, B, *z)``, and what is known there.

    ``base`` is log r(z) and ``tilt`` is log p(x, z) - log r(z), each ``(C, B)``; the slopes are their
    gradients.
    """

    z: Tensor
    base: Tensor
    tilt: Tensor
    base_slope: Tensor
    tilt_slope: Tensor


class Path:
    r"""The densities :math:`\pi_\beta(z) \propto r(z)^{1-\beta}\, p(x, z)^\beta` of each datum,
    with r ``q``, or the prior where there is none.

    ``leapfrogs`` is the number of leapfrog steps of a transition.
    """

    def __init__(
        self, model: LatentVariableModel, x: Tensor, q: Distribution | None, *, leapfrogs: int
    ) -> None:
        self.model, self.x, self.q, self.leapfrogs = model, x, q, leapfrogs
        self.prior = model.along(x)

    def sample(self, noise: Noise, chains: int) -> State:
        """The start of each chain, from r."""
        if self.q is not None:
            return self.at(self.q.sample(noise, chains))
        return self.at(self.model.prior_draws(self.x, noise, chains, self.prior))

    @torch.enable_grad()
    def at(self, z: Tensor) -> State:
        """What is known at z."""
        z = z.detach().requires_grad_()
        base, tilt = self._log_densities(z)
        # both: at any temperature the slope is a combination of the two, without a further gradient
        slopes = [
            torch.autograd.grad(total, z, retain_graph=True, materialize_grads=True)[0]
            for total in (base.sum(), tilt.sum())
        ]
        return State(*(tensor.detach() for tensor in (z, base, tilt, *slopes)))

    def _log_densities(self, z: Tensor) -> tuple[Tensor, Tensor]:
        likelihood, prior = self.model.log_likelihood(self.x, z), self.prior.log_prob(z)
        if self.q is None:
            return prior, likelihood
        base = self.q.log_prob(z)
        return base, likelihood + prior - base

    def move(self, state: State, beta: float, step: Tensor, noise: Noise) -> tuple[State, Tensor]:
        """A Hamiltonian transition that leaves the density at beta as it is,
        and its chance of acceptance, ``(C, B)``.

        ``step`` is the step size of each chain, ``(C, B)``.
        """
        return transition(Tempered(self, beta), state, step, self.leapfrogs, noise)


class Tempered(NamedTuple):
    """The density of a path at one inverse temperature:
    what is known of a place is the same at all of them.
    """

    path: Path
    beta: float

    def at(self, z: Tensor) -> State:
        return self.path.at(z)

    def log_density(self, state: State) -> Tensor:
        return state.base + self.beta * state.tilt

    def slope(self, state: State) -> Tensor:
        return state.base_slope + self.beta * state.tilt_slope


class Annealing:
    """Runs along a path with step sizes that were found beforehand,
    in a run whose draws are used for nothing else.

    Arguments:
        path: The path of densities.
        temperatures: How many intervals the path is cut into.
        adaptation: How many temperatures the run has that finds the step size of each chain.
        chains: The number of chains for each datum.
        noise: Where the random numbers of that run come from.
    """

    def __init__(self, path: Path, temperatures: int, adaptation: int, chains: int, noise: Noise) -> None:
        self.path, self.chains = path, chains
        self.betas = schedule(temperatures)
        self.knots = self._adapted(schedule(adaptation), noise)

    def _adapted(self, betas: Sequence[float], noise: Noise) -> list[Tensor]:
        """The step sizes at each of these temperatures, ``(C, B)``:
        those that are accepted as often as they should be.
        """
        state = self.path.sample(noise, self.chains)
        log_step, knots = torch.full_like(state.base, FIRST).log(), []
        for beta in betas[1:]:
            state, chance = self.path.move(state, beta, log_step.exp(), noise)
            log_step = adapted(log_step, chance)
            knots.append(log_step.exp())
        return knots

    def _step(self, index: int) -> Tensor:
        return self.knots[index * len(self.knots) // len(self.betas)]

    def forward(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Log weights of chains from r to p(z|x), and how often they moved, both ``(C, B)``.

        p(x) is the expected weight.
        """
        state = self.path.sample(noise, self.chains)
        log_w, moved = self._nothing(state), self._nothing(state)
        for t in range(1, len(self.betas)):
            # the weight is of where the chain is before it moves at beta_t; after the last it need not move
            log_w += (self.betas[t] - self.betas[t - 1]) * state.tilt
            if t < len(self.betas) - 1:
                state, chance = self.path.move(state, self.betas[t], self._step(t), noise)
                moved += chance
        return log_w, moved / max(1, len(self.betas) - 2)

    def backward(self, z: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """The same of chains from an exact draw of p(z|x), ``(B, *z)``, to r.

        1 / p(x) is the expected inverse weight.
        """
        state = self.path.at(z.expand(self.chains, *z.shape))
        log_w, moved = self._nothing(state), self._nothing(state)
        for t in range(len(self.betas) - 1, 0, -1):
            # forward's order turned round: an exact draw of p(z|x) need not move at first
            if t < len(self.betas) - 1:
                state, chance = self.path.move(state, self.betas[t], self._step(t), noise)
                moved += chance
            log_w += (self.betas[t] - self.betas[t - 1]) * state.tilt
        return log_w, moved / max(1, len(self.betas) - 2)

    @staticmethod
    def _nothing(state: State) -> Tensor:
        """Zeros, ``(C, B)``, in double precision: thousands of terms are added to them."""
        return torch.zeros_like(state.base, dtype=torch.float64)
