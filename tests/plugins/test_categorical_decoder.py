"""The categorical decoder against a table of probabilities."""

import torch

from lvmbench import DataSummary, LatentSpace
from lvmbench.distributions import CategoricalLevels
from lvmbench_plugins.decoders.categorical import CategoricalDecoder

MEAN = torch.tensor([[0.1, 0.5, 0.95], [0.3, 0.6, 0.7]])


def decoder(support="unit", levels=17):
    scale = 1 if support == "unit" else levels - 1
    data = DataSummary((2, 3), support, scale * MEAN, levels=levels)
    return CategoricalDecoder(data, LatentSpace((2,)), hidden=8).double()


def test_the_probability_of_each_level_is_its_softmax():
    for support, step in (("unit", 1 / 16), ("count", 1.0)):
        built, z = decoder(support), torch.randn(4, 5, 2).double()
        p = built(z)
        shares = (built.network(z) + built.offset).softmax(-3)  # (4, 5, 17, 2, 3)
        for level in range(17):
            found = p.units.log_prob(torch.full((5, 2, 3), level * step).double())
            torch.testing.assert_close(found.exp(), shares[..., level, :, :])
        levels = step * torch.arange(17.0).double()
        torch.testing.assert_close(p.mean, (shares.movedim(-3, -1) * levels).sum(-1))


def test_stored_bytes_are_their_levels():
    """255 times one over 255 is not 1 to the bit, nor is each level a whole number of steps."""
    x = torch.arange(256, dtype=torch.uint8).to(torch.float32) * (1 / 255)
    logits = torch.randn(256, 256)
    found = CategoricalLevels(logits, 1 / 255, 0).log_prob(x)
    assert torch.equal(found, logits.log_softmax(-1).diagonal())


def test_starts_at_about_the_training_mean():
    built = decoder(levels=256)
    torch.nn.init.zeros_(built.network.linears[-1].weight)
    torch.nn.init.zeros_(built.network.linears[-1].bias)
    p = built(torch.zeros(1, 1, 2).double())
    torch.testing.assert_close(p.mean[0, 0].float(), MEAN, rtol=0, atol=0.02)


def test_far_logits_stay_finite():
    logits = torch.tensor([[0.0, 1e4, -1e4]], requires_grad=True)
    log_prob = CategoricalLevels(logits, 1.0).log_prob(torch.tensor([2.0]))
    log_prob.backward()
    assert log_prob.item() == -2e4
    assert logits.grad.isfinite().all()
