"""How well the posterior tells latents that are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from lvmbench import (
    Bernoulli,
    Count,
    Distribution,
    Evaluator,
    Measurement,
    Metric,
    Refusal,
    Subject,
    Workload,
)
from lvmbench_plugins.evaluators._common import Figures, known, measurements
from lvmbench_plugins.evaluators._labels import told_apart


class _Truth(NamedTuple):
    """The true factors of the measured data, ``(N, F)``, how often each is 1 in the training data, ``(F,)``,
    and which of them vary in both.
    """

    z: Tensor
    shares: Tensor
    varied: list[int]


@final
class Completion(Evaluator):
    r"""How near q(z|x) is to the true latents, where these are the binary factors of the data.

    .. math:: \frac1D \sum_d \big[[\phi_d > \tfrac12] = z_d\big], \qquad \log q(z|x), \qquad
        \phi = E_{q(z|x)}[z]

    for the true z of each datum. Where :math:`\phi_d` is one half, bit d is half right. The accuracy is that
    of the bits that vary: those that have not two values in the training data, and two of two data or more
    each in the measured ones, tell nothing. ``marginal`` is the baseline of independent bits, as often 1 as
    in the training data and two more, of which one has it.

    References:
        Stochastic Backpropagation and Approximate Inference in Deep Generative Models (Rezende, Mohamed,
        Wierstra, 2014), https://arxiv.org/abs/1401.4082 (images whose other half is seen)

    Arguments:
        chunk: The number of data of which q is found at once.

    Example:
        >>> Completion().metrics["completion_accuracy"].better
        'higher'
    """

    requires = frozenset(
        {
            "dataset.factors",
            "dataset.binary_factors",
            "posterior.density",
            "posterior.mean",
            "prior.binary",
            "prior.fixed",
        }
    )
    metrics: ClassVar[Mapping[str, Metric]] = {
        "completion_accuracy": Metric(
            "Completion accuracy", "fraction", "higher", "latents of which the likelier value is the true one"
        ),
        "completion_log_prob": Metric(
            "Completion log p", "nats", "higher", "log probability of the true latents"
        ),
    }
    board = ("completion_log_prob", "completion_accuracy")

    def __init__(self, *, chunk: Count = 2048) -> None:
        self.chunk = chunk

    def evaluations(self, work: Workload) -> int:
        return 0

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        truth = _truth(subject)
        pairs = zip(subject.x.split(self.chunk), truth.z.split(self.chunk), strict=True)
        return measurements([self._figures(subject, truth, x, z) for x, z in pairs])

    def _figures(self, subject: Subject, truth: _Truth, x: Tensor, z: Tensor) -> Figures:
        marginal = Bernoulli(truth.shares.expand_as(z).logit())
        found: dict[str, Distribution] = {"": subject.q(x), "marginal": marginal}
        figures: Figures = {}
        for method, q in found.items():
            phi, event = q.mean.flatten(1), z.reshape(q.mean.shape)
            right = _right(phi, z)[:, truth.varied].mean(1)
            figures["completion_accuracy", "", method] = known(right)
            figures["completion_log_prob", "", method] = known(q.log_prob(event))
        return figures


def _right(phi: Tensor, z: Tensor) -> Tensor:
    """1 where the likelier bit is the true one, 0 where it is not, one half where neither is likelier."""
    return 0.5 + 0.5 * (phi - 0.5).sign() * (2 * z - 1)


def _truth(subject: Subject) -> _Truth:
    factors, taught = subject.factors, subject.part("train").factors
    assert factors is not None
    assert taught is not None
    count, latents = factors.shape[1], torch.Size(subject.model.prior.space.event_shape).numel()
    if latents != count:
        raise Refusal(
            f"the factors of the data are {count}, the latents {latents}: they are not the same things"
        )
    varied = [f for f in range(count) if told_apart(taught[:, f].numpy(), factors[:, f].numpy())]
    if not varied:
        raise Refusal(
            f"a factor needs two values of two data or more in the {subject.split} split, and two in the "
            "training split; none has them: measure a larger split"
        )
    shares = (taught.sum(0) + 1) / (len(taught) + 2)
    return _Truth(factors.to(subject.x), shares.to(subject.x), varied)
