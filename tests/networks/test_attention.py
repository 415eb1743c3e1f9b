"""The attention against its formula, filter by filter."""

import math

import pytest
import torch

from lvmbench.networks.attention import Attention, filters

F64 = torch.float64


def test_filters_are_those_of_the_formula():
    """Pixels and filters count from 1, as in the paper."""
    g, delta, variance, size, length = 5.3, 1.7, 2.5, 3, 12
    found = filters(
        *(torch.tensor(v, dtype=F64) for v in (g, delta, math.log(variance))), size=size, length=length
    )
    for i in range(1, size + 1):
        mu = g + (i - size / 2 - 0.5) * delta
        row = [math.exp(-((a - mu) ** 2) / (2 * variance)) for a in range(1, length + 1)]
        due = torch.tensor(row, dtype=F64) / sum(row)
        torch.testing.assert_close(found[i - 1], due, rtol=0, atol=1e-15)


@pytest.mark.parametrize("middle", [-50.0, 0.5, 7.0, 1e4])
@pytest.mark.parametrize("log_variance", [-8.0, 0.0, 8.0])
def test_each_filter_adds_up_to_one_wherever_it_is(middle, log_variance):
    figures = [torch.tensor(v, requires_grad=True) for v in (middle, 2.0, log_variance)]
    found = filters(*figures, size=4, length=14)
    torch.testing.assert_close(found.sum(-1), torch.ones(4))
    (found * torch.randn(4, 14)).sum().backward()
    assert all(figure.grad.isfinite() for figure in figures)


def placed(*figures, size=3, rows=20, columns=12):
    """An attention whose middle, variance, stride and intensity are these, for any features."""
    attention = Attention(2, size, rows, columns).double()
    with torch.no_grad():
        attention.place.weight.zero_()
        attention.place.bias.copy_(torch.tensor(figures, dtype=F64))
    return attention(torch.zeros(2, dtype=F64))


def test_what_is_read_moves_with_the_middle():
    """The middle filter is centred on the middle of the image, and moves from edge to edge."""
    for shift in (-0.5, 0.0, 0.5):
        glimpse = placed(shift, -shift, 0.0, -9.0, 0.0, rows=40, columns=30)
        down, across = (bank[1] @ torch.arange(1.0, len(bank[1]) + 1).double() for bank in glimpse[:2])
        torch.testing.assert_close(down.item(), 20.5 * (1 + shift), rtol=0, atol=1e-6)
        torch.testing.assert_close(across.item(), 15.5 * (1 - shift), rtol=0, atol=1e-6)


def test_writing_is_the_transpose_of_reading_and_intensities_cancel():
    x, patch = torch.randn(20, 12).double(), torch.randn(3, 3).double()
    bright, plain = placed(0.2, -0.1, 0.3, -0.5, 0.7), placed(0.2, -0.1, 0.3, -0.5, 0.0)
    torch.testing.assert_close((plain.read(x) * patch).sum(), (x * plain.write(patch)).sum())
    torch.testing.assert_close(bright.read(x), plain.read(x) * math.exp(0.7))
    torch.testing.assert_close(bright.write(patch), plain.write(patch) * math.exp(-0.7))
