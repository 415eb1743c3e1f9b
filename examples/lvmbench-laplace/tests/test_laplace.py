"""The Laplace prior keeps what a prior promises, and its own closed form."""

import torch
from lvmbench import Stream
from lvmbench.checks import parametrize_with_checks

from lvmbench_laplace import Laplace


@parametrize_with_checks(["prior/laplace"])
def test_conformance(check):
    check()


def test_mean_distance_is_the_scale():
    """E|z| = b, within 5 standard errors of 10,000 draws; the standard deviation of |z| is b too."""
    values = Laplace(torch.tensor([2.0]).log()).sample(Stream.seeded(0), 10_000)
    assert abs(values.abs().mean().item() - 2) < 5 * 2 / 100
