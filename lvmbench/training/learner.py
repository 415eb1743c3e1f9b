"""What one seed trains: a model, its objective and its gradient estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from lvmbench.combinations.parts import Parts
from lvmbench.errors import LvmbenchError
from lvmbench.noise import Buffer, Demand, Noise, Recorder, Stream
from lvmbench.terms import Terms


class ContractError(LvmbenchError):
    """A component returned something that its contract does not allow."""


@final
class Learner(nn.Module):
    """Model, objective and estimator as one module, whose state is what a seed trains."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.model, self.objective, self.estimator = parts.model, parts.objective, parts.estimator

    def forward(
        self, x: Tensor, normals: Tensor, uniforms: Tensor, kl_weight: Tensor | float, training: bool
    ) -> tuple[Tensor, Tensor]:
        """Mean surrogate and mean bound of a batch ``(B, *x)``; the bound twice when not training."""
        surrogate, bound = self.estimate(x, Buffer(normals, uniforms), kl_weight, training)
        return surrogate.mean(), bound.mean()

    @property
    def parts(self) -> Parts:
        """Its parts."""
        return Parts(self.model, self.objective, self.estimator)

    def estimate(
        self, x: Tensor, noise: Noise, kl_weight: Tensor | float, training: bool
    ) -> tuple[Tensor, Tensor]:
        """Surrogate and bound of each datum, ``(B,)``."""
        if training:
            surrogate, bound = self.estimator(self.objective, self.model, x, noise, kl_weight)
            return surrogate, bound
        # no gradient is taken, and the bound needs no estimator
        value = self.objective(Terms(self.model, x, noise, self.objective.samples), kl_weight)
        return value, value


def kept(module: nn.Module) -> dict[str, Tensor]:
    """What is stored of a module, by name; what several layers share is there once, by the first name."""
    own = {name for name, _ in (*module.named_parameters(), *module.named_buffers())}
    return {name: tensor for name, tensor in module.state_dict().items() if name in own}


def state(parts: Parts) -> dict[str, Tensor]:
    """Everything that a seed trains, by the names that `restore` takes."""
    return kept(Learner(parts))


def restore(parts: Parts, weights: Mapping[str, Tensor]) -> None:
    """Put the weights that training gave into parts built alike.

    Raises `LvmbenchError` for those of other parts.
    """
    put_back(Learner(parts), weights)


def put_back(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put what is `kept` of a module into one made alike; raises `LvmbenchError` for what is of another."""
    wrong = weights.keys() ^ kept(module).keys()
    if wrong:
        raise LvmbenchError(f"these weights are of other parts: they differ in {min(wrong)}; train anew")
    module.load_state_dict(dict(weights), strict=False)  # their names are told apart above


def demand(learner: Learner, x: Tensor, training: bool) -> Demand:
    """How many random numbers one pass over a batch draws.

    Raises `ContractError` for results of the wrong shape.
    """
    recorder = Recorder(Stream.seeded(0, "recording", device=x.device))
    one_pass(learner, x, recorder, training)
    return recorder.demand


def one_pass(learner: Learner, x: Tensor, noise: Noise, training: bool) -> tuple[Tensor, Tensor]:
    """Surrogate and bound of each datum of a batch; raises `ContractError` for results of the wrong shape."""
    # what is drawn may differ: relaxed posteriors draw continuous values in training only
    learner.train(training)
    with torch.set_grad_enabled(training):
        results = learner.estimate(x, noise, 1.0, training)
    for role, value in zip(("surrogate", "bound"), results, strict=True):
        _expect(f"estimator's {role}" if training else "objective's bound", value, (len(x),))
    return results


@torch.no_grad()
def check_terms(learner: Learner, x: Tensor) -> None:
    """Check the shapes of everything that a draw for a batch ``(B, *x)`` returns; raises `ContractError`."""
    # two at least: with one, a result that ignores K has the right shape all the same
    K, B = max(2, learner.objective.samples), len(x)
    space = learner.model.prior.space.along(x)
    terms = Terms(learner.model, x, Stream.seeded(0, "recording", device=x.device), K)
    _expect("posterior's sample", terms.z, (K, B, *space.event_shape))
    _expect("posterior's log density", terms.log_q, (K, B))
    _expect("prior's log density", terms.log_prior, (K, B))
    _expect("decoder's log density", terms.log_likelihood, (K, B))


def _expect(what: str, value: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(value.shape) != shape:
        raise ContractError(
            f"the {what} has shape {tuple(value.shape)} where {shape} is due; "
            "densities sum over the event dimensions and keep samples K and batch B"
        )
