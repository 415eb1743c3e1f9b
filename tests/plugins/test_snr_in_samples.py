"""The signal-to-noise ratio of gradients as the number of samples grows,
on the toy of Rainforth et al. (2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lvmbench import (
    Data,
    DataSummary,
    Decoder,
    DiagonalNormal,
    Evaluator,
    LatentVariableModel,
    Measurement,
    Posterior,
    Split,
    Subject,
    Workload,
)
from lvmbench_plugins.estimators.pathwise import Pathwise
from lvmbench_plugins.evaluators.gradient_variance import GradientVariance
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.iwae import Iwae
from lvmbench_plugins.priors.standard_normal import StandardNormal
from tests.statistical import Chance

DIMS = 20
NEAR = 0.01


def perturbed(value: Tensor, seed: int) -> nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(value + NEAR * torch.randn(value.shape, generator=generator, dtype=torch.float64))


class Encoder(Posterior):
    """q(z|x) = N(A x + b, 2/3 I), near the best A = I / 2 and b = 0."""

    distribution = DiagonalNormal

    def __init__(self) -> None:
        super().__init__()
        self.weight = perturbed(0.5 * torch.eye(DIMS, dtype=torch.float64), 1)
        self.bias = perturbed(torch.zeros(DIMS, dtype=torch.float64), 2)

    def forward(self, x: Tensor, model: LatentVariableModel) -> DiagonalNormal:
        log_scale = torch.tensor(2 / 3, dtype=torch.float64).log() / 2
        return DiagonalNormal(x @ self.weight.T + self.bias, log_scale)


class Shift(Decoder):
    """p(x|z) = N(z + m, I), near m = 0; the paper has m as the prior's mean, which gives the same p(x)."""

    distribution = DiagonalNormal

    def __init__(self) -> None:
        super().__init__()
        self.shift = perturbed(torch.zeros(DIMS, dtype=torch.float64), 3)

    def forward(self, z: Tensor) -> DiagonalNormal:
        return DiagonalNormal(z + self.shift, torch.zeros((), dtype=torch.float64))


def toy(objective: Elbo | Iwae) -> Subject:
    """One datum of p(x) = N(0, 2 I)."""
    summary = DataSummary((DIMS,), "real", torch.zeros(DIMS))
    prior = StandardNormal(summary, DIMS).double()
    generator = torch.Generator().manual_seed(0)
    x = 2**0.5 * torch.randn(1, DIMS, generator=generator, dtype=torch.float64)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    return Subject(
        LatentVariableModel(prior, Encoder(), Shift()), objective, {"pathwise": Pathwise()}, data, 0
    )


def measure(subject: Subject, evaluator: Evaluator) -> dict[tuple[str, str], Measurement]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return {(m.metric, m.variant): m for m in evaluator.evaluate(subject)}
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("repeats", "largest"), [(20_000, 16), pytest.param(40_000, 64, marks=pytest.mark.slow)]
)
@pytest.mark.statistical("slopes of log SNR with -1/2 and 1/2", "stated, of the repeats", comparisons=2)
def test_more_samples_harm_the_encoder_and_help_the_decoder(
    proof: Callable[..., None], repeats: int, largest: int, chance: Chance
) -> None:
    found = measure(toy(Iwae(samples=1)), GradientVariance(repeats=repeats, largest=largest, chunk=2000))
    for part, expected in (("posterior", -0.5), ("decoder", 0.5)):
        slope = found["gradient_snr_slope", f"pathwise/{part}"]
        assert 0 < slope.stderr < 0.03
        against = f"slope of log SNR against log K, {part}, K up to {largest} (Rainforth et al. 2018)"
        allowed = 0.1 + chance.allowed(slope.stderr)  # the powers are those of the limit, and K is finite
        proof("SNR in K", against, slope.value, expected, allowed)


def test_every_number_of_samples_has_its_figures() -> None:
    found = measure(toy(Elbo(samples=3)), GradientVariance(repeats=40, largest=20))
    variants = {variant for metric, variant in found if metric == "gradient_variance"}
    ends = ("", "/K=1", "/K=4", "/K=16")
    assert variants == {f"pathwise/{part}{end}" for part in ("posterior", "decoder") for end in ends}
    assert all(found["gradient_snr_floor", variant].value == 40**-0.5 for variant in variants)


@pytest.mark.statistical("variances at 1 and 16 samples", "stated, of 1,000 repeats", comparisons=2)
def test_the_variance_of_a_mean_falls_as_one_over_samples(chance: Chance) -> None:
    """ELBO gradients of K samples are means of K."""
    found = measure(toy(Elbo()), GradientVariance(repeats=1000, largest=16, chunk=1000))
    for part in ("posterior", "decoder"):
        one, many = (found["gradient_variance", f"pathwise/{part}/K={k}"] for k in (1, 16))
        chance.within(one.value, 16 * many.value, math.hypot(one.stderr, 16 * many.stderr))


def test_the_objective_is_left_as_it_was_and_the_cost_is_known() -> None:
    subject, evaluator = toy(Iwae(samples=5)), GradientVariance(repeats=20, largest=4)
    measure(subject, evaluator)
    assert subject.objective.samples == 5
    work = Workload(subject.objective, subject.estimators, {"test": 1})
    assert evaluator.evaluations(work) == 21 * (5 + 1 + 4)
    assert GradientVariance(repeats=20).evaluations(work) == 21 * 5
