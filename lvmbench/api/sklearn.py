"""A latent variable model as an estimator of scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from lvmbench.api.fitted import fit
from lvmbench.api.per_datum import latent_mean, log_density
from lvmbench.api.saved import curve_of, described
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.given import Given, admit
from lvmbench.dataset import Data, DataSummary, Support
from lvmbench.decoder import Decoder
from lvmbench.errors import UserError
from lvmbench.model import LatentVariableModel as Model
from lvmbench.noise import Stream, generator
from lvmbench.options import Precision
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.split import Split

Floats = NDArray[np.float64]
Random = int | RandomState | None
PARTS = ("prior", "posterior", "decoder", "objective", "estimator")
"""The arguments that are components."""
SUPPORTS: dict[str, Support] = {"binary": "binary", "count": "count", "levels": "count", "unit": "unit"}
"""The support that data are given for a decoder which requires this of them; else they are real."""
VALUES: dict[Support, tuple[str, Callable[[Floats], NDArray[np.bool_]]]] = {
    "binary": ("zeros and ones", lambda X: (X == 0) | (X == 1)),
    "unit": ("values from 0 to 1", lambda X: (X >= 0) & (X <= 1)),
    "count": ("whole numbers from 0 on", lambda X: (X >= 0) & (np.round(X) == X)),
    "real": ("real values", np.isfinite),
}
"""What data of a support are, in words, and whether values are such."""


@final
class LatentVariableModel(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    DensityMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    r"""A latent variable model p(x, z) = p(z) p(x|z) with the interface of scikit-learn.

    `transform` gives the mean of q(z|x), `inverse_transform` that of p(x|z), `score_samples` log p(x). Log
    densities are those of the data as they are given, in nats: where the columns are standardised on the way
    in, :math:`u_d = (x_d - m_d) / s_d`, they are

    .. math:: \log p(x) = \log p_U(u) - \sum_d \log s_d

    so that models with other parts, other scaling, or from elsewhere can be compared by `score`. NaN in X
    means that this value was not observed; densities are then those of what was.

    The decoder says what the data are: with one for binary data X holds zeros and ones, with one for counts
    whole numbers, and with any other it is real.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), https://arxiv.org/abs/1312.6114;
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016),
        https://arxiv.org/abs/1509.00519;
        API design for machine learning software: experiences from the scikit-learn project (Buitinck et al.,
        2013), https://arxiv.org/abs/1309.0238

    Arguments:
        prior: The prior p(z): a name with options, a class, an instance, or a mapping of one of the first two
            to options, as for `lvmbench.fit`.
        posterior: The posterior q(z|x).
        decoder: The decoder p(x|z).
        objective: The bound to maximise.
        estimator: The gradient estimator; by default the objective's own.
        latent: The size of the latent space.
        standardize: Whether each column of real data is shifted and scaled to mean 0 and deviation 1.
        shape: The shape of a datum, as ``(1, 8, 8)`` of an image; by default a vector.
        samples: How many samples `score_samples` takes where log p(x) is not known exactly, and `transform`
            where q(z|x) has no mean.
        validation_fraction: The share of the rows that are held out to choose the best epoch by; with 0 it is
            chosen by all.
        epochs: The most epochs.
        batch: The most data of a step.
        optimizer: The optimiser, as ``adam[beta1=0.99]``.
        learning_rate: Its learning rate.
        schedule: How the learning rate changes, as ``step[every=50]``.
        weight_decay: Its weight decay.
        patience: The epochs without a better validation bound after which training ends; 0 is never.
        seconds: The seconds after which no further epoch begins.
        warm_up: The epochs over which the weight of the KL divergence rises to 1.
        clip: The largest gradient norm.
        precision: ``highest``, ``high`` or ``medium``: how matrix products may round in training.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        plugins: Local plugins, as files or modules.
        random_state: What weights, order, noise and validation rows come from.

    Attributes:
        model_: The trained model, a module of torch in double precision.
        curve_: The bounds of each epoch.
        n_iter_: How many epochs it trained.
        seed_: The seed that was made of ``random_state``.
        description_: Its components with their options and versions, its budget and what is on record of its
            training.
        summary_: What the components were built from.
        location_: What is subtracted from each column.
        scale_: What each column is then divided by.
        n_features_in_: The number of columns of X.
        feature_names_in_: Their names, where X has some.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> model = LatentVariableModel(decoder="linear_gaussian", latent=2, epochs=5, random_state=0)
        >>> model.fit(X).transform(X).shape, model.score_samples(X).shape, model.sample(3).shape
        ((150, 2), (150,), (3, 4))
    """

    def __init__(
        self,
        *,
        prior: Given = "standard_normal",
        posterior: Given = "gaussian",
        decoder: Given = "gaussian",
        objective: Given = "elbo",
        estimator: Given | None = None,
        latent: int = 8,
        standardize: bool = True,
        shape: Sequence[int] | None = None,
        samples: int = 100,
        validation_fraction: float = 0.1,
        epochs: int = 500,
        batch: int = 32,
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        weight_decay: float | None = None,
        patience: int = 20,
        seconds: float | None = None,
        warm_up: float = 0.0,
        clip: float | None = None,
        precision: Precision = "highest",
        device: str = "auto",
        plugins: Sequence[str | Path] = (),
        random_state: Random = None,
    ) -> None:
        self.prior, self.posterior, self.decoder = prior, posterior, decoder
        self.objective, self.estimator = objective, estimator
        self.latent, self.standardize, self.shape = latent, standardize, shape
        self.samples, self.validation_fraction = samples, validation_fraction
        self.epochs, self.batch, self.optimizer = epochs, batch, optimizer
        self.learning_rate, self.schedule, self.weight_decay = learning_rate, schedule, weight_decay
        self.patience, self.seconds, self.warm_up, self.clip = patience, seconds, warm_up, clip
        self.precision = precision
        self.device, self.plugins, self.random_state = device, plugins, random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train the model on the rows of X ``(N, D)``; y is not used."""
        rows: Floats = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2
        )
        _expect_shape(self.shape, rows.shape[1])
        seed, support = _seed(self.random_state), self._support()
        self.location_, self.scale_ = _scaling(rows, standardize=self.standardize and support == "real")
        fitted = fit(
            data=self._data(rows, support, seed),
            **{part: getattr(self, part) for part in PARTS},
            **{name: getattr(self, name) for name in ("latent", *Budget.model_fields)},
            seed=seed,
            device=self.device,
            plugins=self.plugins,
        )
        keep(self, fitted.model, fitted.device, fitted.data.summary, described(fitted))
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """The mean of q(z|x) of each row, ``(N, latent)``."""
        x = self._inwards(X)
        return _array(latent_mean(self.model_, x, self.seed_, self.samples).flatten(1))

    def inverse_transform(self, Z: ArrayLike) -> Floats:
        """The mean of p(x|z) for each row of latents, ``(N, D)``.

        Raises `UserError` where p(x|z) has no mean.
        """
        check_is_fitted(self)
        z = torch.as_tensor(check_array(Z, dtype=np.float64), device=self._device)
        return self._outwards(self.model_.means(z.unflatten(1, self.model_.prior.space.event_shape)))

    def score_samples(self, X: ArrayLike) -> Floats:
        """log p(x) of each row, ``(N,)``, in nats: a density in the units of X, or a probability of discrete
        data.

        Where it is not known exactly it is estimated by ``samples`` importance samples: on average from
        below.
        """
        x = self._inwards(X)
        found = log_density(self.model_, x, self.seed_, self.samples)
        # of a column that was not observed there is no volume to account for
        seen = (~x.isnan()).flatten(1).double()
        return _array(found - seen @ torch.as_tensor(self.scale_, device=x.device).log())

    def score(self, X: ArrayLike, y: object = None) -> float:
        """The mean of log p(x) over the rows; y is not used."""
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: int = 1, random_state: Random = None) -> Floats:
        """Rows drawn from the model, ``(n_samples, D)``."""
        check_is_fitted(self)
        noise = Stream.seeded(_seed(random_state), "sample", device=self._device, dtype=torch.float64)
        return self._outwards(self.model_.generate(noise, n_samples))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @property
    def _n_features_out(self) -> int:
        size: int = self.model_.prior.space.count
        return size

    def _support(self) -> Support:
        """What the data are, by what the decoder requires."""
        catalogue, ref = admit(load_catalogue(PluginSelection.of(self.plugins)), "decoder", self.decoder)
        requires = catalogue.entry("decoder", ref.name).load().requires
        return next((s for word, s in SUPPORTS.items() if f"dataset.{word}" in requires), "real")

    def _data(self, X: Floats, support: Support, seed: int) -> Data:
        """The rows as a data set; those that are held out also stand for its test split."""
        x = self._scaled(X).float()
        order = torch.randperm(len(x), generator=generator(seed, "sklearn", "rows"))
        count = _held_out(len(x), self.validation_fraction)
        train, held = (order[count:], order[:count]) if count else (order, order)
        missing = math.nan if bool(x.isnan().any()) else None
        splits = {
            name: Split(x[rows], missing=missing)
            for name, rows in (("train", train), ("validation", held), ("test", held))
        }
        image = frozenset({"image"} if x.dim() == 4 else ())
        return Data(splits, support, "not stated: rows given to fit", provides=image)

    def _scaled(self, X: Floats) -> Tensor:
        """Rows as the model takes them, ``(N, *x)``."""
        x = torch.as_tensor((X - self.location_) / self.scale_)
        return x if self.shape is None else x.unflatten(1, tuple(self.shape))

    def _inwards(self, X: ArrayLike) -> Tensor:
        """Rows as the fitted model takes them, ``(N, *x)``, on its device."""
        check_is_fitted(self)
        finite: Any = True if self.model_.complete else "allow-nan"
        rows: Floats = validate_data(self, X, dtype=np.float64, ensure_all_finite=finite, reset=False)
        _expect_support(rows, self.summary_, self.model_.decoder)
        return self._scaled(rows).to(self._device)

    def _outwards(self, x: Tensor) -> Floats:
        """Rows of X, of what the model gives, ``(N, *x)``."""
        return _array(x.flatten(1)) * self.scale_ + self.location_

    @property
    def _device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.model_.parameters()).device
        return device


def keep(
    estimator: LatentVariableModel,
    model: Model,
    device: torch.device,
    summary: DataSummary,
    description: dict[str, Any],
) -> None:
    """Let an estimator take a trained model over, in double precision, which not every device has."""
    estimator.model_ = model.to(torch.device("cpu") if device.type == "mps" else device, torch.float64)
    estimator.summary_, estimator.description_ = summary, description
    estimator.seed_, estimator.curve_ = description["seed"], curve_of(description)
    estimator.n_iter_ = int(description["facts"]["trained_epochs"])


def _scaling(X: Floats, *, standardize: bool) -> tuple[Floats, Floats]:
    """What is subtracted from each column, and what it is then divided by."""
    if not standardize:
        return np.zeros(X.shape[1]), np.ones(X.shape[1])
    scaler = StandardScaler().fit(X)
    return scaler.mean_, scaler.scale_


def _expect_shape(shape: Sequence[int] | None, columns: int) -> None:
    if shape is not None and math.prod(shape) != columns:
        raise UserError(f"shape {tuple(shape)} is not of {columns} values, as many as X has columns")


def _expect_support(X: Floats, summary: DataSummary, decoder: Decoder) -> None:
    """Refuse values to which the model gives no probability, or which are not where it has a density."""
    rule, holds = VALUES[summary.support]
    most = summary.levels - 1 if "dataset.levels" in decoder.requires else math.inf
    if wrong := X[~(np.isnan(X) | (holds(X) & (most >= X)))].tolist():
        limit = f" up to {most}" if most < math.inf else ""
        raise UserError(f"X holds {wrong[0]:g}; this model is of {rule}{limit}")


def _seed(random: Random) -> int:
    return int(check_random_state(random).randint(2**31))


def _held_out(rows: int, fraction: float) -> int:
    """How many rows are for validation: of some, one at least and not all."""
    if not 0 <= fraction < 1:
        raise UserError(f"validation_fraction should be at least 0 and less than 1, got {fraction!r}")
    return min(rows - 1, max(1, round(fraction * rows))) if fraction else 0


def _array(x: Tensor) -> Floats:
    return x.double().cpu().numpy()
