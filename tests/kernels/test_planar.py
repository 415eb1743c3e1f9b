"""The planar map against the flow that is made of it."""

import torch

from lvmbench import DiagonalNormal, Flow, Stream
from lvmbench.kernels.planar import PlanarMap

F64 = torch.float64


def test_the_slope_through_a_planar_map_is_that_of_a_flow():
    """Which solves for it with the Jacobian as differentiation finds it."""
    noise = Stream.seeded(0, dtype=F64)
    planar = PlanarMap(3 * noise.normal((5, 4)), noise.normal((5, 4)), noise.normal((5, 1)))
    base = DiagonalNormal(torch.zeros(5, 4, dtype=F64), torch.zeros(4, dtype=F64))
    z, log_q, slope = Flow(base, [planar], (4,)).sample_with_slope(Stream.seeded(1, dtype=F64), 3)
    began, before, first = base.sample_with_slope(Stream.seeded(1, dtype=F64), 3)
    image, log_det, pushed = planar.with_slope(began, first)
    torch.testing.assert_close((image, before - log_det, pushed), (z, log_q, slope))
