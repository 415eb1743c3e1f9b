"""The recurrent cell against torch's own."""

import torch

from lvmbench.networks.recurrent import Lstm


def test_is_the_cell_of_torch():
    """Whose gates are in another order: input, forget, new, output."""
    cell, other = Lstm((3, 2), 4).double(), torch.nn.LSTMCell(5, 4).double()
    order = torch.cat([torch.arange(4) + 4 * gate for gate in (1, 0, 3, 2)])
    with torch.no_grad():
        cell.before.weight.copy_(other.weight_hh[order])
        cell.before.bias.copy_((other.bias_ih + other.bias_hh)[order])
        for read, weight in zip(cell.reads, other.weight_ih[order].split([3, 2], 1), strict=True):
            read.weight.copy_(weight)
    a, b, state, memory = (torch.randn(7, size).double() for size in (3, 2, 4, 4))
    due = other(torch.cat([a, b], 1), (state, memory))
    for found, one in zip(cell((a, b), state, memory), due, strict=True):
        torch.testing.assert_close(found, one)


def test_batch_dimensions_broadcast_and_memory_is_kept_at_first():
    cell = Lstm((3, 2), 4)
    state, memory = cell((torch.zeros(5, 1, 3), torch.zeros(7, 2)), torch.zeros(4), torch.zeros(4))
    assert (state.shape, memory.shape) == ((5, 7, 4), (5, 7, 4))
    assert (cell.before.bias[:4] == 1).all()


def test_a_scan_is_step_by_step():
    cell, values, state = (
        Lstm((3, 2), 4).double(),
        [torch.randn(7, 5, n).double() for n in (3, 2)],
        torch.randn(8),
    )
    hidden, memory = state.double().chunk(2)
    for t, found in enumerate(cell.scan(values, state.double()).unbind(-2)):
        hidden, memory = cell([value[:, t] for value in values], hidden, memory)
        torch.testing.assert_close(found, torch.cat([hidden, memory], -1))


def test_backward_a_scan_begins_at_the_end_of_what_it_reads():
    cell, value, state = Lstm((3,), 4).double(), torch.randn(2, 5, 3).double(), torch.randn(8).double()
    keep = torch.arange(5) < torch.tensor([[5], [3]])
    found = cell.scan([value], state, keep=keep, backward=True)
    due = cell.scan([value[1:, :3].flip(1)], state).flip(1)
    torch.testing.assert_close(found[1:, :3], due)
    torch.testing.assert_close(found[1, 3:], state.expand(2, 8))
