"""Fully visible networks: one joint model of latents and values, against scikit-learn and by counting."""

import itertools
import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression

import lvmbench
from lvmbench import DataSummary, Split
from lvmbench.kernels.logistic import most_telling
from lvmbench_plugins.decoders.fully_visible import FullyVisibleDecoder
from lvmbench_plugins.priors._fully_visible import Network
from lvmbench_plugins.priors.fully_visible import FullyVisiblePrior

F, SHAPE = 3, (2, 2)
D = math.prod(SHAPE)
each_form = pytest.mark.parametrize("form", ["logistic", "tree"])


def bits(*shape):
    """Bits that go with each other: signs of sums of normal numbers in a row."""
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (numbers.cumsum(-1) > 0.3).double()


@pytest.fixture
def train():
    whole = bits(80, F + D)
    return Split(whole[:, F:].reshape(-1, *SHAPE), factors=whole[:, :F].long())


def parts(train, **options):
    """Prior and decoder, fitted."""
    data = DataSummary(SHAPE, "binary", train.x.mean(0), len(train), factors=F)
    prior = FullyVisiblePrior(data, F, **options).double()
    decoder = FullyVisibleDecoder(data, prior.space, **options).double()
    for part in (prior, decoder):
        part.refresh(train, None)
    return prior, decoder


def every(count):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=count)), dtype=torch.float64)


def log_joint(prior, decoder, z, x):
    return prior(None).log_prob(z) + decoder(z.unsqueeze(0)).log_prob(x).squeeze(0)


@each_form
def test_the_joint_density_sums_to_one(train, form):
    prior, decoder = parts(train, form=form)
    z, x = (values.unflatten(-1, shape) for values, shape in ((every(F), (F,)), (every(D), SHAPE)))
    total = sum(log_joint(prior, decoder, one.expand(len(x), F), x).exp().sum() for one in z)
    torch.testing.assert_close(total, torch.ones_like(total))


@each_form
@pytest.mark.parametrize("iterations", [0, 7, 1000])
def test_prior_and_decoder_are_the_network_of_the_whole(train, form, iterations):
    """At every stage of learning, early ones too."""
    prior, decoder = parts(train, form=form, iterations=iterations)
    z, x = train.factors.double(), train.x
    whole = Network(0, F + D, form, 1.0, iterations).double()
    together = torch.cat([z, x.flatten(1)], 1)
    whole.fit(together[:, :0], together)
    joint = whole(together[:0, 0], (F + D,)).log_prob(together)
    torch.testing.assert_close(log_joint(prior, decoder, z, x), joint)


def test_before_learning_all_bits_are_fair(train):
    prior, decoder = parts(train, iterations=0)
    joint = log_joint(prior, decoder, train.factors.double(), train.x)
    torch.testing.assert_close(joint, torch.full_like(joint, -(F + D) * math.log(2)))


def test_each_value_is_the_logistic_regression_of_scikit_learn(train):
    prior, decoder = parts(train, ridge=0.5, iterations=5000)
    z, x = train.factors.double(), train.x.flatten(1)
    inputs = torch.cat([torch.ones(len(z), 1), z, x], 1).numpy()
    for network, target, given in ((prior.network, z, 0), (decoder.network, x, F)):
        for d in range(target.shape[1]):
            known = inputs[:, : 1 + given + d]
            fitted = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-12, max_iter=10_000)
            fitted.fit(known, target[:, d].numpy())
            own = torch.cat([network.bias[d : d + 1], network.weight[d, : given + d]])
            torch.testing.assert_close(own, torch.from_numpy(fitted.coef_[0]), rtol=1e-5, atol=1e-6)
            assert not network.weight[d, given + d :].any()


def information(a, b):
    """The mutual information of two columns of bits, by counting."""
    total = 0.0
    for i, j in itertools.product((0, 1), repeat=2):
        both = ((a == i) & (b == j)).double().mean().item()
        total += both and both * math.log(both / ((a == i).double().mean() * (b == j).double().mean()).item())
    return total


def test_a_tree_takes_the_best_parent_and_its_frequencies(train):
    """Almost without a ridge each value is as often 1 as in the data with the same parent."""
    _, decoder = parts(train, form="tree", ridge=1e-6, iterations=20_000)
    z, x = train.factors.double(), train.x.flatten(1)
    together, p = torch.cat([z, x], 1), decoder(z.unsqueeze(0))
    logits = p.logits.flatten(2) + x @ p.weight.mT
    for d in range(D):
        known = [information(together[:, j], x[:, d]) for j in range(F + d)]
        best = max(range(F + d), key=known.__getitem__)
        assert decoder.network.weight[d].nonzero().flatten().tolist() == [best]
        for value in (0, 1):
            rows = together[:, best] == value
            torch.testing.assert_close(
                logits[0, rows, d].sigmoid(), x[rows, d].mean().expand(rows.sum()), rtol=1e-4, atol=1e-4
            )


def test_no_input_tells_anything_where_none_is_allowed():
    values = bits(20, 3)
    allowed = torch.ones(3, 3).tril(-1)
    assert most_telling(values, values, allowed).sum(1).tolist() == [0, 1, 1]


@each_form
def test_bits_that_never_vary_have_finite_weights(train, form):
    constant = Split(torch.zeros_like(train.x), factors=torch.ones_like(train.factors))
    prior, decoder = parts(constant, form=form)
    joint = log_joint(prior, decoder, constant.factors.double(), constant.x)
    assert joint.isfinite().all()
    assert (joint > -0.5).all()


def test_it_is_fitted_once(train):
    prior, _ = parts(train)
    before = prior.network.weight.clone()
    prior.refresh(Split(train.x, factors=1 - train.factors), None)
    assert torch.equal(prior.network.weight, before)


def test_training_fits_it_before_the_first_epoch():
    """To the training data with their factors; an amortised posterior learns beside it, and it stays."""
    options = {
        "prior": "fully_visible",
        "posterior": "bernoulli[hidden=8]",
        "decoder": "fully_visible",
        "objective": "elbo",
    }
    fitted = lvmbench.fit(data="digit_halves[rows=1]", **options, epochs=2, batch=256)
    train = fitted.data.splits["train"].ready("cpu")
    alone = FullyVisiblePrior(fitted.data.summary, 8)
    alone.refresh(train, None)
    assert torch.equal(fitted.model.prior.network.weight, alone.network.weight)
    assert fitted.model.decoder.network.done
