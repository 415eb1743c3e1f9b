"""What noise costs a linear posterior, in closed form, and every amortised posterior with noise."""

import copy
import math
from functools import cache

import pytest
import torch

import lvmbench
from lvmbench import DataSummary, LatentSpace, Posterior, Refusal, Stream, Terms, UserError
from lvmbench.checks.partners import Bench
from lvmbench.checks.report import Outcome
from lvmbench.checks.runner import examine
from lvmbench.checks.specimen import Trial
from lvmbench.noise import Recorder
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.denoising import Denoising
from lvmbench_plugins.posteriors.gaussian import Gaussian

BENCH = Bench(load_catalogue())
SCALE = 0.3
F64 = torch.float64
FIT = {
    "prior": "standard_normal",
    "objective": "elbo",
    "data": "blobs[train=60,validation=20,test=20]",
    "decoder": "linear_gaussian",
    "latent": 2,
    "epochs": 3,
    "batch": 20,
    "learning_rate": 1e-2,
}


@cache
def cases():
    """Denoising with each posterior of the catalogue that it takes, by the name of that posterior."""
    found = BENCH.choices(BENCH.catalogue.entry("posterior", "denoising"))
    return {Ref.parse(ref.options["base"]).name: BENCH.find({"posterior": ref}) for ref in found}


def noise():
    return Stream.seeded(3, dtype=F64)


def draws(q):
    return q.sample_and_log_prob(noise(), 2)


def equal(one, other):
    return all(map(torch.equal, one, other))


# With every posterior


def test_it_takes_every_amortised_posterior_and_no_other():
    alone = {ref.name: BENCH.find({"posterior": ref}) for ref in BENCH.offers["posterior"]}
    amortized = {n for n, case in alone.items() if "amortized" in case.parts().model.posterior.provides}
    assert cases().keys() == amortized
    assert {"gaussian", "iaf", "relaxed", "bottom_up", "categorical", "auxiliary"} <= amortized


def test_q_is_of_data_with_noise_in_training_and_of_data_alone_after_it():
    for case in cases().values():
        trial = Trial.of("posterior", case, dtype=F64)
        posterior, x = trial.model.posterior, trial.x
        posterior.scale.fill_(SCALE)
        other = copy.deepcopy(posterior.base)
        noisy = x + SCALE * noise().normal(x.shape)
        assert equal(draws(trial.model.q(x, noise())), draws(other(noisy, trial.model))), case
        trial.eval()
        other.eval()
        assert equal(draws(trial.model.q(x, noise())), draws(other(x, trial.model).law)), case


@pytest.mark.parametrize("name", ["vectorised_equals_looped", "number_of_draws_is_fixed"])
def test_seeds_train_together_with_every_posterior(name):
    for case in cases().values():
        target, catalogue = f"posterior/{case.refs['posterior']}", BENCH.catalogue
        (examination,) = examine(target, catalogue=catalogue, only=[name], bench=BENCH)
        assert examination.result(name).status == Outcome.PASSED, examination.result(name)


# What the noise does


@pytest.fixture
def linear(linear_model):
    """q(z|x) = N(A x + b, s^2), and a linear-Gaussian model: its ELBO is quadratic in x."""
    model = linear_model(f"denoising[base=gaussian[layers=0],scale={SCALE}]")
    (layer,) = model.posterior.base.network.linears
    with torch.no_grad():
        layer.weight[2:] = 0.0
    return model, layer.weight[:2].detach()


@pytest.mark.statistical("the ELBO with noise with its closed form", "of the 20,000 draws")
def test_the_noise_costs_what_the_mean_moves(linear, points, chance):
    """A e moves the mean: |A e|^2 / 2 of divergence, and |W A e|^2 / 2 t^2 of squared error."""
    model, a = linear
    w, x = model.decoder.weight.reshape(3, 2).detach(), points[:1].expand(20_000, 3)
    cost = SCALE**2 / 2 * (a.square().sum() + (w @ a).square().sum() / 0.7**2)
    with torch.no_grad():
        noisy, plain = (
            Elbo()(Terms(m, x, Stream.seeded(chance.seed, i, dtype=F64), 1))
            for i, m in enumerate((model, copy.deepcopy(model).eval()))
        )
    chance.agrees(plain - noisy, cost)


def test_all_samples_of_a_datum_are_from_one_q(linear, points):
    model, _ = linear
    terms = Terms(model, points, noise(), 3)
    torch.testing.assert_close(terms.log_q, terms.q.log_prob(terms.z))
    assert terms.again(5).q is terms.q
    assert terms.having(terms.z).q is terms.q


def test_training_alone_draws_noise(linear, points):
    model, _ = linear
    drawn = []
    for training in (True, False):
        recorder = Recorder(noise())
        model.train(training).q(points, recorder)
        drawn.append(recorder.demand.normals)
    assert drawn == [points.numel(), 0]


def test_what_was_not_observed_stays_so():
    data, space = DataSummary((3,), "real", torch.zeros(3), complete=False), LatentSpace((2,))
    q = Denoising(data, space, base=Gaussian(data, space, hidden=8), scale=SCALE)
    x = torch.tensor([[1.0, math.nan, 2.0], [math.nan, 0.0, 0.0]])
    noisy = q.corrupt(x, Stream.seeded(0))
    assert torch.equal(noisy.isnan(), x.isnan())
    q(noisy, None).mean.sum().backward()
    assert all(weight.grad.isfinite().all() for weight in q.parameters())


def test_a_prior_of_the_posterior_is_without_noise():
    posterior, prior = Ref("denoising", {"base": "gaussian", "scale": SCALE}), Ref("vamp", {"components": 3})
    trial = Trial.of("prior", BENCH.find({"prior": prior, "posterior": posterior}), dtype=F64)
    terms = Terms(trial.model, trial.x, noise(), 2)
    assert torch.equal(terms.log_prior, trial.model.eval().p().log_prob(terms.z))


def test_noise_adds_up(linear_model, points):
    one = f"denoising[base=gaussian[hidden=8],scale={SCALE}]"
    model, stream = linear_model(f"denoising[base={one},scale=1.0]"), noise()
    noisy = points + SCALE * stream.normal(points.shape) + 1.0 * stream.normal(points.shape)
    torch.testing.assert_close(model.posterior.corrupt(points, noise()), noisy)
    assert isinstance(model.posterior.plain, Gaussian)


# In training


def weights(fitted):
    return {name.replace("base.", ""): value for name, value in fitted.model.state_dict().items()}


@pytest.mark.parametrize(
    "changes", [{}, {"posterior": "iaf[flows=1,hidden=8]"}, {"prior": "vamp[components=3]"}], ids=str
)
def test_without_noise_it_is_the_base_bit_for_bit(changes):
    options = {**FIT, "posterior": "gaussian[hidden=8]", **changes}
    plain = lvmbench.fit(**options)
    none = lvmbench.fit(**{**options, "posterior": f"denoising[base={options['posterior']},scale=0]"})
    assert plain.curve.equals(none.curve)
    one, other = weights(plain), weights(none)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    noisy = lvmbench.fit(**{**options, "posterior": f"denoising[base={options['posterior']},scale=0.5]"})
    assert not noisy.curve.equals(plain.curve)


def test_the_gap_of_a_flow_is_split_as_that_of_its_base():
    fitted = lvmbench.fit(**{**FIT, "posterior": "denoising[base=planar[flows=1,hidden=8]]"})
    found = lvmbench.evaluate(fitted, "gap_split[data=4,steps=20]")
    assert "amortization_gap" in set(found["metric"])


# Bad input

BAD = {
    "denoising": "posterior 'denoising' needs option 'base'; write base=VALUE in its brackets",
    "denoising[base=gaussian,scale=-0.1]": "posterior 'denoising': option 'scale' should be greater than or "
    "equal to 0, got -0.1",
    "denoising[base=gausian]": "posterior 'denoising': option 'base': unknown posterior 'gausian'; did you "
    "mean 'gaussian' or 'full_gaussian'?",
    "denoising[base=gaussian[hidden=0]]": "posterior 'denoising': option 'base': posterior 'gaussian': "
    "option 'hidden' should be greater than or equal to 1, got 0",
    "denoising[base=denoising]": "posterior 'denoising': option 'base': posterior 'denoising' needs option "
    "'base'; write base=VALUE in its brackets",
    "denoising[base=3]": "posterior 'denoising': option 'base' should be the name of a component, with its "
    "options in brackets, got 3",
    "denoising[base=gaussian,scale=NaN]": "posterior 'denoising': option 'scale' should be a valid number, "
    "got 'NaN'",
}


@pytest.mark.parametrize(("posterior", "reason"), BAD.items(), ids=BAD)
def test_wrong_options_are_refused_in_one_line(posterior, reason):
    with pytest.raises(UserError) as error:
        lvmbench.fit(**FIT, posterior=posterior)
    assert str(error.value) == reason


@pytest.mark.parametrize(
    ("base", "name"), [("svi", "Svi"), ("exact", "Exact"), ("semi_amortized", "SemiAmortized")]
)
def test_what_is_not_amortised_is_refused(base, name):
    with pytest.raises(Refusal) as error:
        lvmbench.fit(**FIT, posterior=f"denoising[base={base}]")
    assert str(error.value) == (
        "denoising is for amortised posteriors, functions of x and of their own weights alone; "
        f"{name} is none"
    )


def test_a_posterior_of_another_plugin_counts_by_its_word(tmp_path):
    """One that says of itself that it is amortised is taken, whatever class it is of."""

    class Constant(Posterior):
        distribution = Gaussian.distribution
        provides = frozenset({"amortized"})

        def forward(self, x, model):
            return self.distribution(x[:, :2], torch.zeros_like(x[:, :2]))

    q = Denoising(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)), base=Constant())
    assert q.provides == {"amortized"}
    assert q.distribution is Gaussian.distribution
