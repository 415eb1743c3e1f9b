"""Resampling against weights: how many copies each particle has."""

import pytest
import torch
from torch.func import vmap

from lvmbench import Stream
from lvmbench.kernels.resampling import ancestors, copies, effective_sample_size
from lvmbench.noise import Recorder

SCHEMES = ("multinomial", "stratified", "systematic")
schemes = pytest.mark.parametrize("scheme", SCHEMES)
DRAWS = 20_000
LOG_W = torch.tensor([[0.5, 0.001, 0.2, 0.05, 0.249], [0.2] * 5, [1e-9, 0, 1.0, 0, 0]]).double().log().T

EXPECTED = (len(LOG_W) * LOG_W.softmax(0)).round(decimals=8)
"""How many copies particles have on average, whole numbers where they are."""


def numbers(scheme, seed, draws=DRAWS):
    """How often each particle is copied, ``(draws, K, batch)``."""
    log_w = LOG_W.unsqueeze(1).expand(-1, draws, -1)
    found = ancestors(log_w, Stream.seeded(seed, dtype=torch.float64), scheme)
    return torch.nn.functional.one_hot(found, len(LOG_W)).sum(0).movedim(-1, 1).double()


@schemes
@pytest.mark.statistical("the mean numbers of copies with K times the weights", "of the draws")
def test_each_particle_has_as_many_copies_as_its_weight_says(chance, scheme):
    found = numbers(scheme, chance.seed)
    expected = len(LOG_W) * LOG_W.softmax(0)
    random = found.std(0) > 0
    # what has no chance, or a fixed number of copies, has exactly that
    torch.testing.assert_close(found.mean(0)[~random], expected[~random], atol=1e-6, rtol=0)
    chance.agrees(found[:, random], expected[random])


@schemes
def test_weights_of_nothing_are_never_chosen(scheme):
    log_w = torch.full((4, 3), -torch.inf)
    log_w[1] = -1000.0
    assert torch.equal(ancestors(log_w, Ends(), scheme), torch.ones(4, 3, dtype=torch.long))


class Ends(Stream):
    """The least and the greatest numbers that there are, in turn."""

    def __init__(self):
        pass

    def uniform(self, shape):
        ends = torch.tensor([0.0, 1 - torch.finfo(torch.float32).eps / 2])
        return ends[torch.arange(torch.Size(shape).numel()) % 2].reshape(tuple(shape))


def spread(scheme):
    """The variance of the number of copies of each particle, ``(K, batch)``, by how its places are drawn."""
    count, weights = len(LOG_W), EXPECTED / len(LOG_W)
    if scheme == "multinomial":
        return count * weights * (1 - weights)
    if scheme == "systematic":  # as many as can be, or one more
        more = EXPECTED % 1
        return more * (1 - more)
    ends = count * weights.cumsum(0)
    parts = torch.arange(count).reshape(
        -1, 1, 1
    )  # each place is within one part, in a particle's share or not
    shares = (torch.minimum(ends, parts + 1) - torch.maximum(ends - count * weights, parts)).clamp(min=0)
    return (shares * (1 - shares)).sum(0)


@schemes
@pytest.mark.statistical("the variances of the numbers of copies with those of the scheme", "of the draws")
def test_numbers_of_copies_vary_as_their_places_do(chance, scheme):
    """Those of places that are more even vary less."""
    off, expected = (numbers(scheme, chance.seed) - EXPECTED).square()[:, :, 0], spread(scheme)[:, 0]
    random = off.std(0) > 1e-6  # of a half more or less the square is one and the same
    torch.testing.assert_close(off.mean(0)[~random], expected[~random], atol=1e-6, rtol=0)
    chance.agrees(off[:, random], expected[random])


def test_places_that_are_more_even_vary_less():
    multinomial, stratified, systematic = (spread(scheme)[:, 0].sum() for scheme in SCHEMES)
    assert multinomial > stratified > systematic


@pytest.mark.parametrize("scheme", ["stratified", "systematic"])
def test_equal_weights_are_copied_once_each(scheme):
    assert torch.equal(numbers(scheme, 0)[..., 1], torch.ones(DRAWS, 5).double())


def test_systematic_numbers_are_rounded_weights():
    found, expected = numbers("systematic", 0), len(LOG_W) * LOG_W.softmax(0)
    assert (found >= expected.sub(1e-9).floor()).all()
    assert (found <= expected.add(1e-9).ceil()).all()


@schemes
def test_as_many_random_numbers_whatever_the_weights(scheme):
    def demand(log_w):
        noise = Recorder(Stream.seeded(0))
        ancestors(log_w, noise, scheme)
        return noise.demand

    assert demand(torch.zeros(5, 7)) == demand(LOG_W[:, :1].expand(-1, 7)) != (0, 0)


@schemes
def test_batches_side_by_side_are_as_each_alone(scheme):
    log_w = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(0))
    numbers = torch.rand(3, 8, 4, generator=torch.Generator().manual_seed(1))

    class Given(Stream):
        def __init__(self, numbers):
            self.numbers = numbers

        def uniform(self, shape):
            return self.numbers[: shape[0]]

    together = vmap(lambda log_w, numbers: ancestors(log_w, Given(numbers), scheme))(log_w, numbers)
    for k in range(3):
        assert torch.equal(together[k], ancestors(log_w[k], Given(numbers[k]), scheme))


def test_weights_that_are_not_finite_name_particles_that_there_are():
    log_w = torch.tensor([[torch.nan, -torch.inf], [0.0, -torch.inf]])
    assert ancestors(log_w, Stream.seeded(0), "multinomial").max() < 2


def test_copies_are_of_the_particles_that_are_named():
    values = torch.arange(12.0).reshape(3, 2, 2)
    found = copies(values, torch.tensor([[2, 0], [2, 1], [0, 1]]))
    assert torch.equal(found[:, 0], values[[2, 2, 0], 0])
    assert torch.equal(found[:, 1], values[[0, 1, 1], 1])


def test_the_effective_size_is_that_of_equal_weights():
    log_w = torch.tensor([[0.0, 0.0], [0.0, -torch.inf], [0.0, -torch.inf]]) + 1000
    torch.testing.assert_close(effective_sample_size(log_w), torch.tensor([3.0, 1.0]))
