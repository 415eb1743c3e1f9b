"""A categorical latent with its exact posterior is a Gaussian mixture:
trained, it is as likely as EM makes it.
"""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

import lvmbench
from lvmbench import Data, DataSummary, LatentSpace, Split
from lvmbench_plugins.datasets.blobs import Blobs
from lvmbench_plugins.decoders.gaussian import GaussianDecoder


def table(means):
    """The decoder that is a table of means, as given, and of log scales, 0."""
    classes, dims = means.shape
    data = DataSummary((dims,), "real", torch.zeros(dims))
    decoder = GaussianDecoder(data, LatentSpace((1, classes), "one_hot"), network="mlp", layers=0)
    linear = next(m for m in decoder.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        linear.bias.zero_()
        linear.weight.zero_()[:dims] = means.T
    return decoder


def test_trained_mixture_is_as_likely_as_that_of_em():
    """Both start from the same means, unit variances and equal weights.

    The training data, one batch, are the validation data too. With the KL divergence taken from the samples
    the bound is log p(x) whatever z is drawn, so that the weights kept are the likeliest of all epochs; with
    the closed form the bound errs by what the likelihood varies with z, and the luckiest epoch would be kept.
    """
    blobs = Blobs(clusters=3, separation=3.0, train=300).load().splits["train"]
    x, labels = blobs.values, blobs.labels
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    start = torch.stack([x[labels == c].mean(0) for c in range(3)]) + 0.3
    em = GaussianMixture(
        3,
        covariance_type="diag",
        tol=1e-10,
        reg_covar=0.0,
        max_iter=5000,
        weights_init=np.full(3, 1 / 3),
        means_init=start.numpy(),
        precisions_init=np.ones((3, 2)),
    ).fit(x.double().numpy())
    fitted = lvmbench.fit(
        data=data,
        prior="categorical[learned=true]",
        posterior="exact",
        decoder=table(start),
        objective="elbo[kl=sampled]",
        estimator="enumeration",
        latent=3,
        epochs=500,
        batch=300,
        learning_rate=0.02,
        patience=0,
    )
    ours = fitted.model.exact_log_prob(x).mean().item()
    assert ours == pytest.approx(em.score(x.double().numpy()), abs=1e-3)
