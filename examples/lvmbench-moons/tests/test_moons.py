"""Two moons and the energy distance keep what their kinds promise, and their own closed forms."""

import math
from types import SimpleNamespace

import torch
from lvmbench import Stream
from lvmbench.checks import parametrize_with_checks

from lvmbench_moons.dataset import Moons
from lvmbench_moons.evaluator import EnergyDistance


@parametrize_with_checks(["dataset/moons", "evaluator/energy_distance"])
def test_conformance(check):
    check()


def test_density_integrates_to_one():
    line = torch.linspace(-3, 4, 176, dtype=torch.float64)
    density = Moons().load().log_prob(torch.cartesian_prod(line, line)).exp()
    assert abs(density.sum().item() * (line[1] - line[0]).item() ** 2 - 1) < 1e-6


def test_draws_follow_the_density():
    """The mean of exp(-|x|^2) within 5 standard errors of 20,000 draws of what the density gives."""
    data = Moons(test=20_000).load()
    line = torch.linspace(-3, 4, 176, dtype=torch.float64)
    points = torch.cartesian_prod(line, line)
    weights = data.log_prob(points).exp() * (line[1] - line[0]) ** 2
    exact = (weights * (-points.square().sum(1)).exp()).sum().item()
    drawn = (-data.splits["test"].x.double().square().sum(1)).exp()
    assert abs(drawn.mean().item() - exact) < 5 * drawn.std().item() / math.sqrt(20_000)


def distance(x, generate, **options):
    model = SimpleNamespace(generate=generate)
    subject = SimpleNamespace(x=x, model=model, noise=lambda word: Stream.seeded(0))
    (found,) = EnergyDistance(**options).evaluate(subject)
    return found


def test_distance_of_two_points():
    """Data at 0 and samples at (3, 4): twice the distance 5, without error."""
    found = distance(
        torch.zeros(7, 2), lambda noise, samples: torch.tensor([3.0, 4.0]).expand(samples, 2), chunk=3
    )
    assert math.isclose(found.value, 10, rel_tol=1e-6)
    assert found.stderr == 0


def test_error_is_that_of_the_draws():
    """Normals of means 0 and 1 in one dimension: 2 E|N(1, 2)| - 2 E|N(0, 2)|, within five errors."""
    x = Stream.seeded(1).normal((5000, 1))
    found = distance(x, lambda noise, samples: 1 + noise.normal((samples, 1)), samples=2000)
    folded = 2 / math.sqrt(math.pi) * math.exp(-1 / 4) + math.erf(0.5)  # E|N(1, 2)|
    exact = 2 * folded - 4 / math.sqrt(math.pi)
    assert abs(found.value - exact) < 5 * found.stderr < 0.2
