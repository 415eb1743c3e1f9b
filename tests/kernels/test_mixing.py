"""What draws of chains are worth, against autoregressive chains whose every autocorrelation is known."""

import pytest
import torch

from lvmbench import Stream
from lvmbench.kernels.mixing import effective_sample_size, normal_scores, r_hat, split_r_hat

F64 = torch.float64


def autoregressive(rho, draws, *shape, seed=0):
    """Chains of standard normal draws, ``(draws, *shape)``, of the autocorrelations rho^t."""
    noise = Stream.seeded(seed, "chains", dtype=F64)
    x = [noise.normal(shape)]
    for _ in range(draws - 1):
        x.append(rho * x[-1] + (1 - rho**2) ** 0.5 * noise.normal(shape))
    return torch.stack(x)


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.9])
@pytest.mark.statistical(
    "what a draw costs, of chains of 4,000 draws, with (1 + rho) / (1 - rho)",
    "of 30 sets of chains; where sums are cut off leaves up to 3%",
    comparisons=2,
)
def test_the_effective_sample_size_is_that_of_the_law(rho, chance):
    draws = autoregressive(rho, 4000, 4, 30, seed=chance.seed)
    due = (1 + rho) / (1 - rho)
    for values in (draws, normal_scores(draws)):
        chance.agrees(16_000 / effective_sample_size(values) / due, 1.0, slack=0.015)


def test_chains_in_two_places_are_worth_hardly_more_than_one_draw_each():
    draws = autoregressive(0.0, 1000, 4) + torch.tensor([0.0, 0.0, 10.0, 10.0])
    assert effective_sample_size(draws) < 10


def test_alternating_draws_are_not_worth_any_number():
    draws = torch.tensor([1.0, -1.0]).repeat(500).unsqueeze(-1) + 1e-3 * autoregressive(0.0, 1000, 4)
    assert effective_sample_size(draws) == pytest.approx(4000 * torch.tensor(4000.0).log10().item())


def test_split_r_hat_is_the_ratio_of_widths():
    """By hand: four halves of 50 draws of variance 50 / 49, with the means 1, 1, 4 and 4 of variance 3."""
    ends = torch.tensor([0.0, 2.0]).repeat(50)
    found = split_r_hat(torch.stack([ends, ends + 3], -1))
    assert found.item() == pytest.approx((49 / 50 + 3 / (50 / 49)) ** 0.5)


def test_chains_that_agree_are_near_1():
    assert (r_hat(autoregressive(0.5, 1000, 4, 20)) < 1.02).all()


@pytest.mark.parametrize("wrong", ["another place", "another width", "a trend"])
def test_chains_that_disagree_are_seen(wrong):
    draws = autoregressive(0.0, 400, 4, 20)
    if wrong == "another place":
        draws[:, 0] += 1
    if wrong == "another width":
        draws[:, 0] *= 3
        assert (split_r_hat(draws) < 1.02).all()  # which means alone do not show
    if wrong == "a trend":
        draws += torch.linspace(0, 2, 400).reshape(-1, 1, 1)
    assert (r_hat(draws) > 1.05).all()


def test_no_variance_is_needed():
    """Ranks know none: of Cauchy draws and of any other values in the same order they are the same."""
    normal = autoregressive(0.3, 500, 4, 3)
    cauchy = (torch.special.ndtr(normal) - 0.5).mul(torch.pi).tan()
    torch.testing.assert_close(normal_scores(cauchy), normal_scores(normal))


def test_equal_draws_share_their_rank():
    scores = normal_scores(torch.tensor([[0.0, 0.0], [0.0, 5.0]]))
    due = torch.special.ndtri((torch.tensor([[2.0, 2.0], [2.0, 4.0]]) - 3 / 8) / 4.25)
    torch.testing.assert_close(scores, due.double())
