"""Latent variable models as estimators of scikit-learn: its own checks, its tools, and densities that are
held against scikit-learn's in closed form.
"""

import inspect
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import lvmbench
from lvmbench import DiagonalNormal, LatentSpace, Prior, Refusal, UserError
from lvmbench.combinations.budget import Budget
from lvmbench.sklearn import LatentVariableModel

SMALL = {"posterior": "gaussian[hidden=8]", "decoder": "gaussian[hidden=8]", "latent": 2, "epochs": 3}
EXACT = {"posterior": "exact", "decoder": "linear_gaussian", "latent": 2, "epochs": 1}
DIFFERENT_FROM_BUDGET = {"epochs", "batch"}
"""What data of the size that scikit-learn is used for ask for: more epochs, of smaller batches."""
EXPECTED_FAILURES = {}
"""The checks that are not passed, each with its reason: there are none."""


class Narrow(Prior):
    """A normal of a standard deviation of 1/2."""

    distribution = DiagonalNormal

    def __init__(self, data, latent):
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent))

    @property
    def space(self):
        return LatentSpace(tuple(self.loc.shape))

    def forward(self, model):
        return DiagonalNormal(self.loc, self.loc - math.log(2))


@pytest.fixture(scope="module")
def frame():
    return load_iris(as_frame=True).data


@pytest.fixture(scope="module")
def X(frame):  # noqa: N802
    return frame.to_numpy()


@pytest.fixture(scope="module")
def fitted(frame):
    return LatentVariableModel(**SMALL, random_state=0).fit(frame)


# --- the interface ------------------------------------------------------------------------------------------


@parametrize_with_checks(
    [LatentVariableModel(**SMALL)], expected_failed_checks=lambda estimator: EXPECTED_FAILURES
)
def test_estimator_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_arguments_have_the_defaults_of_suites():
    arguments = inspect.signature(LatentVariableModel).parameters
    found = {name: arguments[name].default for name in Budget.model_fields}
    due = Budget().model_dump()
    assert {name for name in due if found[name] != due[name]} == DIFFERENT_FROM_BUDGET


@pytest.mark.parametrize("other", [KernelDensity(), GaussianMixture(2, random_state=0)], ids=str)
def test_density_estimators_are_exchanged_in_one_line(X, other):
    for model in (other, LatentVariableModel(**SMALL)):
        model.fit(X)
        assert model.score_samples(X).shape == (150,)
        assert np.isfinite(model.score(X))
        assert len(model.sample(3)) in (2, 3)  # a mixture's has the components of its rows beside them


def test_score_is_the_mean_over_rows(fitted, frame):
    assert fitted.score(frame) == fitted.score_samples(frame).mean()


def test_rows_are_seen_by_themselves(fitted, frame):
    scores, latents = fitted.score_samples(frame), fitted.transform(frame)
    rows = np.random.default_rng(0).permutation(150)[:40]
    np.testing.assert_allclose(fitted.score_samples(frame.iloc[rows]), scores[rows], rtol=0, atol=1e-9)
    np.testing.assert_allclose(fitted.transform(frame.iloc[rows]), latents[rows], rtol=0, atol=1e-9)


def test_a_random_state_makes_everything_repeatable(fitted, frame):
    again = clone(fitted).fit(frame)
    np.testing.assert_array_equal(again.score_samples(frame), fitted.score_samples(frame))
    np.testing.assert_array_equal(again.sample(5, random_state=1), fitted.sample(5, random_state=1))
    assert not (fitted.sample(5, random_state=1) == fitted.sample(5, random_state=2)).any()


def test_tables_of_pandas_come_out_as_such(frame):
    model = LatentVariableModel(**SMALL).set_output(transform="pandas")
    table = model.fit_transform(frame)
    assert list(table.columns) == ["latentvariablemodel0", "latentvariablemodel1"]
    assert list(model.feature_names_in_) == list(frame.columns)
    assert table.index.equals(frame.index)


def test_it_is_a_step_of_a_pipeline(X):
    pipeline = make_pipeline(StandardScaler(), LatentVariableModel(**SMALL, random_state=0)).fit(X)
    assert pipeline.inverse_transform(pipeline.transform(X)).shape == X.shape
    assert pipeline.score(X) == pipeline[-1].score(pipeline[0].transform(X))


def test_a_grid_of_components_is_searched(X):
    grid = {"prior": ["standard_normal", "mixture[components=2]"], "latent": np.arange(1, 3)}
    search = GridSearchCV(LatentVariableModel(**SMALL, random_state=0), grid, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.transform(X).shape == (150, search.best_params_["latent"])
    assert cross_val_score(search.best_estimator_, X, cv=2).shape == (2,)


@pytest.mark.slow
def test_a_grid_search_in_worker_processes_finds_the_same(X):
    def search(jobs):
        model = LatentVariableModel(**{**SMALL, "epochs": 1}, random_state=0)
        return GridSearchCV(model, {"latent": [1, 2]}, cv=2, n_jobs=jobs).fit(X)

    one, two = search(None), search(2)
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])


def test_images_are_rows_of_a_shape():
    rows = np.random.default_rng(0).integers(0, 2, (30, 64))
    network = "network=conv,hidden=8"
    parts = {"posterior": f"gaussian[{network}]", "decoder": f"bernoulli[{network}]", "latent": 2}
    model = LatentVariableModel(**parts, epochs=1, shape=(1, 8, 8), random_state=0).fit(rows)
    assert model.transform(rows).shape == (30, 2)
    assert set(np.unique(model.sample(5))) == {0.0, 1.0}
    means = model.inverse_transform(np.zeros((1, 2)))
    assert means.shape == (1, 64)
    assert ((means > 0) & (means < 1)).all()


def test_components_may_be_classes_and_instances(X):
    model = LatentVariableModel(**{**SMALL, "prior": Narrow}).fit(X)
    assert type(model.model_.prior) is Narrow
    held = LatentVariableModel(**{**SMALL, "prior": Narrow(None, 2)}).fit(X)
    assert type(held.model_.prior) is Narrow


MISTAKES = {
    "zeros and ones": ({"decoder": "bernoulli"}, UserError, "binary"),
    "counts": ({"decoder": "negative_binomial"}, UserError, "count"),
    "unknown": ({"prior": "mixtur"}, UserError, "unknown prior 'mixtur'; did you mean 'mixture'"),
    "refused": ({"posterior": "exact"}, Refusal, "posterior 'exact' requires model.exact_posterior"),
    "fraction": ({"validation_fraction": 1.0}, UserError, "validation_fraction should be at least 0"),
    "shape": ({"shape": (3, 3)}, UserError, "shape (3, 3) is not of 4 values"),
}


STRANGE = {
    "half a bit": ("bernoulli", [0.0, 0.5], "X holds 0.5; this model is of zeros and ones"),
    "half a count": (
        "negative_binomial",
        [3.0, 0.5],
        "X holds 0.5; this model is of whole numbers from 0 on",
    ),
    "one level more": (
        "categorical",
        [1.0, 2.0],
        "X holds 2; this model is of whole numbers from 0 on up to 1",
    ),
    "beyond one": ("continuous_bernoulli", [1.0, 2.0], "X holds 2; this model is of values from 0 to 1"),
}


@pytest.mark.parametrize(("decoder", "row", "message"), STRANGE.values(), ids=STRANGE)
def test_values_that_the_model_is_not_of_are_refused(decoder, row, message):
    rows = np.random.default_rng(0).integers(0, 2, (20, 2))
    model = LatentVariableModel(**{**SMALL, "decoder": decoder, "epochs": 1}).fit(rows)
    assert np.isfinite(model.score_samples(rows)).all()
    with pytest.raises(UserError) as error:
        model.score_samples([row])
    assert str(error.value) == message


def test_no_density_follows_from_a_bound_of_the_posteriors(X, monkeypatch):
    model = LatentVariableModel(**SMALL).fit(X)
    monkeypatch.setattr(DiagonalNormal, "traits", DiagonalNormal.traits | {"bound"})
    with pytest.raises(Refusal, match="Gaussian knows only a bound of q.*; take another posterior"):
        model.score(X)


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_are_named(X, what):
    changes, kind, message = MISTAKES[what]
    with pytest.raises(kind) as error:
        LatentVariableModel(**{**SMALL, **changes}).fit(X)
    assert message in str(error.value)


def test_what_is_not_fitted_says_so(X):
    for method in ("score_samples", "transform", "inverse_transform"):
        with pytest.raises(NotFittedError):
            getattr(LatentVariableModel(), method)(X)
    with pytest.raises(NotFittedError):
        LatentVariableModel().sample()
    with pytest.raises(UserError, match="not fitted; call fit before it is saved"):
        lvmbench.save(LatentVariableModel(), "nowhere")


# --- densities ----------------------------------------------------------------------------------------------


def as_pca(X, *, standardize):
    """A model with the weights of probabilistic PCA, whose maximum likelihood is known, and the PCA."""
    model = LatentVariableModel(**EXACT, standardize=standardize).fit(X)
    pca = PCA(2).fit((X - model.location_) / model.scale_)
    noise = pca.noise_variance_
    weight = pca.components_.T * np.sqrt(pca.explained_variance_ - noise)
    decoder = model.model_.decoder
    with torch.no_grad():
        decoder.weight.copy_(torch.as_tensor(weight))
        decoder.bias.copy_(torch.as_tensor(pca.mean_))
        decoder.log_scale.fill_(0.5 * math.log(noise))
    return model, pca


@pytest.mark.parametrize("standardize", [False, True])
def test_densities_are_those_of_probabilistic_pca(X, standardize):
    """Also where columns were standardised: a density of x is that of u over the standard deviations."""
    model, pca = as_pca(X, standardize=standardize)
    due = pca.score_samples((X - model.location_) / model.scale_) - np.log(model.scale_).sum()
    np.testing.assert_allclose(model.score_samples(X), due, rtol=0, atol=1e-9)
    if not standardize:
        assert model.score(X) == pytest.approx(PCA(2).fit(X).score(X), abs=1e-9)


def test_a_density_in_other_units_differs_by_the_change_of_volume(X):
    """Centimetres for metres: the same model, and densities that are 100 times as large for each column."""
    metres, centimetres = (LatentVariableModel(**EXACT, random_state=0).fit(unit * X) for unit in (1, 100))
    expected = metres.score_samples(X) - 4 * math.log(100)
    # the standardised data are the same up to the rounding to single precision, in which it trains
    np.testing.assert_allclose(centimetres.score_samples(100 * X), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("standardize", [False, True])
def test_densities_of_holes_are_those_of_what_was_observed(X, standardize):
    holes = X.copy()
    holes[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    model = LatentVariableModel(**EXACT, standardize=standardize).fit(holes)
    assert not model.model_.complete
    decoder = model.model_.decoder
    weight, noise = decoder.weight.detach().numpy(), decoder.log_scale.detach().exp().item()
    mean = decoder.bias.detach().numpy() * model.scale_ + model.location_
    covariance = (weight @ weight.T + noise**2 * np.eye(4)) * np.outer(model.scale_, model.scale_)
    seen = ~np.isnan(holes)
    due = [
        multivariate_normal(mean[o], covariance[np.ix_(o, o)]).logpdf(row[o]) if o.any() else 0.0
        for row, o in zip(holes, seen, strict=True)
    ]
    np.testing.assert_allclose(model.score_samples(holes), due, rtol=0, atol=1e-9)


def test_densities_are_those_of_a_mixture_of_gaussians(X):
    """A linear decoder of a mixture of normals is one with the covariances W S W' + Psi."""
    parts = {**EXACT, "prior": "mixture[components=3]", "decoder": "linear_gaussian[covariance=diagonal]"}
    model = LatentVariableModel(**parts, random_state=0).fit(X)
    p, decoder = model.model_.requires_grad_(False).p(), model.model_.decoder
    weight, noise = decoder.weight.numpy(), (2 * decoder.log_scale).exp().numpy()
    units = np.outer(model.scale_, model.scale_)
    spread = (2 * p.components.log_scale).exp().numpy()
    covariances = np.stack([(weight * s @ weight.T + np.diag(noise)) * units for s in spread])
    mixture = GaussianMixture(3)
    mixture.weights_ = p.log_weights.exp().numpy()
    centres = p.components.loc.numpy() @ weight.T + decoder.bias.numpy()
    mixture.means_ = centres * model.scale_ + model.location_
    mixture.precisions_cholesky_ = np.stack([np.linalg.cholesky(np.linalg.inv(c)) for c in covariances])
    np.testing.assert_allclose(model.score_samples(X), mixture.score_samples(X), rtol=0, atol=1e-8)


def test_probabilities_of_binary_data_add_up_to_one():
    X = np.array(list(itertools.product((0, 1), repeat=4)), dtype=float)
    parts = {"prior": "categorical", "posterior": "categorical", "decoder": "bernoulli[hidden=8]"}
    model = LatentVariableModel(**parts, latent=3, epochs=2).fit(X)
    assert np.exp(model.score_samples(X)).sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.statistical(
    "the mean of p(x) as estimated over p(x) with 1, on independent data", "of these ratios"
)
def test_estimated_densities_are_unbiased(chance):
    """A linear network with a constant variance is a normal in closed form, and not known as one."""
    X = lvmbench.Stream.seeded(0, "unbiased").normal((4000, 3)).numpy() * [1.0, 10.0, 0.1]
    linear = "gaussian[layers=0,scale=constant]"
    model = LatentVariableModel(
        decoder=linear, posterior="gaussian[hidden=8]", latent=2, epochs=2, samples=20, random_state=0
    ).fit(X)
    with torch.no_grad():
        p = model.model_.decode(torch.cat([torch.zeros(1, 2), torch.eye(2)]).double().unsqueeze(1))
    loc, noise = p.loc[:, 0].numpy(), (2 * p.log_scale[0, 0]).exp().numpy()
    weight = (loc[1:] - loc[0]).T
    covariance = (weight @ weight.T + np.diag(noise)) * np.outer(model.scale_, model.scale_)
    truth = multivariate_normal(loc[0] * model.scale_ + model.location_, covariance).logpdf(X)
    chance.agrees(np.exp(model.score_samples(X) - truth), 1.0)


@pytest.mark.statistical("means and covariances of samples with those of the density", "of the samples")
def test_samples_are_of_the_density(X, chance):
    model, pca = as_pca(X, standardize=True)
    draws = model.sample(20_000, random_state=chance.seed)
    units = (draws - model.location_) / model.scale_ - pca.mean_
    squares = units[:, :, None] * units[:, None]
    found = np.concatenate([units, squares.reshape(len(units), -1)], 1)
    chance.agrees(found, np.concatenate([np.zeros(4), pca.get_covariance().ravel()]))


def test_training_comes_close_to_pca_and_never_above(X):
    """No model of this class has a higher likelihood than probabilistic PCA has."""
    best = PCA(2).fit(X).score(X)
    options = {"learning_rate": 3e-2, "batch": 150, "schedule": "cosine", "patience": 0}
    model = LatentVariableModel(
        **{**EXACT, "epochs": 200}, standardize=False, validation_fraction=0, random_state=0, **options
    ).fit(X)
    assert best - 0.01 < model.score(X) <= best + 1e-6


def test_means_go_there_and_back(X):
    """The mean of q, and that of p(x|z), in closed form."""
    model, pca = as_pca(X, standardize=True)
    decoder = model.model_.decoder
    weight = decoder.weight.detach().numpy()
    noise = pca.noise_variance_
    u = (X - model.location_) / model.scale_ - pca.mean_
    z = u @ weight @ np.linalg.inv(weight.T @ weight + noise * np.eye(2))
    np.testing.assert_allclose(model.transform(X), z, rtol=0, atol=1e-9)
    due = (z @ weight.T + pca.mean_) * model.scale_ + model.location_
    np.testing.assert_allclose(model.inverse_transform(z), due, rtol=0, atol=1e-9)


# --- files --------------------------------------------------------------------------------------------------


def assert_same(one, other, frame):
    np.testing.assert_array_equal(one.score_samples(frame), other.score_samples(frame))
    np.testing.assert_array_equal(one.transform(frame), other.transform(frame))
    np.testing.assert_array_equal(one.sample(5, random_state=1), other.sample(5, random_state=1))
    assert (one.n_iter_, one.n_features_in_) == (other.n_iter_, other.n_features_in_)
    assert one.curve_.equals(other.curve_)
    assert list(one.feature_names_in_) == list(other.feature_names_in_)


SAVED = {
    "plain": {},
    "numbers of numpy": {
        "prior": {"mixture": {"components": np.int64(3)}},
        "learning_rate": np.float32(1e-2),
    },
    "other parts": {"posterior": "iaf[flows=1,hidden=8]", "objective": "iwae[samples=3]"},
}


@pytest.mark.parametrize("changes", SAVED.values(), ids=SAVED)
def test_a_saved_estimator_is_the_same_one_without_its_data(tmp_path, frame, changes):
    model = LatentVariableModel(**{**SMALL, **changes}, random_state=0).fit(frame)
    lvmbench.save(model, tmp_path / "model.safetensors")
    found = lvmbench.load(tmp_path / "model.safetensors")
    assert_same(model, found, frame)
    assert found.get_params() == model.get_params()
    assert_same(model, pickle.loads(pickle.dumps(model)), frame)


def test_a_saved_estimator_of_own_parts_is_loaded_with_them(tmp_path, frame):
    model = LatentVariableModel(**{**SMALL, "prior": Narrow}, random_state=0).fit(frame)
    path = tmp_path / "model.safetensors"
    lvmbench.save(model, path)
    assert_same(model, lvmbench.load(path, prior=Narrow), frame)
    with pytest.raises(UserError, match="unknown prior 'narrow'.*what was given to fit is given to load too"):
        lvmbench.load(path)


def test_a_file_that_was_changed_is_not_read(tmp_path, fitted):
    path = tmp_path / "model.safetensors"
    lvmbench.save(fitted, path)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not as it was written: its checksum differs"):
        lvmbench.load(path)
